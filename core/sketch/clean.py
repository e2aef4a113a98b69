"""Drawings by hand -> clean lines: from grey to black and white, one pixel wide, without specks.

`clean_sketch` does all of it; each step is a function of its own.
"""

import torch
from torch import Tensor

from ..errors import ConfigError, ShapeError
from ..masks.components import components, sizes
from .thin import thin

BINS = 256
"""Of the histogram of a drawing."""
CONTRAST = 0.1
"""Ink and paper closer than this, of 1, are taken for paper alone: its grain is no drawing."""


def clean_sketch(
    drawing: Tensor, *, least: int = 8, dark: bool | None = None, thinned: bool = True
) -> Tensor:
    """A scanned or photographed drawing (N, 1, H, W) in [0, 1] -> lines of 0 and 1, 1 = line.

    One pixel wide, or without `thinned` as wide as they are; without specks of fewer than `least`
    pixels; `dark` as in `binarise`. Raises ShapeError and ConfigError as the steps do.
    """
    lines = binarise(drawing, dark=dark)
    return drop_specks(thin(lines) if thinned else lines, least=least)


def binarise(drawing: Tensor, *, dark: bool | None = None) -> Tensor:
    """Grey (N, 1, H, W) in [0, 1] -> 0 and 1, 1 = ink, by the threshold of Otsu (1979).

    Of the two sides of the threshold the ink is the smaller one, so that pencil on paper and
    chalk on a board are both understood; `dark` True or False says it instead. Each item has its
    own threshold. Where the sides differ by less than `CONTRAST`, nothing is drawn.
    Raises ShapeError for another shape, ConfigError without scikit-image.
    """
    _check(drawing)
    inked = [_binarise(item, dark) for item in drawing]
    return torch.stack(inked) if inked else drawing.clone()


def drop_specks(lines: Tensor, *, least: int = 8) -> Tensor:
    """Lines (N, 1, H, W) of 0 and 1 without groups of fewer than `least` touching pixels.

    Pixels touch at corners too. Raises ShapeError for another shape, ConfigError if `least` is
    negative.
    """
    _check(lines)
    if least < 0:
        raise ConfigError(f"lines of at least {least} pixels are asked for; it must be 0 or more")
    places, group = components(lines)
    kept = torch.zeros_like(lines).flatten()
    kept[places] = (sizes(group) >= least).to(lines)
    return kept.view_as(lines)


def _binarise(drawing: Tensor, dark: bool | None) -> Tensor:
    """One item, (1, H, W)."""
    try:
        from skimage.filters import threshold_otsu
    except ImportError:
        raise ConfigError(
            "telling ink from paper needs scikit-image; install scikit-image"
        ) from None
    low, high = drawing.aminmax()
    if high - low < CONTRAST:
        return torch.zeros_like(drawing)
    # What scikit-image gives is the middle of the last of the 256 bins that count as dark.
    middle = float(threshold_otsu(drawing.cpu().numpy(), nbins=BINS))
    bright = drawing > middle + float(high - low) / (2 * BINS)
    if drawing[bright].mean() - drawing[~bright].mean() < CONTRAST:
        return torch.zeros_like(drawing)
    inked = ~bright if (bright.float().mean() > 0.5 if dark is None else dark) else bright
    return inked.to(drawing)


def _check(drawing: Tensor) -> None:
    if drawing.ndim != 4 or drawing.shape[1] != 1:
        raise ShapeError(f"a drawing is (N, 1, H, W), but got {tuple(drawing.shape)}")
