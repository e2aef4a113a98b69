"""Colour strokes for training, drawn from the picture itself as a user would draw them."""

import numpy as np
from torch import Tensor

from core.sketch.colors import colour_strokes

from .frame import Frame
from .holes import Report
from .lines import leave_cores_to_others
from .sides import labels, read_side
from .sources import Entry


def draw_colours(
    image: Tensor, entry: Entry, frame: Frame, random: np.random.Generator, report: Report
) -> Tensor:
    """(3, crop, crop) uint8 -> strokes (3, crop, crop) uint8, all over the picture.

    As `colour_strokes`; segments are those of the label map beside the picture, if it has one.
    """
    strokes = colour_strokes(image, read_side(entry.seg, labels, frame, report), random)
    leave_cores_to_others()
    return strokes
