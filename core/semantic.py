"""Maps of labels: whole numbers on the way, one channel for each label inside a network.

A map is (N, 1, H, W). In files it is grey values, palette indices, colours, or one-hot numbers.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from .contract import Port
from .errors import ConfigError, ImageError
from .image.exif import DAMAGE
from .masks.found import read_labels
from .palette import Palette, hex_of, made_up, palette_of, parse_colour

UNKNOWN = 255
"""The number of no label, where a network has a channel for it."""
FEW = 20
"""Names up to so many are listed in an error."""
ARRAYS = (".npy",)
"""Suffixes of maps that are no pictures."""

Read = TypeVar("Read")


def one_hot(labels: Tensor, port: Port) -> Tensor:
    """(N, 1, H, W) of whole numbers -> (N, port.channels, H, W) of 0 and 1. Raises as `checked`."""
    return hot(checked(labels, port), port)


def hot(channels: Tensor, port: Port) -> Tensor:
    """As `one_hot`, of numbers that `checked` has given."""
    numbers = torch.arange(port.channels, dtype=channels.dtype, device=channels.device)
    return (channels == numbers.view(1, -1, 1, 1)).float()


def checked(labels: Tensor, port: Port) -> Tensor:
    """The channel of each pixel as int64: its label's number, or the last one where unknown.

    255 is unknown, where the port has one channel more than it has names. Raises ConfigError for
    any other number that is no label's, and for one that is not whole.
    """
    numbers = labels.long()
    if labels.is_floating_point() and not torch.equal(numbers.to(labels.dtype), labels):
        raise ConfigError(
            f"{port.name} is a map of labels, but has values between whole numbers, as "
            f"{float(labels[numbers != labels][0]):.4g}; scale such maps by nearest neighbours"
        )
    count = label_count(port)
    if has_unknown(port):
        known = numbers != UNKNOWN
        _check_range(numbers, (numbers >= 0) & (numbers < count) | ~known, port)
        return torch.where(known, numbers, count)
    low, high = numbers.aminmax()
    if not 0 <= low <= high < count:
        _check_range(numbers, (numbers >= 0) & (numbers < count), port)
    return numbers


def numbered(hot: Tensor, port: Port) -> Tensor:
    """A one-hot map (N, labels, H, W), hard or soft, -> numbers (N, 1, H, W), for `checked`.

    Where all channels are 0, and in the channel after the last name, the label is unknown.
    """
    hot = hot.to(torch.uint8) if hot.dtype == torch.bool else hot
    largest, channel = hot.max(dim=1, keepdim=True)
    unknown = (largest <= 0) | (channel >= label_count(port))
    return torch.where(unknown, UNKNOWN, channel)


def label_count(port: Port) -> int:
    """How many labels there are, unknown not being one."""
    return len(port.labels) or port.channels


def has_unknown(port: Port) -> bool:
    """Whether pixels may have no label."""
    return port.channels > label_count(port)


def instance_edges(numbers: Tensor) -> Tensor:
    """Where a pixel differs from one of its four neighbours: (N, 1, H, W) -> the same of 0 and 1.

    As `get_edges` of the releases of pix2pixHD and SPADE.
    """
    edges = torch.zeros_like(numbers, dtype=torch.float32)
    for axis, before, after in ((3, (1, 0), (0, 1)), (2, (0, 0, 1, 0), (0, 0, 0, 1))):
        length = numbers.shape[axis]
        differ = numbers.narrow(axis, 1, length - 1) != numbers.narrow(axis, 0, length - 1)
        for side in (before, after):
            edges = torch.maximum(edges, F.pad(differ.float(), side))
    return edges


def paint_labels(labels: Tensor, palette: Sequence[str] = ()) -> Tensor:
    """Numbers (N, 1, H, W) -> a picture (N, 3, H, W) in [0, 1] for people.

    Without a palette (#rrggbb each) colours are made up; what has no colour is black.
    """
    numbers = [parse_colour(colour) for colour in palette or made_up(UNKNOWN)]
    bytes_of = [[number >> 16, number >> 8 & 255, number & 255] for number in (*numbers, 0)]
    table = torch.tensor(bytes_of, device=labels.device) / 255
    known = (labels >= 0) & (labels < len(numbers))
    rows = torch.where(known, labels, len(numbers)).long()[:, 0]
    return table[rows].movedim(-1, 1)


def read_semantic(path: Path, port: Port, *, palette: Palette | None = None) -> Tensor:
    """A file of labels -> their numbers (1, 1, H, W) int64, for `checked`.

    Grey values and palette indices are numbers. Colours are looked up in `palette`, or without it
    in the port's; so are those of an indexed file where `palette` is given. An array (.npy) holds
    numbers (H, W), or is one-hot, (C, H, W) or (H, W, C).
    Raises ImageError for a file that cannot be read, ConfigError for colours without a label.
    """
    if path.suffix.lower() in ARRAYS:
        return _labels_of(path, port)
    numbers, coloured = _reading(path, lambda file: _numbers(file, indexed=palette is not None))
    if not coloured:
        return numbers[None, None]
    known = palette_of(port) if palette is None else palette
    if not known:
        raise ConfigError(
            f"{path} is coloured, but neither the network nor you say which colour is which label; "
            "give a palette (--palette), or save the map as grey values"
        )
    return _look_up(str(path), numbers, known, port)[None, None]


def labels_of(picture: Tensor, port: Port, *, palette: Palette | None = None) -> Tensor:
    """A picture of labels (N, 3, H, W) in [0, 1] -> their numbers (N, 1, H, W) int64.

    Colours are looked up in `palette`, or without it in the port's; where that has none, or the
    palette is empty, grey values are the numbers. Raises ConfigError for colours without a label.
    """
    known = palette_of(port) if palette is None else palette
    numbers = numbers_of(picture)
    if known:
        return _look_up("the map", numbers[:, 0], known, port)[:, None]
    grey = numbers & 255
    if not torch.equal(numbers, grey * 0x010101):
        raise ConfigError(
            f"{port.name} is coloured, but grey values are to be the numbers of the labels; choose "
            "a palette, or give a grey map"
        )
    return grey


def numbers_of(picture: Tensor) -> Tensor:
    """A picture whose colours differ from thing to thing, (N, 3, H, W) in [0, 1], -> numbers."""
    red, green, blue = (picture * 255).round().long().split(1, dim=1)
    return red << 16 | green << 8 | blue


def read_instances(path: Path) -> Tensor:
    """A file whose pixels differ from thing to thing -> numbers (1, 1, H, W) int64.

    Grey values, palette indices, colours, or whole numbers in an array (.npy, (H, W)). Raises
    ImageError for a file that cannot be read or is not such a map.
    """
    if path.suffix.lower() in ARRAYS:
        array = _array(path)
        if array.ndim != 2 or array.dtype.kind not in "iub":
            raise ImageError(
                f"{path} holds {array.dtype} of the shape {array.shape}; a map of things is whole "
                "numbers (H, W)"
            )
        return torch.from_numpy(array.astype(np.int64))[None, None]
    return _reading(path, lambda file: _numbers(file, indexed=False))[0][None, None]


def _check_range(numbers: Tensor, right: Tensor, port: Port) -> None:
    """Raise ConfigError for the first label that is not `right`."""
    if right.all():
        return
    _, _, row, column = (int(i) for i in (~right).nonzero()[0])
    wrong = int(numbers[~right][0])
    count, names = label_count(port), port.labels
    listed = ", ".join(f"{i} {name}" for i, name in enumerate(names)) if len(names) <= FEW else ""
    unknown = f", and {UNKNOWN} for unknown" if has_unknown(port) else ""
    raise ConfigError(
        f"{port.name} has the label {wrong}, first at row {row}, column {column}, in "
        f"{int((numbers == wrong).sum())} pixels, but this network knows 0 to {count - 1}"
        f"{f' ({listed})' if listed else ''}{unknown}; number the labels of the map so"
    )


def _reading(path: Path, read: Callable[[Image.Image], Read]) -> Read:
    """What `read` makes of a picture file; its errors name the file."""
    try:
        with Image.open(path) as file:
            return read(file)
    except ImageError as problem:
        raise ImageError(f"{path}: {problem}") from None
    except (*DAMAGE, Image.DecompressionBombError) as problem:
        raise ImageError(f"{path} is not a readable label map ({problem}); give another") from None


def _numbers(file: Image.Image, *, indexed: bool) -> tuple[Tensor, bool]:
    """The numbers (H, W), and whether they are colours; with `indexed` those of a palette too."""
    if file.mode in ("P", "PA") and indexed:
        file = file.convert("RGB")
    if file.mode in ("LA", "PA"):
        file = file.getchannel(0)
    coloured = len(file.getbands()) > 1
    if coloured and not file.mode.startswith("RGB"):
        raise ImageError(
            f"a label map is grey, indexed or RGB, but this is {file.mode}; convert it"
        )
    return read_labels(file), coloured


def _look_up(name: str, colours: Tensor, palette: Palette, port: Port) -> Tensor:
    """The label of each colour, (H, W) or (N, H, W); `name` is for messages."""
    missing = -1
    table = torch.full((1 << 24,), missing, dtype=torch.int16)
    for colour, label in palette.items():
        table[colour] = _label_of(label, port, missing)
    labels = table[colours.cpu()].to(colours.device)
    wrong = labels == missing
    if wrong.any():
        row, column = (int(i) for i in wrong.nonzero()[0, -2:])
        colour = int(colours[wrong][0])
        known = ", ".join(f"{palette[c]} {hex_of(c)}" for c in list(palette)[:FEW])
        own = f" ({palette[colour]}, no label of this network)" if colour in palette else ""
        raise ConfigError(
            f"{name} has the colour {hex_of(colour)}{own}, first at row {row}, column {column}, "
            f"in {int((colours == colour).sum())} pixels, which stands for no label; the palette "
            f"has {known}{', ...' if len(palette) > FEW else ''}; draw the map in these alone, "
            "with hard edges, or give its own palette (--palette)"
        )
    return labels.long()


def _label_of(name: str, port: Port, missing: int) -> int:
    names = [label.casefold() for label in port.labels]
    wanted = name.strip().casefold()
    if wanted in names:
        return names.index(wanted)
    if wanted == "unknown" and has_unknown(port):
        return UNKNOWN
    return int(wanted) if wanted.isdecimal() and int(wanted) < label_count(port) else missing


def _labels_of(path: Path, port: Port) -> Tensor:
    """The numbers of an array (1, 1, H, W)."""
    array = _array(path)
    if array.ndim == 2 and array.dtype.kind in "iubf":
        exact = np.float64 if array.dtype.kind == "f" else np.int64
        return torch.from_numpy(array.astype(exact))[None, None]
    lengths = {label_count(port), port.channels}
    axes = [axis for axis in (0, 2) if array.ndim == 3 and array.shape[axis] in lengths]
    if not axes or array.dtype.kind not in "iubf":
        raise ImageError(
            f"{path} holds {array.dtype} of the shape {array.shape}; a label map is whole numbers "
            f"(H, W), or one-hot, (C, H, W) or (H, W, C), of C = {port.channels} labels"
        )
    # Where height or width are as many as labels too, the axis of the labels adds up to 1.
    axis = next((axis for axis in axes if np.allclose(array.sum(axis=axis), 1)), axes[0])
    hot = torch.from_numpy(np.moveaxis(array, axis, 0).astype(np.float32))
    return numbered(hot[None], port)


def _array(path: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as problem:
        raise ImageError(f"{path} is not a readable array ({problem}); give another") from None
