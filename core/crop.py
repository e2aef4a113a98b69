"""Where to cut a picture round its holes, and how masks grow and soften; pure functions.

Sizes are (height, width); a mask here is (N, 1, H, W), 1 = hole.
"""

from collections import deque
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

DENSE = 16
"""Pixels by which a mask grows in one step."""


class Window(NamedTuple):
    """A rectangle of pixels; `bottom` and `right` are one past the last."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """In pixels."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """In pixels."""
        return self.right - self.left

    def overlaps(self, other: "Window") -> bool:
        """Whether they share a pixel."""
        rows = self.top < other.bottom and other.top < self.bottom
        return rows and self.left < other.right and other.left < self.right

    def of(self, x: Tensor) -> Tensor:
        """The view of (..., H, W) inside the rectangle."""
        return x[..., self.top : self.bottom, self.left : self.right]


def grow(mask: Tensor, pixels: int) -> Tensor:
    """Dilate by a square of that many pixels to each side; soft values spread as they are.

    Beyond `DENSE` by the largest of three pixels that lie apart, again and again: far in few steps.
    """
    if not pixels:
        return mask
    reach = min(pixels, DENSE)
    kernel = 2 * reach + 1
    mask = F.max_pool2d(mask, (kernel, 1), stride=1, padding=(reach, 0))
    mask = F.max_pool2d(mask, (1, kernel), stride=1, padding=(0, reach))
    while reach < pixels:
        step = min(2 * reach + 1, pixels - reach)
        for axis in (2, 3):
            mask = _largest_of_three(mask, axis, step)
        reach += step
    return mask


def _largest_of_three(x: Tensor, axis: int, apart: int) -> Tensor:
    """Of each value and the two that lie so many pixels before and after it, or at the border.

    What has grown to the border so far is that of the pixels that lie beyond it.
    """
    length = x.shape[axis]
    rim = (0, 0, apart, apart) if axis == 2 else (apart, apart, 0, 0)
    wide = F.pad(x, rim, mode="replicate")
    before, after = (wide.narrow(axis, start, length) for start in (0, 2 * apart))
    return torch.maximum(x, torch.maximum(before, after))


def box_blur(x: Tensor, pixels: int) -> Tensor:
    """Mean over a square of that many pixels to each side; outside counts for nothing."""
    if not pixels:
        return x
    kernel = 2 * pixels + 1
    for size, padding in (((kernel, 1), (pixels, 0)), ((1, kernel), (0, pixels))):
        x = F.avg_pool2d(x, size, stride=1, padding=padding, count_include_pad=False)
    return x


def feather(mask: Tensor, pixels: int) -> Tensor:
    """Soften outwards: the mask stays as it is, and falls to 0 over `pixels` round it."""
    if not pixels:
        return mask
    inner, outer = pixels // 2, pixels - pixels // 2
    return torch.maximum(mask, box_blur(grow(mask, outer), inner) if inner else grow(mask, outer))


def hole_groups(hole: Tensor, *, gap: int) -> list[Window]:
    """Bounding boxes of the holes of one mask (1, 1, H, W), none overlapping another.

    Holes closer than about `gap` pixels are one group.
    """
    height, width = hole.shape[-2:]
    cell = max(8, max(height, width) // 256)
    cells = F.max_pool2d(hole, cell, ceil_mode=True).cpu()  # small, and walked cell by cell
    near = grow(cells, -(-gap // (2 * cell)))[0, 0] > 0
    labels = _label(near)
    groups = []
    for label in range(1, int(labels.max()) + 1):
        rows, columns = ((labels == label) & (cells[0, 0] > 0)).nonzero(as_tuple=True)
        box = Window(
            int(rows.min()) * cell,
            int(columns.min()) * cell,
            min((int(rows.max()) + 1) * cell, height),
            min((int(columns.max()) + 1) * cell, width),
        )
        groups.append(_tight(hole, box))
    return _apart(groups)


def _apart(boxes: list[Window]) -> list[Window]:
    """Join boxes that overlap until none do: each pixel is then filled once."""
    done: list[Window] = []
    for box in boxes:
        while touched := [other for other in done if box.overlaps(other)]:
            done = [other for other in done if other not in touched]
            box = Window(
                min(w.top for w in (box, *touched)),
                min(w.left for w in (box, *touched)),
                max(w.bottom for w in (box, *touched)),
                max(w.right for w in (box, *touched)),
            )
        done.append(box)
    return done


def _tight(hole: Tensor, box: Window) -> Window:
    """The smallest box round what is hole inside `box`."""
    rows, columns = (box.of(hole)[0, 0] > 0).nonzero(as_tuple=True)
    top, left = box.top + int(rows.min()), box.left + int(columns.min())
    bottom, right = box.top + int(rows.max()) + 1, box.left + int(columns.max()) + 1
    return Window(top, left, bottom, right)


def _label(grid: Tensor) -> Tensor:
    """Number the 8-connected regions of a small boolean grid from 1; 0 elsewhere."""
    open_cells = {(int(i), int(j)) for i, j in grid.nonzero()}
    labels = torch.zeros(grid.shape, dtype=torch.long)
    label = 0
    while open_cells:
        label += 1
        queue = deque([open_cells.pop()])
        while queue:
            i, j = queue.popleft()
            labels[i, j] = label
            around = {(i + di, j + dj) for di in (-1, 0, 1) for dj in (-1, 0, 1)} & open_cells
            open_cells -= around
            queue.extend(around)
    return labels


def with_context(box: Window, size: tuple[int, int], *, margin: int, least: int) -> Window:
    """`box` with `margin` pixels round it, at least `least` pixels a side, inside the picture."""
    spans = []
    for low, high, limit in ((box.top, box.bottom, size[0]), (box.left, box.right, size[1])):
        wanted = min(max(high - low + 2 * margin, least), limit)
        start = (low + high - wanted) // 2
        start = max(0, min(start, limit - wanted))
        spans.append((start, start + wanted))
    (top, bottom), (left, right) = spans
    return Window(top, left, bottom, right)


def breadth(hole: Tensor) -> int:
    """How many pixels across the widest place of the hole is, about: (1, 1, H, W) -> pixels.

    Measured as how often the hole, at no more than 128 cells a side, can be eaten from its edge.
    The border of the picture does not eat: a hole there is known from fewer sides.
    """
    cell = max(1, -(-max(hole.shape[-2:]) // 128))
    left = F.avg_pool2d(hole, cell, ceil_mode=True, count_include_pad=False)
    left = (left > 0.5).to(hole.dtype)
    rounds, most = 0, max(left.shape[-2:])
    while left.any() and rounds < most:
        left = -F.max_pool2d(-left, 3, stride=1, padding=1)
        rounds += 1
    return 2 * rounds * cell


def mirror_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Mirror the right and bottom edge outwards until both sides are a multiple; from 1x1 up."""
    for axis in (-2, -1):
        size = x.shape[axis]
        wanted = -(-size // multiple) * multiple
        if wanted == size:
            continue
        # Reflection without the edge pixel; a single pixel can only repeat.
        position = torch.arange(wanted, device=x.device) % max(2 * size - 2, 1)
        position = torch.minimum(position, (2 * size - 2 - position).clamp(min=0))
        x = x.index_select(axis, position)
    return x


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bicubic, anti-aliased when shrinking, values clamped to [0, 1]: (N, C, H, W) -> size."""
    if tuple(x.shape[-2:]) == size:
        return x
    return F.interpolate(x, size, mode="bicubic", antialias=True).clamp(0, 1)


def resize_known(image: Tensor, hole: Tensor, size: tuple[int, int]) -> Tensor:
    """As `resize`, from the known pixels alone: what the hole holds has no influence at all.

    Normalised averaging (Knutsson and Westin 1993); where nothing known is near, 0.
    """
    if tuple(image.shape[-2:]) == size:
        return image
    known = 1 - hole
    shrunk = [
        F.interpolate(x, size, mode="bilinear", antialias=True) for x in (image * known, known)
    ]
    return (shrunk[0] / shrunk[1].clamp(min=1e-3)).clamp(0, 1)


def in_mean_colour(image: Tensor, known: Tensor) -> Tensor:
    """The picture where it is known, and the mean of that elsewhere: (N, C, H, W), (N, 1, H, W).

    Where nothing is known it is black.
    """
    pixels = known.sum((-1, -2), keepdim=True).clamp(min=1)
    mean = (image * known).sum((-1, -2), keepdim=True) / pixels
    return torch.where(known > 0, image, mean)


def resize_hole(hole: Tensor, size: tuple[int, int]) -> Tensor:
    """A cell is hole if any of its pixels is: no pixel of what shall vanish shines through."""
    if tuple(hole.shape[-2:]) == size:
        return hole
    return F.adaptive_max_pool2d(hole, size)


def resize_drawn(color: Tensor, size: tuple[int, int]) -> Tensor:
    """Colour strokes on black, (N, C, H, W) -> size; a thin one stays, and stays as bright.

    Each new pixel is the mean of what is drawn in it, weighted by how much light it has; black is
    nothing.
    """
    if tuple(color.shape[-2:]) == size:
        return color
    light = color.amax(dim=1, keepdim=True)
    drawn = F.adaptive_avg_pool2d(light, size)
    mean = F.adaptive_avg_pool2d(color * light, size) / drawn.clamp(min=1e-12)
    return torch.where(drawn > 0, mean, 0.0).clamp(0, 1)


def nearest(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Pick the pixel at the middle of each new one, of any type: (..., H, W) -> (..., *size)."""
    for axis, new in ((-2, size[0]), (-1, size[1])):
        old = x.shape[axis]
        if old != new:
            middles = 2 * torch.arange(new, device=x.device) + 1
            x = x.index_select(axis, middles * old // (2 * new))
    return x
