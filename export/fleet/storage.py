"""A folder, local or remote, as readers and writers of shards see it: names below a root.

PyArrow's own file systems are taken where it has one (file, s3, gs, hdfs, ...), fsspec's otherwise.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from core.errors import ConfigError, ImageError
from core.extras import need

PRIVATE = "_fleet"
"""Folder below OUTPUT for what only the job itself reads."""
STAGE = f"{PRIVATE}/stage"
"""Where files lie until they are whole."""
COMMITTED_AT_ONCE = ("s3", "gcs")
"""File systems that show a file only once it is whole, and on which moving is copying."""
CHUNK = 1 << 22


@dataclass(frozen=True)
class Store:
    """Files below `root`; names are relative to it, with slashes."""

    fs: Any
    """A pyarrow.fs.FileSystem."""
    root: str
    place: str
    """As the user named it."""
    only: str = ""
    """The one file that counts, where the user named a file."""

    @property
    def local(self) -> Path | None:
        """The folder itself, where it is one of this machine."""
        return Path(self.root) if self.fs.type_name == "local" else None

    def path(self, name: str) -> str:
        """Of a name, as the file system has it."""
        return f"{self.root}/{name}" if name else self.root

    def names(self, below: str = "") -> list[str]:
        """All files, sorted; none where there is no such folder."""
        fs = need("pyarrow.fs", "cluster")
        if self.only:
            return [self.only]
        selector = fs.FileSelector(self.path(below), allow_not_found=True, recursive=True)
        start = len(self.path("")) + 1
        files = (entry for entry in self._get_info(selector) if entry.type == fs.FileType.File)
        return sorted(entry.path[start:] for entry in files)

    def is_empty(self) -> bool:
        """Whether nothing lies there, or nothing is there at all."""
        fs = need("pyarrow.fs", "cluster")
        return not self._get_info(fs.FileSelector(self.root, allow_not_found=True))

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        fs = need("pyarrow.fs", "cluster")
        return bool(self._get_info(self.path(name)).type == fs.FileType.File)

    def read(self, name: str) -> bytes:
        """Raises OSError as the file system does."""
        with self.fs.open_input_stream(self.path(name), compression=None) as stream:
            return bytes(stream.read())

    @contextmanager
    def opened(self, name: str) -> Iterator[Any]:
        """A stream of bytes, to be read once from the beginning."""
        with self.fs.open_input_stream(self.path(name), compression=None) as stream:
            yield stream

    def write(self, name: str, content: bytes | Path) -> None:
        """Write bytes, or what is in a local file: whole or not at all, over what is there.

        Raises ImageError, as for a full disk.
        """
        try:
            self._write(name, content)
        except OSError as problem:
            raise ImageError(
                f"cannot write {name} to OUTPUT ({first_line(problem)}); mend that and run again "
                "with --resume"
            ) from None

    def delete(self, name: str) -> None:
        """A file, if it is there."""
        if self.exists(name):
            self.fs.delete_file(self.path(name))

    def delete_folder(self, name: str) -> None:
        """A folder and all below it, if it is there."""
        fs = need("pyarrow.fs", "cluster")
        if self._get_info(self.path(name)).type == fs.FileType.Directory:
            self.fs.delete_dir(self.path(name))

    def _get_info(self, what: Any) -> Any:
        try:
            return self.fs.get_file_info(what)
        except OSError as problem:
            raise ImageError(
                f"cannot look into {self.place} ({first_line(problem)}); check the name and the "
                "right to read it"
            ) from None

    def _write(self, name: str, content: bytes | Path) -> None:
        target = self.path(name)
        if self.fs.type_name in COMMITTED_AT_ONCE:
            self._pour(target, content)
            return
        stage = self.path(f"{STAGE}/{uuid.uuid4().hex}")
        for path in (stage, target):
            self.fs.create_dir(str(PurePosixPath(path).parent), recursive=True)
        self._pour(stage, content)
        if self.local is None:  # elsewhere moving does not replace
            self.delete(name)
        self.fs.move(stage, target)

    def _pour(self, path: str, content: bytes | Path) -> None:
        with self.fs.open_output_stream(path, compression=None) as stream:
            if isinstance(content, bytes):
                stream.write(content)
                return
            with content.open("rb") as file:
                while chunk := file.read(CHUNK):
                    stream.write(chunk)


def open_store(place: str) -> Store:
    """The folder at a path or URI. Raises ConfigError for a file system that there is not."""
    fs = need("pyarrow.fs", "cluster")
    if "://" not in place:
        return Store(fs.LocalFileSystem(), Path(place).resolve().as_posix(), place)
    try:
        found, root = fs.FileSystem.from_uri(place)
    except ValueError:  # not one of PyArrow's own
        found, root = _by_fsspec(place)
    except OSError as problem:
        raise ConfigError(f"cannot reach {place} ({first_line(problem)}); check the URI") from None
    return Store(found, root.rstrip("/"), place)


def _by_fsspec(place: str) -> tuple[Any, str]:
    fs, fsspec = need("pyarrow.fs", "cluster"), need("fsspec.core", "cluster")
    try:
        found, root = fsspec.url_to_fs(place)
    except (ValueError, ImportError) as problem:
        scheme = place.partition("://")[0]
        raise ConfigError(
            f"no file system for {scheme}:// ({first_line(problem)}); give a path, a URI that "
            "PyArrow knows, or install fsspec's package for it"
        ) from None
    return fs.PyFileSystem(fs.FSSpecHandler(found)), root


def first_line(problem: Exception) -> str:
    """The first line of an error's text, for a sentence."""
    return str(problem).strip().partition("\n")[0][:300] or type(problem).__name__
