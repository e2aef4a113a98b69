"""Pictures for infer.py: found, read, checked and written; needs numpy and pillow alone."""

import os
import re
import struct
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF"}
FORMATS |= {".tiff": "TIFF", ".bmp": "BMP"}
OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True, "exact": True},
}
TRANSPARENT = ("PNG", "WEBP", "TIFF")
"""Formats that hold transparency."""
MODES = ("1", "L", "P", "RGB", "RGBX", "LA", "PA", "La", "RGBA", "RGBa")
MOST_PIXELS = 200_000_000
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
UNKNOWN = 255
"""The number of no label."""

Port = dict[str, Any]
"""One input as the contract has it (manifest.json)."""


class Refusal(Exception):
    """What a user can cause and mend, in one sentence."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo, upright."""

    pixels: np.ndarray
    """(H, W, 3) uint8."""
    alpha: np.ndarray | None
    """(H, W) uint8, 0 = transparent."""
    grey: bool
    profile: bytes | None
    """ICC."""


def photos_below(folder: Path, guides: Sequence[str], output: Path) -> Iterator[Path]:
    """Every photo below `folder` that is no mask, no guide and no earlier result, sorted."""
    endings = tuple(sign + word for word in ("mask", *guides) for sign in "._-")
    for path in sorted(folder.rglob("*")):
        result = output.resolve() in path.resolve().parents
        if path.suffix.lower() in FORMATS and not path.stem.endswith(endings) and not result:
            yield path


def partner(photo: Path, name: Path, source: Path | None, word: str) -> Path | None:
    """The file of a photo in the folder `source`, by its name; what is a file serves them all."""
    if source is None or not source.is_dir():
        return source
    for ending in (f".{word}", f"_{word}", f"-{word}", ""):
        for suffix in FORMATS:
            path = source / name.parent / (name.stem + ending + suffix)
            if path.is_file() and not path.samefile(photo):
                return path
    return None


def open_image(path: Path, modes: tuple[str, ...] = MODES) -> Image.Image:
    """The picture at `path`, upright and of one of `modes`."""
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=sorted(set(FORMATS.values()))) as file:
                check_kind(path, file, modes)
                return ImageOps.exif_transpose(file)
    except FileNotFoundError:
        raise Refusal(f"there is no picture at {path}; check the name") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise Refusal(
            f"{path} has more than {MOST_PIXELS} pixels; make it smaller, or cut it"
        ) from None
    except DAMAGE as problem:
        raise Refusal(f"{path} is not a readable picture ({problem}); give another") from None


def check_kind(path: Path, file: Image.Image, modes: tuple[str, ...]) -> None:
    """Raise Refusal for pictures whose samples would be lost or misread."""
    if getattr(file, "n_frames", 1) > 1 and file.format != "MPO":
        raise Refusal(f"{path} holds several pictures; save the one that is meant by itself")
    # Pillow cuts colour of 16 bits down to 8 without a word; the layout of the file tells.
    if file.mode not in modes or (
        file.mode in MODES and re.search(r";16[BLN]", str(getattr(file, "tile", "")))
    ):
        raise Refusal(
            f"{path} is of a kind that is not read here ({file.mode}, or 16 bits per sample); save "
            "it as grey or RGB of 8 bits"
        )


