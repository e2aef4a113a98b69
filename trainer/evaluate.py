"""Measure how well networks fill pictures, beside OpenCV's classical methods.

examples:
  python -m trainer.evaluate --data photos/ --limit 100
  python -m trainer.evaluate --data val.tar --weights a.safetensors b.safetensors --masks both \\
      --json numbers.json --grid pictures.png

Every picture is scaled so that its short side is --size and cropped at its centre; picture i gets
the official mask of seed + i. Networks fill through the pipeline with its default options, what
they fill is rounded to 8 bit, and then measured on [0, 1]:
  hole L1, hole L2   mean absolute and mean squared difference over the hole and 3 channels, %
  L1, L2             the same over the whole picture, as the papers have it, %
  hole PSNR, PSNR    decibels, from hole L2 and from L2
  SSIM               Wang et al. 2004: Gaussian window of sigma 1.5, 11 pixels wide, population
                     covariance, mean over pixels and channels (scikit-image)
  TV ratio           total variation, mean |dx| + mean |dy| over all pixels and channels, of the
                     completed picture divided by that of the true one; below 1 = too smooth
  features           with --features: squared difference of unit-length features, summed over
                     channels and layers, mean over pixels, x100 (LPIPS without learned weights)
The table has the mean over pictures of each, best hole L1 first. In JSON, null is an infinite PSNR
or the TV ratio of a flat picture, which means leave out.
"""

import argparse
import io
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor, nn
from tqdm import tqdm

from core.backends import Backend, open_backend
from core.errors import ConfigError, InpaintError, TrainingError
from core.files import whole_file
from core.flags import add_flags, from_flags
from core.image import save_pixels, side_by_side
from core.masks import official_box_mask, official_brush_mask
from core.pipeline import Inpainter
from core.sketch import canny_lines
from core.weights import DEFAULT_WEIGHTS

from .config import setting
from .data import Entry, find_pictures
from .perceptual import load_features

MASKS = {"brush": official_brush_mask, "box": official_box_mask}

COLUMNS = {
    "hole_l1": ("hole L1 %", ".2f"),
    "hole_l2": ("hole L2 %", ".2f"),
    "l1": ("L1 %", ".2f"),
    "l2": ("L2 %", ".3f"),
    "hole_psnr": ("hole PSNR", ".2f"),
    "psnr": ("PSNR", ".2f"),
    "ssim": ("SSIM", ".4f"),
    "tv_ratio": ("TV ratio", ".3f"),
    "features": ("features", ".2f"),
}
"""Metric -> its heading in the table, and how its numbers are written."""

OPENCV_RADIUS = 3
"""Neighbourhood in pixels of OpenCV's methods; the value of its documentation."""

GRID_GAP = 4
"""White pixels between the pictures of a grid."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What to measure; each field is a flag of `python -m trainer.evaluate`."""

    data: tuple[Path, ...] = field(metadata={"help": "image folders and .tar shards"})
    weights: tuple[Path, ...] = setting((), "model files to compare (default: the bundled weights)")
    masks: Literal["brush", "box", "both"] = setting("brush", "official masks; both = two tables")
    size: int = setting(256, "side of the pictures in pixels")
    limit: int | None = setting(None, "only the first N pictures")
    seed: int = setting(0, "seed of the mask of the first picture")
    features: Path | None = setting(None, "feature network (.safetensors) for a perceptual metric")
    guide: Literal["sketch"] | None = setting(
        None, "also give networks that take a sketch the true edges inside the hole"
    )
    json: Path | None = setting(None, "file for all numbers and the settings")
    grid: Path | None = setting(None, "picture file: masked, each method, true; one row each")
    rows: int = setting(8, "rows of the grid")
    device: str = setting("", "cpu, cuda or mps; by default the best there is")

    def __post_init__(self) -> None:
        # The official box is half the side, less up to 32 pixels.
        if self.size < 80:
            raise ConfigError(f"--size is {self.size}; it must be at least 80 pixels")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"--limit is {self.limit}; it must be at least 1")
        if self.rows < 1:
            raise ConfigError(f"--rows is {self.rows}; it must be at least 1")
        if not 0 <= self.seed < 2**31:
            raise ConfigError(f"--seed is {self.seed}; it must be from 0 to 2147483647")


