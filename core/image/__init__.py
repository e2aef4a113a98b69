"""Pictures as files and as ComfyUI's tensors; elsewhere they are float NCHW in [0, 1].

This is the door: what reads, writes and converts stands in this package and in `core.masks.files`,
and nothing outside of these knows of uint8, (H, W, C) or Pillow.
"""

import torch
from torch import Tensor

from ..errors import ShapeError
from ..masks.files import (
    alpha_mask,
    colour_distance,
    colour_mask,
    grey_of,
    read_guide,
    read_mask,
)
from .read import Picture, read_head, read_picture
from .thumbnail import thumbnail
from .write import save_pixels, write_picture

__all__ = [
    "Picture",
    "alpha_mask",
    "alpha_of_bhwc",
    "colour_distance",
    "colour_mask",
    "from_bhw",
    "from_bhwc",
    "grey_of",
    "read_guide",
    "read_head",
    "read_mask",
    "read_picture",
    "save_pixels",
    "side_by_side",
    "thumbnail",
    "to_bhw",
    "to_bhwc",
    "write_picture",
]


def from_bhwc(image: Tensor) -> Tensor:
    """ComfyUI's (B, H, W, 3) -> (B, 3, H, W); a fourth channel, alpha, is left out."""
    if image.ndim != 4 or image.shape[-1] not in (3, 4):
        raise ShapeError(f"an image is (B, H, W, 3 or 4), but got {tuple(image.shape)}")
    return image[..., :3].movedim(-1, 1)


def alpha_of_bhwc(image: Tensor) -> Tensor | None:
    """The fourth channel of ComfyUI's (B, H, W, 4) as (B, 1, H, W); None where there are three."""
    return image[..., 3:].movedim(-1, 1) if image.ndim == 4 and image.shape[-1] == 4 else None


def to_bhwc(image: Tensor) -> Tensor:
    """(B, C, H, W) -> ComfyUI's (B, H, W, C)."""
    if image.ndim != 4:
        raise ShapeError(f"an image is (B, C, H, W), but got {tuple(image.shape)}")
    return image.movedim(1, -1)


def from_bhw(mask: Tensor) -> Tensor:
    """ComfyUI's masks, (B, H, W), (H, W) or (B, 1, H, W), -> (B, 1, H, W)."""
    if mask.ndim == 4 and mask.shape[1] == 1:
        return mask
    if mask.ndim not in (2, 3):
        raise ShapeError(f"a mask is (B, H, W), but got {tuple(mask.shape)}")
    return (mask if mask.ndim == 3 else mask[None])[:, None]


def to_bhw(mask: Tensor) -> Tensor:
    """(B, 1, H, W) -> ComfyUI's (B, H, W)."""
    if mask.ndim != 4 or mask.shape[1] != 1:
        raise ShapeError(f"a mask is (B, 1, H, W), but got {tuple(mask.shape)}")
    return mask[:, 0]


def side_by_side(pictures: list[Tensor], gap: int = 8) -> Tensor:
    """Several (1, 3, H, W) -> one, in a row from left to right, `gap` white pixels apart.

    Lower ones stand at the top, on white. Raises ShapeError without pictures or for other shapes.
    """
    if not pictures or any(p.ndim != 4 or p.shape[:2] != (1, 3) for p in pictures):
        raise ShapeError(
            f"needed are pictures (1, 3, H, W), got {[tuple(p.shape) for p in pictures]}"
        )
    height = max(picture.shape[-2] for picture in pictures)
    width = sum(picture.shape[-1] + gap for picture in pictures) - gap
    row = torch.ones(1, 3, height, width, dtype=pictures[0].dtype, device=pictures[0].device)
    left = 0
    for picture in pictures:
        h, w = picture.shape[-2:]
        row[..., :h, left : left + w] = picture
        left += w + gap
    return row
