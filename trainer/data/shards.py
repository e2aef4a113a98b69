"""Remote tar shards: fetched whole when needed, kept in a folder of bounded size, forgotten again.

The folder may be shared by any number of processes and runs. A shard that a process is reading
holds a lock of that process (flock; on Windows, being open is enough), and is not deleted. What is
in a shard stays known in a small JSON file beside it after the shard itself is gone.
"""

import hashlib
import json
import os
import re
import shutil
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import IO, BinaryIO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from filelock import FileLock, Timeout

from core.errors import ConfigError, TrainingError
from core.files import whole_file

from .sources import Entry, cut_reason, read_tar, shown, tar_entries

PIECE = 1 << 20
"""Bytes copied at a time."""
WAITS = (0.2, 0.5, 2.0, 8.0)
"""Seconds before a failed fetch is tried again."""
SECONDS = 60
"""How long a server may be silent."""


class ShardCache:
    """Shards by address, through a folder that holds about `gib` of them."""

    def __init__(self, folder: Path, gib: float):
        self.folder = folder
        self.bound = int(gib * (1 << 30))
        self._held: dict[str, BinaryIO] = {}
        weakref.finalize(self, _close, self._held)
        self._holder = 0
        self._counts: dict[str, int] = {}

    def count(self, url: str) -> int:
        """How many pictures are in a shard; fetches it only if nobody ever did."""
        if url not in self._counts:
            if not self._index_path(url).exists():
                self._fetch(url).close()
            self._counts[url] = len(self._entries(url))
        return self._counts[url]

    def hold(self, urls: Sequence[str]) -> dict[str, list[Entry]]:
        """Have these shards here, and keep them until other ones are asked for.

        Raises TrainingError for a shard that cannot be fetched or is no tar.
        """
        if self._holder != os.getpid():  # a fork: the locks are the other process's
            self.release()
            self._holder = os.getpid()
        for url in set(self._held) - set(urls):
            self._held.pop(url).close()
        for url in urls:
            if url not in self._held:
                self._held[url] = self._fetch(url)
        return {url: self._entries(url) for url in urls}

    def release(self) -> None:
        """Let the shards of this process go; they may be deleted then."""
        _close(self._held)

    def cuts(self, urls: Sequence[str]) -> list[tuple[str, str]]:
        """Name and reason of each of these shards that is cut off or without pictures."""
        found = []
        for url in urls:
            cut = json.loads(self._index_path(url).read_text())["cut"]
            if cut is not None:
                found.append((shown(url), cut_reason(cut)))
            elif not self.count(url):
                found.append((shown(url), "there are no pictures in this shard"))
        return found

    def fetch_ahead(self, urls: Sequence[str]) -> None:
        """Begin to fetch these shards beside the work, if twice what is held fits the bound."""
        held = sum(os.fstat(file.fileno()).st_size for file in self._held.values())
        missing = [url for url in urls if not self._path(url).exists()]
        if missing and 2 * held <= self.bound:
            threading.Thread(target=self._fetch_quietly, args=(missing,), daemon=True).start()

    def _fetch_quietly(self, urls: Sequence[str]) -> None:
        # The process that comes to need the shard meets the same error and says it.
        with suppress(TrainingError, ConfigError):
            for url in urls:
                self._fetch(url).close()

    def _fetch(self, url: str) -> BinaryIO:
        """The shard, here and held."""
        path = self._path(url)
        while True:
            with _locked(path):
                if not path.exists():
                    part = path.with_suffix(".part")
                    _download(url, part)
                    self._remember(url, part)
                    part.replace(path)
                with suppress(FileNotFoundError):  # deleted in between by another process
                    file = _opened(path)
                    break
        self._make_room()
        return file

    def _remember(self, url: str, part: Path) -> None:
        """Write what is in the shard; it must be what was there when it was fetched before."""
        try:
            members, cut = read_tar(part)
        except TrainingError:
            part.unlink()
            raise TrainingError(
                f"{shown(url)} is not an uncompressed .tar shard; give the address of one"
            ) from None
        index = {"url": shown(url), "size": part.stat().st_size, "cut": cut, "members": members}
        path = self._index_path(url)
        if path.exists() and json.loads(path.read_text()) != json.loads(json.dumps(index)):
            part.unlink()
            raise TrainingError(
                f"{shown(url)} is not what it was when it was fetched before; to go on with the "
                f"new one delete {path}"
            )
        with whole_file(path) as file:
            file.write_text(json.dumps(index))

    def _entries(self, url: str) -> list[Entry]:
        index = json.loads(self._index_path(url).read_text())
        return tar_entries(index["members"], self._path(url), shown(url))

    def _path(self, url: str) -> Path:
        name = re.sub(r"[^\w.-]", "_", Path(urlsplit(url).path).stem)[-60:]
        return self.folder / f"{name}-{hashlib.sha256(url.encode()).hexdigest()[:16]}.tar"

    def _index_path(self, url: str) -> Path:
        return self._path(url).with_suffix(".json")

    def _make_room(self) -> None:
        """Delete the shards that were not used for longest, and what broken fetches left."""
        with FileLock(self.folder / ".room.lock"):
            for part in self.folder.glob("*.part"):
                _delete_if_abandoned(part)
            files = []
            for path in self.folder.glob("*.tar"):
                with suppress(FileNotFoundError):
                    files.append((path.stat().st_mtime_ns, path.stat().st_size, path))
            total = sum(size for _, size, _ in files)
            for _, size, path in sorted(files):
                if total <= self.bound:
                    break
                total -= size if _delete_if_unused(path) else 0


