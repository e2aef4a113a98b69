"""Tables of sorted keys and values in leveldb's form: the index of a TensorFlow checkpoint is one.

The form: leveldb's doc/table_format.md. Blocks, each with a checksum; an index block that says
where they are; a footer that says where that is. Every function raises ValueError for what cannot
be such a table, or is damaged.
"""

import struct
from collections.abc import Iterator

from .crc32c import crc32c, unmasked

MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
"""The last eight bytes of a table."""
FOOTER = 48
TRAILER = 5
"""After a block: its compression, and the checksum of both."""


def table_entries(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a whole table, in order."""
    if len(content) < FOOTER or not content.endswith(MAGIC):
        raise ValueError("its end is not that of a table")
    footer = content[-FOOTER:]
    position = 0
    for _ in range(2):  # where the block of metadata is, which is empty
        _, position = varint(footer, position)
    index = _block(content, footer, position)
    for _, handle in _block_entries(index):
        yield from _block_entries(_block(content, handle, 0))


def varint(content: bytes, position: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and the position after it."""
    value = shift = 0
    while shift < 70:
        if position >= len(content):
            break
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError("a number in it has no end")


def _block(content: bytes, handle: bytes, position: int) -> bytes:
    """The block at the place that `handle` says from `position` on."""
    start, position = varint(handle, position)
    size, _ = varint(handle, position)
    end = start + size
    if end + TRAILER > len(content):
        raise ValueError("a block reaches beyond its end")
    compression, stored = struct.unpack("<BI", content[end : end + TRAILER])
    if crc32c(content[start : end + 1]) != unmasked(stored):
        raise ValueError("the checksum of a block is wrong")
    if compression:
        raise ValueError("a block is compressed, which TensorFlow does not do")
    return content[start:end]


def _block_entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values; each key says how many bytes it shares with the one before."""
    if len(block) < 4:
        raise ValueError("a block has no end")
    (restarts,) = struct.unpack("<I", block[-4:])
    end = len(block) - 4 - 4 * restarts
    position, key = 0, b""
    while position < end:
        shared, position = varint(block, position)
        added, position = varint(block, position)
        size, position = varint(block, position)
        if shared > len(key) or position + added + size > end:
            raise ValueError("an entry reaches beyond its block")
        key = key[:shared] + block[position : position + added]
        position += added
        yield key, block[position : position + size]
        position += size
