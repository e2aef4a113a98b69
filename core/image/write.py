"""Tensors -> picture files, in the mode of the file that they came from."""

import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import ImageError, ShapeError
from ..files import whole_file
from .deep import write_png
from .metadata import Metadata
from .modes import MODES, Array, Coding, encode, extend_palette, row_blocks
from .read import Picture
from .tiff import write_tiff

SUFFIXES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}


def pictures_below(folder: Path) -> list[Path]:
    """Every file below `folder` whose suffix is that of a picture, sorted."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())


HOLDS = {
    "PNG": {"1", "L", "LA", "P", "RGB", "RGBA", "I;16", "LA;16", "RGB;16", "RGBA;16"},
    "JPEG": {"L", "RGB", "CMYK"},
    "WEBP": {"RGB", "RGBA"},
    "TIFF": set(MODES) - {"LA;16"},
    "BMP": {"1", "L", "P", "RGB"},
}
"""Format -> the modes that it holds; a palette with transparency is held by PNG alone."""

SUBSTITUTES = {
    "1": ("L", "RGB"),
    "L": ("RGB",),
    "LA": ("RGBA", "L", "RGB"),
    "P": ("RGB",),
    "RGB": (),
    "RGBA": ("RGB",),
    "CMYK": ("RGB",),
    "F": ("I;16", "L", "RGB"),
    "I;16": ("L", "RGB"),
    "LA;16": ("RGBA;16", "LA", "RGBA", "L", "RGB"),
    "RGB;16": ("RGB",),
    "RGBA;16": ("RGBA", "RGB"),
    "CMYK;16": ("RGB;16", "CMYK", "RGB"),
}
"""Mode -> the modes to try, in turn, if the format does not hold it."""

WITH_ALPHA = {
    "1": "LA",
    "L": "LA",
    "P": "RGBA",
    "RGB": "RGBA",
    "CMYK": "RGBA",
    "F": "RGBA;16",
    "I;16": "LA;16",
    "RGB;16": "RGBA;16",
    "CMYK;16": "RGBA;16",
}
"""Mode without transparency -> the mode for a picture that gains some."""

MAX_SIDE = {"JPEG": 65500, "WEBP": 16383}

MAX_JPEG_EXIF = 65533

log = logging.getLogger("gatefill")


def write_picture(
    path: Path, picture: Picture, completed: Tensor, *, alpha: Tensor | None = None
) -> None:
    """Write `completed` (1, 3, H, W) in [0, 1] to `path`, in the format that its suffix names.

    A pixel of `completed` that equals that of `picture.pixels` bit for bit keeps the samples of
    the file that was read; only the others are converted into its mode. So known pixels are exact
    in PNG, TIFF, BMP and lossless WebP. `alpha` (1, 1, H, W) replaces the picture's transparency,
    for example where it was the hole; without it transparency stays.

    A format that cannot hold the picture's mode gets the nearest one that it can, and a warning
    is logged where alpha or bits are lost. JPEG repeats the tables and the subsampling of a JPEG
    source, else it is written at quality 95 without subsampling; WebP is lossless unless the
    source was lossy. The file is whole or not there; a missing folder is made.

    Raises ShapeError if sizes differ and ImageError if the file cannot be written.
    """
    path = Path(path)
    form = _format_of(path)
    _check_shape("the completed picture", completed, tuple(picture.pixels.shape))
    if alpha is not None:
        _check_shape("alpha", alpha, (1, 1, *picture.size))
    _check_side(path, form, picture.size)
    edit = _Edit(picture, completed, alpha)
    coding = _target(path, form, edit)
    metadata = picture.native.metadata
    if MODES[coding.mode].family != MODES[picture.native.coding.mode].family:
        metadata = replace(metadata, icc_profile=None)  # it describes another kind of colour
    with writing(path) as part:
        _save(part, form, edit.blocks(coding), picture.size, coding, metadata)


def save_pixels(path: Path, pixels: Tensor, *, alpha: Tensor | None = None) -> None:
    """Write (1, 3, H, W) or (1, 1, H, W) in [0, 1] as plain 8-bit RGB or gray, without metadata.

    With `alpha` (1, 1, H, W) it is RGBA, in PNG, WebP or TIFF. JPEG is of quality 95, WebP
    lossless. Raises ShapeError and ImageError.
    """
    path = Path(path)
    form = _format_of(path)
    if pixels.ndim != 4 or pixels.shape[0] != 1 or pixels.shape[1] not in (1, 3):
        raise ShapeError(f"a picture is (1, 3 or 1, H, W), but got {tuple(pixels.shape)}")
    height, width = pixels.shape[-2:]
    _check_side(path, form, (height, width))
    coding, opacity = Coding("L" if pixels.shape[1] == 1 and form != "WEBP" else "RGB"), None
    if alpha is not None:
        _check_shape("alpha", alpha, (1, 1, height, width))
        coding, opacity = Coding("RGBA"), _on_cpu(alpha)[0, 0].numpy()
    planes = _on_cpu(pixels)[0].expand(3, -1, -1).numpy()
    blocks = (
        encode(planes[:, rows], None if opacity is None else opacity[rows], coding)
        for rows in row_blocks(height, width)
    )
    with writing(path) as part:
        _save(part, form, blocks, (height, width), coding, Metadata())


class _Edit:
    """A picture and what becomes of it, block by block."""

    def __init__(self, picture: Picture, completed: Tensor, alpha: Tensor | None):
        self.native = picture.native
        self.size = picture.size
        self.before = picture.pixels[0].numpy()
        self.after = _on_cpu(completed)[0].numpy()
        self.old_alpha = None if picture.alpha is None else picture.alpha[0, 0].numpy()
        self.new_alpha = self.old_alpha if alpha is None else _on_cpu(alpha)[0, 0].numpy()
        self.transparent = self.new_alpha is not None and bool((self.new_alpha < 1).any())
        if self.old_alpha is None and not self.transparent:
            self.new_alpha = None

    def blocks(self, coding: Coding) -> Iterator[Array]:
        """The result's samples, in blocks of rows; known ones are exact if the mode is kept."""
        for rows in row_blocks(*self.size):
            alpha = None if self.new_alpha is None else self.new_alpha[rows]
            changed = self.changed(rows)
            if coding.mode != self.native.coding.mode:
                yield encode(self.after[:, rows], alpha, coding)
            elif not changed.any():
                yield self.native.samples[rows]
            else:
                new = encode(self.after[:, rows], alpha, coding)
                old = self.native.samples[rows]
                yield np.where(changed[..., None] if old.ndim == 3 else changed, new, old)

    def changed(self, rows: slice) -> Array:
        """(h, w), True where a pixel is not as it was."""
        differs = (self.before[:, rows] != self.after[:, rows]).any(axis=0)
        if self.old_alpha is not None and self.new_alpha is not None:
            differs |= self.old_alpha[rows] != self.new_alpha[rows]
        return np.asarray(differs)

    def new_colours(self) -> Array:
        """(n, 3) uint8: the colours of the changed, opaque pixels."""
        found = [np.zeros((0, 3), np.uint8)]
        for rows in row_blocks(*self.size):
            where = self.changed(rows)
            if self.new_alpha is not None:
                where &= self.new_alpha[rows] == 1
            found.append(encode(self.after[:, rows][:, where][:, None], None, Coding("RGB"))[0])
        return np.concatenate(found)


