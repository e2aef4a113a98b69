"""The checksum CRC-32C (Castagnoli), which TensorFlow's checkpoints carry, at the speed of numpy.

A remainder is linear in what is divided. So a text is cut into lanes of equal length, all lanes go
side by side through a table of two bytes, and their remainders are then joined pair by pair: the
left one is moved on by the length of the right one (as zlib's crc32_combine does) and both are
added.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

POLYNOMIAL = 0x82F63B78
"""RFC 3720, section 12.1, lowest power first."""
LANE = 512
"""Bytes; what is left over at the end, fewer than these, goes byte by byte."""
PIECE = 4096 * LANE
"""Bytes done at once: the remainders of its lanes fit a processor's cache."""
MASK_DELTA = 0xA282EAD8


def crc32c(content: bytes | bytearray | memoryview) -> int:
    """The checksum of `content`, 0 to 2^32 - 1."""
    data = np.frombuffer(content, np.uint8)
    state = 0xFFFFFFFF
    for start in range(0, len(data), PIECE):
        piece = data[start : start + PIECE]
        lanes = len(piece) // LANE
        if lanes:
            state = _through_lanes(state, piece[: lanes * LANE].reshape(lanes, LANE))
        for byte in piece[lanes * LANE :].tolist():
            state = int(BYTE_TABLE[(state ^ byte) & 0xFF]) ^ (state >> 8)
    return state ^ 0xFFFFFFFF


def unmasked(stored: int) -> int:
    """The checksum that a file has stored "masked" (leveldb's crc32c.h): added to and rotated."""
    turned = (stored - MASK_DELTA) & 0xFFFFFFFF
    return ((turned >> 17) | (turned << 15)) & 0xFFFFFFFF


def _through_lanes(state: int, lanes: NDArray[np.uint8]) -> int:
    """The remainder after all of `lanes` (count, LANE), one after the other."""
    remainders = np.zeros(len(lanes), np.uint32)
    remainders[0] = state
    for column in np.ascontiguousarray(lanes.view("<u2").T):
        remainders = TABLE[(remainders ^ column) & 0xFFFF] ^ (remainders >> 16)
    moved = MOVED_BY_LANE
    # Lanes of zeros in front leave a remainder of 0 as it is.
    width = 1 << (len(lanes) - 1).bit_length()
    remainders = np.concatenate([np.zeros(width - len(lanes), np.uint32), remainders])
    while len(remainders) > 1:
        remainders = _applied(moved, remainders[::2]) ^ remainders[1::2]
        moved = _applied(moved, moved)
    return int(remainders[0])


def _applied(images: NDArray[np.uint32], values: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """A linear map, given by what it makes of each of the 32 bits, of all `values`."""
    result = np.zeros_like(values)
    for bit in range(32):
        result ^= ((values >> np.uint32(bit)) & np.uint32(1)) * images[bit]
    return result


def _table(bits: int) -> NDArray[np.uint32]:
    """What `bits` steps of the division make of each number of so many bits: (2^bits,)."""
    values: NDArray[Any] = np.arange(1 << bits, dtype=np.uint64)
    for _ in range(bits):
        values = (values >> 1) ^ (values & 1) * POLYNOMIAL
    return values.astype(np.uint32)


def _moved_by_lane() -> NDArray[np.uint32]:
    """What LANE zero bytes make of each of the 32 bits: (32,)."""
    values: NDArray[np.uint32] = np.left_shift(np.uint32(1), np.arange(32, dtype=np.uint32))
    for _ in range(LANE):
        values = BYTE_TABLE[values & 0xFF] ^ (values >> 8)
    return values


BYTE_TABLE, TABLE = _table(8), _table(16)
MOVED_BY_LANE = _moved_by_lane()