def split(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """RGB (H, W, 3), and alpha (H, W) if there is any."""
    if image.mode.upper() not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
        return np.asarray(image.convert("RGB")), None
    whole = np.asarray(image.convert("RGBA"))
    return whole[..., :3], whole[..., 3]


def read_photo(path: Path) -> Photo:
    """The picture to fill."""
    image = open_image(path)
    grey = image.mode in ("1", "L", "LA", "La")
    return Photo(*split(image), grey, image.info.get("icc_profile"))


def light(image: Image.Image) -> np.ndarray:
    """How bright each pixel is, (H, W) uint8."""
    return np.asarray(Image.fromarray(split(image)[0]).convert("L"))


def read_mask(path: Path) -> np.ndarray:
    """(H, W) uint8: how white and how opaque the file is."""
    image = open_image(path)
    alpha = split(image)[1]
    white = light(image)
    return white if alpha is None else (white.astype(int) * alpha // 255).astype(np.uint8)


def read_map(path: Path, port: Port) -> np.ndarray:
    """Lines, light on dark or opaque on transparent; or colour strokes on black or nothing."""
    image = open_image(path)
    rgb, alpha = split(image)
    if port["channels"] == 3:
        strokes = rgb if alpha is None else rgb.astype(int) * alpha[..., None] // 255
        return np.moveaxis(strokes.astype(np.uint8), -1, 0)
    drawn_in_alpha = alpha is not None and bool((alpha < 255).any())
    return (alpha if alpha is not None and drawn_in_alpha else light(image))[None]


def read_numbers(path: Path) -> tuple[np.ndarray, bool]:
    """Grey values, palette indices or colours (0xRRGGBB), (H, W); and whether they are colours."""
    image = open_image(path, (*MODES, "I;16", "I;16B", "I"))
    if image.mode in ("1", "L", "P", "I;16", "I;16B", "I"):
        return np.asarray(image).astype(np.int64), False
    if image.mode in ("LA", "PA", "La"):
        return np.asarray(image.getchannel(0)).astype(np.int64), False
    red, green, blue = np.moveaxis(split(image)[0].astype(np.int64), -1, 0)
    return red << 16 | green << 8 | blue, True


def read_labels(path: Path, port: Port) -> np.ndarray:
    """The number of each pixel's label."""
    numbers, coloured = read_numbers(path)
    names, palette = port["labels"], [int(colour[1:], 16) for colour in port["palette"]]
    if coloured:
        missing = ~np.isin(numbers, palette)
        if missing.any():
            raise Refusal(
                f"{path} has the colour #{int(numbers[missing][0]):06x}, which stands for no "
                "label; draw the map in the colours of the contract (manifest.json), hard-edged"
            )
        order = np.argsort(palette)
        return order[np.searchsorted(np.asarray(palette)[order], numbers)][None].astype(np.uint8)
    count = len(names) or port["channels"]
    known = (numbers >= 0) & (numbers < count)
    known |= (numbers == UNKNOWN) & (port["channels"] > count)
    if not known.all():
        raise Refusal(
            f"{path} has the label {int(numbers[~known][0])}, but the network knows 0 to "
            f"{count - 1}; number the map so (manifest.json has the names)"
        )
    return numbers[None].astype(np.uint8)


def read_instances(path: Path, port: Port) -> np.ndarray:
    """Numbers that differ from thing to thing."""
    return read_numbers(path)[0][None].astype(np.int32)


READERS: dict[str, Callable[[Path, Port], np.ndarray]] = {
    "map": read_map,
    "labels": read_labels,
    "instances": read_instances,
}
"""Kind of a port -> what reads its file: (C, H, W)."""
HELP = {
    "map": "picture of what is drawn, on black or transparent ground",
    "labels": "map of labels: grey values or palette indices, or the network's colours",
    "instances": "map whose numbers or colours differ from thing to thing",
    "vector": "picture whose look is taken (without it, that of the photo itself)",
}


def fitted(path: Path, layer: np.ndarray, photo: Photo) -> np.ndarray:
    """The layer (C, H, W). Raises Refusal where it has not the size of the photo."""
    height, width = photo.pixels.shape[:2]
    if layer.shape[1:] != (height, width):
        raise Refusal(
            f"{path} is {layer.shape[1]} x {layer.shape[2]} pixels (height x width) but the photo "
            f"is {height} x {width}; give one of the same size"
        )
    return layer


def format_of(path: Path, *, alpha: bool) -> str:
    """Pillow's name of the format that the suffix names."""
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise Refusal(f"{path} names no picture format; end it in {', '.join(FORMATS)}")
    if alpha and form not in TRANSPARENT:
        raise Refusal(f"{path} cannot hold the transparency of the photo; end it in .png")
    return form


def save(path: Path, photo: Photo, pixels: np.ndarray, alpha: np.ndarray | None) -> None:
    """Write (H, W, 3) in the manner of `photo`: the file is whole or not there."""
    form = format_of(path, alpha=alpha is not None)
    image = Image.fromarray(pixels)
    image = image.convert("L") if photo.grey else image
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    if form == "WEBP" and photo.grey:
        image = image.convert("RGB" if alpha is None else "RGBA")  # it holds no grey
    options = dict(OPTIONS.get(form, {}))
    if photo.profile:
        options["icc_profile"] = photo.profile
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".part-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        part = Path(name)
        try:
            image.save(part, form, **options)
            umask = os.umask(0)
            os.umask(umask)
            part.chmod(0o666 & ~umask)  # what mkstemp makes is private
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except (OSError, ValueError) as problem:
        raise Refusal(f"{path} cannot be written ({problem}); choose another place") from None
