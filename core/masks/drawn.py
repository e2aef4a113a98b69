"""Masks drawn by seed: the official brush and box, and a brush of our own without their faults.

Every function gives a float32 tensor (1, 1, height, width), 1 = hole, 0 = known.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from ..errors import ConfigError, ShapeError

Size = tuple[int, int]
"""(height, width) in pixels."""


def official_brush_mask(size: Size, random: np.random.RandomState) -> Tensor:
    """The free-form mask of the official DeepFillv2 code, with its sequence of random numbers.

    Its faults are kept: on pictures that are not square the strokes live in a transposed box, and
    the two flips are drawn but not done. Widths of 12 to 39 pixels suit 256x256.
    """
    height, width = size
    radius = math.hypot(height, width) / 8
    canvas = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(canvas)
    for _ in range(random.randint(1, 4)):
        steps = random.randint(4, 12)
        low = 2 * math.pi / 5 - random.uniform(0, 2 * math.pi / 15)
        high = 2 * math.pi / 5 + random.uniform(0, 2 * math.pi / 15)
        turns = [random.uniform(low, high) for _ in range(steps)]
        # Height and width are exchanged here, as in the original.
        points = [(int(random.randint(0, height)), int(random.randint(0, width)))]
        for i, turn in enumerate(turns):
            angle = turn if i % 2 else 2 * math.pi - turn
            length = np.clip(random.normal(radius, radius // 2), 0, 2 * radius)
            x, y = points[-1]
            x = np.clip(x + length * math.cos(angle), 0, height)
            y = np.clip(y + length * math.sin(angle), 0, width)
            points.append((int(x), int(y)))
        _stroke(draw, points, int(random.uniform(12, 40)))
    random.normal(), random.normal()  # the flips that are drawn and never done
    return _to_tensor(canvas)


def official_box_mask(
    size: Size,
    random: np.random.RandomState,
    *,
    box: tuple[int, int, int, int] | None = None,
    max_delta: tuple[int, int] = (32, 32),
) -> Tensor:
    """A rectangle, shrunk on both sides by up to half of `max_delta` (official bbox2mask).

    box: (top, left, height, width); by default half the picture, at a random place.
    """
    if box is None:
        high, wide = size[0] // 2, size[1] // 2
        top, left = (
            int(random.randint(0, n - m + 1)) for n, m in zip(size, (high, wide), strict=True)
        )
        box = (top, left, high, wide)
    top, left, high, wide = box
    dy, dx = (int(random.randint(delta // 2 + 1)) for delta in max_delta)
    mask = torch.zeros(1, 1, *size)
    mask[..., top + dy : top + high - dy, left + dx : left + wide - dx] = 1
    return mask


def _span(low: float, high: float, help: str) -> Any:
    return field(default=(low, high), metadata={"help": help})


@dataclass(frozen=True, kw_only=True)
class BrushStyle:
    """How free-form strokes look, each as smallest and largest value.

    Lengths are fractions of the mean side of the picture. Raises ConfigError for values that are
    not two, not rising or out of range.
    """

    strokes: tuple[int, int] = _span(1, 4, "fewest and most strokes")
    vertices: tuple[int, int] = _span(4, 12, "fewest and most steps of a stroke")
    length: tuple[float, float] = _span(0.03, 0.30, "shortest and longest step, in picture sides")
    width: tuple[float, float] = _span(0.045, 0.16, "thinnest and thickest, in picture sides")
    angle: tuple[float, float] = _span(0.25, 0.55, "least and most turn at a step, in half turns")

    def __post_init__(self) -> None:
        for name, most in (("strokes", 100), ("vertices", 100), ("length", 2), ("width", 1)):
            _check_span(name, getattr(self, name), 1 if most == 100 else 1e-4, most)
        _check_span("angle", self.angle, 0, 2)

    def scaled(self, factor: float, *, thickness: float = 1.0) -> "BrushStyle":
        """Strokes `factor` times as large, and `thickness` times as thick on top of that."""
        length, width = (
            (float(span[0] * scale), float(span[1] * scale))
            for span, scale in ((self.length, factor), (self.width, factor * thickness))
        )
        return replace(self, length=length, width=(min(width[0], 1.0), min(width[1], 1.0)))


def _check_span(name: str, span: tuple[float, ...], least: float, most: float) -> None:
    if len(span) != 2 or not least <= span[0] <= span[1] <= most:
        raise ConfigError(
            f"the brush's {name} is {' '.join(map(str, span))}; it must be two values, the smaller "
            f"first, from {least:g} to {most:g}"
        )


def free_form_mask(
    size: Size, random: np.random.Generator, style: BrushStyle = BrushStyle()
) -> Tensor:
    """Strokes that turn to and fro, scaled with the picture; they bounce off its borders.

    After the idea of algorithm 1 of Yu et al. 2019, with vertices that stay inside pictures of any
    aspect and flips and turns that happen.
    """
    height, width = size
    side = (height + width) / 2
    canvas = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(canvas)
    for _ in range(random.integers(style.strokes[0], style.strokes[1] + 1)):
        point = random.uniform((0, 0), (width, height))
        heading, points = random.uniform(0, 2 * math.pi), [point]
        for i in range(random.integers(style.vertices[0], style.vertices[1] + 1)):
            turn = math.pi * random.uniform(*style.angle)
            heading += turn if i % 2 else math.pi - turn
            step = side * random.uniform(*style.length)
            point = point + step * np.array((math.cos(heading), math.sin(heading)))
            point = _bounce(point, (width, height))
            points.append(point)
        thick = max(1, round(side * random.uniform(*style.width)))
        _stroke(draw, [(round(float(x)), round(float(y))) for x, y in points], thick)
    mask = _to_tensor(canvas)
    flips = [axis for axis in (-2, -1) if random.random() < 0.5]
    return mask.flip(flips) if flips else mask


def box_mask(
    size: Size, random: np.random.Generator, *, side: tuple[float, float] = (0.2, 0.5)
) -> Tensor:
    """A rectangle somewhere inside; its sides are that fraction of the picture's."""
    mask = torch.zeros(1, 1, *size)
    spans = [max(1, round(n * random.uniform(*side))) for n in size]
    top, left = (int(random.integers(0, n - m + 1)) for n, m in zip(size, spans, strict=True))
    mask[..., top : top + spans[0], left : left + spans[1]] = 1
    return mask


