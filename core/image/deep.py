"""Colour of 16 bits per sample, which Pillow has no mode for: read in two passes, write PNG.

Pillow unpacks such samples into 8 bits by taking the first byte of each; told that the byte
order is the other one, it takes the second. Both together are the whole sample.
"""

import struct
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import ImageError
from .exif import PREFIX
from .metadata import Metadata
from .modes import MODES, ZLIB_LEVEL, Array

OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}

BITS_PER_SAMPLE, PLANAR_CONFIGURATION = 258, 284


def raw_mode(image: Image.Image) -> str:
    """How the file's samples are laid out, in Pillow's words; to be asked before `load`."""
    tiles = getattr(image, "tile", [])
    layout = tiles[0][3] if tiles else ""
    return str(layout if isinstance(layout, str) else layout[0])


def is_deep(image: Image.Image) -> bool:
    """Whether Pillow would cut samples of 16 bits to 8; raises ImageError where we would too."""
    raw, tags = raw_mode(image), getattr(image, "tag_v2", {})
    deep = ";16" in raw or max(tags.get(BITS_PER_SAMPLE, (8,))) > 8
    if not deep or image.mode in ("F", "I") or image.mode.startswith("I;"):
        return False
    planar = tags.get(PLANAR_CONFIGURATION, 1)
    if image.mode not in ("RGB", "RGBA", "CMYK") or planar != 1 or "a;" in raw or "X" in raw:
        raise ImageError(
            f"{image.mode} of more than 8 bits, laid out as {raw}, plane order {planar}, would "
            "lose bits; save it as plain 16-bit RGB or RGBA with interleaved channels, or as 8 bit"
        )
    return True


def deep_mode(image: Image.Image) -> str:
    """The name in `MODES` of a deep picture."""
    return "LA;16" if raw_mode(image).startswith("LA") else f"{image.mode};16"


def second_layout(image: Image.Image) -> str:
    """The layout that makes Pillow yield the bytes that it leaves out."""
    raw = raw_mode(image)
    # Two gray samples of 16 bits fill the four bytes of an RGBA pixel: one pass yields all.
    return "RGBA" if raw.startswith("LA") else raw[:-1] + OTHER_ORDER[raw[-1]]


def set_layout(image: Image.Image, raw: str) -> None:
    """Have `load` unpack the samples as `raw`."""
    tiles = getattr(image, "tile", [])
    layouts = [raw if isinstance(tile[3], str) else (raw, *tile[3][1:]) for tile in tiles]
    new = [tile._replace(args=layout) for tile, layout in zip(tiles, layouts, strict=True)]
    image.tile = new  # type: ignore[attr-defined]  # an ImageFile, which mypy cannot know


def join_bytes(first: Array, second: Array, mode: str) -> Array:
    """The two passes (h, w, c) uint8 -> samples (h, w, channels of `mode`) uint16."""
    if mode == "LA;16":
        return np.ascontiguousarray(second).view(">u2").astype(np.uint16)
    return first.astype(np.uint16) << 8 | second


def write_png(
    path: Path, blocks: Iterable[Array], size: tuple[int, int], mode: str, metadata: Metadata
) -> None:
    """Write blocks of rows (h, w, c) uint16 as a PNG of `size` (height, width)."""
    height, width = size
    kind = {"LA;16": 4, "RGB;16": 2, "RGBA;16": 6}[mode]
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.write(_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)))
        for name, data in _described(metadata):
            file.write(_chunk(name, data))
        squeeze = zlib.compressobj(ZLIB_LEVEL)
        above = np.zeros((1, width * MODES[mode].channels * 2), np.uint8)
        for block in blocks:
            rows = block.astype(">u2").reshape(len(block), -1).view(np.uint8)
            change = rows - np.concatenate([above, rows[:-1]])  # PNG's filter 2, "up"
            lines = np.insert(change, 0, 2, axis=1)
            file.write(_chunk(b"IDAT", squeeze.compress(lines.tobytes())))
            above = rows[-1:]
        file.write(_chunk(b"IDAT", squeeze.flush()) + _chunk(b"IEND", b""))


def _described(metadata: Metadata) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents of the chunks that go before the pixels."""
    if metadata.icc_profile:
        yield b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc_profile)
    if metadata.dpi:
        across, down = (round(value / 0.0254) for value in metadata.dpi)  # per metre
        yield b"pHYs", struct.pack(">IIB", across, down, 1)
    if metadata.exif:
        yield b"eXIf", metadata.exif.removeprefix(PREFIX)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
