"""Completed pictures -> OUTPUT: files of their own, a tar file or a table for each shard."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from core.extras import need

from .config import Form
from .shards import File, Shard
from .storage import PRIVATE, Store

ROWS_AT_ONCE = 64
"""Of Parquet, in a row group."""
LONGEST_NAME = 240
"""Bytes; file systems take 255, of which a suffix needs some."""


class Writer(Protocol):
    """Takes the completed pictures of one shard."""

    def refusal(self, item_id: str) -> str:
        """Why no picture of that id can be added, or ""; asked once for each."""
        ...

    def add(self, line: dict[str, Any], picture: File) -> None:
        """One picture and its line of the report."""
        ...

    def finish(self) -> None:
        """Make what was added the shard's output, in place of what an earlier attempt wrote."""
        ...


class FolderWriter:
    """Files named as in INPUT; those of shards with a name of their own lie in a folder of it."""

    def __init__(self, output: Store, shard: Shard, folder: Path):
        self.output, self.shard = output, shard

    def refusal(self, item_id: str) -> str:
        """Whether it would lie elsewhere than in OUTPUT."""
        path = PurePosixPath(item_id)
        if path.is_absolute() or ".." in path.parts or path.parts[:1] == (PRIVATE,):
            return "its name leads out of OUTPUT, or to the job's own files; rename it"
        if "\0" in item_id or any(len(part.encode()) > LONGEST_NAME for part in path.parts):
            return "its name is too long for a file, or holds a zero byte; rename it"
        return ""

    def add(self, line: dict[str, Any], picture: File) -> None:
        """Write the picture at once: it lies where every attempt puts it."""
        self.output.write(file_name(self.shard, line["id"], picture.suffix), picture.content)

    def finish(self) -> None:
        """All is there already."""


class TarWriter:
    """A tar file for WebDataset: KEY.png, the picture, and KEY.json, its line of the report."""

    def __init__(self, output: Store, shard: Shard, folder: Path):
        self.output, self.name = output, f"{shard.name}.tar"
        self.path = folder / "shard.tar"
        self.tar = tarfile.open(self.path, "w")  # noqa: SIM115  # open until `finish`
        self.keys: set[str] = set()

    def refusal(self, item_id: str) -> str:
        """Whether an item before it has the same key."""
        key = key_of(item_id)
        if key in self.keys:
            return f"its key would be {key}, as that of an item before it; rename one"
        self.keys.add(key)
        return ""

    def add(self, line: dict[str, Any], picture: File) -> None:
        """Append both files."""
        key = key_of(line["id"])
        self._append(key + picture.suffix, picture.content)
        self._append(f"{key}.json", json.dumps(line).encode())

    def finish(self) -> None:
        """Put the file in its place."""
        self.tar.close()
        self.output.write(self.name, self.path)

    def _append(self, name: str, content: bytes) -> None:
        info = tarfile.TarInfo(name)  # without time and owner: the same pictures, the same bytes
        info.size = len(content)
        self.tar.addfile(info, io.BytesIO(content))


class ParquetWriter:
    """A table: id, image, and what the report says of each picture."""

    def __init__(self, output: Store, shard: Shard, folder: Path):
        arrow, parquet = need("pyarrow", "cluster"), need("pyarrow.parquet", "cluster")
        self.output, self.name = output, f"{shard.name}.parquet"
        self.path = folder / "shard.parquet"
        self.schema = arrow.schema(
            {
                "id": arrow.string(),
                "image": arrow.binary(),
                "height": arrow.int32(),
                "width": arrow.int32(),
                "hole_percent": arrow.float64(),
                "seconds": arrow.float64(),
            }
        )
        # Pictures are compressed already.
        self.file = parquet.ParquetWriter(self.path, self.schema, compression="none")
        self.rows: list[dict[str, Any]] = []

    def refusal(self, item_id: str) -> str:
        """Every id will do."""
        return ""

    def add(self, line: dict[str, Any], picture: File) -> None:
        """Append a row."""
        facts = {name: line.get(name) for name in self.schema.names}
        self.rows.append(facts | {"image": picture.content})
        if len(self.rows) == ROWS_AT_ONCE:
            self._flush()

    def finish(self) -> None:
        """Put the file in its place."""
        self._flush()
        self.file.close()
        self.output.write(self.name, self.path)

    def _flush(self) -> None:
        arrow = need("pyarrow", "cluster")
        if self.rows:
            self.file.write_table(arrow.Table.from_pylist(self.rows, schema=self.schema))
        self.rows = []


def file_name(shard: Shard, item_id: str, suffix: str) -> str:
    """Where a picture lies in a folder of results."""
    return item_id if shard.form == "folder" else f"{shard.name}/{item_id}{suffix}"


def key_of(item_id: str) -> str:
    """Of WebDataset, in which a dot ends the key: a/cat.jpg -> a/cat_jpg."""
    folder, slash, base = item_id.rpartition("/")
    return folder + slash + base.replace(".", "_")


WRITERS: dict[Form, Callable[[Store, Shard, Path], Writer]] = {
    "folder": FolderWriter,
    "webdataset": TarWriter,
    "parquet": ParquetWriter,
}