def _close(held: dict[str, BinaryIO]) -> None:
    for file in held.values():
        file.close()
    held.clear()


def _download(url: str, part: Path) -> None:
    """Copy what lies at an address to `part`, trying again for a while.

    Raises TrainingError if it cannot be had, ConfigError if a package for it is missing.
    """
    for wait in (*WAITS, None):
        try:
            with _remote(url) as (source, size), part.open("wb") as file:
                shutil.copyfileobj(source, file, PIECE)
            if size is not None and part.stat().st_size != size:
                raise OSError(f"{part.stat().st_size} of {size} bytes came")
            return
        except _fetch_errors() as problem:
            if wait is None or _is_final(problem):
                part.unlink(missing_ok=True)
                raise TrainingError(
                    f"cannot fetch {shown(url)} ({problem}); check the address and the network"
                ) from None
            time.sleep(wait)


def _is_final(problem: Exception) -> bool:
    """Whether trying again is of no use."""
    if isinstance(problem, HTTPError):
        problem.close()
        return problem.code < 500 and problem.code not in (408, 429)  # too slow, too many
    return isinstance(problem, (FileNotFoundError, PermissionError, ValueError))


@contextmanager
def _remote(url: str) -> Iterator[tuple[IO[bytes], int | None]]:
    """An address opened for reading, and its number of bytes if the server says it."""
    if url.startswith(("http://", "https://")):
        # Not by fsspec, which would need aiohttp.
        request = Request(url, headers={"User-Agent": "gatefill"})
        with urlopen(request, timeout=SECONDS) as answer:
            length = answer.headers.get("Content-Length")
            yield answer, int(length) if length else None
        return
    try:
        import fsspec

        with fsspec.open(url, "rb") as file:
            yield file, getattr(file, "size", None)
    except ImportError as problem:
        raise ConfigError(f"reading {shown(url)} needs another package: {problem}") from None


def _fetch_errors() -> tuple[type[Exception], ...]:
    """What a fetch may raise; of packages behind fsspec those errors that are no OSError."""
    names = {"botocore.exceptions": "BotoCoreError", "google.auth.exceptions": "GoogleAuthError"}
    names |= {"gcsfs.retry": "HttpError", "azure.core.exceptions": "AzureError"}
    loaded = tuple(
        getattr(sys.modules[module], name)
        for module, name in names.items()
        if module in sys.modules
    )
    return (OSError, ValueError, EOFError, HTTPException, *loaded)


@contextmanager
def _locked(path: Path, timeout: float = -1) -> Iterator[None]:
    """Alone with a shard, among all processes; waits unless `timeout` says how long."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"), timeout=timeout)
        with lock:
            yield
    except PermissionError as problem:
        raise TrainingError(f"cannot write {path} ({problem}); name another --cache-dir") from None


def _opened(path: Path) -> BinaryIO:
    """The file, open, with a lock that forbids others to delete it.

    Raises FileNotFoundError if it is gone by then.
    """
    file = path.open("rb")
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_SH)
    try:
        os.utime(path)  # the times say what was used last
    except FileNotFoundError:
        file.close()
        raise
    return file


def _delete_if_unused(path: Path) -> bool:
    """Delete a shard unless a process holds it; returns whether it was."""
    try:
        with path.open("rb") as file:
            if sys.platform != "win32":
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                return True
        path.unlink()  # refused on Windows while a process has it open
    except (BlockingIOError, PermissionError, FileNotFoundError):
        return False
    return True


def _delete_if_abandoned(part: Path) -> None:
    with suppress(Timeout), _locked(part, timeout=0):
        part.unlink(missing_ok=True)
