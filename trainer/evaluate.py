"""Measure how well networks fill pictures, beside OpenCV's classical methods.

  python -m trainer.evaluate --data val.tar --weights a.safetensors b.safetensors --masks both

Every picture is scaled so that its short side is --size and cropped at its centre; picture i gets
the official mask of seed + i. All methods get the mean known colour in the hole. Networks fill
through the pipeline with its default options. Results are rounded to 8 bit, measured on [0, 1]:
  hole L1, hole L2   mean absolute and mean squared difference over the hole and 3 channels, %
  L1, L2             the same over the whole picture, as the papers have it, %
  hole PSNR, PSNR    decibels, from hole L2 and from L2
  SSIM               Wang et al. 2004: Gaussian window of sigma 1.5, 11 pixels wide, population
                     covariance, mean over pixels and channels, by scikit-image
  TV ratio           total variation, mean |dx| + mean |dy| over all pixels and channels, of the
                     completed picture divided by that of the true one; below 1 = too smooth
  features           with --features: squared difference of unit-length features, summed over
                     channels and layers, mean over pixels, x100 (LPIPS without learned weights)
The table holds the mean of each over the pictures, best hole L1 first. Flat pictures have no TV
ratio and do not count for its mean. In JSON, null is an infinite PSNR.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor, nn
from tqdm import tqdm

from core.backends import open_backend
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

Fill = Callable[[Tensor, Tensor], Tensor]
"""image (1, 3, H, W) in [0, 1], mask (1, 1, H, W), 1 = hole -> completed image."""
Numbers = dict[str, float]
"""Metric -> value, keys as in `COLUMNS`."""

MASKS = {"brush": official_brush_mask, "box": official_box_mask}
COLUMNS = {"hole_l1": "hole L1 %", "hole_l2": "hole L2 %", "l1": "L1 %", "l2": "L2 %"}
COLUMNS |= {"hole_psnr": "hole PSNR", "psnr": "PSNR", "ssim": "SSIM"}
COLUMNS |= {"tv_ratio": "TV ratio", "features": "features"}
"""Metric -> its heading in the table."""
OPENCV_RADIUS = 3
"""Neighbourhood in pixels of OpenCV's methods, as its documentation has it."""
LEAST = {"size": 80, "limit": 1, "seed": 0, "rows": 1}
"""Smallest values; the official box is half the side, less up to 32 pixels."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What to measure; each field is a flag of `python -m trainer.evaluate`."""

    data: tuple[Path, ...] = field(metadata={"help": "image folders and .tar shards"})
    weights: tuple[Path, ...] = setting((), "model files to compare (default: the bundled one)")
    masks: Literal["brush", "box", "both"] = setting("brush", "official masks; both = two tables")
    size: int = setting(256, "side of the pictures in pixels")
    limit: int | None = setting(None, "only the first N pictures")
    seed: int = setting(0, "seed of the mask of the first picture")
    guide: Literal["sketch"] | None = setting(None, "also give the true edges inside the hole")
    features: Path | None = field(default=None, metadata={"help": "network of the metric features"})
    json: Path | None = field(default=None, metadata={"help": "file for all the numbers"})
    grid: Path | None = field(default=None, metadata={"help": "picture of all the fills"})
    rows: int = setting(8, "most rows of the grid")
    device: str = setting("", "cpu, cuda or mps; by default the best there is")

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"--{name} is {value}; it must be at least {least}")


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
    """Measure, write the tables to stdout, then the files that `config` names."""
    features = None if config.features is None else load_features(config.features)
    methods = opencv_methods() | network_methods(config)
    entries = find_pictures(config.data)[: config.limit]
    kinds = [kind for kind in MASKS if config.masks in (kind, "both")]
    lines: list[dict[str, Any]] = []
    rows: list[Tensor] = []
    progress = tqdm(samples(entries, kinds, config), total=len(entries) * len(kinds))
    for picture, kind, image, mask in progress:
        fills = {name: quantised(fill(image, mask)) for name, fill in methods.items()}
        for name, filled in fills.items():
            about = {"picture": picture, "masks": kind, "method": name}
            lines.append(about | measure(filled, image, mask, features))
        if config.grid is not None and len(rows) < config.rows:
            rows.append(side_by_side([image.maximum(mask), *fills.values(), image]))
    means = {kind: averages([x for x in lines if x["masks"] == kind]) for kind in kinds}
    tables = (table(f"{len(entries)} pictures, {kind} masks", means[kind]) for kind in kinds)
    sys.stdout.write("\n".join(tables))
    if config.grid is not None:
        save_pixels(config.grid, side_by_side([row.mT for row in rows]).mT)
        sys.stdout.write(f"\n{config.grid}: {', '.join(['masked', *methods, 'true'])}\n")
    if config.json is not None:
        write_json(config.json, {"settings": asdict(config), "means": means, "pictures": lines})


