"""Pictures for programs that show only the usual files: a plain PNG of any file that we read."""

from pathlib import Path

from .modes import MODES, Coding, decode, encode, row_blocks
from .read import MOST_PIXELS, read_native
from .write import canvas_of, writing

QUICK = 1
"""zlib's level: on a photograph 2.6 times as fast as the usual 6, for files a quarter larger."""


def write_preview(source: Path, target: Path, *, max_pixels: int = MOST_PIXELS) -> None:
    """Write the picture of `source` to `target`, a PNG of 8 bits, upright and of the same size.

    Transparency and a profile for gray or RGB are kept, nothing else is. For showing only: what is
    filled and given away is made of `source`. Raises ImageError as `read_picture` and
    `write_picture` do.
    """
    native = read_native(source, max_pixels)
    size = native.samples.shape[:2]
    family = MODES[native.coding.mode].family
    coding = Coding(("L" if family == "gray" else "RGB") + "A" * native.coding.alpha)
    blocks = (
        encode(*decode(native.samples[rows], native.coding), coding) for rows in row_blocks(*size)
    )
    profile = native.metadata.icc_profile if family != "cmyk" else None
    with writing(target) as part:
        canvas_of(blocks, size, coding).save(part, "PNG", compress_level=QUICK, icc_profile=profile)
