"""Side files of a picture, read and cut like it."""

import io
import json
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from core.errors import InpaintError, TrainingError
from core.image.exif import DAMAGE
from core.masks.found import read_labels

from .frame import Frame
from .holes import Report
from .sources import Place

Read = TypeVar("Read")


def read_side(
    place: Place | None, read: Callable[[bytes, Frame], Read], frame: Frame, report: Report
) -> Read | None:
    """What `read` makes of a side file; None if there is none, or if it is damaged and reported."""
    if place is None:
        return None
    try:
        return read(place.read(), frame)
    except (InpaintError, *DAMAGE, Image.DecompressionBombError) as problem:
        report(place.name, f"the side file {place.name} cannot be used: {problem}")
        return None


def strength(content: bytes, frame: Frame) -> Tensor:
    """How strongly each pixel lies on a line: (1, crop, crop) float in [0, 1]."""
    return frame.strength(grey(content))


def grey(content: bytes) -> np.ndarray:
    """An encoded picture, as of `Entry.edge`, as (H, W) uint8. Raises what Pillow raises."""
    with Image.open(io.BytesIO(content)) as file:
        values = np.asarray(file if file.mode.startswith("I") else file.convert("L"))
    if values.dtype == np.uint8:
        return values
    return (np.clip(values, 0, 65535) // 257).astype(np.uint8)  # 16 bits


def labels(content: bytes, frame: Frame) -> Tensor:
    """The label map: (crop, crop) int64."""
    with Image.open(io.BytesIO(content)) as file:
        return frame.labels(read_labels(file))


def points(content: bytes, frame: Frame) -> Tensor:
    """Landmarks: (K, 2) of x, y in pixels of the sample. Raises TrainingError for anything else."""
    found = torch.tensor(json.loads(content), dtype=torch.float32)
    if found.ndim != 2 or found.shape[1] != 2 or not found.isfinite().all():
        raise TrainingError("landmarks must be a list of [x, y] in pixels")
    return frame.points(found)