def _target(path: Path, form: str, edit: _Edit) -> Coding:
    """How the result's samples are written, for a format and a picture."""
    native = edit.native.coding
    first = native.mode
    if not native.alpha and edit.transparent:
        first = WITH_ALPHA[first]
    elif first == "P" and native.alpha and form != "PNG":
        first = "RGBA"
    mode = next(mode for mode in (first, *SUBSTITUTES[first]) if mode in HOLDS[form])
    if edit.transparent and mode != "P" and not MODES[mode].alpha:
        log.warning(
            "%s: %s cannot hold the transparency of the picture; it is left out", path, form
        )
    if MODES[native.mode].white == 65535 > MODES[mode].white or native.mode == "F" != mode:
        log.warning(
            "%s: %s holds fewer bits than the picture; it is rounded to %s", path, form, mode
        )
    if mode == "P" and native.palette is not None:
        return Coding(mode, extend_palette(native.palette, edit.new_colours()))
    return native if mode == native.mode else Coding(mode)


def _save(
    part: Path,
    form: str,
    blocks: Iterator[Array],
    size: tuple[int, int],
    coding: Coding,
    metadata: Metadata,
) -> None:
    if form == "TIFF":
        write_tiff(part, blocks, size, next(row_blocks(*size)).stop, coding, metadata)
    elif coding.mode.endswith(";16") and coding.mode != "I;16":
        write_png(part, blocks, size, coding.mode, metadata)
    else:
        options = _options(form, coding, metadata) | _metadata_options(form, metadata)
        canvas_of(blocks, size, coding).save(part, form, **options)


