"""A sheet of example masks: a row for each way of drawing, labelled."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from .drawn import Size

CELL, GAP, LINE, MARGIN = 128, 8, 14, 110
"""Pixels: longest side of an example, space between, height of text, width of the names."""


def mask_sheet(
    kinds: Mapping[str, Callable[[Size, int], Tensor]], size: Size, seed: int, *, columns: int = 6
) -> Tensor:
    """Masks of `size` of every kind with seeds from `seed` on, shrunk: (1, 3, H, W) in [0, 1].

    White is the hole; the share of the hole in per cent stands below each.
    """
    scale = min(1.0, CELL / max(size))
    high, wide = (max(1, round(n * scale)) for n in size)
    row = high + LINE + GAP
    sheet = Image.new("RGB", (MARGIN + columns * (wide + GAP), GAP + len(kinds) * row), "#506070")
    draw = ImageDraw.Draw(sheet)
    for i, (name, kind) in enumerate(kinds.items()):
        top = GAP + i * row
        draw.text((GAP, top + high // 2 - LINE // 2), name, fill="white")
        for j in range(columns):
            mask, left = kind(size, seed + j), MARGIN + j * (wide + GAP)
            sheet.paste(_shrunk(mask, (high, wide)), (left, top))
            draw.text((left, top + high + 1), f"{100 * float(mask.mean()):.1f} %", fill="white")
    return torch.from_numpy(np.array(sheet)).movedim(-1, 0)[None].float() / 255


def _shrunk(mask: Tensor, size: Size) -> Image.Image:
    small = F.interpolate(mask, size, mode="area")[0, 0]
    return Image.fromarray((small * 255).round().to(torch.uint8).numpy())
