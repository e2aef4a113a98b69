"""Picture files -> tensors, with all that is needed to write the file again as it was."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ..errors import FormatError, ImageError
from .deep import deep_mode, is_deep, join_bytes, raw_mode, second_layout, set_layout
from .exif import DAMAGE
from .metadata import Metadata, read_metadata
from .modes import MODES, Array, Coding, decode, row_blocks

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")

MOST_PIXELS = 200_000_000
"""Of a picture, unless a front end allows less."""

EQUIVALENTS = {"RGBX": "RGB", "YCbCr": "RGB", "RGBa": "RGBA", "PA": "RGBA", "La": "LA"}
"""Modes that are read as another one."""

KEY_SCALES = {"L;2": 85, "L;4": 17}
"""PNG names its transparent gray in the file's own bits; Pillow widens only the samples."""

TRANSFORMS = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[::-1],
}
"""EXIF orientation -> what turns the rows and columns upright."""

log = logging.getLogger("gatefill")

_pillow_settings = threading.Lock()


@dataclass(frozen=True, eq=False)
class Native:
    """The samples as the file holds them, upright, (H, W) or (H, W, C), and what they mean."""

    samples: Array
    coding: Coding
    metadata: Metadata


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture file: what the network sees, and all that is needed to write it back.

    The pixels are the file's own RGB numbers: its ICC profile is kept, but not applied.
    """

    pixels: Tensor
    """(1, 3, H, W) float32 in [0, 1], RGB, upright (EXIF orientation applied)."""
    alpha: Tensor | None
    """(1, 1, H, W) float32 in [0, 1], 0 = transparent, or None."""
    native: Native = field(repr=False)
    """For `write_picture`."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        height, width = self.pixels.shape[-2:]
        return height, width


class Head(NamedTuple):
    """What a picture file says before its pixels are decoded."""

    form: str
    """One of `FORMATS`."""
    height: int
    """Before EXIF's orientation is applied."""
    width: int


def read_head(path: Path, *, max_pixels: int = MOST_PIXELS) -> Head:
    """The head of a picture file. Raises ImageError as `read_picture` does, but for damage."""
    with _explaining(path), _opened(path, max_pixels) as image:
        form = "JPEG" if image.format == "MPO" else str(image.format)
        return Head(form, image.height, image.width)


def read_picture(path: Path, *, max_pixels: int = MOST_PIXELS) -> Picture:
    """Read a PNG, JPEG, WebP, TIFF or BMP file of one picture.

    Modes: 1 bit, gray and gray with alpha, palette, RGB(A), CMYK, 16 bit, float gray. A colour
    that stands for transparency becomes an alpha channel. Float gray above 1 is divided by its
    largest value. Of a phone's JPEG with further pictures inside, the first counts.

    Raises ImageError if the file is missing, damaged, of another kind, has several pages or
    frames, or more than `max_pixels` pixels.
    """
    path = Path(path)
    native = read_native(path, max_pixels)
    height, width = native.samples.shape[:2]
    pixels = torch.empty(1, 3, height, width)
    alpha = torch.empty(1, 1, height, width) if native.coding.alpha else None
    for rows in row_blocks(height, width):
        colour, opacity = decode(native.samples[rows], native.coding)
        pixels[0, :, rows].numpy()[...] = colour
        if alpha is not None:
            alpha[0, 0, rows].numpy()[...] = opacity
    return Picture(pixels, alpha, native)


def read_native(path: Path, max_pixels: int) -> Native:
    """The samples of a picture file as they are. Raises ImageError as `read_picture`."""
    # A function of its own, so that Pillow's copy is gone before the floats come.
    with _explaining(path), _opened(path, max_pixels) as image:
        return _read_native(path, image)


@contextmanager
def _explaining(path: Path) -> Iterator[None]:
    """Turn what goes wrong with a file into an ImageError of one sentence."""
    if path.is_dir():
        raise ImageError(f"{path} is a folder; name a picture file in it")
    try:
        yield
    except ImageError as problem:
        raise ImageError(f"{path}: {problem}") from None
    except FileNotFoundError:
        raise ImageError(f"there is no picture file at {path}; check the name") from None
    except PermissionError:
        raise ImageError(f"{path} may not be read; change its permissions") from None
    except UnidentifiedImageError:
        raise FormatError(
            f"{path} is not a picture that can be read; needed is an undamaged file of one of "
            f"{', '.join(FORMATS)} with at most 16 bits per sample, or float gray"
        ) from None
    except DAMAGE as problem:
        raise ImageError(f"{path} is damaged or cut off ({problem}); get it anew") from problem


@contextmanager
def _unlimited() -> Iterator[None]:
    """Without Pillow's own pixel limit and its warnings.

    Both are settings of the whole process, so only one thread at a time may change them.
    """
    with _pillow_settings, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


@contextmanager
def _opened(path: Path, max_pixels: int) -> Iterator[Image.Image]:
    """The file's header, checked; the pixels are not yet decoded."""
    with _unlimited():
        image = Image.open(path, formats=FORMATS)
        frames = getattr(image, "n_frames", 1)
    with image:
        width, height = image.size
        if width * height == 0:
            raise ImageError(f"the picture is empty, {height} x {width} pixels; choose another")
        if width * height > max_pixels:
            raise ImageError(
                f"the picture has {height} x {width} pixels, more than the {max_pixels} allowed; "
                "make it smaller or raise the limit"
            )
        if frames > 1 and image.format != "MPO":
            raise ImageError(
                f"the file holds {frames} pictures (an animation or several pages); save the one "
                "to be filled as a file of its own"
            )
        if frames > 1:
            log.info("%s holds %d pictures; the first is used", path, frames)
        yield image


