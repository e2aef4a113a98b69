"""The folder of all that comes and goes: what was uploaded, what was made, and for how long.

Nothing outside of it is read for a visitor or given to one, and no message names a folder.
"""

import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.errors import ConfigError, ImageError
from core.image.read import Head, read_head
from core.image.write import SUFFIXES

MIB = 1024**2
MOST_KEPT = 8 * 1024 * MIB
"""Bytes of all files together; above it the oldest go before their time."""
LEAST_FREE = 256 * MIB
"""Bytes that are left free on the disk."""
SAFE = 600.0
"""Seconds for which a file that was just used is kept in any case."""
RESULTS = "results"
FOLDERS = re.compile(r"(?<![\w.:/])(?:[A-Za-z]:)?[/\\](?:[^\s/\\'\"():,;`]+[/\\])+")
"""The folders of an absolute path."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one file may be."""

    pixels: int = 25_000_000
    bytes: int = 64 * MIB


class Store:
    """The folder `root`; what nobody has used for `keep` seconds is removed by `sweep`."""

    def __init__(self, root: Path, *, keep: float, limits: Limits):
        self.root, self.keep, self.limits = root.resolve(), keep, limits
        self._end = threading.Event()

    def new_folder(self, size: int = 0) -> Path:
        """An empty folder whose name nobody can guess, for files of `size` bytes.

        Raises ConfigError where there is no room for them.
        """
        if not self.room_for(size):
            raise ConfigError("there is no room for more files just now; try again later")
        path = self.root / RESULTS / secrets.token_hex(16)
        path.mkdir(parents=True)
        return path

    def uploaded(self, value: object, what: str) -> Path:
        """The file that a client names for `what`: a path, or a dictionary that has one.

        Raises ConfigError for anything but a file below `root`: one must have been uploaded.
        """
        if isinstance(value, dict):
            value = value.get("path")
        if not isinstance(value, str):
            raise ConfigError(f"{what} is not a file; upload it and give what the upload answers")
        if "\0" in value or len(value) > 4096:
            raise ConfigError(f"{what} is not the name of a file; upload it first")
        try:
            path = Path(os.path.abspath(value)) if "://" not in value else None
            inside = path is not None and path.resolve().is_relative_to(self.root)
        except (OSError, ValueError):  # with characters that no name has
            raise ConfigError(f"{what} is not the name of a file; upload it first") from None
        if path is None or not inside:
            raise ConfigError(
                f"{what} is not a file that was uploaded here; upload it, and give what the "
                "upload answers"
            )
        if not os.path.isfile(path):  # that of Path raises for a name that is too long
            raise ConfigError(
                f"the file of {what} is not here any more; files are kept for "
                f"{self.keep / 3600:.3g} hours: open or upload it again"
            )
        return self.used(path)

    def picture(self, path: Path) -> Head:
        """The head of a picture file. Raises ImageError for one that is more than allowed."""
        size = path.stat().st_size
        if size > self.limits.bytes:
            raise ImageError(
                f"{path.name} has {size / MIB:.1f} MiB, more than the {self.limits.bytes / MIB:.1f}"
                " allowed here; make it smaller"
            )
        return read_head(path, max_pixels=self.limits.pixels)

    def used(self, path: Path) -> Path:
        """The same path, its time beginning anew."""
        os.utime(path)
        return path

    def plain(self, text: str) -> str:
        """A message without the folders of this machine."""
        return FOLDERS.sub("", text.replace(f"{self.root}{os.sep}", "/-/"))

    def sweep(self) -> int:
        """Remove what is older than `keep`, and the oldest where there is too much; how many."""
        found = sorted((facts.st_mtime, facts.st_size, path) for path, facts in self._files())
        total, now, count = sum(size for _, size, _ in found), time.time(), 0
        for modified, size, path in found:
            # What lies in no folder is coming in, or came in part when somebody went away.
            keep = min(self.keep, SAFE) if path.parent == self.root else self.keep
            old = now - modified > keep
            crowded = total > MOST_KEPT and now - modified > SAFE
            if old or crowded:
                with suppress(OSError):  # on Windows while somebody reads it: next time
                    path.unlink(missing_ok=True)
                    total, count = total - size, count + 1
        self._remove_empty(now)
        return count

    def room_for(self, size: int) -> bool:
        """Whether `size` more bytes find room, after a sweep if need be."""
        free = shutil.disk_usage(self.root).free - LEAST_FREE
        if size <= free and size + self._total() <= MOST_KEPT:
            return True
        self.sweep()
        free = shutil.disk_usage(self.root).free - LEAST_FREE
        return size <= free and size + self._total() <= MOST_KEPT

    def keep_swept(self) -> None:
        """Sweep from time to time, in a thread, until `close`."""
        pause = min(max(self.keep / 10, 0.5), 60)

        def work() -> None:
            while not self._end.wait(pause):
                self.sweep()

        threading.Thread(target=work, name="gatefill-sweep", daemon=True).start()

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        self._end.set()
        shutil.rmtree(self.root, ignore_errors=True)

    def _total(self) -> int:
        return sum(facts.st_size for _, facts in self._files())

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = Path(folder, name)
                try:
                    yield path, path.stat()
                except FileNotFoundError:
                    continue  # somebody else was quicker

    def _remove_empty(self, now: float) -> None:
        """Folders with nothing in them, the innermost first; young ones are about to be used."""
        for folder, _, _ in os.walk(self.root, topdown=False):
            path = Path(folder)
            try:
                if path != self.root and now - path.stat().st_mtime > min(self.keep, SAFE):
                    path.rmdir()
            except OSError:
                continue  # not empty, or gone


def result_name(name: str, form: str) -> str:
    """What a result is called, for a picture `name` of the format `form`: photo-filled.jpg."""
    path = Path(name)
    suffix = path.suffix.lower()
    if SUFFIXES.get(suffix) != form:
        suffix = next(end for end, known in SUFFIXES.items() if known == form)
    return f"{path.stem[:80] or 'picture'}-filled{suffix}"
