"""A folder that is whole or not there: written beside its place, then renamed."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import ConfigError

from .manifest import MANIFEST


@contextmanager
def whole_folder(out: Path, *, force: bool = False) -> Iterator[Path]:
    """An empty folder beside `out` to write to; it becomes `out` at the end, or nothing changes.

    With `force` it takes the place of an older bundle. Raises ConfigError where `out` may not be
    replaced, and where the file system refuses, say because it is full.
    """
    out = out.absolute()
    check_place(out, force=force)
    part: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".part-{out.name}-", dir=out.parent))
        part.chmod(0o755)  # what mkdtemp makes is private
        yield part
        _take_place(part, out)
    except OSError as problem:
        why = problem.strerror or problem
        raise ConfigError(
            f"the bundle cannot be written to {out} ({why}); make room, or name another folder"
        ) from None
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)


def check_place(out: Path, *, force: bool) -> None:
    """Raise ConfigError if something lies at `out` that may not be replaced."""
    if not out.exists() and not out.is_symlink():
        return
    if out.is_symlink() or not out.is_dir():
        raise ConfigError(f"{out} is not a folder; name another for the bundle")
    if not any(out.iterdir()):
        return
    if not (out / MANIFEST).is_file():
        raise ConfigError(f"{out} holds something else than a bundle; name another folder")
    if not force:
        raise ConfigError(f"{out} exists; name another folder, or replace it by --force")


def _take_place(part: Path, out: Path) -> None:
    """Rename `part` to `out`; what was there is gone only after that."""
    if not out.exists():
        part.rename(out)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".old-{out.name}-", dir=out.parent))
    old = aside / out.name
    out.rename(old)
    try:
        part.rename(out)
    except OSError:
        old.rename(out)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