class Method(NamedTuple):
    """What fills holes: image (1, 3, H, W) in [0, 1], mask (1, 1, H, W) -> completed image."""

    name: str
    fill: Callable[[Tensor, Tensor], Tensor]


class Sample(NamedTuple):
    """A true picture (1, 3, H, W) in [0, 1] and the mask (1, 1, H, W) of one kind for it."""

    picture: str
    kind: str
    image: Tensor
    mask: Tensor


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed."""
    parser = argparse.ArgumentParser(
        prog="python -m trainer.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_flags(parser, EvaluateConfig)
    args = parser.parse_args(argv)
    try:
        evaluate(from_flags(EvaluateConfig, args))
    except InpaintError as problem:
        sys.stderr.write(f"error: {problem}\n")
        return 1
    return 0


def evaluate(config: EvaluateConfig) -> None:
    """Measure, write the table to stdout and the files that `config` names."""
    features = None if config.features is None else load_features(config.features)
    methods = network_methods(config) + opencv_methods()
    entries = find_pictures(config.data)[: config.limit]
    kinds = list(MASKS) if config.masks == "both" else [config.masks]
    records: list[dict[str, Any]] = []
    rows: list[Tensor] = []
    total = len(entries) * len(kinds)
    for sample in tqdm(samples(entries, kinds, config), total=total, unit="picture"):
        fills = [quantised(method.fill(sample.image, sample.mask)) for method in methods]
        for method, completed in zip(methods, fills, strict=True):
            about = {"method": method.name, "masks": sample.kind, "picture": sample.picture}
            numbers = measure(completed, sample.image, sample.mask, features)
            records.append(about | numbers)
        if config.grid is not None and len(rows) < config.rows:
            masked = torch.maximum(sample.image, sample.mask)
            rows.append(side_by_side([masked, *fills, sample.image], GRID_GAP))
    means = {
        kind: averages([line for line in records if line["masks"] == kind], methods)
        for kind in kinds
    }
    sys.stdout.write("\n".join(table(kind, len(entries), means[kind]) for kind in kinds))
    if config.grid is not None:
        save_pixels(config.grid, stacked(rows))
        columns = ", ".join(["masked", *(method.name for method in methods), "true"])
        sys.stdout.write(f"\n{config.grid}, from left to right: {columns}\n")
    if config.json is not None:
        write_json(config.json, {"settings": asdict(config), "means": means, "pictures": records})


def network_methods(config: EvaluateConfig) -> list[Method]:
    """One method per model file, and one more with the guide where the network takes it."""
    paths = config.weights or (DEFAULT_WEIGHTS,)
    stems = [path.stem for path in paths]
    methods, guided = [], 0
    for path in paths:
        backend = open_backend(path, config.device)
        name = path.stem if stems.count(path.stem) == 1 else str(path)
        methods.append(Method(name, Inpainter(backend)))
        if config.guide and any(p.name == config.guide for p in backend.contract.guides):
            methods.append(Method(f"{name} + {config.guide}", with_true_lines(backend)))
            guided += 1
    if config.guide and not guided:
        raise ConfigError(f"--guide is {config.guide}, but none of the networks takes one")
    return methods


def with_true_lines(backend: Backend) -> Callable[[Tensor, Tensor], Tensor]:
    """Fill with the true picture's edges inside the hole as the sketch."""
    inpainter = Inpainter(backend)

    def fill(image: Tensor, mask: Tensor) -> Tensor:
        lines = canny_lines((image[0] * 255).round().to(torch.uint8))[None]
        return inpainter(image, mask, sketch=lines * mask)

    return fill


