"""A sheet on which pictures and words are put, for people to look at."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

GROUND, INK = (30, 32, 36), (232, 232, 232)
"""Colours of an empty sheet and of words."""
TEXT = 18
"""Height of words in pixels."""


class Sheet:
    """An empty sheet of (height, width) pixels. Places are (top, left) in pixels."""

    def __init__(self, size: tuple[int, int]):
        self._canvas = Image.new("RGB", (size[1], size[0]), GROUND)
        self._draw = ImageDraw.Draw(self._canvas)

    def paste(self, picture: Tensor, place: tuple[int, int]) -> None:
        """Put (1 or 3, h, w) in [0, 1] there."""
        pixels = (picture.expand(3, -1, -1).clamp(0, 1) * 255).round().to(torch.uint8)
        self._canvas.paste(Image.fromarray(pixels.movedim(0, -1).cpu().numpy()), place[::-1])

    def write(
        self, text: str, place: tuple[int, int], *, anchor: str = "la", size: int = TEXT
    ) -> None:
        """Put words there; anchor: which point of them `place` is, as Pillow names them."""
        font = ImageFont.load_default(size)
        self._draw.text(place[::-1], text, fill=INK, font=font, anchor=anchor)

    def picture(self) -> Tensor:
        """(1, 3, H, W) in [0, 1]."""
        return torch.from_numpy(np.array(self._canvas)).movedim(-1, 0)[None].float() / 255


def fitted(text: str, width: int, *, size: int = TEXT) -> int:
    """The height at which `text` is no wider than `width`, `size` at most and 8 at least."""
    length = ImageFont.load_default(size).getlength(text)
    return size if length <= width else max(8, int(size * width / length))


def stacked(sheets: Sequence[Tensor]) -> Tensor:
    """Sheets (1, 3, h, w) of several sizes as one batch, filled up with empty sheet."""
    height, width = (max(sheet.shape[axis] for sheet in sheets) for axis in (-2, -1))
    ground = torch.tensor(GROUND).view(1, 3, 1, 1) / 255
    batch = ground.repeat(len(sheets), 1, height, width)
    for i, sheet in enumerate(sheets):
        batch[i, :, : sheet.shape[-2], : sheet.shape[-1]] = sheet[0]
    return batch