def network_methods(config: EvaluateConfig) -> dict[str, Fill]:
    """One method per model file, and one more where the network takes the guide."""
    paths = config.weights or (DEFAULT_WEIGHTS,)
    stems = [path.stem for path in paths]
    methods: dict[str, Fill] = {}
    for path in paths:
        name = path.stem if stems.count(path.stem) == 1 else str(path)
        inpainter = Inpainter(open_backend(path, config.device))
        methods[name] = partial(network_fill, inpainter, False)
        if config.guide in [port.name for port in inpainter.backend.contract.guides]:
            methods[f"{name} + {config.guide}"] = partial(network_fill, inpainter, True)
    if config.guide and len(methods) == len(paths):
        raise ConfigError(f"none of the networks takes a {config.guide}; leave out --guide")
    return methods


def network_fill(inpainter: Inpainter, guide: bool, image: Tensor, mask: Tensor) -> Tensor:
    """Fill; with `guide`, the edges of the true picture inside the hole are the sketch."""
    pixels = (image[0] * 255).round().to(torch.uint8)
    lines = canny_lines(pixels)[None] * mask if guide else None
    return inpainter(blanked(image, mask), mask, sketch=lines)


def blanked(image: Tensor, mask: Tensor) -> Tensor:
    """The mean known colour in the hole: some methods let what is there shine through."""
    known = (image * (1 - mask)).sum((-1, -2), keepdim=True) / (1 - mask).sum()
    return torch.where(mask > 0, known, image)


def opencv_methods() -> dict[str, Fill]:
    """Telea 2004 and Navier-Stokes (Bertalmio et al. 2001), as OpenCV has them."""
    try:
        import cv2
        import skimage.metrics  # noqa: F401  # so that its absence shows at once
    except ImportError as problem:
        raise ConfigError(
            f"{problem.name} is missing; install opencv-python-headless and scikit-image"
        ) from None

    def fill(flag: int, image: Tensor, mask: Tensor) -> Tensor:
        pixels = np.rint(channels_last(blanked(image, mask)) * 255).astype(np.uint8, order="C")
        hole = mask[0, 0].numpy().astype(np.uint8)
        completed = cv2.inpaint(pixels, hole, OPENCV_RADIUS, flag)
        return torch.from_numpy(completed).movedim(-1, 0)[None].float() / 255

    flags = {"OpenCV Telea": cv2.INPAINT_TELEA, "OpenCV Navier-Stokes": cv2.INPAINT_NS}
    return {name: partial(fill, flag) for name, flag in flags.items()}


def samples(
    entries: list[Entry], kinds: list[str], config: EvaluateConfig
) -> Iterator[tuple[str, str, Tensor, Tensor]]:
    """Every picture with each kind of mask, a function of the seed: name, kind, image, mask."""
    for i, entry in enumerate(entries):
        name, image = f"{entry.path.name} @ {entry.offset}", read_square(entry, config.size)
        for kind in kinds:
            random = np.random.RandomState((config.seed + i) % 2**32)
            yield name, kind, image, MASKS[kind]((config.size, config.size), random)


