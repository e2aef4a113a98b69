"""Running the pipeline inside ComfyUI: progress, interruption, and what to do out of memory."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

import comfy.model_management
import comfy.utils
from torch import Tensor

from ..core.contract import THRESHOLD
from ..core.errors import ConfigError
from ..core.options import FillOptions
from ..core.pipeline import Inpainter
from ..core.progress import interruptible
from .loaded import Loaded

STEPS = 1000
"""Of the progress bar."""


def fill(
    model: Loaded, options: FillOptions, image: Tensor, mask: Tensor, **guides: Tensor | None
) -> Tensor:
    """As `Inpainter` does it: (B, 3, H, W) in [0, 1]. Raises InpaintError as it does.

    Out of memory it tries once more, each hole by itself.
    """
    pixels = max(image.shape[-2] * image.shape[-1], 1)
    try:
        return run(model, options, pixels, lambda one: one(image, mask, **guides))
    except Exception as problem:
        comfy.model_management.raise_non_oom(problem)
        if options.strategy not in ("auto", "full"):
            raise
    comfy.model_management.soft_empty_cache()
    less = replace(options, strategy="crop", work_size=max(options.work_size // 2, 64))
    return run(model, less, pixels // 4, lambda one: one(image, mask, **guides))


def run(
    model: Loaded, options: FillOptions, pixels: int, work: Callable[[Inpainter], Tensor]
) -> Tensor:
    """What `work` makes of an `Inpainter` that tells ComfyUI how far it is and can be stopped.

    pixels: how many the network may see at once, for the memory that it needs.
    """
    bar = comfy.utils.ProgressBar(STEPS)
    model.prepare(min(pixels, options.work_size**2))

    def tell(share: float) -> None:
        bar.update_absolute(round(share * STEPS), STEPS)

    with stoppable():
        return work(Inpainter(model.backend, options, tell))


def stoppable() -> AbstractContextManager[None]:
    """Within it the user can end what is being computed."""
    return interruptible(comfy.model_management.throw_exception_if_processing_interrupted)


def check_some_known(mask: Tensor) -> None:
    """Raise ConfigError where nothing is left of a picture to fill from."""
    if (mask.flatten(1).amin(1) > THRESHOLD).any():
        raise ConfigError(
            "the mask covers the whole picture, so there is nothing to fill from: paint less, or "
            "invert it"
        )
