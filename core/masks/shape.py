"""Masks changed and measured: wider or narrower, without enclosed gaps, rectangles, facts, a look.

Masks are (N, 1, H, W) in [0, 1], 1 = hole; soft ones stay soft.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..contract import THRESHOLD
from ..crop import Window, breadth, grow
from ..errors import ConfigError
from .components import components, reached
from .drawn import Size

MARK = (1.0, 0.1, 0.8)
"""RGB in which a hole is shown: magenta, which photos seldom have."""
COVER = 0.55
"""How much of the picture below it is hidden."""


def widened(mask: Tensor, pixels: int) -> Tensor:
    """The hole grown by so many pixels to each side, or for a negative number narrowed.

    The border of the picture does not eat into a hole that touches it.
    """
    return grow(mask, pixels) if pixels >= 0 else 1 - grow(1 - mask, -pixels)


def filled_in(mask: Tensor) -> Tensor:
    """The mask with every known area hole that is enclosed by hole and touches no border.

    Areas that meet only at a corner are two, so that a closed line encloses.
    """
    known = mask <= THRESHOLD
    border = torch.ones_like(known)
    border[..., 1:-1, 1:-1] = False
    outside = reached(known, known & border, corners=False)
    return torch.where(known & ~outside, torch.ones_like(mask), mask)


def rectangle(size: Size, *, x: int, y: int, width: int, height: int) -> Tensor:
    """A box as the hole of a picture of `size`, cut off at its borders: (1, 1, H, W).

    Raises ConfigError for a box that lies outside.
    """
    mask = torch.zeros(1, 1, *size)
    mask[..., max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)] = 1
    if not mask.any():
        raise ConfigError(
            f"the box from x {x}, y {y} on, {width} wide and {height} high, lies outside of the "
            f"picture, which is {size[1]} wide and {size[0]} high; move it inside"
        )
    return mask


@dataclass(frozen=True)
class MaskFacts:
    """What there is to say of one mask, a soft pixel being hole above `THRESHOLD`."""

    share: float
    """Of the picture that is hole, 0 to 1."""
    box: Window
    """The smallest round all of it; without any, empty."""
    holes: int
    """That do not touch one another, not even at a corner."""
    breadth: int
    """Pixels across the widest place, about."""

    def __str__(self) -> str:
        if not self.holes:
            return "no hole"
        box = self.box
        holes = "1 hole" if self.holes == 1 else f"{self.holes} holes"
        return (
            f"{holes}, {100 * self.share:.2f} % of the picture, about {self.breadth} pixels across "
            f"at the widest; x {box.left}, y {box.top}, {box.width} wide, {box.height} high"
        )


EMPTY = MaskFacts(0.0, Window(0, 0, 0, 0), 0, 0)
"""Of a mask without a hole."""


def facts_of(mask: Tensor) -> MaskFacts:
    """Measure one mask, (1, 1, H, W)."""
    hole = (mask > THRESHOLD).float()
    _, _, rows, columns = hole.nonzero(as_tuple=True)
    if not len(rows):
        return EMPTY
    edges = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
    _, group = components(hole)
    count = int((group == torch.arange(len(group), device=group.device)).sum())
    return MaskFacts(float(hole.mean()), Window(*map(int, edges)), count, breadth(hole))


def facts_of_all(each: Sequence[MaskFacts]) -> MaskFacts:
    """Of several masks of one size: the mean share, the box round all, all holes, the breadth.

    Of no masks it is that of an empty one.
    """
    boxes = [facts.box for facts in each if facts.holes]
    if not boxes:
        return EMPTY
    return MaskFacts(
        sum(facts.share for facts in each) / len(each),
        Window(
            min(box.top for box in boxes),
            min(box.left for box in boxes),
            max(box.bottom for box in boxes),
            max(box.right for box in boxes),
        ),
        sum(facts.holes for facts in each),
        max(facts.breadth for facts in each),
    )


def over_picture(image: Tensor, mask: Tensor) -> Tensor:
    """Pictures (N, 3, H, W) in [0, 1] with what is hole in a colour: the same shape.

    Either may have N = 1 beside more of the other.
    """
    colour = torch.tensor(MARK, device=image.device, dtype=image.dtype).view(1, 3, 1, 1)
    return torch.lerp(image, colour, COVER * mask.to(image))
