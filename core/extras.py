"""Packages that need not be there: imported where they are used, missed with a sentence."""

import importlib
import importlib.util
from types import ModuleType

from .errors import BackendError


def need(module: str, extra: str = "", *, package: str = "") -> ModuleType:
    """The module, imported. Raises BackendError that says what to install if it is not there.

    extra: the group of pyproject.toml that brings it, where its name is another one.
    package: what pip knows it by, where that is not the module's name.
    """
    name = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as problem:  # OSError: a library that the module loads by itself
        if importlib.util.find_spec(name) is not None:
            raise BackendError(
                f"the package {package or name} is installed but does not load ({problem}); "
                "install it again"
            ) from None
        raise BackendError(
            f"the package {package or name} is not installed; get it by `pip install "
            f"{package or name}` (with all that goes with it: the extra {extra or name!r} of "
            "pyproject.toml)"
        ) from None
