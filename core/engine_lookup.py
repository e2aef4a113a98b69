"""Which engine in a folder is the one to run on this machine."""

from collections.abc import Iterator
from pathlib import Path

from .engines import (
    ENGINE_SUFFIX,
    EngineRecord,
    Machine,
    build_command,
    name_start,
    read_record,
)
from .errors import BackendError
from .files import sha256_of
from .graph import part_path
from .parts import Part

Found = dict[Path, EngineRecord]


def lookup(onnx: Path, folder: Path, machine: Machine) -> Path:
    """The engine in `folder` of the graph at `onnx` that runs on `machine`.

    One built on this very machine goes before a compatible one; of several, that of the largest
    profile. Raises BackendError, which says what was found instead and what builds it.
    """
    if not onnx.is_file():
        raise BackendError(f"no graph at {onnx}; `python -m export.onnx` makes one")
    wanted = sha256_of(onnx)
    found = dict(engines_of(onnx.stem, folder))
    right = {path: x for path, x in found.items() if not misfits(x, machine, wanted)}
    if not right:
        raise BackendError(_missing(onnx, folder, machine, found, wanted))
    start = name_start(onnx.stem, wanted, machine)
    return max(right, key=lambda path: (path.name.startswith(start), _reach(right[path])))


def lookup_part(engine: Path, record: EngineRecord, part: Part, machine: Machine) -> Path:
    """The engine beside `engine` that holds another part of the same network.

    One with the same profile goes before others. Raises BackendError if there is none.
    """
    onnx = part_path(engine.with_name(record.model + ".onnx"), part)
    found = dict(engines_of(onnx.stem, engine.parent))
    right = {path: x for path, x in found.items() if not misfits(x, machine)}
    if not right:
        raise BackendError(_missing(onnx, engine.parent, machine, found))
    same = record.profile
    return max(right, key=lambda path: (right[path].profile == same, _reach(right[path])))


def check_here(engine: Path, record: EngineRecord, machine: Machine) -> None:
    """Raise BackendError, which says what differs, unless an engine runs on `machine`."""
    if differs := record.differences(machine):
        onnx = engine.with_name(record.model + ".onnx")
        raise BackendError(
            f"{engine} does not run on this machine: {', '.join(differs)}; build it here by "
            f"`{record.command(onnx, engine.parent)}`"
        )


def engines_of(model: str, folder: Path) -> Iterator[tuple[Path, EngineRecord]]:
    """All engines of a model in a folder, whatever they run on, in the order of their names."""
    for path in sorted(folder.glob("*" + ENGINE_SUFFIX)):
        if path.name.startswith(model + "."):
            record = read_record(path)
            if record.model == model:
                yield path, record


def misfits(record: EngineRecord, machine: Machine, onnx_sha256: str = "") -> list[str]:
    """What keeps an engine from being the one for a graph on `machine`, each in words.

    onnx_sha256: of the graph; "": whatever graph it was built of.
    """
    other = onnx_sha256 not in ("", record.onnx_sha256)
    changed = [f"it was built of another {record.model}.onnx"] if other else []
    return changed + record.differences(machine)


def _reach(record: EngineRecord) -> tuple[int, str]:
    profile = record.profile
    return profile.batch[2] * profile.height[2] * profile.width[2], record.name


def _missing(onnx: Path, folder: Path, machine: Machine, found: Found, wanted: str = "") -> str:
    lacks = f"no engine of {onnx.name} for this machine ({machine}) in {folder}"
    if not found:
        return f"{lacks}; build one by `{build_command(onnx, folder, [])}`"
    reasons = [f"{p.name}: {', '.join(misfits(x, machine, wanted))}" for p, x in found.items()]
    command = list(found.values())[-1].command(onnx, folder)
    return f"{lacks}; there is {'; '.join(reasons)}. Build it here by `{command}`"
