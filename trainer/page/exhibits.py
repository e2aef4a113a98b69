"""What the folder of a run has to show: sample grids, measurements, the command that repeats it."""

import base64
import io
import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from PIL import Image

from core.files import plain

from ..config import TrainConfig
from ..measure.metrics import COLUMNS

Cells = dict[str, dict[str, dict[str, str]]]
"""Kind of masks -> method -> metric -> what is shown."""
Columns = Callable[[int], tuple[str, ...]]
"""Width of a sample grid in pixels -> what its columns show."""
SHOWN = 4
"""Grids that stand side by side: the first, some between, the last."""
MOST_WIDTH = 1152
"""Pixels; wider pictures are made smaller for the page."""
JPEG_QUALITY = 82


@dataclass(frozen=True)
class Picture:
    """A picture for the page: its columns have captions, and words say what it shows."""

    title: str
    captions: tuple[str, ...]
    words: str
    uri: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Table:
    """A table for the page; the first column heads the rows."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def sample_pictures(folder: Path, columns: Columns) -> list[Picture]:
    """Of the grids in `folder`: the fills over time, the last grid and the first one.

    Grids that cannot be read, as those that are just being written, are passed over.
    """
    grids = {int(path.stem): path for path in folder.glob("*.png") if path.stem.isdigit()}
    read = {step: image for step in sorted(grids) if (image := _open(grids[step]))}
    steps = list(read)
    if not steps:
        return []
    pictures = [_grid(steps[-1], read[steps[-1]], "The last grid", columns)]
    if len(steps) > 1:
        chosen = [steps[round(i * (len(steps) - 1) / (SHOWN - 1))] for i in range(SHOWN)]
        some = {step: read[step] for step in dict.fromkeys(chosen)}
        pictures.insert(0, _over_time(some, columns))
        pictures.append(_grid(steps[0], read[steps[0]], "The first grid", columns))
    return pictures


def _open(path: Path) -> Image.Image | None:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError):
        return None


def _grid(step: int, image: Image.Image, title: str, columns: Columns) -> Picture:
    names = columns(image.width)
    words = f"Fills at step {step}, a row per picture; columns: {', '.join(filter(None, names))}"
    return _picture(f"{title}, step {step:,}", names, words, image)


def _over_time(grids: Mapping[int, Image.Image], columns: Columns) -> Picture:
    """The hole, the completed picture at every step, the true picture."""
    size = next(iter(grids.values())).size
    grids = {step: image for step, image in grids.items() if image.size == size}
    names = columns(size[0])
    side = size[0] // len(names)
    last = grids[max(grids)]
    completed = (_column(grid, names.index("completed"), side) for grid in grids.values())
    strips = [_column(last, 0, side), *completed, _column(last, len(names) - 1, side)]
    joined = Image.new("RGB", (side * len(strips), size[1]))
    for i, strip in enumerate(strips):
        joined.paste(strip, (i * side, 0))
    captions = ("hole", *(f"{step:,}" for step in grids), "true")
    words = f"Completed pictures over time, a row per picture; columns: {', '.join(captions)}"
    return _picture("Completed pictures over time, by step", captions, words, joined)


def _column(grid: Image.Image, number: int, side: int) -> Image.Image:
    return grid.crop((number * side, 0, (number + 1) * side, grid.height))


def _picture(title: str, captions: tuple[str, ...], words: str, image: Image.Image) -> Picture:
    image = image.copy()  # one grid may be part of several pictures
    image.thumbnail((MOST_WIDTH, 10**6), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=JPEG_QUALITY, optimize=True)
    uri = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
    return Picture(title, captions, words, uri, image.size)


def evaluation_tables(paths: Sequence[Path]) -> tuple[list[Table], list[str]]:
    """Tables of files that `python -m trainer.evaluate --json` wrote, and what cannot be read.

    Where there are several, every network over time; then the newest in full.
    """
    files: dict[str, Cells] = {}
    unread: list[str] = []
    for path in sorted(paths, key=_natural):
        try:
            files[_label(path)] = _cells(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            unread.append(path.name)
    if not files:
        return [], unread
    newest = list(files)[-1]
    in_full = [
        _table(f"{newest}, {kind} masks", "method", methods)
        for kind, methods in files[newest].items()
    ]
    return [*_over_files(files), *in_full], unread


def _cells(content: dict[str, Any]) -> Cells:
    """Means, with their standard deviation where several seeds were measured."""
    spread = content.get("spread") or {}
    cells: Cells = {}
    for kind, methods in content["means"].items():
        for method in _ranked(methods):
            deviations = (spread.get(kind) or {}).get(method) or {}
            cells.setdefault(kind, {})[method] = {
                key: _number(value, key)
                + (f" ± {wide:.2g}" if (wide := deviations.get(key)) else "")
                for key, value in methods[method].items()
            }
    return cells


def _over_files(files: Mapping[str, Cells]) -> Iterator[Table]:
    """For every kind of mask and every network that several files have: a row per file."""
    found: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    for name, kinds in files.items():
        for kind, methods in kinds.items():
            for method, numbers in methods.items():
                found.setdefault((kind, method), {})[name] = numbers
    for (kind, method), rows in found.items():
        if len(rows) > 1 and not method.startswith("OpenCV"):
            yield _table(f"{method} over time, {kind} masks", "measured", rows)


def _table(title: str, first: str, rows: Mapping[str, Mapping[str, str]]) -> Table:
    present = dict.fromkeys(key for row in rows.values() for key in row)
    keys = [key for key in COLUMNS if key in present] + [k for k in present if k not in COLUMNS]
    body = tuple((name, *(row.get(key, "") for key in keys)) for name, row in rows.items())
    return Table(title, (first, *(COLUMNS.get(key, key) for key in keys)), body)


def _number(value: Any, key: str) -> str:
    """Four significant digits; JSON has no infinity, so null is one where it can be."""
    if value is None:
        return "∞" if "psnr" in key else "none"
    return f"{value:#.4g}" if isinstance(value, (int, float)) else str(value)


def _ranked(methods: Mapping[str, Any]) -> list[str]:
    """Best hole L1 first, those without one last."""

    def rank(name: str) -> float:
        value = methods[name].get("hole_l1")
        return value if isinstance(value, (int, float)) else float("inf")

    return sorted(methods, key=rank)


def _label(path: Path) -> str:
    """evaluation-000010000 -> step 10,000; other names as they are."""
    step = re.fullmatch(r"evaluation-(\d+)", path.stem)
    return f"step {int(step[1]):,}" if step else path.stem


def _natural(path: Path) -> list[tuple[int, str]]:
    """evaluation-900 before evaluation-1000."""
    parts = re.findall(r"\d+|\D+", path.stem)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def command_line(settings: Mapping[str, Any]) -> str:
    """The command of the settings in a config.json; flags that have their defaults are left out."""
    words = ["python -m trainer"]
    for entry in fields(TrainConfig):
        default = None if entry.default is MISSING else entry.default
        value = settings.get(entry.name)
        if entry.name in settings and value is not None and value != plain(default):
            words.append(_flag(entry.name.replace("_", "-"), value))
    return " \\\n    ".join(words)


def unknown_settings(settings: Mapping[str, Any]) -> list[str]:
    """Names of what the command cannot repeat: settings of another version."""
    known = {entry.name for entry in fields(TrainConfig)}
    return [name for name in settings if name not in known]


def _flag(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    values = value if isinstance(value, list) else [value]
    return shlex.join([f"--{name}", *map(str, values)])
