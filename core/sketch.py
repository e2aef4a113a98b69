"""Line drawings from pictures: what the sketch port of a network is trained on and can be given."""

import numpy as np
import torch
from torch import Tensor

from .errors import ConfigError


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
