"""Files that are whole or not there: written beside their place, then renamed."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import ConfigError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; renamed to `path` at the end, removed if anything fails.

    The folder is made if it is missing. Raises OSError as the file system does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: image libraries choose the format by it.
    handle, name = tempfile.mkstemp(prefix=part_prefix(), suffix=path.suffix, dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        # mkstemp makes the file private; give it the rights that an ordinary new file has.
        umask = os.umask(0)
        os.umask(umask)
        part.chmod(0o666 & ~umask)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def part_prefix(process: int | None = None) -> str:
    """How the names of what this process, or another, has half written begin."""
    return f".part-{os.getpid() if process is None else process}-"


def remove_parts(folder: Path, process: int) -> None:
    """Take away what a process that was killed left half written in `folder`."""
    for part in folder.glob(part_prefix(process) + "*"):
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Of a file, in hexadecimal, a megabyte at a time. Raises OSError as the file system does."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def plain(content: Any) -> Any:
    """As JSON gives it back: lists for tuples, text for paths, null for no finite number."""
    return json.loads(json.dumps(content, default=str), parse_constant=lambda _: None)


def with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Settings as JSON gives them back, with tuples for its lists."""
    return {name: tuple(x) if isinstance(x, list) else x for name, x in values.items()}


def write_json(path: Path, content: Any, *, flag: str = "--json") -> None:
    """Write `content` whole or not at all, as `plain` has it.

    Raises ConfigError, which tells to give `flag` another value, if the file cannot be written.
    """
    try:
        with whole_file(path) as part:
            part.write_text(json.dumps(plain(content), indent=1) + "\n", encoding="utf-8")
    except OSError as problem:
        raise ConfigError(f"cannot write {path} ({problem}); name another {flag}") from None
