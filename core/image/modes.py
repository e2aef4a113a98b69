"""The ways in which picture files hold a pixel, and RGB in [0, 1] to and from each of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BLOCK_PIXELS = 2**19
"""Pictures are converted in blocks of whole rows of about so many pixels, to bound the memory."""

ZLIB_LEVEL = 4
"""On a photograph five times as fast as the usual 6, for files 6 % larger."""

MAX_COLOURS = 256

Array = NDArray[Any]


class Mode(NamedTuple):
    """What a mode's samples mean; names are Pillow's, ";16" marks those that Pillow lacks."""

    family: str
    """What an ICC profile for it must describe: gray, rgb or cmyk (a palette is rgb)."""
    channels: int
    alpha: bool
    dtype: type
    white: float
    """The sample that stands for 1.0."""


MODES = {
    "1": Mode("gray", 1, False, np.uint8, 1),
    "L": Mode("gray", 1, False, np.uint8, 255),
    "LA": Mode("gray", 2, True, np.uint8, 255),
    "P": Mode("rgb", 1, False, np.uint8, 255),
    "RGB": Mode("rgb", 3, False, np.uint8, 255),
    "RGBA": Mode("rgb", 4, True, np.uint8, 255),
    "CMYK": Mode("cmyk", 4, False, np.uint8, 255),
    "F": Mode("gray", 1, False, np.float32, 1),
    "I;16": Mode("gray", 1, False, np.uint16, 65535),
    "LA;16": Mode("gray", 2, True, np.uint16, 65535),
    "RGB;16": Mode("rgb", 3, False, np.uint16, 65535),
    "RGBA;16": Mode("rgb", 4, True, np.uint16, 65535),
    "CMYK;16": Mode("cmyk", 4, False, np.uint16, 65535),
}


@dataclass(frozen=True, eq=False)
class Coding:
    """How samples are to be read: a mode, and what the mode alone does not say."""

    mode: str
    palette: Array | None = None
    """Mode P: (n, 3) RGB or (n, 4) RGBA, uint8."""
    brightest: float = 1.0
    """Mode F: the sample that stands for 1.0."""

    @property
    def alpha(self) -> bool:
        """Whether decoding yields transparency."""
        return MODES[self.mode].alpha or (self.palette is not None and self.palette.shape[1] == 4)

    @property
    def white(self) -> np.float32:
        """The sample that stands for 1.0."""
        return np.float32(self.brightest if self.mode == "F" else MODES[self.mode].white)


def row_blocks(height: int, width: int) -> Iterator[slice]:
    """Slices of rows, from top to bottom; all but the last are of one height."""
    rows = max(1, BLOCK_PIXELS // width)
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def decode(values: Array, coding: Coding) -> tuple[Array, Array | None]:
    """Samples (h, w) or (h, w, c) -> RGB (3, h, w) and alpha (h, w) or None, float32 in [0, 1]."""
    if coding.palette is not None:
        values = coding.palette[values]
    unit = np.divide(values, coding.white, dtype=np.float32)
    if coding.mode == "F":
        unit = np.clip(np.nan_to_num(unit, copy=False), 0, 1)
    planes = np.moveaxis(unit[..., None] if unit.ndim == 2 else unit, -1, 0)
    colour, alpha = (planes[:-1], planes[-1]) if coding.alpha else (planes, None)
    if MODES[coding.mode].family == "cmyk":
        return (1 - colour[:3]) * (1 - colour[3]), alpha
    return np.broadcast_to(colour, (3, *colour.shape[1:])), alpha


def encode(rgb: Array, alpha: Array | None, coding: Coding) -> Array:
    """RGB (3, h, w) and alpha (h, w), float32 in [0, 1] -> samples (h, w) or (h, w, c).

    Gray is the luma of ITU-R BT.601, one bit is its half, CMYK has all common ink in black, and
    a palette index is that of the nearest colour. Without alpha a pixel is opaque.
    """
    if coding.palette is not None:
        return _nearest(_stack(rgb, alpha, coding.alpha), coding.palette)
    family = MODES[coding.mode].family
    colour = luma(rgb)[None] if family == "gray" else _inks(rgb) if family == "cmyk" else rgb
    scaled = np.clip(_stack(colour, alpha, coding.alpha), 0, 1) * coding.white
    dtype = MODES[coding.mode].dtype
    values: Array = (np.rint(scaled) if np.issubdtype(dtype, np.integer) else scaled).astype(dtype)
    return values[..., 0] if values.shape[-1] == 1 else values


def luma(rgb: Any) -> Any:
    """(3, ...) -> (...), array or tensor; a gray pixel is its own luma, bit for bit.

    The numbers stay of the type that they are.
    """
    red, green, blue = rgb
    return green + 0.299 * (red - green) + 0.114 * (blue - green)


def extend_palette(palette: Array, rgb: Array) -> Array:
    """A palette with what is free of its 256 places filled from the colours (n, 3) uint8.

    They are taken as they are if there is room, else summed up by a median cut.
    """
    room = MAX_COLOURS - len(palette)
    colours = np.unique(rgb, axis=0)
    known = _codes(palette[palette[:, -1] == 255] if palette.shape[1] == 4 else palette)
    colours = colours[~np.isin(_codes(colours), known)]
    if room <= 0 or len(colours) == 0:
        return palette
    if len(colours) > room:
        strip = Image.frombytes("RGB", (len(rgb), 1), np.ascontiguousarray(rgb).tobytes())
        chosen = strip.quantize(room, method=Image.Quantize.MEDIANCUT).getpalette() or []
        colours = np.array(chosen, np.uint8).reshape(-1, 3)[:room]
    opaque = np.full((len(colours), palette.shape[1]), 255, np.uint8)
    opaque[:, :3] = colours
    return np.concatenate([palette, opaque])


def _stack(colour: Array, alpha: Array | None, with_alpha: bool) -> Array:
    """Planes (c, h, w) and alpha (h, w) -> (h, w, c or c + 1)."""
    if with_alpha:
        last = np.ones_like(colour[:1]) if alpha is None else alpha[None]
        colour = np.concatenate([colour, last])
    return np.moveaxis(colour, 0, -1)


def _inks(rgb: Array) -> Array:
    """RGB (3, h, w) -> CMYK (4, h, w), the inverse of (1 - cmy) * (1 - k)."""
    brightest = rgb.max(axis=0, keepdims=True)
    cmy = 1 - rgb / np.where(brightest > 0, brightest, 1)
    return np.concatenate([np.where(brightest > 0, cmy, 0), 1 - brightest])


def _codes(colours: Array) -> Array:
    """(n, 3 or more) uint8 -> (n,) one number per RGB colour."""
    red, green, blue = colours[:, :3].astype(np.uint32).T
    return red << 16 | green << 8 | blue


def _nearest(unit: Array, palette: Array) -> Array:
    """Colours (h, w, c) in [0, 1] -> indices (h, w) of the nearest entries of palette (n, c)."""
    channels = palette.shape[1]
    wanted = np.rint(np.clip(unit, 0, 1) * np.float32(255)).astype(np.uint8)
    colours, places = np.unique(wanted.reshape(-1, channels), axis=0, return_inverse=True)
    entries = palette.astype(np.float32)
    lengths = (entries**2).sum(axis=1)
    index = np.empty(len(colours), np.uint8)
    for start in range(0, len(colours), 4096):
        part = colours[start : start + 4096].astype(np.float32)
        # |part - entry|^2 without |part|^2, which is the same for every entry; exact in float32
        index[start : start + 4096] = (lengths - 2 * part @ entries.T).argmin(axis=1)
    return index[places.reshape(unit.shape[:2])]
