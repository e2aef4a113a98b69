"""A TIFF writer for every mode, in strips: Pillow's knows no 16-bit colour and drops the EXIF."""

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from .exif import describing
from .metadata import Metadata
from .modes import MODES, ZLIB_LEVEL, Array, Coding

HEADER = b"II*\0" + struct.pack("<I", 8)

STRIP_OFFSETS, STRIP_LENGTHS = 273, 279


def write_tiff(
    path: Path,
    blocks: Iterable[Array],
    size: tuple[int, int],
    rows: int,
    coding: Coding,
    metadata: Metadata,
) -> None:
    """Write blocks of `rows` rows (the last may have fewer) as strips under lossless deflate."""
    strips = -(-size[0] // rows)
    tags = _tags(size, rows, coding)
    tags.update(_exif_tags(metadata.exif))
    if metadata.icc_profile:
        tags[34675] = metadata.icc_profile
    if metadata.dpi:
        tags.update({282: metadata.dpi[0], 283: metadata.dpi[1], 296: 2})  # 2: per inch
    # The directory stands before the strips: its place is kept with numbers of the same length.
    reserved = _directory(tags, [0] * strips, [0] * strips)
    offsets, lengths = [], []
    with path.open("wb") as file:
        file.write(HEADER + reserved)
        start = file.tell()
        for block in blocks:
            strip = zlib.compress(_strip_bytes(block, coding), ZLIB_LEVEL)
            offsets.append(file.tell() - start)
            lengths.append(file.write(strip))
        file.seek(0)
        file.write(HEADER + _directory(tags, offsets, lengths))


def _tags(size: tuple[int, int], rows: int, coding: Coding) -> dict[int, object]:
    mode = MODES[coding.mode]
    bits = 1 if coding.mode == "1" else 8 * np.dtype(mode.dtype).itemsize
    tags: dict[int, object] = {
        256: size[1],
        257: size[0],
        258: (bits,) * mode.channels,
        259: 8,  # deflate
        262: 3 if coding.mode == "P" else {"gray": 1, "rgb": 2, "cmyk": 5}[mode.family],
        277: mode.channels,
        278: rows,
        284: 1,  # samples of a pixel side by side
        317: 2 if _differenced(coding) else 1,
    }
    if mode.alpha:
        tags[338] = 2  # colours not multiplied by alpha
    if coding.mode == "F":
        tags[339] = 3  # floating point
    if coding.palette is not None:
        table = np.zeros((3, 256), np.uint16)
        table[:, : len(coding.palette)] = coding.palette[:, :3].T
        tags[320] = tuple(int(value) for value in (table * 257).ravel())
    return tags


def _exif_tags(exif: bytes) -> dict[int, object]:
    if not exif:
        return {}
    source = Image.Exif()
    source.load(exif)
    return describing(source)


def _directory(tags: dict[int, object], offsets: list[int], lengths: list[int]) -> bytes:
    directory = ImageFileDirectory_v2(HEADER)
    for tag, value in tags.items():
        directory[tag] = value
    for tag, numbers in ((STRIP_OFFSETS, offsets), (STRIP_LENGTHS, lengths)):
        directory.tagtype[tag] = 4  # 32 bits, whatever the values
        directory[tag] = tuple(numbers)
    return directory.tobytes(len(HEADER))  # adds the directory's end to the offsets


def _differenced(coding: Coding) -> bool:
    """Whether samples are stored as differences from their left neighbours, TIFF's predictor 2."""
    return coding.mode not in ("1", "P", "F")


def _strip_bytes(block: Array, coding: Coding) -> bytes:
    if coding.mode == "1":
        return np.packbits(block, axis=1).tobytes()
    little = block.astype(np.dtype(block.dtype).newbyteorder("<"))
    if _differenced(coding):
        little[:, 1:] = block[:, 1:] - block[:, :-1]
    return little.tobytes()
