"""What half precision and int8 cost in quality, on photographs that no network was trained on.

Photographs are scaled and cropped to squares of the network's native size, picture i has the
official brush mask of seed + i, and the mean known colour stands in the hole. Fills are rounded to
8 bit. As `trainer.evaluate` measures: hole L1 is the mean absolute difference over the hole and 3
channels in per cent of the range, hole PSNR comes from the squared one; both are means over the
pictures.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

from core.crop import in_mean_colour
from core.errors import InpaintError
from core.image import read_picture
from core.masks.drawn import official_brush_mask
from core.masks.found import picture_files
from core.pipeline import Inpainter

from .cases import Subject
from .paths import open_subject

FULL = "float32 in PyTorch"


def qualities(
    reference: Subject, found: list[Subject], folder: Path, limit: int | None, seed: int
) -> dict[str, Any]:
    """Measure the subjects against float32: `pictures`, and `rows` as `quality_row` makes them."""
    torch.set_num_threads(reference.threads)
    backends: dict[str, Any] = {}
    rows: dict[str, dict[str, Any]] = {}
    for subject in (reference, *found):
        try:
            backends[subject.name] = open_subject(subject)
        except InpaintError as problem:
            rows[subject.name] = {"name": subject.name, "skipped": str(problem)}
    native = backends[reference.name][0].contract.native_size
    trials = list(trials_of(picture_files(folder, "quality")[:limit], native, seed))
    errors: dict[str, list[tuple[float, ...]]] = {name: [] for name in backends}
    for image, mask in tqdm(trials, desc="photographs", disable=None):
        given = in_mean_colour(image, 1 - mask) if (mask == 0).any() else image
        full = torch.empty(0)
        for name, (backend, *_) in backends.items():
            try:
                fill = quantised(Inpainter(backend)(given, mask))
            except Exception as problem:  # a runtime's own errors share no class
                rows[name] = {"name": name, "skipped": str(problem).splitlines()[0][:200]}
                continue
            full = fill if name == reference.name else full
            errors[name].append((*hole_errors(fill, image, mask), hole_errors(fill, full, mask)[1]))
    for name, (_, runs_on, precision) in backends.items():
        if name not in rows:
            row = quality_row(errors[name], errors[reference.name])
            rows[name] = {"name": name, "runs_on": runs_on, "precision": precision, **row}
    names = [reference.name, *(subject.name for subject in found)]
    return {"pictures": len(trials), "rows": [rows[name] for name in names]}


def quality_row(
    mine: list[tuple[float, ...]], full: list[tuple[float, ...]]
) -> dict[str, float | None]:
    """Means over the pictures, of (absolute, squared, squared to float32) errors of each."""
    l1, psnr = (100 * mean([x[0] for x in mine]), mean([decibels(x[1]) for x in mine]))
    full_l1 = 100 * mean([x[0] for x in full])
    full_psnr = mean([decibels(x[1]) for x in full])
    apart = mean([x[2] for x in mine])
    return {
        "hole_l1": l1,
        "hole_l1_difference": l1 - full_l1,
        "hole_psnr": psnr,
        "hole_psnr_difference": psnr - full_psnr,
        "psnr_to_float32": decibels(apart) if apart else None,
    }


def trials_of(files: list[Path], side: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Pictures (1, 3, side, side) in [0, 1] and masks (1, 1, side, side), 1 = hole."""
    for number, file in enumerate(files):
        random = np.random.RandomState((seed + number) % 2**32)
        yield square(read_picture(file).pixels, side), official_brush_mask((side, side), random)


def square(image: Tensor, side: int) -> Tensor:
    """The middle of a picture (1, 3, H, W), its short side scaled to `side`."""
    if image.shape[-2:] == (side, side):
        return image
    pixels = image[0].movedim(0, -1).mul(255).round().byte().numpy()
    cut = ImageOps.fit(Image.fromarray(pixels), (side, side), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(cut).copy()).movedim(-1, 0)[None].float() / 255


def quantised(image: Tensor) -> Tensor:
    """Rounded to 8 bit, as a file would hold it."""
    return (image.clamp(0, 1) * 255).round() / 255


def hole_errors(a: Tensor, b: Tensor, mask: Tensor) -> tuple[float, float]:
    """Mean absolute and mean squared difference in the hole."""
    difference = (a.double() - b.double())[mask.expand_as(a) > 0]
    return float(difference.abs().mean()), float(F.mse_loss(difference, 0 * difference))


def decibels(squared_error: float) -> float:
    """PSNR of values in [0, 1]."""
    return -10 * math.log10(squared_error) if squared_error else math.inf


def mean(values: list[float]) -> float:
    """Of at least one number."""
    return sum(values) / len(values)