def canvas_of(blocks: Iterator[Array], size: tuple[int, int], coding: Coding) -> Image.Image:
    """Blocks of rows -> Pillow's picture of `size` (height, width)."""
    canvas, width = Image.new(coding.mode, size[::-1]), size[1]
    if coding.palette is not None:
        canvas.putpalette(coding.palette[:, :3].tobytes())
    top = 0
    for block in blocks:
        data = np.packbits(block, axis=1) if coding.mode == "1" else np.ascontiguousarray(block)
        strip = Image.frombytes(coding.mode, (width, len(block)), data.tobytes())
        canvas.paste(strip, (0, top))
        top += len(block)
    return canvas


def _options(form: str, coding: Coding, metadata: Metadata) -> dict[str, Any]:
    """Pillow's save options for the compression."""
    if form == "JPEG":
        return metadata.jpeg or {"quality": 95, "subsampling": 0}
    if form == "WEBP":
        # exact: colour under full transparency is kept too
        return {"lossless": not metadata.lossy, "quality": 95, "exact": True}
    if coding.palette is not None and coding.alpha:
        return {"transparency": coding.palette[:, 3].tobytes()}
    return {}


def _metadata_options(form: str, metadata: Metadata) -> dict[str, Any]:
    """Pillow's save options for what stands beside the pixels."""
    options = {"icc_profile": metadata.icc_profile, "dpi": metadata.dpi, "exif": metadata.exif}
    if form == "JPEG" and len(metadata.exif) > MAX_JPEG_EXIF:
        log.warning("EXIF of %d bytes, too long for JPEG, is left out", len(metadata.exif))
        del options["exif"]
    return {name: value for name, value in options.items() if value}


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A file beside `path` that takes its place at the end; failures become ImageErrors."""
    if path.is_dir():
        raise ImageError(f"{path} is a folder; name a file in it")
    try:
        with whole_file(path) as part:
            yield part
    except (OSError, ValueError, struct.error) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise ImageError(f"cannot write {path} ({reason}); choose another place") from problem


def _format_of(path: Path) -> str:
    form = SUFFIXES.get(path.suffix.lower())
    if form is None:
        raise ImageError(
            f"cannot tell a picture format from the name {path}; end it in {', '.join(SUFFIXES)}"
        )
    return form


def _check_side(path: Path, form: str, size: tuple[int, int]) -> None:
    limit = MAX_SIDE.get(form)
    if limit is not None and max(size) > limit:
        raise ImageError(
            f"cannot write {path}: the picture has {size[0]} x {size[1]} pixels and {form} holds "
            f"at most {limit} a side; choose .png or .tiff"
        )


def _check_shape(name: str, tensor: Tensor, wanted: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != wanted:
        raise ShapeError(f"{name} is {tuple(tensor.shape)} but must be {wanted} like the picture")


def _on_cpu(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float32)
