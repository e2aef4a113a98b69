"""Making a fill belong to its picture: colours matched to what is known, then blended in.

What a network makes of the known pixels tells how it errs in this very picture, and the same error
can be expected inside the hole. It is measured outside and taken off inside, broadly over the whole
hole and finely along its edge. A perfect network would not be changed at all.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .contract import TRUSTED
from .crop import box_blur, grow

CELL = 8
"""Pixels over which the broad error is averaged, so that details do not enter it."""
SEAM = 6
"""Pixels inside the hole over which the fill is drawn to the colours just outside."""


def match_colours(
    filled: Tensor, image: Tensor, hole: Tensor, *, tint: bool = True, seam: int = SEAM
) -> Tensor:
    """The fill with the network's own error taken off: all (N, C, H, W) in [0, 1], hole 1 inside.

    tint: broadly; seam: finely, over so many pixels inside the hole, 0 = not.
    Known pixels of the result mean nothing; without any known pixel the fill is returned.
    """
    filled = match_tint(filled, image, hole) if tint else filled
    return match_seam(filled, image, hole, seam=seam) if seam else filled


def match_tint(filled: Tensor, image: Tensor, hole: Tensor) -> Tensor:
    """Take off the broad error, spread from the known pixels near the hole over the hole."""
    cells = F.max_pool2d(hole, CELL, ceil_mode=True)
    near = F.interpolate(grow(cells, TRUSTED // CELL - 1), scale_factor=CELL, mode="nearest")
    known = (1 - hole) * near[..., : hole.shape[-2], : hole.shape[-1]]
    weight = F.avg_pool2d(known, CELL, ceil_mode=True, count_include_pad=False)
    error = F.avg_pool2d((image - filled) * known, CELL, ceil_mode=True, count_include_pad=False)
    broad = spread(error, weight)
    broad = F.interpolate(broad, filled.shape[-2:], mode="bilinear")
    return (filled + broad).clamp(0, 1)


def spread(weighted: Tensor, weight: Tensor) -> Tensor:
    """Carry values to where there are none, ever more broadly with the distance.

    The pull-push algorithm of Gortler et al. 1996, section 3.7: coarser and coarser averages fill
    what the finer ones leave open. weighted (N, C, h, w) = values * weight, weight (N, 1, h, w) in
    [0, 1] -> (N, C, h, w), 0 everywhere without any weight.
    """
    own = weighted / weight.clamp(min=1e-6)
    if max(weight.shape[-2:]) == 1:
        return own
    pooled = (
        F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False) for x in (weighted, weight)
    )
    coarse = F.interpolate(spread(*pooled), weight.shape[-2:], mode="bilinear")
    return torch.lerp(coarse, own, weight)


def match_seam(filled: Tensor, image: Tensor, hole: Tensor, *, seam: int = SEAM) -> Tensor:
    """Draw the fill to the colours just outside the hole, fading out `seam` pixels inside it.

    What the network makes of the known pixels tells by how much it is off there; that difference,
    smoothed, is taken off inside. Known pixels themselves are not the concern of this function.
    """
    known = 1 - hole
    near, far = seam // 2, seam - seam // 2
    weight = box_blur(box_blur(known, near), far)
    off = box_blur(box_blur((image - filled) * known, near), far)
    off = off / weight.clamp(min=1e-3)
    return (filled + off * (2 * weight).clamp(max=1) * hole).clamp(0, 1)


def blend(image: Tensor, filled: Tensor, alpha: Tensor) -> None:
    """Write the fill into `image` in place: alpha 0 keeps it bit for bit, 1 replaces it."""
    image.copy_(torch.lerp(image.float(), filled, alpha))
