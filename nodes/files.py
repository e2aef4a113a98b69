"""Which model files there are to choose from: the bundled ones and those in models/inpaint."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import folder_paths

from ..core.engines import ENGINE_SUFFIX, read_record
from ..core.errors import ConfigError, InpaintError
from ..core.graph import read_graph
from ..core.registry import ARCHITECTURES
from ..core.weights import BUNDLED, read_info

FOLDER = "inpaint"
"""Of ComfyUI's models; other packs keep theirs there too."""
PREFIX = "bundled/"
DEFAULT = PREFIX + "deepfillv2-photos.safetensors"
PALETTES = (".gpl", ".json")


def add_folder() -> None:
    """Make models/inpaint known, beside what other packs have said of it."""
    entry = folder_paths.folder_names_and_paths.setdefault(FOLDER, ([], set()))
    path = os.path.join(folder_paths.models_dir, FOLDER)
    if path not in entry[0]:
        entry[0].append(path)
    # A name without suffixes would list every file.
    entry[1].add(".safetensors")


def model_names() -> list[str]:
    """The names of all networks that can be loaded, the bundled ones first."""
    names = sorted(name for name, path in _bundled() if is_ours(path))
    names.sort(key=lambda name: name != DEFAULT)
    return names + sorted(name for name, path in _files() if is_ours(path))


def model_path(name: str) -> Path:
    """The file of a name. Raises ConfigError for one that is not there."""
    path = dict(_bundled() if name.startswith(PREFIX) else _files()).get(name)
    if path is None:
        raise ConfigError(
            f"there is no model {name!r}; put it into models/{FOLDER}, refresh the page (R), and "
            "choose it again"
        )
    return path


def palette_names() -> list[str]:
    """Palette files below models/inpaint/palettes."""
    return sorted(name for name, path in _files("palettes") if path.suffix in PALETTES)


def palette_path(name: str) -> Path:
    """The file of a palette. Raises ConfigError for one that is not there."""
    path = dict(_files("palettes")).get(name)
    if path is None:
        raise ConfigError(f"there is no palette {name!r} in models/{FOLDER}/palettes; put it there")
    return path


def stamp(path: Path) -> str:
    """Changes when the file does."""
    facts = path.stat()
    return f"{facts.st_mtime_ns} {facts.st_size}"


def is_ours(path: Path) -> bool:
    """Whether a file says that it holds a network of ours that fills pictures."""
    return _is_ours(path, stamp(path))


@functools.lru_cache(maxsize=4096)
def _is_ours(path: Path, stamp: str) -> bool:
    """Reads only the head of the file; `stamp` makes it look again when the file changed."""
    try:
        if path.suffix == ".onnx":
            info = read_graph(path)
            return info.kind == "generator" and info.part == "run"
        if path.suffix == ENGINE_SUFFIX:
            return read_record(path).info.part == "run"
        architecture = read_info(path).architecture
        return architecture in ARCHITECTURES and architecture != "edges"
    except InpaintError:
        return False


def _bundled() -> Iterator[tuple[str, Path]]:
    """Name and path of all weights that come with the project."""
    for path in BUNDLED.glob("*.safetensors"):
        yield PREFIX + path.name, path


def _files(below: str = "") -> Iterator[tuple[str, Path]]:
    """Name and path of every file in models/inpaint that may be one of ours."""
    wanted = PALETTES if below else (".safetensors", ".onnx", ENGINE_SUFFIX)
    for folder in folder_paths.get_folder_paths(FOLDER):
        root = Path(folder, below)
        for directory, _, names in os.walk(root, followlinks=True):
            for name in names:
                path = Path(directory, name)
                if path.suffix in wanted and path.is_file():
                    yield path.relative_to(root).as_posix(), path
