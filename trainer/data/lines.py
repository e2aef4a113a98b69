"""Lines for training: from side files or drawn from the picture, then made like those of a hand.

A hand leaves lines out, misses the edge by a few pixels and uses pens of several widths, where a
machine draws every edge exactly. A network that has seen both follows both.
"""

import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import get_worker_info

from core.masks.components import NEIGHBOURS, components
from core.sketch.draw import Drawer, canny_lines, landmark_lines, lines_of, open_drawer

from ..config import TrainConfig
from .frame import Frame
from .holes import Report
from .sides import points, read_side, strength
from .sources import Entry

CELLS = 6
"""Corners of the field of displacements along a side; between them it is smooth."""
STEPS = 5
"""Points drawn from a displaced pixel to its neighbour, so that no line tears."""
WIDTHS = (1, 1, 2, 3)
"""Pixels of the pens of a hand."""


class Lines:
    """Draws the lines of a sample; opens its detector at the first need."""

    def __init__(self, config: TrainConfig):
        self.config = config
        self._drawer: Drawer | None = None

    def draw(
        self, image: Tensor, entry: Entry, frame: Frame, random: np.random.Generator, report: Report
    ) -> Tensor:
        """(3, crop, crop) uint8 -> lines (1, crop, crop) uint8, 1 = line; all over the picture.

        From the side file with strengths, else from that with landmarks, else from the picture.
        """
        lines = self._exact(image, entry, frame, random, report)
        return by_hand(lines, random, drop=self.config.line_drop, shift=self.config.line_shift)

    def _exact(
        self, image: Tensor, entry: Entry, frame: Frame, random: np.random.Generator, report: Report
    ) -> Tensor:
        given = read_side(entry.edge, strength, frame, report)
        if given is not None:
            return lines_of(given[None], threshold=random.uniform(0.35, 0.65))[0]
        if entry.landmarks is not None:
            lines = read_side(entry.landmarks, _face_lines, frame, report)
            if lines is not None:
                return lines
        return self._from_picture(image, random)

    def _from_picture(self, image: Tensor, random: np.random.Generator) -> Tensor:
        """Finer or coarser lines, by chance."""
        if self.config.lines == "canny":
            high = random.uniform(0.25, 0.7)
            lines = canny_lines(image, low=0.4 * high, high=high)
            leave_cores_to_others()
            return lines
        self._drawer = self._drawer or open_drawer(self.config.lines, device="cpu")
        found = self._drawer.strength(image[None].float() / 255)
        return lines_of(found, threshold=self._drawer.threshold * random.uniform(0.6, 1.4))[0]


def by_hand(lines: Tensor, random: np.random.Generator, *, drop: float, shift: float) -> Tensor:
    """Lines (1, H, W) -> as a hand would draw them, uint8.

    Of the connected lines a share of up to `drop` is left out. The others stray by up to `shift`
    pixels at a side of 256, each as a whole and bending smoothly, and some are thicker. With
    `shift` 0 they stay where they are and one pixel wide.
    """
    drawn, places, group = _dropped(lines, random, share=random.uniform(0, drop))
    if not shift or not drawn.any():
        return drawn.to(torch.uint8)
    reach = shift * sum(lines.shape[-2:]) / 2 / 256 * random.random()
    pen = WIDTHS[random.integers(len(WIDTHS))]
    moved = _displaced(drawn, _offsets(drawn, places, group, random) * reach)
    return _thickened(moved, pen).to(torch.uint8)


def _dropped(
    lines: Tensor, random: np.random.Generator, *, share: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Lines without some connected ones; the places of what is left and their groups."""
    places, group = components(lines[None])
    kept = torch.from_numpy(random.random(len(places)) >= share)[group]
    drawn = torch.zeros_like(lines, dtype=torch.bool)
    drawn.view(-1)[places[kept]] = True
    return drawn, places[kept], group[kept]


def _offsets(drawn: Tensor, places: Tensor, group: Tensor, random: np.random.Generator) -> Tensor:
    """How far each pixel strays, (2, H, W) as rows and columns in [-1, 1].

    Two thirds bend smoothly from place to place, one third is the same for a whole line.
    """
    corners = torch.from_numpy(random.uniform(-1, 1, (1, 2, CELLS, CELLS))).float()
    field = F.interpolate(corners, drawn.shape[-2:], mode="bicubic", align_corners=True)[0]
    offsets = field.clamp(-1, 1) * 2 / 3
    whole = torch.from_numpy(random.uniform(-1, 1, (2, int(group.max()) + 1))).float()
    offsets.view(2, -1)[:, places] += whole[:, group] / 3
    return offsets


def _displaced(drawn: Tensor, offsets: Tensor) -> Tensor:
    """Every set pixel at its new place, joined to the neighbours it had: (1, H, W) bool."""
    height, width = drawn.shape[-2:]
    first, second = [drawn[0].nonzero()], [drawn[0].nonzero()]
    for down, right in NEIGHBOURS:
        rows, columns = drawn[0].nonzero(as_tuple=True)
        inside = (rows + down < height) & (columns + right >= 0) & (columns + right < width)
        rows, columns = rows[inside], columns[inside]
        touching = drawn[0, rows + down, columns + right]
        first.append(torch.stack([rows, columns], 1)[touching])
        second.append(torch.stack([rows + down, columns + right], 1)[touching])
    starts, ends = (_moved(torch.cat(part), offsets) for part in (first, second))
    share = torch.linspace(0, 1, STEPS)[:, None, None]
    rows, columns = (starts * (1 - share) + ends * share).round().long().reshape(-1, 2).unbind(1)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    out = torch.zeros_like(drawn)
    out[0, rows[inside], columns[inside]] = True
    return out


def _moved(pixels: Tensor, offsets: Tensor) -> Tensor:
    """(M, 2) rows and columns -> where the offsets take them, float."""
    return pixels + offsets[:, pixels[:, 0], pixels[:, 1]].T


def _thickened(lines: Tensor, pen: int) -> Tensor:
    before = (pen - 1) // 2
    padded = F.pad(lines.float()[None], (before, pen - 1 - before) * 2)
    return F.max_pool2d(padded, pen, 1)[0] > 0


def _face_lines(content: bytes, frame: Frame) -> Tensor:
    return landmark_lines(points(content, frame), (frame.crop, frame.crop))


def leave_cores_to_others() -> None:
    """OpenCV would start a thread per core in each worker."""
    if get_worker_info() is not None:
        sys.modules["cv2"].setNumThreads(1)