def read_square(entry: Entry, size: int) -> Tensor:
    """(1, 3, size, size) in [0, 1]: the short side scaled to `size`, then cropped at the centre."""
    square = ImageOps.fit(entry.decode(), (size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(square)).movedim(-1, 0)[None].float() / 255


def quantised(image: Tensor) -> Tensor:
    """Rounded to 8 bit, as a file would hold it: [0, 1] -> multiples of 1 / 255."""
    return (image.clamp(0, 1) * 255).round() / 255


def measure(a: Tensor, b: Tensor, mask: Tensor, features: nn.Module | None = None) -> Numbers:
    """All metrics of a completed picture `a` and the true one `b`.

    a, b (1, 3, H, W) in [0, 1]; mask (1, 1, H, W), 1 = hole, which is not empty.
    """
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    pixels = channels_last(b), channels_last(a)
    with np.errstate(divide="ignore"):  # an exact picture has an infinite PSNR
        psnr = float(peak_signal_noise_ratio(*pixels, data_range=1))
    ssim = float(structural_similarity(*pixels, channel_axis=-1, data_range=1, **window))
    hole_l1, hole_l2 = errors(a, b, mask)
    l1, l2 = errors(a, b, torch.ones_like(mask))
    numbers = {"hole_l1": 100 * hole_l1, "hole_l2": 100 * hole_l2, "l1": 100 * l1, "l2": 100 * l2}
    numbers |= {"hole_psnr": decibels(hole_l2), "psnr": psnr, "ssim": ssim}
    if variation := total_variation(b):
        numbers["tv_ratio"] = total_variation(a) / variation
    if features is not None:
        numbers["features"] = 100 * feature_distance(a, b, features)
    return numbers


def channels_last(image: Tensor) -> np.ndarray:
    """(1, 3, H, W) -> (H, W, 3) float64."""
    return image[0].movedim(0, -1).double().numpy()


def errors(a: Tensor, b: Tensor, area: Tensor) -> tuple[float, float]:
    """Mean absolute and mean squared difference where `area` (1, 1, H, W) is 1."""
    difference = (a.double() - b.double())[area.expand_as(a) > 0]
    return float(difference.abs().mean()), float(difference.square().mean())


def decibels(squared_error: float) -> float:
    """PSNR of values in [0, 1]."""
    return -10 * math.log10(squared_error) if squared_error else math.inf


def total_variation(image: Tensor) -> float:
    """Mean |dx| + mean |dy| over all neighbours and channels."""
    across, down = (image.double().diff(dim=axis).abs().mean() for axis in (-1, -2))
    return float(across + down)


@torch.inference_mode()
def feature_distance(a: Tensor, b: Tensor, features: nn.Module) -> float:
    """Zhang et al. 2018, equation 1, with all weights 1."""
    pairs = (F.normalize(layer, dim=1) for layer in features(2 * torch.cat([a, b]) - 1))
    return sum(float((x - y).square().sum(dim=0).mean()) for x, y in pairs)


def averages(lines: list[dict[str, Any]]) -> dict[str, Numbers]:
    """Method -> metric -> mean over the pictures that have it."""
    values: dict[str, dict[str, list[float]]] = {}
    for line in lines:
        for key in [key for key in COLUMNS if key in line]:
            values.setdefault(line["method"], {}).setdefault(key, []).append(line[key])
    return {
        method: {key: sum(column) / len(column) for key, column in columns.items()}
        for method, columns in values.items()
    }


def table(title: str, means: dict[str, Numbers]) -> str:
    """A Markdown table of four significant digits, best hole L1 first, nan last."""
    ranked = sorted(means, key=lambda name: (math.isnan(x := means[name]["hole_l1"]), x))
    keys = [key for key in COLUMNS if key in means[ranked[0]]]
    head = [title, *(COLUMNS[key] for key in keys)]
    rows = [head, ["---", *("---:" for _ in keys)]]
    rows += [[name, *(f"{means[name][key]:#.4g}" for key in keys)] for name in ranked]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content` whole or not at all; JSON has no infinity or nan, so null stands for them."""
    plain = json.loads(json.dumps(content, default=str), parse_constant=lambda _: None)
    try:
        with whole_file(path) as part:
            part.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    except OSError as problem:
        raise TrainingError(f"cannot write {path} ({problem}); name another --json") from None


if __name__ == "__main__":
    sys.exit(main())
