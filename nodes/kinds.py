"""What the nodes share: their place in the menu, the type of their own socket, how errors read."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from comfy_api.latest import io

from ..core.errors import InpaintError

CATEGORY = "inpaint/gatefill"
Model = io.Custom("GATEFILL_MODEL")
"""A `loaded.Loaded`. The type is private: other packs' inpainting models are other things."""


def in_one_sentence(execute: Callable[..., Any]) -> Callable[..., Any]:
    """`execute`, whose errors that a user can mend read as they are.

    ComfyUI shows the full name of an error's class, and of ours that is a path of the machine.
    """

    @wraps(execute)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return execute(*args, **kwargs)
        except InpaintError as problem:
            raise ValueError(str(problem)) from None

    return wrapped
