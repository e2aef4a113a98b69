"""EXIF blocks as bytes: all is kept but the orientation, which is applied, and the thumbnail."""

import struct

from PIL import Image

PREFIX = b"Exif\0\0"
"""How the block begins in a JPEG file; PNG and WebP hold what comes after."""

ORIENTATION, THUMBNAIL_START, THUMBNAIL_LENGTH = 0x0112, 0x0201, 0x0202

DESCRIPTIVE = (270, 271, 272, 305, 306, 315, 33432)
"""Description, make, model, software, date, artist, copyright."""

EXIF_DIRECTORIES = (0x8769, 0x8825)
"""Shot and place."""

NESTED = 0xA005
"""Interoperability, a directory inside that of the shot."""

DAMAGE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)
"""What Pillow has been seen to raise for damaged files, and its like."""


def upright(exif: bytes) -> tuple[bytes, int]:
    """An EXIF block -> the block for the upright, filled picture, and the orientation it had (1-8).

    Every other byte stays in its place, for the sake of maker notes. The thumbnail is wiped: it
    would go on showing what was filled. A damaged block is dropped: (b"", 1).
    """
    data = bytearray(exif.removeprefix(PREFIX))
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]))
    if order is None:
        return b"", 1
    try:
        orientation = _reset_orientation(data, order)
    except struct.error:
        return b"", 1
    return PREFIX + bytes(data), orientation


def describing(exif: Image.Exif) -> dict[int, object]:
    """Of all the tags of a TIFF file, those that say something of the picture, not of the file.

    Damaged tags, which Pillow could not write again, are dropped, all of them.
    """
    rebuilt = Image.Exif()
    try:
        rebuilt.update({tag: exif[tag] for tag in DESCRIPTIVE if tag in exif})
        for tag in EXIF_DIRECTORIES:
            # a directory inside a directory is only an offset here, which would point nowhere
            kept = {key: value for key, value in exif.get_ifd(tag).items() if key != NESTED}
            rebuilt.update({tag: kept} if kept else {})
        rebuilt.tobytes()
    except DAMAGE:
        return {}
    return dict(rebuilt)


def _reset_orientation(data: bytearray, order: str) -> int:
    (start,) = struct.unpack_from(order + "I", data, 4)
    entries, link = _directory(data, order, start)
    _wipe_thumbnail(data, order, link)
    if ORIENTATION not in entries:
        return 1
    kind, place = entries[ORIENTATION]
    form = order + ("I" if kind == 4 else "H")
    (orientation,) = struct.unpack_from(form, data, place)
    struct.pack_into(form, data, place, 1)
    return orientation if 1 <= orientation <= 8 else 1


def _wipe_thumbnail(data: bytearray, order: str, link: int) -> None:
    """Zero the thumbnail's bytes and the link to its directory."""
    (start,) = struct.unpack_from(order + "I", data, link)
    if start == 0:
        return
    entries, _ = _directory(data, order, start)
    if {THUMBNAIL_START, THUMBNAIL_LENGTH} <= entries.keys():
        (begin,) = struct.unpack_from(order + "I", data, entries[THUMBNAIL_START][1])
        (length,) = struct.unpack_from(order + "I", data, entries[THUMBNAIL_LENGTH][1])
        end = min(begin + length, len(data))
        data[begin:end] = bytes(max(end - begin, 0))
    struct.pack_into(order + "I", data, link, 0)


def _directory(data: bytearray, order: str, start: int) -> tuple[dict[int, tuple[int, int]], int]:
    """Tag -> (type, place of its value), and the place of the link to the next directory."""
    (count,) = struct.unpack_from(order + "H", data, start)
    entries = {}
    for place in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(order + "HH", data, place)
        entries[tag] = (kind, place + 8)
    return entries, start + 2 + 12 * count
