"""Packages that need not be there: imported where they are used, missed with a sentence."""

import importlib
import importlib.util
from types import ModuleType

from .errors import BackendError


def need(module: str, extra: str = "") -> ModuleType:
    """The module, imported. Raises BackendError that says what to install if it is not there.

    extra: the group of pyproject.toml that brings it, where its name is another one.
    """
    try:
        return importlib.import_module(module)
    except ImportError as problem:
        name = module.partition(".")[0]
        if importlib.util.find_spec(name) is not None:
            raise BackendError(
                f"the package {name} is installed but does not load ({problem}); install it again"
            ) from None
        raise BackendError(
            f"the package {name} is not installed; get it by `pip install {name}` (with all that "
            f"goes with it: the extra {extra or name!r} of pyproject.toml)"
        ) from None