def opencv_methods() -> list[Method]:
    """Telea 2004 and Bertalmio et al. 2001 (Navier-Stokes), as OpenCV has them."""
    try:
        import cv2
        import skimage  # noqa: F401  # asked for here, so that its absence shows before the work
    except ImportError as problem:
        raise ConfigError(
            f"{problem.name} is missing; install opencv-python-headless and scikit-image"
        ) from None

    def filler(flag: int) -> Callable[[Tensor, Tensor], Tensor]:
        def fill(image: Tensor, mask: Tensor) -> Tensor:
            pixels = np.ascontiguousarray((channels_last(image) * 255).round().astype(np.uint8))
            hole = mask[0, 0].numpy().astype(np.uint8)
            completed = cv2.inpaint(pixels, hole, OPENCV_RADIUS, flag)
            return torch.from_numpy(completed).movedim(-1, 0)[None].float() / 255

        return fill

    flags = {"OpenCV Telea": cv2.INPAINT_TELEA, "OpenCV Navier-Stokes": cv2.INPAINT_NS}
    return [Method(name, filler(flag)) for name, flag in flags.items()]


def samples(entries: list[Entry], kinds: list[str], config: EvaluateConfig) -> Iterator[Sample]:
    """Every picture with a mask of every kind; a function of the seed and no more."""
    for i, entry in enumerate(entries):
        name = entry.path.name + (f" at byte {entry.offset}" if entry.length >= 0 else "")
        image = read_square(entry, config.size)
        for kind in kinds:
            random = np.random.RandomState(config.seed + i)
            yield Sample(name, kind, image, MASKS[kind]((config.size, config.size), random))


def read_square(entry: Entry, size: int) -> Tensor:
    """(1, 3, size, size) in [0, 1]: the short side scaled to `size`, then cropped at the centre."""
    try:
        with Image.open(io.BytesIO(entry.read())) as picture:
            upright = ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:
        raise TrainingError(
            f"{entry.path} has no readable picture at byte {entry.offset} ({problem}); "
            "remove or replace it"
        ) from None
    square = ImageOps.fit(upright, (size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(square)).movedim(-1, 0)[None].float() / 255


def quantised(image: Tensor) -> Tensor:
    """Rounded to 8 bit, as a file would hold it: [0, 1] -> multiples of 1 / 255."""
    return (image.clamp(0, 1) * 255).round() / 255


def measure(
    completed: Tensor, image: Tensor, mask: Tensor, features: nn.Module | None = None
) -> dict[str, float]:
    """All metrics of one picture: (1, 3, H, W) twice, in [0, 1], and (1, 1, H, W) with a hole."""
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    a, b = channels_last(completed), channels_last(image)
    with np.errstate(divide="ignore"):  # an exact picture has an infinite PSNR
        psnr = float(peak_signal_noise_ratio(b, a, data_range=1.0))
    ssim = structural_similarity(
        b,
        a,
        channel_axis=-1,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    hole_l1, hole_l2 = errors(completed, image, mask)
    l1, l2 = errors(completed, image, torch.ones_like(mask))
    numbers = {"hole_l1": 100 * hole_l1, "hole_l2": 100 * hole_l2, "l1": 100 * l1, "l2": 100 * l2}
    numbers |= {"hole_psnr": decibels(hole_l2), "psnr": psnr, "ssim": float(ssim)}
    true_variation = total_variation(image)
    ratio = total_variation(completed) / true_variation if true_variation else math.nan
    numbers["tv_ratio"] = ratio
    if features is not None:
        numbers["features"] = 100 * feature_distance(completed, image, features)
    return numbers


def errors(completed: Tensor, image: Tensor, area: Tensor) -> tuple[float, float]:
    """Mean absolute and mean squared difference where `area` (1, 1, H, W) is 1."""
    difference = (completed.double() - image.double())[area.expand_as(image) > 0]
    return float(difference.abs().mean()), float(difference.square().mean())


def decibels(squared_error: float) -> float:
    """PSNR of values in [0, 1]."""
    return -10 * math.log10(squared_error) if squared_error else math.inf


def total_variation(image: Tensor) -> float:
    """Mean |dx| + mean |dy| over all neighbours and channels."""
    image = image.double()
    return float(image.diff(dim=-1).abs().mean() + image.diff(dim=-2).abs().mean())


@torch.inference_mode()
def feature_distance(completed: Tensor, image: Tensor, features: nn.Module) -> float:
    """Zhang et al. 2018, equation 1, with all weights 1."""
    layers = features(2 * torch.cat([completed, image]) - 1)
    units = [F.normalize(layer, dim=1, eps=1e-10) for layer in layers]
    return sum(float((a - b).square().sum(dim=0).mean()) for a, b in units)
