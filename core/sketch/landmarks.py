"""Faces as lines: landmarks joined to those that belong to them, after Yu et al. 2019, section 3.5.

Which points belong together is what the two usual layouts publish. How the points are found is not
said here; `core/sketch/faces.py` does it by MediaPipe, and a side file may hold them.
"""

import math
from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor

from ..errors import ConfigError, ShapeError

Path = tuple[int, ...]
"""Points joined in turn; a closed line names its first point at the end again."""


def _closed(first: int, last: int) -> Path:
    return (*range(first, last + 1), first)


IBUG_68: tuple[Path, ...] = (
    tuple(range(17)),  # jaw
    tuple(range(17, 22)),  # brows
    tuple(range(22, 27)),
    tuple(range(27, 31)),  # nose, bridge and lower rim
    tuple(range(31, 36)),
    _closed(36, 41),  # eyes
    _closed(42, 47),
    _closed(48, 59),  # lips, outer and inner rim
    _closed(60, 67),
)
"""The mark-up of 68 points (Sagonas et al. 2013, "300 Faces in-the-Wild Challenge")."""

# fmt: off
MEDIAPIPE: tuple[Path, ...] = (
    # lips: lower and upper rim outside, then inside
    (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291),
    (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291),
    (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308),
    (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308),
    # left eye and brow, then right ones: lower rim, upper rim
    (263, 249, 390, 373, 374, 380, 381, 382, 362),
    (263, 466, 388, 387, 386, 385, 384, 398, 362),
    (276, 283, 282, 295, 285),
    (300, 293, 334, 296, 336),
    (33, 7, 163, 144, 145, 153, 154, 155, 133),
    (33, 246, 161, 160, 159, 158, 157, 173, 133),
    (46, 53, 52, 65, 55),
    (70, 63, 105, 66, 107),
    # outline
    (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
     152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109, 10),
)
"""MediaPipe's FACE_LANDMARKS_CONTOURS (google-ai-edge/mediapipe, Apache License 2.0)."""
# fmt: on

FARTHEST = 100_000
"""Pixels from the corner beyond which a landmark is a mistake; a face may lie outside in part."""
LAYOUTS = {68: IBUG_68, 468: MEDIAPIPE, 478: MEDIAPIPE}
"""Number of points -> how they are joined; the 10 beyond MediaPipe's 468 are the irises."""


def landmark_lines(points: Tensor, size: tuple[int, int]) -> Tensor:
    """Facial landmarks joined to lines.

    points (K, 2): x, y in pixels, the centre of the first pixel being (0, 0), in the layout of 68
    (iBUG), 468 or 478 (MediaPipe) points; size (height, width) -> lines (1, H, W), 1 = line, one
    pixel wide, float32. What lies outside the picture is left out.
    Raises ShapeError for another shape, ConfigError for points that are no pixels of any picture.
    """
    if points.ndim != 2 or points.shape[1] != 2 or len(points) not in LAYOUTS:
        known = ", ".join(str(count) for count in LAYOUTS)
        raise ShapeError(
            f"facial landmarks are (K, 2) with K one of {known}, but got {tuple(points.shape)}"
        )
    if not (points.abs() <= FARTHEST).all():  # false for NaN too
        raise ConfigError(
            f"facial landmarks must lie within {FARTHEST} pixels of the picture; detect them anew"
        )
    return join_points(points, LAYOUTS[len(points)], size)


def join_points(points: Tensor, paths: Iterable[Path], size: tuple[int, int]) -> Tensor:
    """Lines (1, H, W) of 0 and 1 through points (K, 2) of x, y along each path."""
    lines = torch.zeros(1, *size)
    height, width = size
    corners = points.detach().to("cpu", torch.float64).tolist()
    for path in paths:
        for first, second in pairwise(path):
            x, y = _segment(corners[first], corners[second])
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            lines[0, y[inside], x[inside]] = 1
    return lines


def _segment(start: list[float], end: list[float]) -> tuple[Tensor, Tensor]:
    """The pixels, as columns and rows, of a straight line: one for each step of its longer way."""
    ends = torch.tensor([start, end], dtype=torch.float64).round()
    steps = math.ceil(float((ends[1] - ends[0]).abs().max()))
    share = torch.linspace(0, 1, steps + 1, dtype=torch.float64)[:, None]
    # Half a pixel is always rounded up, else lines at 45 degrees would waver.
    places = (ends[0] * (1 - share) + ends[1] * share + 0.5 - 1e-9).floor().long()
    return places[:, 0], places[:, 1]
