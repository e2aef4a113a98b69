"""A slow writer of TensorFlow checkpoints, from the documents alone, to test the reader with.

leveldb's doc/table_format.md, TensorFlow's tensor_bundle.proto; the checksum bit by bit.
"""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NUMBERS = {"float32": 1, "float64": 2, "int32": 3, "int64": 9}
MAGIC = 0xDB4775248B80FB57


def slow_crc32c(text: bytes) -> int:
    remainder = 0xFFFFFFFF
    for byte in text:
        remainder ^= byte
        for _ in range(8):
            remainder = (remainder >> 1) ^ (0x82F63B78 if remainder & 1 else 0)
    return remainder ^ 0xFFFFFFFF


BYTES = [slow_crc32c(bytes([i])) ^ slow_crc32c(b"\0") for i in range(256)]


def checksum(text: bytes) -> int:
    """As `slow_crc32c`, eight bits at a time."""
    remainder = 0xFFFFFFFF
    for byte in text:
        remainder = BYTES[(remainder ^ byte) & 0xFF] ^ (remainder >> 8)
    return remainder ^ 0xFFFFFFFF


def masked(text: bytes) -> int:
    """The checksum as stored: rotated and added to."""
    remainder = checksum(text)
    return ((remainder >> 15 | remainder << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(value: int) -> bytes:
    text = b""
    while value >= 0x80:
        text += bytes([value & 0x7F | 0x80])
        value >>= 7
    return text + bytes([value])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value)


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """Entries whose keys share a beginning with the one before, as leveldb shortens them."""
    text, before = b"", b""
    for key, value in entries:
        shared = 0
        while shared < min(len(key), len(before)) and key[shared] == before[shared]:
            shared += 1
        text += varint(shared) + varint(len(key) - shared) + varint(len(value))
        text += key[shared:] + value
        before = key
    return text + struct.pack("<II", 0, 1)


def table(entries: list[tuple[bytes, bytes]], per_block: int = 1000, compression: int = 0) -> bytes:
    content, handles = b"", []

    def add(text: bytes) -> bytes:
        nonlocal content
        start = len(content)
        ending = bytes([compression])
        content += text + ending + struct.pack("<I", masked(text + ending))
        return varint(start) + varint(len(text))

    for start in range(0, len(entries), per_block):
        part = entries[start : start + per_block]
        handles.append((part[-1][0], add(block(part))))
    footer = add(block([])) + add(block(handles))
    return content + footer.ljust(40, b"\0") + struct.pack("<Q", MAGIC)


def write_bundle(
    prefix: Path, values: dict[str, NDArray], *, shards: int = 1, per_block: int = 1000,
    endianness: int = 0, compression: int = 0,
) -> Path:  # fmt: skip
    """`prefix`.index and its data files; tensors go round the shards in turn. -> the index."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    data = [b""] * shards
    entries = [(b"", field(1, shards) + field(2, endianness))]
    for number, (name, value) in enumerate(sorted(values.items())):
        shard, text = number % shards, value.tobytes()
        shape = b"".join(field(2, field(1, side)) for side in value.shape)
        message = field(1, NUMBERS[str(value.dtype)]) + field(2, shape) + field(3, shard)
        message += field(4, len(data[shard])) + field(5, len(text))
        message += varint(6 << 3 | 5) + struct.pack("<I", masked(text))
        entries.append((name.encode(), message))
        data[shard] += text
    for shard, text in enumerate(data):
        file = prefix.with_name(f"{prefix.name}.data-{shard:05}-of-{shards:05}")
        file.write_bytes(text)
    index = prefix.with_name(f"{prefix.name}.index")
    index.write_bytes(table(entries, per_block, compression))
    return index


def float32(state: dict) -> dict[str, NDArray]:
    """Tensors as TensorFlow stores weights."""
    return {name: tensor.numpy().astype(np.float32) for name, tensor in state.items()}
