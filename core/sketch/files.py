"""Which files of a folder draw lines, and by which kind of drawer: ours, and published ones."""

import functools
import importlib.util
from pathlib import Path

from ..errors import InpaintError
from ..model_files import EDGES, WEIGHTS_SUFFIX, architecture_of, stamp

PUBLISHED = (".pytorch", ".pth", ".pt", ".task")
"""Suffixes of published files that draw lines; other networks' files end in some of these too."""
PACKAGES = {"detector": "skimage", "canny": "cv2", "hed": "skimage", "landmarks": "mediapipe"}
"""Kind of drawer -> the package without which it draws nothing."""
MOST_BYTES = 256 * 1024**2
"""HED has 59 MB; a file of more is not opened only to see what it is."""


def is_installed(kind: str) -> bool:
    """Whether the package that a kind of drawer needs is there."""
    return importlib.util.find_spec(PACKAGES[kind]) is not None


def drawer_kind(path: Path) -> str:
    """The kind of drawer that a file is for, one of `core.sketch.draw.KINDS`.

    "" where it draws no lines, or the package that it needs is not installed.
    """
    if path.suffix == WEIGHTS_SUFFIX:
        kind = "detector" if architecture_of(path) == EDGES else ""
    elif path.suffix == ".task":
        kind = "landmarks"
    else:
        kind = "hed" if path.suffix in PUBLISHED and _is_hed(path, stamp(path)) else ""
    return kind if kind and is_installed(kind) else ""


@functools.lru_cache(maxsize=256)
def _is_hed(path: Path, stamp: str) -> bool:
    """`stamp` makes it look again when the file changed."""
    from .hed import load_hed

    try:
        if path.stat().st_size > MOST_BYTES:
            return False
        load_hed(path)
    except (InpaintError, OSError):
        return False
    return True
