"""Which model files there are to choose from: the bundled ones and those in models/inpaint."""

import os
from collections.abc import Iterator
from pathlib import Path

import folder_paths

from ..core.errors import ConfigError
from ..core.model_files import (
    EDGES,
    SUFFIXES,
    architecture_of,
    bundled_files,
    files_below,
    fills_pictures,
    is_whole_graph,
)
from ..core.sketch.files import PUBLISHED

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
    names = sorted(name for name, path in _bundled() if fills_pictures(path))
    names.sort(key=lambda name: name != DEFAULT)
    return names + sorted(name for name, path in _files() if fills_pictures(path))


def model_path(name: str) -> Path:
    """The file of a name. Raises ConfigError for one that is not there."""
    path = dict(_bundled() if name.startswith(PREFIX) else _files()).get(name)
    if path is None:
        raise ConfigError(
            f"there is no model {name!r}; put it into models/{FOLDER}, refresh the page (R), and "
            "choose it again"
        )
    return path


def name_of(file: str) -> str:
    """The name of a file by its path. Raises ConfigError for one that lies elsewhere."""
    wanted = Path(file).resolve()
    found = [name for name, path in _files() if path.resolve() == wanted]
    if not found:
        raise ConfigError(
            f"{wanted.name} does not lie below models/{FOLDER}, or is not there any more; give a "
            "file of that folder, or leave it out and choose a name"
        )
    return found[0]


def new_path(name: str) -> Path:
    """Where a file of that name, a path below models/inpaint, is written.

    Raises ConfigError for one that would lie elsewhere.
    """
    root = os.path.abspath(folder_paths.get_folder_paths(FOLDER)[0])
    path = os.path.normpath(os.path.join(root, name.strip().replace("\\", "/")))
    if not path.startswith(root + os.sep):
        raise ConfigError(
            f"the file name is {name!r}; it must be a name, or a path below models/{FOLDER}"
        )
    return Path(path)


def graph_names() -> list[str]:
    """Exported graphs of which engines can be built."""
    return sorted(name for name, path in _files() if is_whole_graph(path))


def drawer_names() -> list[str]:
    """Files of models/inpaint that may draw lines: published ones, and edge detectors of ours."""
    own = (name for name, path in _files() if architecture_of(path) == EDGES)
    return sorted({*own, *(name for name, _ in _files(suffixes=PUBLISHED))})


def drawer_path(name: str) -> Path:
    """The file of one of `drawer_names`. Raises ConfigError for one that is not there."""
    found = dict(_files(suffixes=(*PUBLISHED, ".safetensors"))).get(name)
    if found is None:
        raise ConfigError(f"there is no file {name!r} in models/{FOLDER}; put it there")
    return found


def palette_names() -> list[str]:
    """Palette files below models/inpaint/palettes."""
    return sorted(name for name, _ in _files("palettes", PALETTES))


def palette_path(name: str) -> Path:
    """The file of a palette. Raises ConfigError for one that is not there."""
    path = dict(_files("palettes", PALETTES)).get(name)
    if path is None:
        raise ConfigError(f"there is no palette {name!r} in models/{FOLDER}/palettes; put it there")
    return path


def _bundled() -> Iterator[tuple[str, Path]]:
    """Name and path of all weights that come with the project."""
    for path in bundled_files():
        yield PREFIX + path.name, path


def _files(below: str = "", suffixes: tuple[str, ...] = SUFFIXES) -> Iterator[tuple[str, Path]]:
    """Name and path of every file in models/inpaint that may be one of ours."""
    for folder in folder_paths.get_folder_paths(FOLDER):
        yield from files_below(Path(folder, below), suffixes)
