"""Line drawings from pictures: what the sketch port of a network is trained on and can be given.

A `Drawer` says how strongly each pixel lies on a line; `draw_lines` makes lines one pixel wide of
that. `clean.py` does the same for drawings by hand, `landmarks.py` for faces.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ConfigError, ShapeError
from ..masks.components import reached
from .landmarks import landmark_lines
from .thin import SMOOTH, suppress, thin
from .tiles import in_tiles

__all__ = [
    "KINDS",
    "Drawer",
    "canny_lines",
    "draw_lines",
    "landmark_lines",
    "lines_of",
    "open_drawer",
    "strength_of",
    "thin",
]

WORK_SIZE = 1024
"""Above it the detector, which learnt on pictures of 481 pixels, sees grain instead of outlines."""
WEAK = 0.5
"""Hysteresis (Canny 1986): beside a line, this share of the threshold is enough to go on."""
MULTIPLE = 8
"""Three times the detector halves the picture."""
MARGIN = 192
"""The detector's last stage sees 187 pixels far, most of it by dilated convolutions."""
REACH = 8
"""Finding the crest of a ridge takes seven pixels round it."""


class Drawer(Protocol):
    """Something that finds lines in pictures."""

    kind: str
    """One of `KINDS`."""
    threshold: float
    """Above it the strength is a line, by default."""
    drawn: bool
    """Whether the strength is 0 or 1, lines already; else it is a ridge along each edge."""

    def strength(self, pixels: Tensor) -> Tensor:
        """Pixels (N, 3, H, W) in [0, 1], of any size -> strength (N, 1, H, W) in [0, 1], float32.

        The result lies where `pixels` does. Raises ShapeError for other shapes.
        """
        ...


def open_drawer(kind: str = "detector", *, weights: Path | None = None, device: str = "") -> Drawer:
    """The drawer of a kind.

    "detector" is our own network; `weights` None = the bundled ones. "canny" takes no weights.
    "hed" and "landmarks" need the published file in `weights` (see `core/models/hed.py` and
    `core/sketch/landmarks.py`). `device` as in `core.backends.choose_device`.
    Raises ConfigError for an unknown kind, for weights that are missing or not wanted and for a
    package that is not installed; WeightsError for a bad file; BackendError for a device.
    """
    if kind not in KINDS:
        raise ConfigError(f"no way of drawing lines is called {kind!r}; use {', '.join(KINDS)}")
    if weights is not None and kind == "canny":
        raise ConfigError(f"canny takes no weights, but {weights} is given; leave it out")
    if weights is None and kind in SOURCES:
        raise ConfigError(f"{kind} needs a file of weights: {SOURCES[kind]}; give it")
    return KINDS[kind](weights, device)


@torch.no_grad()
def draw_lines(
    drawer: Drawer, pixels: Tensor, *, threshold: float | None = None, work_size: int = 0
) -> Tensor:
    """Pixels (N, 3, H, W) in [0, 1] -> lines (N, 1, H, W), 1 = line, one pixel wide, float32.

    `threshold` None = the drawer's own; `work_size` as in `strength_of`.
    Raises ShapeError, and ConfigError as `lines_of`.
    """
    strength = strength_of(drawer, pixels, work_size=work_size)
    if drawer.drawn and not _too_large(pixels, work_size):
        return strength
    return lines_of(strength, threshold=drawer.threshold if threshold is None else threshold)


@torch.no_grad()
def strength_of(drawer: Drawer, pixels: Tensor, *, work_size: int = 0) -> Tensor:
    """`drawer.strength` of pictures whose longer side is at most `work_size`; 0 = any.

    Larger ones are scaled down for it and the strength is scaled up: much faster, and the lines
    are those of what is large in the picture. Raises ConfigError for a negative size.
    """
    if work_size < 0:
        raise ConfigError(f"lines are to be found at {work_size} pixels; give 0 or more")
    if not _too_large(pixels, work_size):
        return drawer.strength(pixels)
    size = (pixels.shape[-2], pixels.shape[-1])
    small = [max(1, round(side * work_size / max(size))) for side in size]
    scaled = F.interpolate(pixels, small, mode="bilinear", antialias=True).clamp(0, 1)
    return F.interpolate(drawer.strength(scaled), size, mode="bilinear").clamp(0, 1)


def _too_large(pixels: Tensor, work_size: int) -> bool:
    return 0 < work_size < max(pixels.shape[-2:])


