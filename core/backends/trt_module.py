"""The module `tensorrt`: loaded with a sentence where it is missing, and its messages kept."""

import importlib.util
import sys
from typing import Any

from ..engines import version_key
from ..errors import BackendError
from ..extras import need

OLDEST = (10, 1)
"""The first version that knows all names used here; see tests/data/tensorrt_api.json."""
MOST_PROBLEMS = 20


def load_tensorrt() -> Any:
    """The module. Raises BackendError that says what to install where it is missing or too old."""
    if "tensorrt" not in sys.modules and importlib.util.find_spec("tensorrt") is None:
        raise BackendError(
            "TensorRT is not installed; get it by `pip install tensorrt-cu13` (or tensorrt-cu12, "
            "as your driver has it), or with the extra gpu of pyproject.toml"
        )
    try:
        trt = need("tensorrt", "gpu")
    except OSError as problem:  # a library that it loads by itself
        raise BackendError(
            f"TensorRT is installed but does not load ({problem}); install it again by "
            "`pip install tensorrt-cu13`"
        ) from None
    if version_key(trt.__version__)[:2] < OLDEST:
        raise BackendError(
            f"TensorRT {trt.__version__} is too old; get {OLDEST[0]}.{OLDEST[1]} or newer by "
            "`pip install --upgrade tensorrt-cu13`"
        )
    return trt


def make_log(trt: Any, *, verbose: bool = False) -> Any:
    """A logger for TensorRT that keeps errors in `problems`, the first 20 of them.

    verbose: everything goes to stderr; else nothing does, and what matters is raised.
    """
    severity = trt.ILogger.Severity
    letters = {
        severity.INTERNAL_ERROR: "F",
        severity.ERROR: "E",
        severity.WARNING: "W",
        severity.INFO: "I",
        severity.VERBOSE: "V",
    }

    class Log(trt.ILogger):  # type: ignore[misc]  # a class of a module that is loaded late
        def __init__(self) -> None:
            # Without this the binding has no object behind it.
            trt.ILogger.__init__(self)
            self.problems: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            letter = letters[severity]
            if letter in "FE" and len(self.problems) < MOST_PROBLEMS:
                self.problems.append(" ".join(msg.split()))
            if verbose:
                sys.stderr.write(f"[TensorRT {letter}] {msg}\n")

    return Log()


def problems_of(log: Any) -> str:
    """What a logger kept, for a sentence."""
    return "; ".join(dict.fromkeys(log.problems)) or "TensorRT says no more"
