"""How far a completed picture is from the true one: pixels, structure, sharpness and edges.

What needs a feature network stands in `perceptual.py`, `lpips.py`, `texture.py` and `fid.py`.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Numbers = dict[str, float]
"""Metric -> value, keys as in `COLUMNS`."""

COLUMNS = {"hole_l1": "hole L1 %", "hole_l2": "hole L2 %", "l1": "L1 %", "l2": "L2 %"}
COLUMNS |= {"hole_psnr": "hole PSNR", "psnr": "PSNR", "ssim": "SSIM", "tv_ratio": "TV ratio"}
COLUMNS |= {"edges": "edges F", "features": "features", "texture": "texture"}
COLUMNS |= {"lpips": "LPIPS", "fid": "FID"}
"""Metric -> its heading in the table."""
EDGE_TOLERANCE = 2 / 256
"""How far from each other two lines are still the same, along either axis, in short sides."""


def measure(a: Tensor, b: Tensor, mask: Tensor) -> Numbers:
    """All metrics of pixels, of a completed picture `a` and the true one `b`.

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


def edge_agreement(found: Tensor, drawn: Tensor, mask: Tensor) -> float | None:
    """F-measure of the lines found in a fill against the drawn ones, both inside the hole.

    All (1, 1, H, W) of 0 and 1, lines one pixel wide. Precision is the share of found lines that
    lie within the tolerance of a drawn one, recall the share of drawn lines within that of a found
    one; F is their harmonic mean. None where no line is drawn.
    """
    reach = max(1, round(EDGE_TOLERANCE * min(mask.shape[-2:])))
    found, drawn = found * mask, drawn * mask
    if not drawn.any():
        return None
    near_drawn, near_found = (
        F.max_pool2d(lines, 2 * reach + 1, stride=1, padding=reach) for lines in (drawn, found)
    )
    precision = float((found * near_drawn).sum() / found.sum().clamp(min=1))
    recall = float((drawn * near_found).sum() / drawn.sum())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def quantised(image: Tensor) -> Tensor:
    """Rounded to 8 bit, as a file would hold it: [0, 1] -> multiples of 1 / 255."""
    return (image.clamp(0, 1) * 255).round() / 255
