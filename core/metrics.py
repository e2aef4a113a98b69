"""How far a completed picture is from the true one, by its pixels.

Only structural similarity needs another package, scikit-image.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .contract import THRESHOLD
from .errors import InpaintError, ShapeError
from .extras import need

Numbers = dict[str, float]
"""Metric -> value; a metric that says nothing of a picture is left out."""

COLUMNS = {"hole_l1": "hole L1 %", "hole_l2": "hole L2 %", "l1": "L1 %", "l2": "L2 %"}
COLUMNS |= {"hole_psnr": "hole PSNR", "psnr": "PSNR", "ssim": "SSIM", "tv_ratio": "TV ratio"}
"""Metric -> its heading in a table."""
WINDOW = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
"""Of structural similarity (Wang et al. 2004)."""
LEAST_SIDE = 11
"""Pixels across that window."""


def measure(a: Tensor, b: Tensor, mask: Tensor) -> Numbers:
    """All metrics of a completed picture `a` and the true one `b`.

    a, b (1, 3, H, W) in [0, 1]; mask (1, 1, H, W), 1 = hole, which is not empty. The ratio of
    total variations is that of the whole pictures. Raises as `structural_similarity` does.
    """
    numbers = differences(a, b, mask) | {"ssim": structural_similarity(a, b)}
    return numbers | variation_ratio(a, b)


def compare(
    image: Tensor, reference: Tensor, mask: Tensor | None = None
) -> tuple[list[Numbers], str]:
    """The metrics of each of N pictures, and a sentence where there is no structural similarity.

    image, reference (N, 3, H, W) in [0, 1]; mask (N, 1, H, W), above the threshold = hole, or None
    = all. Each may be one for all. The ratio of total variations is that inside the hole.
    """
    if image.shape[-2:] != reference.shape[-2:]:
        (h, w), (height, width) = image.shape[-2:], reference.shape[-2:]
        raise ShapeError(
            f"the image is {w} x {h} and the reference {width} x {height} pixels; scale or crop "
            "one of them so that they show the same"
        )
    area = torch.ones_like(image[:, :1]) if mask is None else (mask > THRESHOLD).to(image.dtype)
    count = max(len(image), len(reference), len(area))
    items = zip(
        *(x.cpu().expand(count, *x.shape[1:]) for x in (image, reference, area)), strict=True
    )
    found, why = [], ""
    for a, b, hole in ((x[None] for x in item) for item in items):
        numbers = differences(a, b, hole) | variation_ratio(a, b, hole)
        try:
            numbers["ssim"] = structural_similarity(a, b)
        except InpaintError as problem:
            why = str(problem)
        found.append(numbers)
    return found, why


def means(found: Sequence[Numbers]) -> Numbers:
    """Metric -> mean over the pictures that have it."""
    columns = {key: [numbers[key] for numbers in found if key in numbers] for key in COLUMNS}
    return {key: sum(column) / len(column) for key, column in columns.items() if column}


def in_words(numbers: Numbers, *, between: str = ", ") -> str:
    """Headings and values of four significant digits, with their units."""
    parts = []
    for key in [key for key in COLUMNS if key in numbers]:
        name = COLUMNS[key].removesuffix(" %")
        unit = " %" if name != COLUMNS[key] else " dB" if name.endswith("PSNR") else ""
        parts.append(f"{name} {numbers[key]:.4g}{unit}")
    return between.join(parts)


def differences(a: Tensor, b: Tensor, mask: Tensor) -> Numbers:
    """What is told by the differences of single pixels; nothing of an empty hole.

    a, b (1, 3, H, W) in [0, 1]; mask (1, 1, H, W), 1 = hole.
    """
    numbers: Numbers = {}
    if (mask > 0).any():
        hole_l1, hole_l2 = errors(a, b, mask)
        numbers |= {"hole_l1": 100 * hole_l1, "hole_l2": 100 * hole_l2}
        numbers["hole_psnr"] = decibels(hole_l2)
    l1, l2 = errors(a, b, torch.ones_like(mask))
    numbers |= {"l1": 100 * l1, "l2": 100 * l2, "psnr": whole_psnr(a, b)}
    return {key: numbers[key] for key in COLUMNS if key in numbers}


def variation_ratio(a: Tensor, b: Tensor, area: Tensor | None = None) -> Numbers:
    """Total variation of `a` over that of `b`, left out where `b` has none: below 1 = blurred."""
    variation = total_variation(b, area)
    return {"tv_ratio": total_variation(a, area) / variation} if variation else {}


def structural_similarity(a: Tensor, b: Tensor) -> float:
    """SSIM of two pictures (1, 3, H, W) in [0, 1].

    Raises BackendError without scikit-image, ShapeError for pictures smaller than its window.
    """
    height, width = a.shape[-2:]
    if min(height, width) < LEAST_SIDE:
        raise ShapeError(
            f"a picture of {width} x {height} pixels has no SSIM; it takes {LEAST_SIDE} on each "
            "side"
        )
    metrics = need("skimage.metrics", "train", package="scikit-image")
    pixels = channels_last(b), channels_last(a)
    return float(metrics.structural_similarity(*pixels, channel_axis=-1, data_range=1, **WINDOW))


def whole_psnr(a: Tensor, b: Tensor) -> float:
    """PSNR of two pictures (1, 3, H, W) in [0, 1], infinite for equal ones."""
    # In NumPy's order of summing, which is scikit-image's: tables stay the same to the last digit.
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(1 / np.mean((channels_last(b) - channels_last(a)) ** 2)))


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


def total_variation(image: Tensor, area: Tensor | None = None) -> float:
    """Mean |dx| + mean |dy| over neighbours, both in `area`, and all channels; 0 without any.

    image (1, 3, H, W), area (1, 1, H, W) of 0 and 1.
    """
    if area is None:
        across, down = (image.double().diff(dim=axis).abs().mean() for axis in (-1, -2))
        return float(across + down)
    total = 0.0
    for axis in (-1, -2):
        steps = image.double().diff(dim=axis).abs()
        length = area.shape[axis] - 1
        both = (area.narrow(axis, 0, length) > 0) & (area.narrow(axis, 1, length) > 0)
        inside = steps[both.expand_as(steps)]
        total += float(inside.mean()) if len(inside) else 0.0
    return total
