"""What a single painting says: by its colours, where the hole is, which lines and which colours.

A painting is RGBA, (N, 4, H, W) in [0, 1], transparent where nothing is painted.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..image import colour_distance, colour_mask
from ..masks.drawn import Size
from ..masks.fit import fit_lines
from ..masks.shape import over_picture

HOLE, LINE = "#ffffff", "#000000"
"""Colours that stand for the hole and for lines."""
ALIKE = 24 / 255
"""How far each channel may be from those, as where an edge is smooth."""
FRINGE = 3
"""Pixels: what is narrower, and of neither colour, is the blur between two of them."""


class Painted(NamedTuple):
    """What was painted, each of the painting's size."""

    mask: Tensor
    """(N, 1, H, W), 1 = hole."""
    sketch: Tensor
    """(N, 1, H, W), 1 = line."""
    color: Tensor
    """(N, 4, H, W), RGBA."""

    def at(self, size: Size) -> "Painted":
        """The same at another size."""
        mask, sketch = (fit_lines(x, size) for x in (self.mask, self.sketch))
        return Painted(mask, sketch, fitted(self.color, size))

    def onto(self, other: "Painted") -> "Painted":
        """Both, this one above; either may have N = 1 beside more of the other."""
        mask, sketch = (
            torch.maximum(self.mask, other.mask),
            torch.maximum(self.sketch, other.sketch),
        )
        return Painted(mask, sketch, over(self.color, other.color))

    def shown(self, image: Tensor) -> Tensor:
        """A picture (N, 3, H, W) with all that is painted on it, to look at."""
        marked = over_picture(image, self.mask)
        marked = torch.lerp(marked, self.color[:, :3], self.color[:, 3:])
        return marked * (1 - self.sketch)  # lines are black


def by_color(painting: Tensor, *, hole: str = HOLE, line: str = LINE) -> Painted:
    """All that is painted is hole; of it one colour is lines, and others are colours to be there.

    Raises ConfigError for a `hole` or `line` that is no colour.
    """
    pixels, alpha = painting[:, :3], painting[:, 3:]
    drawn = (alpha > 0).float()
    blank, lines = (drawn * colour_mask(pixels, x, tolerance=ALIKE) for x in (hole, line))
    other = drawn * (1 - blank) * (1 - lines)
    coloured = _opened(other)
    # The blur beside a line belongs to it where it is nearer to it than to the ground.
    nearer = colour_distance(pixels, line) < colour_distance(pixels, hole)
    lines = torch.maximum(lines, (other - coloured) * nearer)
    return Painted(alpha, lines * alpha, torch.cat([pixels, alpha], dim=1) * coloured)


def _as_mask(painting: Tensor, *, hole: str, line: str) -> Painted:
    return _nothing(painting)._replace(mask=painting[:, 3:])


def _as_sketch(painting: Tensor, *, hole: str, line: str) -> Painted:
    return _nothing(painting)._replace(sketch=painting[:, 3:])


def _as_color(painting: Tensor, *, hole: str, line: str) -> Painted:
    return _nothing(painting)._replace(color=painting)


LAYERS: dict[str, Callable[..., Painted]] = {
    "by color": by_color,
    "mask": _as_mask,
    "sketch": _as_sketch,
    "color": _as_color,
}
"""What a painting is meant to be -> what is painted, of a painting and the two colours."""


def _nothing(painting: Tensor) -> Painted:
    empty = torch.zeros_like(painting[:, 3:])
    return Painted(empty, empty, torch.zeros_like(painting))


def over(above: Tensor, below: Tensor) -> Tensor:
    """One painting laid over another (Porter and Duff 1984): RGBA, (N, 4, H, W)."""
    top, bottom = above[:, 3:], below[:, 3:] * (1 - above[:, 3:])
    alpha = top + bottom
    color = (above[:, :3] * top + below[:, :3] * bottom) / alpha.clamp(min=1e-6)
    return torch.cat([torch.where(alpha > 0, color, 0.0), alpha], dim=1)


def fitted(painting: Tensor, size: Size) -> Tensor:
    """A painting at another size, its transparent parts having no colour: (N, 4, *size)."""
    if tuple(painting.shape[-2:]) == tuple(size):
        return painting
    alpha = fit_lines(painting[:, 3:], size)
    color = fit_lines(painting[:, :3] * painting[:, 3:], size) / alpha.clamp(min=1e-6)
    return torch.cat([torch.where(alpha > 0, color.clamp(0, 1), 0.0), alpha], dim=1)


def _opened(drawn: Tensor) -> Tensor:
    """Without what is narrower than `FRINGE`; the border of the picture narrows nothing."""
    half = FRINGE // 2
    kept = 1 - F.max_pool2d(1 - drawn, FRINGE, 1, half)
    return F.max_pool2d(kept, FRINGE, 1, half)
