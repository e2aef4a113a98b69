"""Masks and guides of another size than the picture, each scaled as what it is."""

import torch.nn.functional as F
from torch import Tensor

from ..crop import resize_drawn

Size = tuple[int, int]
"""(height, width) in pixels."""


def fit_mask(mask: Tensor, size: Size) -> Tensor:
    """By nearest neighbours, so that it stays as hard as it is: (N, 1, H, W) -> (N, 1, *size)."""
    return mask if _fits(mask, size) else F.interpolate(mask, size, mode="nearest-exact")


def fit_lines(lines: Tensor, size: Size) -> Tensor:
    """Smoothly: (N, 1, H, W) in [0, 1] -> (N, 1, *size)."""
    if _fits(lines, size):
        return lines
    return F.interpolate(lines, size, mode="bilinear", antialias=True).clamp(0, 1)


def fit_color(color: Tensor, size: Size) -> Tensor:
    """Strokes on black, so that thin ones stay as bright: (N, 3, H, W) -> (N, 3, *size)."""
    return resize_drawn(color, size)


def _fits(x: Tensor, size: Size) -> bool:
    return tuple(x.shape[-2:]) == tuple(size)
