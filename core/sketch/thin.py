"""Thick edges -> lines one pixel wide."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ConfigError

SMOOTH = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
"""Binomial weights; the direction of an edge is taken from the smoothed strength."""


def suppress(strength: Tensor) -> Tensor:
    """Keep the strength where it is greatest across the edge, 0 elsewhere.

    strength (N, 1, H, W) in [0, 1] -> the same shape. The direction is that in which the smoothed
    strength bends most (after Dollar and Zitnick 2013); the two neighbours on it, one pixel away,
    are interpolated.
    """
    across = direction(strength)
    height, width = strength.shape[-2:]
    rows = torch.arange(height, device=strength.device, dtype=strength.dtype)[:, None]
    columns = torch.arange(width, device=strength.device, dtype=strength.dtype)
    greatest = torch.ones_like(strength, dtype=torch.bool)
    for sign in (1, -1):
        y = rows + sign * across.sin()
        x = columns + sign * across.cos()
        grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)[:, 0]
        beside = F.grid_sample(strength, grid, padding_mode="border", align_corners=False)
        # A plateau two pixels wide keeps one of them: strictly greater on one side only.
        greatest &= strength > beside if sign > 0 else strength >= beside
    return strength * greatest


def direction(strength: Tensor) -> Tensor:
    """Angle across the edge in radians, from x towards y: (N, 1, H, W) -> (N, 1, H, W)."""
    kernel = SMOOTH.to(strength)
    padded = F.pad(strength, (2, 2, 2, 2), mode="replicate")
    smooth = F.conv2d(F.conv2d(padded, kernel[None, None, None]), kernel[None, None, :, None])
    dx, dy = differences(smooth)
    (dxx, dxy), (_, dyy) = differences(dx), differences(dy)
    # The eigenvector of the Hessian whose eigenvalue is greatest in size: across the ridge on its
    # crest (where it is negative) and on its slopes (where it is positive).
    greatest = 0.5 * torch.atan2(2 * dxy, dxx - dyy)
    return torch.where(dxx + dyy > 0, greatest, greatest + torch.pi / 2)


def differences(x: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences along x and y, borders replicated; shapes as x."""
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    return across, down


def thin(lines: Tensor) -> Tensor:
    """Lines of any thickness -> their skeleton (Zhang and Suen 1984, by scikit-image).

    lines (N, 1, H, W) of 0 and 1 -> the same shape and type. Raises ConfigError without
    scikit-image.
    """
    try:
        from skimage.morphology import skeletonize
    except ImportError:
        raise ConfigError("thinning lines needs scikit-image; install scikit-image") from None
    flat = (lines > 0).cpu().numpy().reshape(-1, *lines.shape[-2:])
    skeletons = [skeletonize(item) for item in flat]
    return torch.from_numpy(np.array(skeletons, bool)).reshape(lines.shape).to(lines)
