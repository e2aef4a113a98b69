"""Pictures to measure on and the holes in them, each a function of seed and number alone."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from core.commands.jobs import MASK_ENDINGS
from core.contract import THRESHOLD
from core.image import read_mask, read_picture
from core.masks.drawn import BINS, binned_mask, official_box_mask, official_brush_mask
from core.masks.found import picture_files

from ..data.frame import Frame
from ..data.samples import Entry

Draw = Callable[[int, int], Tensor | None]
"""Number of the picture, seed -> mask (1, 1, side, side), 1 = hole; None leaves it out."""

OFFICIAL = {"brush": official_brush_mask, "box": official_box_mask}
WHOLE = "whole"
"""The kind whose hole is the whole picture: what is there comes of a map of labels alone."""


class Square(NamedTuple):
    """A picture as it is measured: (1, 3, size, size) in [0, 1], and how it was cut."""

    image: Tensor
    entry: Entry
    frame: Frame
    """For what lies beside the picture, to be cut like it."""


def hole_kinds(masks: str, side: int, folder: Path | None, entries: list[Entry]) -> dict[str, Draw]:
    """The kinds of holes that `masks` asks for, by name; each is measured apart."""
    size = (side, side)
    if masks == "bins":
        return {
            f"{100 * low:.0f}-{high:.0%}": partial(_binned, size, (low, high)) for low, high in BINS
        }
    if masks == "folder":
        assert folder is not None  # the settings have seen to it
        return {folder.name: folder_masks(folder, side, entries)}
    if masks == WHOLE:
        return {WHOLE: lambda number, seed: torch.ones(1, 1, *size)}
    return {kind: partial(_official, size, kind) for kind in OFFICIAL if masks in (kind, "both")}


def _official(size: tuple[int, int], kind: str, number: int, seed: int) -> Tensor:
    return OFFICIAL[kind](size, np.random.RandomState((seed + number) % 2**32))


def _binned(size: tuple[int, int], share: tuple[float, float], number: int, seed: int) -> Tensor:
    return binned_mask(size, np.random.default_rng(seed + number), *share)


def folder_masks(folder: Path, side: int, entries: list[Entry]) -> Draw:
    """Masks from files, by name if there is one for the name of every picture, else in order.

    The mask of cat.jpg is cat, cat.mask, cat_mask or cat-mask with any picture suffix. By name
    they are the same for every seed. In order they begin anew at the end, and a seed other than 0
    shuffles them. Raises ConfigError if there are none.
    """
    found = picture_files(folder, "mask-folder")
    # Plain names first, so that cat.mask.png wins where cat.jpg itself lies in the folder.
    by_name = {_name(path.stem): path for path in sorted(found, key=lambda path: len(path.stem))}
    names = [Path(entry.name).stem for entry in entries]
    if 0 < len(set(names)) == len(names) and by_name.keys() >= set(names):
        return lambda number, seed: read_hole(by_name[names[number]], side)

    def draw(number: int, seed: int) -> Tensor | None:
        order = np.random.default_rng(seed).permutation(len(found)) if seed else range(len(found))
        return read_hole(found[order[number % len(found)]], side)

    return draw


def _name(stem: str) -> str:
    """The name of the picture that a mask belongs to."""
    endings = [ending for ending in MASK_ENDINGS if stem.endswith(ending)]
    return stem.removesuffix(endings[0]) if endings else stem


def read_hole(path: Path, side: int) -> Tensor | None:
    """The mask in a file, cropped and scaled as pictures are: (1, 1, side, side) of 0 and 1.

    White = hole. None if cropping leaves no hole of it, or nothing but hole.
    Raises ImageError for a bad file.
    """
    mask = read_mask(path, read_picture(path).size)
    height, width = mask.shape[-2:]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    square = mask[..., top : top + short, left : left + short]
    hole = (F.interpolate(square, (side, side), mode="nearest-exact") > THRESHOLD).float()
    return hole if 0 < float(hole.mean()) < 1 else None


def read_square(entry: Entry, size: int) -> Square:
    """The short side scaled to `size`, then cropped at the centre."""
    picture = entry.decode()
    square = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
    image = torch.from_numpy(np.array(square)).movedim(-1, 0)[None].float() / 255
    return Square(image, entry, central_frame((picture.height, picture.width), size))


def central_frame(size: tuple[int, int], side: int) -> Frame:
    """The square that `ImageOps.fit` cuts of a picture of `size` (height, width)."""
    height, width = size
    short = min(size)
    left, top = (width - short) / 2, (height - short) / 2
    return Frame(size, (left, top, left + short, top + short), side, mirrored=False)