def _load(image: Image.Image) -> None:
    # TIFF alone looks at the limit again, and warns of damaged tags.
    with _unlimited() if image.format == "TIFF" else nullcontext():
        image.load()


def _read_native(path: Path, image: Image.Image) -> Native:
    raw, deep = raw_mode(image), is_deep(image)
    second = second_layout(image) if deep else ""
    mode = deep_mode(image) if deep else image.mode
    tags = getattr(image, "tag_v2", {})  # of TIFF alone
    turned, inverted = tags.get(274, 1), tags.get(262) == 0  # Pillow turns them, itself
    if raw == "I;12":
        raise ImageError("gray of 12 bits, which cannot be written again; save it as 16 bit")
    _load(image)
    if deep:
        samples = _deep_samples(path, image, second, mode)
    else:
        mode, samples = _plain_samples(image)
    if inverted and mode == "I;16":
        samples = 65535 - samples  # Pillow inverts 8 bits only
    coding = _coding(image, mode, samples)
    key = image.info.get("transparency")
    if key is not None and mode != "P":
        coding, samples = _key_to_alpha(coding, samples, np.multiply(key, KEY_SCALES.get(raw, 1)))
    with _unlimited():
        metadata, orientation = read_metadata(path, image, turned)
    if orientation > 1:
        samples = np.ascontiguousarray(TRANSFORMS[orientation](samples))
    return Native(samples, coding, metadata)


def _deep_samples(path: Path, image: Image.Image, second: str, mode: str) -> Array:
    with _unlimited():
        other = Image.open(path, formats=FORMATS)
    with other:
        set_layout(other, second)
        _load(other)
        shape = (image.height, image.width, MODES[mode].channels)
        samples: Array = np.empty(shape, np.uint16)
        for rows in row_blocks(*shape[:2]):
            samples[rows] = join_bytes(_rows(image, rows), _rows(other, rows), mode)
    return samples


def _plain_samples(image: Image.Image) -> tuple[str, Array]:
    """The mode, one of `MODES`, and the samples."""
    if image.mode in EQUIVALENTS:
        image = image.convert(EQUIVALENTS[image.mode])
    # Pillow has 16 bit in several byte orders, and in 32 bits if they are signed.
    mode = "I;16" if image.mode.startswith("I") else image.mode
    if mode not in MODES:
        raise ImageError(f"pictures of kind {mode} cannot be filled; save it as RGB or gray")
    if image.mode == "I" and not all(0 <= end <= 65535 for end in _ends(image)):
        raise ImageError("gray samples beyond 0 to 65535; save it as 16 bit")
    bands = MODES[mode].channels
    shape = (image.height, image.width, bands) if bands > 1 else (image.height, image.width)
    samples: Array = np.empty(shape, MODES[mode].dtype)
    for rows in row_blocks(*shape[:2]):
        samples[rows] = _rows(image, rows)
    return mode, samples


def _rows(image: Image.Image, rows: slice) -> Array:
    return np.asarray(image.crop((0, rows.start, image.width, rows.stop)))


def _ends(image: Image.Image) -> tuple[float, float]:
    low, high = image.getextrema()
    return float(low), float(high)  # type: ignore[arg-type]  # one band: two numbers


def _coding(image: Image.Image, mode: str, samples: Array) -> Coding:
    if mode == "F":
        largest = float(np.max(samples, where=np.isfinite(samples), initial=1))
        return Coding(mode, brightest=largest)
    if mode != "P":
        return Coding(mode)
    return Coding(mode, _palette(image, int(samples.max()) + 1))


def _palette(image: Image.Image, used: int) -> Array:
    """(n, 3) RGB or (n, 4) RGBA uint8, n at least `used`; unused black at the end is free room."""
    colours = np.array(image.getpalette() or [], np.uint8).reshape(-1, 3)
    count = max(used, *(np.flatnonzero(colours.any(axis=1)) + 1), 1)
    palette = np.zeros((count, 4), np.uint8)
    palette[: len(colours), :3] = colours[:count]
    palette[:, 3] = 255
    transparency = image.info.get("transparency", b"")
    if isinstance(transparency, int):
        palette[transparency : transparency + 1, 3] = 0
    else:
        palette[: len(transparency), 3] = np.frombuffer(transparency, np.uint8)[: len(palette)]
    return palette if (palette[:, 3] < 255).any() else palette[:, :3]


def _key_to_alpha(coding: Coding, samples: Array, key: Array) -> tuple[Coding, Array]:
    """A PNG's one transparent colour -> an alpha channel."""
    mode = {"1": "LA", "L": "LA", "I;16": "LA;16"}.get(coding.mode)
    mode = mode or coding.mode.replace("RGB", "RGBA")
    colour = samples[..., None] if samples.ndim == 2 else samples
    if coding.mode == "1":
        colour, key = colour * np.uint8(255), np.where(key, 255, 0)
    white = int(MODES[mode].white)
    alpha = np.where((colour == key).all(axis=-1), 0, white)
    stacked: Array = np.dstack([colour, alpha]).astype(MODES[mode].dtype)
    return Coding(mode), stacked
