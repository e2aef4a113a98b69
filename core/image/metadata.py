"""What a picture file says beside its pixels: EXIF, colour profile, resolution, compression."""

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, JpegImagePlugin

from .exif import describing, upright


@dataclass(frozen=True, eq=False)
class Metadata:
    """What a file says beside its pixels, and how it was compressed."""

    exif: bytes = b""
    """Begins with `image_exif.PREFIX`; upright, without thumbnail."""
    icc_profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    """Across, down."""
    lossy: bool = False
    jpeg: dict[str, Any] = field(default_factory=dict)
    """Pillow's save options that repeat the file's compression, if it is a JPEG."""


def read_metadata(path: Path, image: Image.Image, turned: int) -> tuple[Metadata, int]:
    """What is to be kept, and the orientation that is still to be applied."""
    info = image.info
    exif, orientation = upright(_exif(image))
    dpi = info.get("dpi")
    if dpi is not None:
        across, down = (float(value) for value in dpi)
        across, down = (down, across) if max(orientation, turned) >= 5 else (across, down)
        dpi = (across, down) if min(across, down) > 1 else None  # 1 stands for "not known"
    jpeg = _jpeg_options(image)
    lossy = bool(jpeg) or (image.format == "WEBP" and not _webp_is_lossless(path))
    return Metadata(exif, info.get("icc_profile") or None, dpi, lossy, jpeg), orientation


def _exif(image: Image.Image) -> bytes:
    if image.format != "TIFF":
        return bytes(image.info.get("exif", b""))
    tags = describing(image.getexif())
    exif = Image.Exif()
    exif.update(tags)
    return exif.tobytes() if tags else b""


def _jpeg_options(image: Image.Image) -> dict[str, Any]:
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return {}
    tables = [image.quantization[number] for number in sorted(image.quantization)]
    subsampling = max(JpegImagePlugin.get_sampling(image), 0)  # -1 is none, or one unknown
    progressive = "progressive" in image.info
    return {"qtables": tables, "subsampling": subsampling, "progressive": progressive}


def _webp_is_lossless(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(12)
        while True:
            name, length = struct.unpack("<4sI", file.read(8))
            if name in (b"VP8 ", b"VP8L"):
                return bool(name == b"VP8L")
            file.seek(length + length % 2, 1)
