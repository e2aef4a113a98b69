"""Masks drawn by seed: the official brush and box, and a brush of our own without their faults.

Every function gives a float32 tensor (1, 1, height, width), 1 = hole, 0 = known.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

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


@dataclass(frozen=True, kw_only=True)
class BrushStyle:
    """How free-form strokes look; lengths are fractions of the mean side of the picture."""

    strokes: tuple[int, int] = (1, 4)
    """Fewest and most strokes."""
    vertices: tuple[int, int] = (4, 12)
    """Fewest and most corners of a stroke."""
    length: tuple[float, float] = (0.03, 0.30)
    """Shortest and longest step between two corners."""
    width: tuple[float, float] = (0.045, 0.16)
    """Thinnest and thickest brush."""
    angle: tuple[float, float] = (0.25, 0.55)
    """Least and most turn from corner to corner, in half turns."""


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


KINDS: dict[str, Callable[[Size, int], Tensor]] = {
    "brush": lambda size, seed: free_form_mask(size, np.random.default_rng(seed)),
    "box": lambda size, seed: box_mask(size, np.random.default_rng(seed)),
    "official-brush": lambda size, seed: official_brush_mask(size, np.random.RandomState(seed)),
    "official-box": lambda size, seed: official_box_mask(size, np.random.RandomState(seed)),
}
"""Ways to draw a mask by seed."""