def lines_of(strength: Tensor, *, threshold: float) -> Tensor:
    """Strength (N, 1, H, W) in [0, 1] -> lines (N, 1, H, W), 1 = line, one pixel wide, float32.

    Of a ridge only the crest is kept. What is left above `threshold` is a line, and so is what
    goes on from there above `WEAK` of it; what is thick still is thinned.
    Raises ConfigError for a threshold outside of 0 to 1.
    """
    if not 0 <= threshold <= 1:
        raise ConfigError(f"the threshold of lines is {threshold}; it must be from 0 to 1")
    crest = in_tiles(_crest, strength, margin=REACH)
    lines = reached(crest > WEAK * threshold, crest > threshold)
    return thin(lines.to(torch.float32))


def _crest(strength: Tensor) -> Tensor:
    """The strength where it is greatest across its edge, 0 elsewhere; shapes as `lines_of`."""
    # A sure detector gives plateaus; smoothed, they have one middle, and lines break less often.
    padded = F.pad(strength, (2, 2, 2, 2), mode="replicate")
    kernel = torch.outer(SMOOTH, SMOOTH).to(strength)[None, None]
    return strength * (suppress(F.conv2d(padded, kernel)) > 0)


def check_pixels(pixels: Tensor) -> None:
    """Raise ShapeError unless this is (N, 3, H, W)."""
    if pixels.ndim != 4 or pixels.shape[1] != 3:
        raise ShapeError(f"lines are drawn from (N, 3, H, W), but got {tuple(pixels.shape)}")


class CannyDrawer:
    """Canny's edges by OpenCV: lines at once, on the CPU."""

    kind = "canny"
    threshold = 0.5
    drawn = True

    def strength(self, pixels: Tensor) -> Tensor:
        """As `Drawer.strength`; 0 or 1. Raises ConfigError without OpenCV."""
        check_pixels(pixels)
        images = (pixels * 255).round().clamp(0, 255).to("cpu", torch.uint8)
        lines = [canny_lines(image) for image in images]
        stacked = torch.stack(lines) if lines else images[:, :1]
        return stacked.to(pixels.device, torch.float32)


class DetectorDrawer:
    """Our own edge detector (core/models/edges.py).

    Its threshold is the one that its weights file says (`about`), else a half.
    """

    kind = "detector"
    drawn = False

    def __init__(self, weights: Path | None, device: str = ""):
        from ..backends import choose_device
        from ..weights import DEFAULT_EDGES, load_edges, read_info

        path = weights or DEFAULT_EDGES
        self.device = choose_device(device)
        self.detector = load_edges(path).to(self.device)
        self.threshold = float(read_info(path).about.get("threshold", 0.5))

    @torch.no_grad()
    def strength(self, pixels: Tensor) -> Tensor:
        """As `Drawer.strength`."""
        check_pixels(pixels)
        return in_tiles(self._run, pixels.float(), margin=MARGIN, multiple=MULTIPLE)

    def _run(self, piece: Tensor) -> Tensor:
        return self.detector(piece.to(self.device) * 2 - 1).to(piece.device)


def canny_lines(image: Tensor, *, low: float = 0.2, high: float = 0.5) -> Tensor:
    """Canny edges (Canny 1986) of a slightly smoothed picture, by OpenCV.

    image (3, H, W) uint8 -> lines (1, H, W) uint8, 1 = line. `low` and `high` are the hysteresis
    thresholds as fractions of 400 grey levels per pixel. Raises ConfigError without OpenCV.
    """
    try:
        import cv2
    except ImportError:
        raise ConfigError(
            "drawing lines from pictures needs OpenCV; install opencv-python-headless"
        ) from None
    grey = cv2.cvtColor(np.ascontiguousarray(image.movedim(0, -1).numpy()), cv2.COLOR_RGB2GRAY)
    grey = cv2.GaussianBlur(grey, (0, 0), 1.2)
    return torch.from_numpy(cv2.Canny(grey, 400 * low, 400 * high) > 0)[None].to(torch.uint8)


def _canny(weights: Path | None, device: str) -> Drawer:
    return CannyDrawer()


def _hed(weights: Path | None, device: str) -> Drawer:
    from .hed import HedDrawer

    assert weights is not None  # open_drawer has seen to it
    return HedDrawer(weights, device)


def _landmarks(weights: Path | None, device: str) -> Drawer:
    from .faces import FaceDrawer

    assert weights is not None
    return FaceDrawer(weights)


KINDS: dict[str, Callable[[Path | None, str], Drawer]] = {
    "detector": DetectorDrawer,
    "canny": _canny,
    "hed": _hed,
    "landmarks": _landmarks,
}
"""Kind -> what opens it; a way of drawing lines is added by one line."""
SOURCES = {
    "hed": "network-bsds500.pytorch of sniklaus/pytorch-hed, or ControlNetHED.pth",
    "landmarks": "face_landmarker.task of MediaPipe",
}
"""The kinds whose weights a user brings, and which file that is."""
