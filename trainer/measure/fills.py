"""The methods that are compared: networks through the pipeline, and OpenCV's classical ones."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.backends import open_backend
from core.errors import ConfigError
from core.pipeline import Inpainter

from .metrics import channels_last

Fill = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""image (1, 3, H, W) in [0, 1], mask (1, 1, H, W), 1 = hole, and the lines of the true picture
(1, 1, H, W) where they are asked for -> completed image."""
OPENCV_RADIUS = 3
"""Neighbourhood in pixels of OpenCV's methods, as its documentation has it."""


def network_methods(paths: dict[str, Path], *, guide: str | None, device: str) -> dict[str, Fill]:
    """One method per model file, and one more where the network takes the guide.

    Raises ConfigError if none takes it.
    """
    methods: dict[str, Fill] = {}
    for name, path in paths.items():
        inpainter = Inpainter(open_backend(path, device))
        methods[name] = partial(network_fill, inpainter, False)
        if guide in [port.name for port in inpainter.backend.contract.guides]:
            methods[guided(name, guide)] = partial(network_fill, inpainter, True)
    if guide and len(methods) == len(paths):
        raise ConfigError(f"none of the networks takes a {guide}; leave out --guide")
    return methods


def guided(name: str, guide: str | None) -> str:
    """The name of the method with the guide."""
    return f"{name} + {guide}"


def named(paths: list[Path]) -> dict[str, Path]:
    """Short names of model files: the stem, of the weights of a run that of its folder."""
    short = [path.parent.name if path.stem == "weights" else path.stem for path in paths]
    return {
        name if name and short.count(name) == 1 else str(path): path
        for name, path in zip(short, paths, strict=True)
    }


def network_fill(
    inpainter: Inpainter, guide: bool, image: Tensor, mask: Tensor, lines: Tensor | None
) -> Tensor:
    """Fill; with `guide`, the lines of the true picture inside the hole are the sketch."""
    sketch = lines * mask if guide and lines is not None else None
    return inpainter(blanked(image, mask), mask, sketch=sketch)


def blanked(image: Tensor, mask: Tensor) -> Tensor:
    """The mean known colour in the hole: some methods let what is there shine through."""
    known = (image * (1 - mask)).sum((-1, -2), keepdim=True) / (1 - mask).sum()
    return torch.where(mask > 0, known, image)


def opencv_methods() -> dict[str, Fill]:
    """Telea 2004 and Navier-Stokes (Bertalmio et al. 2001), as OpenCV has them."""
    try:
        import cv2
        import skimage.metrics  # noqa: F401  # so that its absence shows at once
    except ImportError as problem:
        raise ConfigError(
            f"{problem.name} is missing; install opencv-python-headless and scikit-image"
        ) from None

    def fill(flag: int, image: Tensor, mask: Tensor, lines: Tensor | None) -> Tensor:
        pixels = np.rint(channels_last(blanked(image, mask)) * 255).astype(np.uint8, order="C")
        hole = mask[0, 0].numpy().astype(np.uint8)
        completed = cv2.inpaint(pixels, hole, OPENCV_RADIUS, flag)
        return torch.from_numpy(completed).movedim(-1, 0)[None].float() / 255

    flags = {"OpenCV Telea": cv2.INPAINT_TELEA, "OpenCV Navier-Stokes": cv2.INPAINT_NS}
    return {name: partial(fill, flag) for name, flag in flags.items()}
