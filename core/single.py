"""Strategy "single": all holes of a picture in one pass, on a square canvas of a fixed size.

A square of the picture round all holes is scaled to the canvas, filled there, matched in its
colours, scaled back and blended. Nothing here branches on what the tensors hold and no shape
depends on it: resampling is a product with a matrix made of the mask's bounding box. So the same
functions are the pipeline here and, traced, the graph that `python -m export.pipeline` writes.

The rule of the square, in pixels of the picture (`place`), for a host that cuts windows itself:

  box    the bounding box of the mask, `grow` + `feather` pixels wider on each side, within the
         picture; b is its longer side
  side   max(b + 2 max(context b, size / 4), b / widest_hole, size), rounded up, but no more than
         the longer side of the picture, and then, unless `enlarge`, no less than `size`
  start  on each axis floor((first + last - side) / 2), moved to lie within the picture; 0 where
         the picture is shorter than the square, which is then filled up by mirroring

`needed_window` says of which part of the picture alone the result depends.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from .contract import THRESHOLD, Contract, Port
from .crop import Window, in_mean_colour
from .guides import NUMBERED, Guides, Size, from_output, to_port
from .seam import SEAM, match_colours

LEAST_MARGIN = 4
"""The margin round the box is at least the canvas's side by this."""
SLACK = 8
"""Pixels that a window keeps round the square beyond the reach of the filters."""
ROUNDING = 1e-3
"""Pixels: sides are rounded up, but not because of the last digit of a float."""


class Network(Protocol):
    """What runs a generator; every `core.backends.Backend` does."""

    contract: Contract

    def run(self, *inputs: Tensor) -> Tensor: ...

    def encode(self, picture: Tensor) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """The canvas, and by which rule a picture gets onto it."""

    size: int
    """Its side in pixels: a multiple of what the network takes."""
    context: float
    """Picture kept round the box on each side, as a fraction of the box's longer side."""
    grow: int
    feather: int
    widest_hole: float
    """The box is at most this fraction of the canvas, as far as the picture is large enough."""
    enlarge: bool
    """Whether pictures smaller than the canvas are enlarged to it, or filled up by mirroring."""
    color_match: bool = True
    """As `FillOptions` has it, as `seam`."""
    seam: int = SEAM
    """Cells of the canvas."""

    @property
    def rim(self) -> int:
        """Pixels round the mask up to which a picture is changed."""
        return self.grow + self.feather


