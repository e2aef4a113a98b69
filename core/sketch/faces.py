"""Lines of faces by MediaPipe's Face Landmarker, with the model file that the user brings.

The model is https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/
float16/latest/face_landmarker.task. It finds faces that take up a good part of the picture.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError, WeightsError
from .landmarks import landmark_lines

MOST_FACES = 20
"""More are left out, the least certain first."""
NOTICE = (
    "MediaPipe reports its performance and use, though no pictures, to Google (privacy notice: "
    "https://goo.gle/mediapipe-privacy); nothing else here sends anything"
)
"""True of the packages after 0.10.21; said wherever faces are looked for, for it has no switch."""

log = logging.getLogger("gatefill")


class FaceDrawer:
    """Facial landmarks of every face, joined to lines; a picture without a face stays empty.

    Raises ConfigError without MediaPipe, WeightsError for a file that is not its model.
    """

    kind = "landmarks"
    threshold = 0.5
    drawn = True

    def __init__(self, weights: Path):
        self.weights = weights
        with _open(weights):
            pass  # a bad file is told here, not at the first picture
        log.warning(NOTICE)

    def strength(self, pixels: Tensor) -> Tensor:
        """As `core.sketch.Drawer.strength`; 0 or 1."""
        size = (pixels.shape[-2], pixels.shape[-1])
        lines = torch.zeros(len(pixels), 1, *size)
        for drawn, item in zip(lines, pixels, strict=True):
            for points in self.landmarks(item):
                torch.maximum(drawn, landmark_lines(points, size), out=drawn)
        return lines.to(pixels.device)

    def landmarks(self, pixels: Tensor) -> list[Tensor]:
        """Pixels (3, H, W) in [0, 1] -> for each face points (K, 2) of x, y in pixels."""
        import mediapipe

        samples = (pixels * 255).round().clamp(0, 255).to("cpu", torch.uint8)
        image = mediapipe.Image(
            image_format=mediapipe.ImageFormat.SRGB,
            data=np.ascontiguousarray(samples.movedim(0, -1).numpy()),
        )
        # Opened anew each time (some 20 ms): left open, it complains when Python ends.
        with _open(self.weights) as landmarker:
            found = landmarker.detect(image)
        return to_points(found.face_landmarks, pixels.shape[-2:])


def to_points(faces: list[Any], size: tuple[int, ...]) -> list[Tensor]:
    """MediaPipe's landmarks, x and y from 0 to 1 -> points (K, 2) in pixels of `size`."""
    height, width = size
    scale = torch.tensor([width, height], dtype=torch.float32)
    # 0 is the left rim of the first pixel, whose centre is pixel 0 here.
    return [torch.tensor([(p.x, p.y) for p in face]) * scale - 0.5 for face in faces]


def _open(weights: Path) -> Any:
    """MediaPipe's FaceLandmarker; close it after use."""
    if not weights.is_file():
        raise WeightsError(f"no model of facial landmarks at {weights}; give face_landmarker.task")
    try:
        from mediapipe.tasks.python import BaseOptions, vision
    except ImportError as problem:
        raise ConfigError(
            f"drawing faces needs MediaPipe ({problem}); install mediapipe, or use another kind"
        ) from None
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_buffer=weights.read_bytes()),
        num_faces=MOST_FACES,
    )
    try:
        return vision.FaceLandmarker.create_from_options(options)
    except (RuntimeError, ValueError, OSError) as problem:
        reason = str(problem).strip().splitlines()[0]
        raise WeightsError(
            f"{weights} is not a model of MediaPipe's Face Landmarker ({reason}); give "
            "face_landmarker.task"
        ) from None
