"""Masks from files: a folder of the user's own masks, and segments of label maps.

Masks are (1, 1, height, width) float32, 1 = hole; label maps are (height, width) int64.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..errors import ConfigError, ImageError
from ..image import read_mask, read_picture
from ..image.exif import DAMAGE
from ..image.write import SUFFIXES, pictures_below
from .components import components
from .drawn import Size

TRIES = 16
"""Segments and places looked at before a file counts as giving no hole."""
LEAST, MOST = 0.002, 0.6
"""Smallest and largest share of the picture for a segment to be a hole."""


def picture_files(folder: Path, flag: str) -> list[Path]:
    """All picture files below `folder`, sorted. Raises ConfigError that names `flag` if none."""
    found = pictures_below(folder)
    if not found:
        raise ConfigError(
            f"--{flag} is {folder}, where no picture files are; it needs a folder of "
            f"{', '.join(sorted(SUFFIXES))}"
        )
    return found


def own_mask(path: Path) -> Tensor:
    """A mask file in its own size, 0 or 1. Raises ImageError for a bad file or a flat mask."""
    mask = (read_mask(path, read_picture(path).size) >= 0.5).float()
    if mask.min() == mask.max():
        raise ImageError(f"the mask {path} is of one colour; white must be hole and black kept")
    return mask


def cut_mask(mask: Tensor, size: Size, random: np.random.Generator) -> Tensor | None:
    """A piece of a mask, turned and flipped at random and scaled to `size`.

    The piece has the aspect of `size` and from the half to the whole of the largest that fits.
    None if no piece tried has both hole and known pixels.
    """
    turned = torch.rot90(mask, int(random.integers(4)), (-2, -1))
    turned = turned.flip(-1) if random.random() < 0.5 else turned
    height, width = turned.shape[-2:]
    fits = min(height / size[0], width / size[1])
    for _ in range(TRIES):
        scale = fits * random.uniform(0.5, 1)
        high, wide = (max(1, round(n * scale)) for n in size)
        top, left = (
            int(random.integers(0, max(n - m, 0) + 1))
            for n, m in zip((height, width), (high, wide), strict=True)
        )
        piece = turned[..., top : top + high, left : left + wide]
        piece = F.interpolate(piece, size, mode="nearest-exact")
        if piece.min() < piece.max():
            return piece
    return None


def read_labels(file: Image.Image) -> Tensor:
    """The labels of an opened picture: grey values, palette indices, or colours as numbers.

    Raises ImageError for a JPEG, whose colours are not those that were saved, and for float.
    """
    if file.format == "JPEG" or file.mode == "F":
        raise ImageError(
            f"a label map must be lossless and of whole numbers, but this is {file.format} "
            f"{file.mode}; save it as PNG"
        )
    values = np.asarray(file).astype(np.int64)
    if values.ndim == 3:
        values = values[..., :3] @ np.array([65536, 256, 1][: min(values.shape[2], 3)])
    return torch.from_numpy(values)


def open_labels(path: Path) -> Tensor:
    """As `read_labels`. Raises ImageError for a file that cannot be read."""
    try:
        with Image.open(path) as file:
            return read_labels(file)
    except DAMAGE as problem:
        raise ImageError(f"{path} is not a readable label map ({problem})") from None


def segment_mask(
    labels: Tensor, size: Size, random: np.random.Generator, *, moved: bool
) -> Tensor | None:
    """A segment, that is connected pixels of one label, grown a little, as the hole.

    `moved`: flipped, scaled and put anywhere in a picture of `size`; else where it stands, and
    `labels` are of `size`. None if no segment that was looked at is a hole of 0.2 to 60 %.
    """
    present = labels.unique()
    for _ in range(TRIES):
        label = present[random.integers(len(present))]
        same = labels == label
        if same.float().mean() < LEAST / 4:
            continue
        hole = _connected(same, random)
        placed = _moved(hole, size, random) if moved else hole
        radius = max(1, round(sum(size) / 2 * random.uniform(0, 0.02)))
        mask = F.max_pool2d(placed, 2 * radius + 1, 1, radius)
        if LEAST <= mask.mean() <= MOST:
            return mask
    return None


def _connected(same: Tensor, random: np.random.Generator) -> Tensor:
    """The pixels (H, W) that hang together with a random one of them: (1, 1, H, W)."""
    places, group = components(same[None, None])
    chosen = group[random.integers(len(places))]
    mask = torch.zeros(1, 1, *same.shape)
    mask.view(-1)[places[group == chosen]] = 1
    return mask


def _moved(hole: Tensor, size: Size, random: np.random.Generator) -> Tensor:
    """The hole alone, flipped, scaled and put somewhere in a picture of `size`."""
    rows, columns = hole[0, 0].nonzero(as_tuple=True)
    shape = hole[..., rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    shape = shape.flip(-1) if random.random() < 0.5 else shape
    # As large a part of the new picture as of its own, give or take, but inside of it.
    ratio = sum(size) / sum(hole.shape[-2:]) * random.uniform(0.5, 1.5)
    ratio = min(ratio, *(n / m for n, m in zip(size, shape.shape[-2:], strict=True)))
    high, wide = (max(1, int(n * ratio)) for n in shape.shape[-2:])
    top, left = int(random.integers(size[0] - high + 1)), int(random.integers(size[1] - wide + 1))
    mask = torch.zeros(1, 1, *size)
    scaled = F.interpolate(shape, (high, wide), mode="nearest-exact")
    mask[..., top : top + high, left : left + wide] = scaled
    return mask


def found_kinds(
    mask_folder: Path | None, labels: Path | None
) -> dict[str, Callable[[Size, int], Tensor]]:
    """Ways to draw by seed from the user's files, as `core.masks.KINDS`: "folder", "segments".

    Raises ConfigError for folders without pictures; the drawing raises ImageError for a bad file
    and where none of the files gives a hole.
    """
    kinds: dict[str, Callable[[Size, int], Tensor]] = {}
    if mask_folder:
        kinds["folder"] = _from_files(
            picture_files(mask_folder, "mask-folder"),
            lambda path, size, random: cut_mask(own_mask(path), size, random),
        )
    if labels:
        kinds["segments"] = _from_files(
            picture_files(labels, "labels"),
            lambda path, size, random: segment_mask(open_labels(path), size, random, moved=True),
        )
    return kinds


def _from_files(
    files: Sequence[Path], draw: Callable[[Path, Size, np.random.Generator], Tensor | None]
) -> Callable[[Size, int], Tensor]:
    def drawn(size: Size, seed: int) -> Tensor:
        random = np.random.default_rng(seed)
        for i in random.permutation(len(files))[:TRIES]:
            mask = draw(files[i], size, random)
            if mask is not None:
                return mask
        raise ImageError(f"{files[0].parent} gives no hole for {size[0]} x {size[1]} pixels")

    return drawn