BINS = ((0.0, 0.1), (0.1, 0.2), (0.2, 0.3), (0.3, 0.4), (0.4, 0.5), (0.5, 0.6))
"""Shares of the picture by which Liu et al. 2018 (partial convolution) sort irregular holes."""
STROKES_TRIED = 48
"""Strokes after which `binned_mask` lets the hole grow instead."""


def binned_mask(size: Size, random: np.random.Generator, low: float, high: float) -> Tensor:
    """Free-form strokes that cover more than `low` and up to `high` of the picture.

    The shares come out spread over the bin. One stroke is laid after the other; one that would
    cover too much is drawn smaller. What still lacks then is added along the border of the hole.
    A mask is never empty and never all hole. Raises ShapeError for a picture so small that no
    number of pixels lies in the bin.
    """
    least, most = _counts(size, low, high)
    target = int(random.integers(least, most + 1))
    enough = max(least, target - (most - least) // 8)
    style, scale = BrushStyle(strokes=(1, 1)), 1.0
    hole = torch.zeros(1, 1, *size)
    for _ in range(STROKES_TRIED):
        joined = torch.maximum(hole, free_form_mask(size, random, style.scaled(scale)))
        if joined.sum() > target:
            scale *= 0.7
            continue
        hole = joined
        if hole.sum() >= enough:
            return hole
    return _grown(hole, target, random)


def _counts(size: Size, low: float, high: float) -> tuple[int, int]:
    """Fewest and most pixels n with low < n / all <= high, neither none nor all."""
    pixels = size[0] * size[1]
    least, most = max(int(low * pixels), 1), min(int(high * pixels) + 1, pixels - 1)
    while least / pixels <= low:
        least += 1
    while most > 0 and most / pixels > high:
        most -= 1
    if least > most:
        raise ShapeError(
            f"no hole in {size[0]} x {size[1]} pixels covers more than {100 * low:g} and up to "
            f"{100 * high:g} % of them; take a larger picture or a wider range"
        )
    return least, most


def _grown(hole: Tensor, target: int, random: np.random.Generator) -> Tensor:
    """Pixels added round the hole until it has `target` of them."""
    height, width = hole.shape[-2:]
    top, left = int(random.integers(height)), int(random.integers(width))
    if not hole.any():
        hole[..., top, left] = 1
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    distance = ((rows - top) ** 2 + (columns - left) ** 2).flatten()
    while (lacking := target - int(hole.sum())) > 0:
        ring = (F.max_pool2d(hole, 3, 1, 1) > hole).flatten().nonzero()[:, 0]
        nearest = ring[distance[ring].argsort(stable=True)[:lacking]]
        hole.view(-1)[nearest] = 1
    return hole


def _bounce(point: np.ndarray, limits: tuple[int, int]) -> np.ndarray:
    """Mirror a point that ran over a border back inside."""
    for axis, limit in enumerate(limits):
        folded = point[axis] % (2 * limit)
        point[axis] = min(folded, 2 * limit - folded)
    return point


def _stroke(draw: ImageDraw.ImageDraw, points: list[tuple[int, int]], width: int) -> None:
    draw.line(points, fill=1, width=width)
    half = width // 2
    for x, y in points:  # round joints and ends
        draw.ellipse((x - half, y - half, x + half, y + half), fill=1)


def _to_tensor(canvas: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(canvas, dtype=np.float32))[None, None]


def _binned(low: float, high: float) -> Callable[[Size, int], Tensor]:
    return lambda size, seed: binned_mask(size, np.random.default_rng(seed), low, high)


def _any_bin(size: Size, seed: int) -> Tensor:
    random = np.random.default_rng(seed)
    return binned_mask(size, random, *BINS[random.integers(len(BINS))])


KINDS: dict[str, Callable[[Size, int], Tensor]] = {
    "brush": lambda size, seed: free_form_mask(size, np.random.default_rng(seed)),
    "box": lambda size, seed: box_mask(size, np.random.default_rng(seed)),
    "official-brush": lambda size, seed: official_brush_mask(size, np.random.RandomState(seed)),
    "official-box": lambda size, seed: official_box_mask(size, np.random.RandomState(seed)),
    "bins": _any_bin,
    **{f"{100 * low:.0f}-{100 * high:.0f}": _binned(low, high) for low, high in BINS},
}
"""Ways to draw a mask by seed; "10-20" covers 10 to 20 % of the picture, "bins" one of the six."""