def canvas_of(contract: Contract, *, context: float, grow: int = 0, feather: int = 0) -> Canvas:
    """The canvas of a network: its native side, made to fit."""
    multiple = contract.multiple_of
    return Canvas(
        size=-(-contract.native_size // multiple) * multiple,
        context=context,
        grow=grow,
        feather=feather,
        widest_hole=contract.widest_hole,
        enlarge=not contract.refines,
    )


class Square(NamedTuple):
    """The square of each picture, in whole pixels as floats: (N, 1) each."""

    top: Tensor
    left: Tensor
    side: Tensor


def place(box: Tensor, size: Size, canvas: Canvas) -> Square:
    """The square round a box (N, 4) of top, left, bottom, right (one past the last), as floats.

    size: (height, width) of the picture. The rule is that of the module's docstring; an empty box
    (bottom <= top) gives some square within the picture.
    """
    height, width = box.new_full((1, 1), size[0]), box.new_full((1, 1), size[1])
    top, left, bottom, right = box.split(1, dim=1)
    longer = torch.maximum(bottom - top, right - left).clamp(min=1)
    margin = (canvas.context * longer).clamp(min=canvas.size / LEAST_MARGIN)
    wanted = torch.maximum(longer + 2 * margin, longer / canvas.widest_hole)
    wanted = (wanted - ROUNDING).ceil().clamp(min=canvas.size)
    side = torch.minimum(wanted, torch.maximum(height, width))
    if not canvas.enlarge:
        side = side.clamp(min=canvas.size)
    return Square(_start(top, bottom, side, height), _start(left, right, side, width), side)


def _start(first: Tensor, last: Tensor, side: Tensor, length: Tensor) -> Tensor:
    middle = ((first + last - side) / 2).floor()
    return torch.minimum(middle, length - side).clamp(min=0)


def needed_window(mask_box: Window, size: Size, canvas: Canvas) -> Window:
    """The part of a picture of `size` that its completion depends on: all else comes back as it is.

    mask_box: the bounding box of the mask, before it is grown. Picture, mask and guides cut to the
    window are completed there as in the whole picture.
    """
    rim, (height, width) = canvas.rim, size
    box = Window(
        max(mask_box.top - rim, 0),
        max(mask_box.left - rim, 0),
        min(mask_box.bottom + rim, height),
        min(mask_box.right + rim, width),
    )
    square = place(torch.tensor([box], dtype=torch.float32), size, canvas)
    top, left, side = (int(x) for x in square)
    margin = -(-side // canvas.size) + SLACK + canvas.feather
    return Window(
        max(top - margin, 0),
        max(left - margin, 0),
        min(top + side + margin, height),
        min(left + side + margin, width),
    )


def bounding_box(alpha: Tensor) -> Tensor:
    """Where alpha (N, 1, H, W) is above 0: (N, 4) as `place` takes it; bottom 0 where nowhere."""
    edges = []
    for across in (3, 2):
        used = alpha.amax(across).flatten(1) > 0
        first = torch.arange(used.shape[1], dtype=torch.float32, device=alpha.device)[None]
        edges.append(torch.where(used, first, used.shape[1]).amin(1, keepdim=True))
        edges.append(torch.where(used, first + 1, 0.0).amax(1, keepdim=True))
    top, bottom, left, right = edges
    return torch.cat([top, left, bottom, right], dim=1)


class Axis(NamedTuple):
    """One axis of the picture, of n pixels, against one of the canvas, of R cells."""

    mean: Tensor
    """(N, R, n): how much of each pixel a cell takes, a triangle as wide as the scale needs."""
    touch: Tensor
    """(N, R, n): 1 where a pixel lies in a cell, even if only in part."""
    middle: Tensor
    """(N, R) int64: the pixel at the middle of each cell."""
    back: Tensor
    """(N, n, R): how much of each cell a pixel takes."""


def axis_of(start: Tensor, side: Tensor, length: int, cells: int) -> Axis:
    """The matrices for `side` pixels from `start` on, both (N, 1), of an axis of `length` pixels.

    Positions are counted in units of 1 / (2 cells) pixel, in which middles of pixels and of cells
    are whole numbers: exact in float32 up to 2^22 / cells pixels, and alike in every runtime.
    """
    unit = 2 * cells
    odd = 2 * torch.arange(cells, dtype=torch.float32, device=side.device) + 1
    pixels = (2 * torch.arange(length, dtype=torch.float32, device=side.device) + 1) * cells
    own = odd * side  # middles of the cells, from the start of the square
    # Beyond the far edge of a short picture positions run back: a triangle wave of 2 length.
    there = start * unit + own
    period = torch.full_like(start, length) * (2 * unit)
    there = (there - period * (there / period).round()).abs()
    distance = (pixels - there[..., None]).abs()
    reach = 2 * side.clamp(min=cells)[..., None]  # of the triangle: a cell or a pixel, the wider
    inside = (pixels - start * unit).clamp(min=side, max=(unit - 1) * side)
    return Axis(
        mean=_normalised(1 - distance / reach),
        touch=(distance < (side + cells)[..., None]).float(),
        middle=(there / unit).long().clamp(max=length - 1),
        back=_normalised(1 - (inside[..., None] - own[:, None]).abs() / reach),
    )


def _normalised(weights: Tensor) -> Tensor:
    weights = weights.clamp(min=0)
    return weights / weights.sum(-1, keepdim=True)


class Grid(NamedTuple):
    """Both axes."""

    rows: Axis
    columns: Axis

    def mean(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, R, R), anti-aliased."""
        return _product(self.rows.mean, x, self.columns.mean)

    def touched(self, x: Tensor) -> Tensor:
        """The sum of x >= 0 over all pixels that lie in a cell: (N, C, H, W) -> (N, C, R, R)."""
        return _product(self.rows.touch, x, self.columns.touch)

    def middle(self, x: Tensor) -> Tensor:
        """The pixel at the middle of each cell: (N, 1, H, W) of any type -> (N, 1, R, R)."""
        rows, columns = self.rows.middle[:, None, :, None], self.columns.middle[:, None, None]
        x = x.gather(2, rows.expand(-1, -1, -1, x.shape[3]))
        return x.gather(3, columns.expand(-1, -1, x.shape[2], -1))

    def back(self, x: Tensor) -> Tensor:
        """(N, C, R, R) -> (N, C, H, W); outside the square it repeats the canvas's edge."""
        return _product(self.rows.back, x, self.columns.back)


def _product(rows: Tensor, x: Tensor, columns: Tensor) -> Tensor:
    """Rows x columns^T for every channel: (N, a, h), (N, C, h, w), (N, b, w) -> (N, C, a, b)."""
    channels = x.shape[1]
    across = (x.flatten(1, 2) @ columns.transpose(1, 2)).unflatten(1, (channels, x.shape[2]))
    return rows[:, None] @ across


def grid_of(alpha: Tensor, canvas: Canvas) -> Grid:
    """How the square round what changes goes onto the canvas."""
    height, width = alpha.shape[-2:]
    square = place(bounding_box(alpha), (height, width), canvas)
    return Grid(
        axis_of(square.top, square.side, height, canvas.size),
        axis_of(square.left, square.side, width, canvas.size),
    )


def fill_on_canvas(
    network: Network, canvas: Canvas, image: Tensor, alpha: Tensor, guides: Guides
) -> Tensor:
    """The fill of every hole of pictures: (N, 3, H, W) in [0, 1], to be blended in by `alpha`.

    image (N, 3, H, W) in [0, 1]; alpha (N, 1, H, W), above the threshold a hole for the network;
    guides as for `core.pipeline.Inpainter`, N of each (noise: 1, (1, C, R, R) in the port's range,
    or drawn). Where alpha is 0 the result means nothing.
    """
    grid = grid_of(alpha, canvas)
    far = (alpha > THRESHOLD).float()
    hole = (grid.touched(far) > 0).float()
    seen = (grid.mean(image * (1 - far)) / grid.mean(1 - far).clamp(min=1e-3)).clamp(0, 1)
    given = {
        name: _on_canvas(network.contract.port(name), x, grid) for name, x in guides.given.items()
    }
    given |= _styles(network, given, seen, hole, guides.random)
    inputs = replace(guides, given=given).inputs(seen, hole)
    filled = from_output(network.run(*inputs), network.contract)
    matched = match_colours(filled, seen, hole, tint=canvas.color_match, seam=canvas.seam)
    # What is known goes back as it is known: a seam mixes fill and picture, never fill and echo.
    return grid.back(torch.lerp(seen, matched, hole)).clamp(0, 1)


def _on_canvas(port: Port, x: Tensor, grid: Grid) -> Tensor:
    """A guide of the picture's size on the canvas; lines and strokes stay, however thin."""
    if port.kind in ("vector", "noise"):
        return x
    if port.kind in NUMBERED:
        return grid.middle(x)
    if port.binary:
        return (grid.touched((x > THRESHOLD).float()) > 0).float()
    light = x.amax(dim=1, keepdim=True)
    drawn = grid.touched(light).clamp(min=1e-12)
    return (grid.touched(x * light) / drawn).clamp(0, 1)


def _styles(
    network: Network,
    given: Mapping[str, Tensor],
    seen: Tensor,
    hole: Tensor,
    random: np.random.Generator,
) -> dict[str, Tensor]:
    """The style of what is known, for networks that can tell; drawn where nothing is."""
    contract = network.contract
    styles = {}
    for port in contract.guides:
        if port.kind != "vector" or port.name in given:
            continue
        drawn = random.standard_normal((1, port.channels), dtype=np.float32)
        style = torch.from_numpy(drawn).to(seen.device).expand(seen.shape[0], -1)
        if port.encoded:
            picture = to_port(in_mean_colour(seen, 1 - hole), contract.port("image"), contract)
            known = (hole.amin((1, 2, 3)) == 0)[:, None]
            style = torch.where(known, network.encode(picture), style)
        styles[port.name] = style
    return styles
