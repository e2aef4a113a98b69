"""Checkpoints of TensorFlow (the second format, `tf.train.Saver` and `tf.train.Checkpoint`).

Read without TensorFlow: NAME.index is a table from names to messages (tensor_bundle.proto) that say
type, shape, place and checksum; the numbers stand in NAME.data-00000-of-00001, or several of them.
Nothing is read but the index until a tensor is asked for; then that one alone, and its checksum is
compared.
"""

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import WeightsError
from .checkpoint import Checkpoint, Shape
from .crc32c import crc32c, unmasked
from .table import FOOTER, MAGIC, table_entries, varint

KIND = "TensorFlow checkpoint"
TYPES = {
    1: np.float32, 2: np.float64, 3: np.int32, 4: np.uint8, 5: np.int16, 6: np.int8, 9: np.int64,
    10: np.bool_, 14: np.uint16, 19: np.float16,
}  # fmt: skip
"""DataType of types.proto -> numpy's; others, as texts, cannot be weights."""
BFLOAT16 = 14


@dataclass(frozen=True)
class Entry:
    """Where a tensor is (BundleEntryProto)."""

    dtype: int
    shape: Shape
    shard: int
    offset: int
    size: int
    checksum: int
    sliced: bool
    """Whether it is stored in slices, under keys of their own."""


def is_bundle(path: Path) -> bool:
    """Whether `path` names a TensorFlow checkpoint: folder, prefix, or one of its files."""
    if path.is_dir():
        return (path / "checkpoint").is_file() or any(path.glob("*.index"))
    return path.name == "checkpoint" or _index_of(path).is_file()


def is_first_format(path: Path) -> bool:
    """Whether `path` is a table by itself: a checkpoint of TensorFlow's first format."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - len(MAGIC), 0))
        return size >= FOOTER and file.read() == MAGIC


def open_bundle(path: Path) -> Checkpoint:
    """The checkpoint of which `path` is the folder, the prefix or one of the files.

    Raises WeightsError if a part is missing or damaged, here or when a tensor is read.
    """
    if path.is_dir() or path.name == "checkpoint":
        index = _index_in(path if path.is_dir() else path.parent)
    else:
        index = _index_of(path)
    try:
        shards, entries = _parse(index.read_bytes())
    except (ValueError, struct.error) as problem:
        raise WeightsError(f"{index} is damaged ({problem}); get a fresh copy") from None
    except OSError as problem:
        raise WeightsError(f"cannot read {index} ({problem}); give it another way") from None
    prefix = index.name.removesuffix(".index")
    data = [index.with_name(f"{prefix}.data-{i:05}-of-{shards:05}") for i in range(shards)]
    for file in data:
        if not file.is_file():
            raise WeightsError(
                f"{index.name} is there but {file.name}, which holds the numbers, is not; "
                f"put both into {index.parent}"
            )

    def read(name: str) -> Tensor:
        return _read(name, entries[name], data)

    return Checkpoint(
        path=index,
        files=(index, *data),
        kind=KIND,
        shapes={name: entry.shape for name, entry in entries.items()},
        read=read,
    )


def _index_of(path: Path) -> Path:
    """NAME.index of NAME, NAME.index, NAME.meta or NAME.data-00000-of-00001."""
    return path.with_name(re.sub(r"\.(index|meta|data-\d+-of-\d+)$", "", path.name) + ".index")


def _index_in(folder: Path) -> Path:
    """The index that the file `checkpoint` of a folder names, or the only one there."""
    found = sorted(folder.glob("*.index"))
    for name in ("checkpoint", "checkpoint.txt"):  # a well-known drive appends .txt
        if (folder / name).is_file():
            text = (folder / name).read_text(encoding="utf-8", errors="replace")
            latest = re.search(r'^model_checkpoint_path: "(?:.*[/\\])?([^"/\\]+)"', text, re.M)
            if latest and (index := folder / f"{latest[1]}.index") in found:
                return index
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "no .index file"
        raise WeightsError(
            f"{folder} holds {names}, and no file `checkpoint` that says which is meant; "
            "give the .index file itself"
        )
    return found[0]


def _parse(content: bytes) -> tuple[int, dict[str, Entry]]:
    """How many data files there are, and the entry of each tensor."""
    items = table_entries(content)
    key, header = next(items, (b"-", b""))
    if key:
        raise ValueError("it has no header")
    facts = dict(_fields(header))
    if facts.get(2, 0):
        raise ValueError("its numbers are in big-endian order, which cannot be read here")
    # Slices stand under keys that begin with a zero byte.
    entries = {name.decode(): _entry(text) for name, text in items if not name.startswith(b"\0")}
    return _number(facts.get(1, 0)), entries


def _entry(message: bytes) -> Entry:
    facts = dict(_fields(message))
    shape = [
        _number(dict(_fields(_text(dimension))).get(1, 0))
        for number, dimension in _fields(_text(facts.get(2, b"")))
        if number == 2
    ]
    dtype, shard, offset, size, checksum = (_number(facts.get(i, 0)) for i in (1, 3, 4, 5, 6))
    return Entry(dtype, tuple(shape), shard, offset, size, checksum, sliced=7 in facts)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Numbers and values of the fields of a protocol buffer, as they come."""
    position = 0
    while position < len(message):
        tag, position = varint(message, position)
        wire = tag & 7
        value: int | bytes
        if wire == 0:
            value, position = varint(message, position)
        elif wire in (1, 2, 5):
            length = {1: 8, 5: 4}.get(wire, 0)
            if wire == 2:
                length, position = varint(message, position)
            text = message[position : position + length]
            value = text if wire == 2 else int.from_bytes(text, "little")
            position += length
        else:
            raise ValueError("a message in it is of no known form")
        if position > len(message):
            raise ValueError("a message in it ends too early")
        yield tag >> 3, value


def _number(value: int | bytes) -> int:
    if isinstance(value, int):
        return value
    raise ValueError("a message in it has a text for a number")


def _text(value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    raise ValueError("a message in it has a number for a text")


def _read(name: str, entry: Entry, data: list[Path]) -> Tensor:
    """One tensor. Raises WeightsError if it is damaged or no numbers."""
    if entry.sliced or entry.dtype not in TYPES:
        what = "in slices" if entry.sliced else f"of the type {entry.dtype}"
        raise WeightsError(f"{name} is stored {what}, which cannot be read here; save it whole")
    path, dtype = data[min(entry.shard, len(data) - 1)], np.dtype(TYPES[entry.dtype])
    if (
        entry.shard >= len(data)
        or entry.size != dtype.itemsize * math.prod(entry.shape)
        or entry.offset + entry.size > path.stat().st_size
    ):
        raise WeightsError(
            f"{path} ends before {name}, or the index is of another file; get a fresh copy of both"
        )
    values = np.empty(entry.shape, dtype)
    room = values.reshape(-1).view(np.uint8).data
    with path.open("rb") as file:
        file.seek(entry.offset)
        found = file.readinto(room)
    if found != entry.size or crc32c(room) != unmasked(entry.checksum):
        raise WeightsError(f"{path}: the checksum of {name} is wrong; get a fresh copy")
    tensor = torch.from_numpy(values)
    return tensor.view(torch.bfloat16) if entry.dtype == BFLOAT16 else tensor
