"""Colour strokes drawn from a picture itself as a user would draw them.

After Jo and Park 2019, "SC-FEGAN: Face Editing Generative Adversarial Network with User's Sketch
and Color", section 3: a median filter, twenty bilateral filters, then the median colour of each
segment. Where a picture has no label map, a segment is what hangs together in about one colour.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError

MEDIAN, BILATERAL = 3, 5
"""Widths of the filters in pixels."""
ROUNDS = 20
"""Bilateral filters one after the other."""
NEAR_COLOUR, NEAR_PLACE = 20.0, 3.0
"""Their deviations: in levels of 255, and in pixels."""
LARGEST = 96
"""Side up to which pictures are filtered as they are; larger ones are scaled down for it."""
ALIKE = (26.0, 11.0, 11.0)
"""How far lightness, a and b of CIELAB (in levels of 255) may be from those where a stroke begins,
times `FINER` to `COARSER`, for a pixel to be of the same segment."""
FINER, COARSER = 0.7, 1.6
PEN = (0.02, 0.06)
"""Widths of the pen, in sides of the picture."""
TRIES = 6
"""Directions that are looked at before a stroke ends at the border of its segment."""
HATCHED = 0.35
"""Share of the strokes that go to and fro."""
OVERLOOKED = 0.03
"""Width up to which what differs from its segment is part of it, in sides of the picture."""
JITTER = (6.0, 3.0)
"""Deviation of a drawn colour in levels of 255: of all channels at once, and of each."""

Point = tuple[float, float]
"""Row and column."""


class Amount(NamedTuple):
    """How much is drawn: fewest and most areas filled, then strokes over them."""

    areas: tuple[int, int]
    strokes: tuple[int, int]


AMOUNTS = {
    Amount((0, 0), (0, 0)): 0.05,
    Amount((0, 0), (1, 4)): 0.25,
    Amount((0, 2), (4, 12)): 0.4,
    Amount((0, 0), (12, 30)): 0.15,
    Amount((6, 24), (0, 6)): 0.15,
}
"""With how often each occurs where training draws."""


def amount_of(density: float) -> Amount:
    """From few strokes, near 0, to areas and strokes all over the picture at 1.

    Raises ConfigError for a density that is not above 0 and up to 1.
    """
    if not 0 < density <= 1:
        raise ConfigError(f"the density of strokes is {density:g}; it must be above 0 and up to 1")
    strokes, areas = max(1, round(30 * density)), round(24 * max(0.0, 2 * density - 1))
    return Amount((areas, areas), (strokes, strokes))


def colour_strokes(
    image: Tensor,
    segments: Tensor | None,
    random: np.random.Generator,
    amount: Amount | None = None,
) -> Tensor:
    """Strokes of a pen and filled areas in the colours of the picture, from none to everywhere.

    image (3, H, W) uint8; segments (H, W), whole numbers; amount None = one of `AMOUNTS` by chance
    -> (3, H, W) uint8, 0 in all channels where nothing is drawn; black is drawn as (1, 1, 1).
    Raises ConfigError without OpenCV.
    """
    ground = _ground(image, segments, random)
    canvas = np.zeros_like(ground.colours)
    if amount is None:
        chances = list(AMOUNTS.values())
        amount = list(AMOUNTS)[random.choice(len(chances), p=np.array(chances) / sum(chances))]
    weights = _weights(ground.colours)
    left, sums = weights.copy(), weights.cumsum()
    for _ in range(_count(amount.areas, random)):
        if not left.any():
            break
        segment = ground.segment(_place(left.cumsum(), left.shape, random))
        left[segment] = 0
        _fill(canvas, segment, ground.drawn_colour(segment, random), random)
    for _ in range(_count(amount.strokes, random)):
        place = _place(sums, weights.shape, random)
        segment = ground.segment(place)
        _stroke(canvas, segment, place, ground.drawn_colour(segment, random), random)
    return torch.from_numpy(canvas).movedim(-1, 0).contiguous()


def color_drawing(pixels: Tensor, seed: int, density: float | None = None) -> Tensor:
    """Strokes as of `colour_strokes` for pictures (N, 3, H, W) in [0, 1]: (N, 4, H, W), RGBA.

    The first is drawn by `seed`, the others by those after it. density as in `amount_of`; None =
    by chance, as in training. Raises ConfigError as these do.
    """
    amount = None if density is None else amount_of(density)
    drawings = []
    for i, image in enumerate((pixels * 255).round().to("cpu", torch.uint8)):
        strokes = colour_strokes(image, None, np.random.default_rng(seed + i), amount)
        drawn = (strokes > 0).any(dim=0, keepdim=True)
        drawings.append(torch.cat([strokes.float() / 255, drawn.float()]))
    return torch.stack(drawings).to(pixels.device)


@dataclass(frozen=True)
class Ground:
    """What is drawn after: the smoothed colours of a picture and where they change."""

    colours: np.ndarray
    """(H, W, 3) uint8 RGB."""
    values: np.ndarray
    """(H, W, C) whose values hang together within a segment."""
    alike: tuple[float, ...]
    """How far they may be from those of the place where it begins, by channel."""

    def segment(self, place: tuple[int, int]) -> np.ndarray:
        """What hangs together with the place (row, column): (H, W) bool."""
        cv2 = opencv()
        height, width = self.colours.shape[:2]
        found = np.zeros((height + 2, width + 2), np.uint8)
        flags = 4 | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY | 1 << 8
        cv2.floodFill(self.values, found, place[::-1], 0, self.alike, self.alike, flags)
        # A hand does not go round what is small.
        pen = _disc(2 * round(OVERLOOKED * (height + width) / 4) + 1)
        return cv2.morphologyEx(found[1:-1, 1:-1], cv2.MORPH_CLOSE, pen) > 0

    def drawn_colour(self, segment: np.ndarray, random: np.random.Generator) -> Sequence[int]:
        """The median colour of a segment as somebody picks it: nearly, and never quite black."""
        places = np.flatnonzero(segment)
        # Some of them tell it as well as all, sooner; of an even number it is the upper one.
        some = self.colours.reshape(-1, 3)[places[:: max(1, len(places) // 256)]]
        median = np.sort(some, axis=0)[len(some) // 2]
        strayed = median + random.normal(0, JITTER[0]) + random.normal(0, JITTER[1], 3)
        colour = np.clip(np.rint(strayed), 0, 255).astype(int).tolist()
        return colour if any(colour) else (1, 1, 1)


def _ground(image: Tensor, segments: Tensor | None, random: np.random.Generator) -> Ground:
    cv2 = opencv()
    colours = smoothed(np.ascontiguousarray(image.movedim(0, -1).numpy()))
    coarseness = random.uniform(FINER, COARSER)
    if segments is not None:
        numbers = np.unique(segments.numpy(), return_inverse=True)[1]
        return Ground(colours, numbers.reshape(segments.shape).astype(np.float32), (0.0,))
    values = cv2.cvtColor(colours, cv2.COLOR_RGB2LAB)
    return Ground(colours, values, tuple(coarseness * x for x in ALIKE))


def smoothed(pixels: np.ndarray) -> np.ndarray:
    """Colours without their detail, with sharp borders between: (H, W, 3) uint8 -> the same."""
    cv2 = opencv()
    height, width = pixels.shape[:2]
    scale = min(1.0, LARGEST / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = pixels if scale == 1 else cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    small = cv2.medianBlur(small, MEDIAN)
    for _ in range(ROUNDS):
        small = cv2.bilateralFilter(small, BILATERAL, NEAR_COLOUR, NEAR_PLACE)
    return small if scale == 1 else cv2.resize(small, (width, height))


def opencv() -> ModuleType:
    """OpenCV. Raises ConfigError if it is not installed."""
    try:
        import cv2
    except ImportError:
        raise ConfigError(
            "drawing colour strokes needs OpenCV; install opencv-python-headless"
        ) from None
    return cv2


def _weights(colours: np.ndarray) -> np.ndarray:
    """How likely a stroke begins at each pixel, (H, W): rare colours are drawn nearly as often."""
    coarse = (colours >> 5).astype(np.int64) @ np.array([64, 8, 1])
    counts = np.bincount(coarse.ravel(), minlength=512)
    return counts[coarse].astype(np.float64) ** -0.5


def _place(
    sums: np.ndarray, shape: tuple[int, ...], random: np.random.Generator
) -> tuple[int, int]:
    """A pixel (row, column), each as likely as its weight, of which these are the running sums."""
    index = int(np.searchsorted(sums, random.uniform(0, sums[-1]), side="right"))
    row, column = divmod(min(index, len(sums) - 1), shape[1])
    return row, column


def _count(span: tuple[int, int], random: np.random.Generator) -> int:
    return int(random.integers(span[0], span[1] + 1))


def _fill(
    canvas: np.ndarray, segment: np.ndarray, colour: Sequence[int], random: np.random.Generator
) -> None:
    """Paint a whole segment as a pen does: without what is thinner, mostly short of its border."""
    cv2 = opencv()
    side = sum(canvas.shape[:2]) / 2
    pen = _disc(max(1, round(side * random.uniform(0.015, 0.04))))
    painted = cv2.morphologyEx(segment.astype(np.uint8), cv2.MORPH_OPEN, pen)
    painted = cv2.erode(painted, _disc(round(side * random.uniform(0, 0.02)) * 2 + 1))
    canvas[painted > 0] = colour


def _disc(width: int) -> np.ndarray:
    cv2 = opencv()
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))


def _stroke(
    canvas: np.ndarray,
    segment: np.ndarray,
    place: tuple[int, int],
    colour: Sequence[int],
    random: np.random.Generator,
) -> None:
    """Draw one stroke with a round pen that is not much wider than the segment."""
    side = sum(canvas.shape[:2]) / 2
    width = min(side * random.uniform(*PEN), math.sqrt(segment.sum()))
    if random.random() < HATCHED:
        points = _to_and_fro(segment, place, width, random)
    else:
        points = _bending(segment, place, random)
    # OpenCV wants x before y, here in sixteenths of a pixel; two equal points make a dab.
    fixed = np.rint(np.array([points[0], *points])[:, ::-1] * 16).astype(np.int32)
    opencv().polylines(canvas, [fixed], False, colour, max(1, round(width)), shift=4)


def _bending(
    segment: np.ndarray, place: tuple[int, int], random: np.random.Generator
) -> list[Point]:
    """A line that turns away from the border of the segment."""
    step = sum(segment.shape) / 2 * random.uniform(0.03, 0.05)
    heading, curl = random.uniform(0, 2 * math.pi), random.normal(0, 0.2)
    points: list[Point] = [place]
    for _ in range(random.integers(3, 24)):
        for attempt in range(TRIES):
            turned = heading + curl + random.normal(0, 0.15 + 0.4 * attempt)
            end, whole = _ahead(segment, points[-1], turned, step)
            if whole:
                heading = turned
                points.append(end)
                break
        else:
            break
    return points


def _to_and_fro(
    segment: np.ndarray, place: tuple[int, int], width: float, random: np.random.Generator
) -> list[Point]:
    """Hatching with a pen of that width, up to the border of the segment where that is near."""
    along = random.uniform(0, math.pi)
    reach = sum(segment.shape) / 2 * random.uniform(0.05, 0.2)
    gap = width * random.uniform(0.6, 1.5)
    middle: Point = place
    points, inside = [middle], True
    for i in range(random.integers(3, 14)):
        heading = along + math.pi * (i % 2) + random.normal(0, 0.08)
        points.append(_ahead(segment, middle, heading, reach * random.uniform(0.75, 1.0))[0])
        middle, inside = _ahead(segment, middle, along + math.pi / 2, gap)
        if not inside:
            break
    return points


def _ahead(segment: np.ndarray, point: Point, heading: float, reach: float) -> tuple[Point, bool]:
    """The point at that distance, or the last one before the segment ends; whether it is whole."""
    height, width = segment.shape
    count = math.ceil(reach)
    down, right = math.sin(heading) * reach / count, math.cos(heading) * reach / count
    for _ in range(count):
        end = point[0] + down, point[1] + right
        row, column = round(end[0]), round(end[1])
        if not (0 <= row < height and 0 <= column < width and segment[row, column]):
            return point, False
        point = end
    return point, True
