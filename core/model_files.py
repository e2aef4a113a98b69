"""Which files hold networks of ours, told by their heads alone: weights, graphs and engines."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .contract import Contract
from .engines import ENGINE_SUFFIX, read_record
from .errors import InpaintError, WeightsError
from .graph import GraphInfo, read_graph
from .registry import ARCHITECTURES
from .weights import BUNDLED, read_info

WEIGHTS_SUFFIX, GRAPH_SUFFIX = ".safetensors", ".onnx"
SUFFIXES = (WEIGHTS_SUFFIX, GRAPH_SUFFIX, ENGINE_SUFFIX)
EDGES = "edges"
"""The architecture that draws lines and fills nothing."""


def bundled_files() -> list[Path]:
    """The weights that come with the project, sorted."""
    return sorted(BUNDLED.glob(f"*{WEIGHTS_SUFFIX}"))


def files_below(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> Iterator[tuple[str, Path]]:
    """Name (by the folder, with "/") and path of every file that may be a network of ours."""
    seen = {os.path.realpath(folder)}
    for directory, folders, names in os.walk(folder, followlinks=True):
        # In hidden ones lies what is being written; a link may lead back to where it lies.
        folders[:] = [
            name
            for name in sorted(folders)
            if not name.startswith(".") and _is_new(Path(directory, name), seen)
        ]
        for name in [name for name in names if not name.startswith(".")]:
            path = Path(directory, name)
            if path.suffix in suffixes and path.is_file():
                yield path.relative_to(folder).as_posix(), path


def _is_new(folder: Path, seen: set[str]) -> bool:
    """Whether a folder is not among those `seen`, to which it is added."""
    place = os.path.realpath(folder)
    fresh = place not in seen
    seen.add(place)
    return fresh


def fills_pictures(path: Path) -> bool:
    """Whether a file says that it holds a network of ours that fills pictures."""
    return architecture_of(path) in set(ARCHITECTURES) - {EDGES}


def architecture_of(path: Path) -> str:
    """What a file says of itself; "" where it is none of ours, or not the main part of one."""
    facts = _facts_of(path, stamp(path))
    return facts.architecture if facts[:2] == ("generator", "run") else ""


def problem_of(path: Path) -> str:
    """Why a file is no network of ours, or what is wrong with it; "" where it is one."""
    return _facts_of(path, stamp(path)).problem


def is_whole_graph(path: Path) -> bool:
    """Whether it is the graph of a network, all its parts being named after it, or a pipeline."""
    return path.suffix == GRAPH_SUFFIX and _facts_of(path, stamp(path)).part == "run"


def contract_of_file(path: Path) -> Contract:
    """What a network that fills pictures takes and gives. Raises InpaintError for another file."""
    if not fills_pictures(path):
        raise WeightsError(
            f"{path.name} is no network that fills pictures, or is not there any more; choose "
            "another"
        )
    if path.suffix == WEIGHTS_SUFFIX:
        return Contract.from_dict(read_info(path).contract)
    return _graph_of(path).contract


def stamp(path: Path) -> str:
    """Changes when the file does; "" where there is none."""
    try:
        facts = path.stat()
    except OSError:
        return ""
    return f"{facts.st_mtime_ns} {facts.st_size}"


class _Facts(NamedTuple):
    """What a file says of itself, as `GraphInfo` has it."""

    kind: str = ""
    part: str = ""
    architecture: str = ""
    problem: str = ""
    """Why nothing can be told."""


@functools.lru_cache(maxsize=4096)
def _facts_of(path: Path, stamp: str) -> _Facts:
    """Reads only the head of the file; `stamp` makes it look again when the file changed."""
    try:
        if path.suffix == WEIGHTS_SUFFIX:
            return _Facts("generator", "run", read_info(path).architecture)
        info = _graph_of(path)
    except InpaintError as problem:
        return _Facts(problem=str(problem))
    return _Facts(info.kind, info.part, info.architecture)


def _graph_of(path: Path) -> GraphInfo:
    return read_record(path).info if path.suffix == ENGINE_SUFFIX else read_graph(path)
