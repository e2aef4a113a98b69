"""Shards -> items, one after the other, so that a shard need not fit into memory.

What is wrong with one item becomes its `problem`; what is wrong with a whole file becomes an item
that stands for all that cannot be read of it.
"""

import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from core.commands.guides import GUIDES
from core.errors import ImageError
from core.extras import need
from core.image.write import SUFFIXES

from .config import Form
from .planning import check_columns
from .shards import PORTS, File, Item, Shard
from .storage import Store, first_line

ROWS_AT_ONCE = 16
"""Of Parquet; pictures of several megabytes each lie in memory."""
MAGIC = {
    b"\x89PNG": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"RIFF": ".webp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
    b"BM": ".bmp",
    b"\x93NUMPY": ".npy",
}
"""First bytes -> suffix, for pictures that come without a name."""


def read_items(shard: Shard, pictures: Store, masks: Store) -> Iterator[Item]:
    """All items of a shard; one whose id was there before comes with a problem."""
    seen = set()
    for item in READERS[shard.form](shard, pictures, masks):
        if item.id in seen:
            item = Item(id=item.id, problem="an item of this shard before it has the same name")
        seen.add(item.id)
        yield item


def _read_folder(shard: Shard, pictures: Store, masks: Store) -> Iterator[Item]:
    for names in shard.items:
        files, problem = {}, ""
        for port, name in names.items():
            store = masks if port == "mask" else pictures
            try:
                files[port] = File(_suffix(name), store.read(name))
            except OSError as reason:
                problem = f"cannot read {name} ({first_line(reason)}); check the file"
        yield Item(id=names["image"], files=files, problem=problem)


def _read_tar(shard: Shard, pictures: Store, masks: Store) -> Iterator[Item]:
    """Neighbouring files of one key are an item, as in WebDataset: KEY.jpg, KEY.mask.png, ..."""
    count = 0
    try:
        for item in _tar_items(pictures, shard.file):
            count += 1
            yield item
    except (tarfile.TarError, OSError, EOFError, zlib.error) as problem:
        yield Item(
            id=shard.file,
            problem=f"the tar file is damaged after {count} items ({first_line(problem)}), and "
            "what follows is lost; get it anew",
        )


def _tar_items(pictures: Store, name: str) -> Iterator[Item]:
    key = ""
    files: dict[str, File] = {}
    with pictures.opened(name) as stream, tarfile.open(fileobj=stream, mode="r|*") as tar:
        for member in tar:
            base, port, suffix = split_member(member.name)
            if not port or not member.isfile():
                continue
            if base != key:
                if files:
                    yield Item(id=key, files=files)
                key, files = base, {}
            opened = tar.extractfile(member)
            assert opened is not None  # it is a file
            files[port] = File(suffix, opened.read())
    if files:
        yield Item(id=key, files=files)


def split_member(name: str) -> tuple[str, str, str]:
    """a/cat.mask.png -> key a/cat, port "mask", suffix .png; no port for what is none of ours."""
    folder, _, base = name.removeprefix("./").rpartition("/")
    stem, _, rest = base.partition(".")
    word, _, suffix = rest.lower().rpartition(".")
    key = f"{folder}/{stem}" if folder else stem
    if not stem or base.startswith("__"):
        return key, "", ""  # hidden, or about the shard itself
    if not word:
        return key, "image" if f".{suffix}" in SUFFIXES else "", f".{suffix}"
    return key, PORTS.get(word, ""), f".{suffix}"


def _read_parquet(shard: Shard, pictures: Store, masks: Store) -> Iterator[Item]:
    parquet, arrow = need("pyarrow.parquet", "cluster"), need("pyarrow", "cluster")
    row = shard.first
    try:
        with parquet.ParquetFile(pictures.path(shard.file), filesystem=pictures.fs) as file:
            there = file.schema_arrow.names
            check_columns(shard.file, there)
            columns = [name for name in ("id", "image", "mask", *GUIDES) if name in there]
            groups = list(shard.groups)
            for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=groups, columns=columns):
                for values in batch.to_pylist():
                    yield _row_item(values, f"{shard.name}/{row:06d}")
                    row += 1
            if not groups and file.metadata.num_rows:
                raise ImageError("it could not be read while planning; run again with --force")
    except (arrow.ArrowException, OSError, ImageError) as problem:
        yield Item(
            id=shard.file,
            problem=f"the Parquet file cannot be read from row {row} on ({first_line(problem)})",
        )


def _row_item(values: dict[str, Any], name: str) -> Item:
    own = values.pop("id", None)
    files = {}
    for port, value in values.items():
        content = value.get("bytes") if isinstance(value, dict) else value  # as Hugging Face has it
        if isinstance(content, bytes):
            files[port] = File(_suffix_of(content), content)
        elif content is not None:
            problem = f"the column {port} holds {type(content).__name__}; it must hold bytes"
            return Item(id=name if own is None else str(own), problem=problem)
    return Item(id=name if own is None else str(own), files=files)


def _suffix(name: str) -> str:
    return "." + name.rpartition(".")[2].lower()


def _suffix_of(content: bytes) -> str:
    """By the first bytes; of a file of no kind we know, what reads it will say so."""
    found = (suffix for start, suffix in MAGIC.items() if content.startswith(start))
    return next(found, ".png")


READERS: dict[Form, Callable[[Shard, Store, Store], Iterator[Item]]] = {
    "folder": _read_folder,
    "webdataset": _read_tar,
    "parquet": _read_parquet,
}
