"""Small pictures to choose by."""

import io

import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..errors import ShapeError
from .modes import Coding, encode

MARK = (1.0, 0.18, 0.38)
"""The colour of a hole, in [0, 1]; that of the demo's editor."""
SHARE = 0.55
"""How much of it a hole has."""
QUALITY = 78
"""Of the JPEG."""


def thumbnail(
    pixels: Tensor, hole: Tensor | None = None, size: tuple[int, int] = (156, 208)
) -> bytes:
    """A JPEG of the middle of (1, 3, H, W) in [0, 1], as large as fits the proportions of `size`.

    hole: (1, 1, H, W) in [0, 1], shown in a colour of its own. size: (height, width). Raises
    ShapeError for other shapes.
    """
    if pixels.ndim != 4 or pixels.shape[:2] != (1, 3):
        raise ShapeError(f"a picture is (1, 3, H, W), but got {tuple(pixels.shape)}")
    if hole is not None:
        share = SHARE * hole
        pixels = pixels * (1 - share) + share * pixels.new_tensor(MARK).view(1, 3, 1, 1)
    small = F.interpolate(_middle(pixels, size), size, mode="bicubic", antialias=True).clamp(0, 1)
    rgb = encode(small[0].cpu().numpy(), None, Coding("RGB"))
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=QUALITY, optimize=True)
    return out.getvalue()


def _middle(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """The largest part in the middle with the proportions of `size`."""
    height, width = pixels.shape[-2:]
    scale = min(height / size[0], width / size[1])
    down, across = max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)
    top, left = (height - down) // 2, (width - across) // 2
    return pixels[..., top : top + down, left : left + across]
