"""What of the true picture guides a fill, by port: its lines, its colours, its map of labels."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from core.contract import Contract, Port
from core.errors import ConfigError, InpaintError
from core.guides import NUMBERED
from core.image.exif import DAMAGE
from core.semantic import paint_labels
from core.sketch.colors import colour_strokes

from ..data.guides import check_label_maps
from ..data.samples import Entry
from ..data.sides import labels
from ..data.sources import Place
from .trials import Square

GUIDES = ("sketch", "color", "semantic")
"""Ports that can be asked for."""
DRAWN = ("sketch", "color")
"""Those that are drawn after the picture; they are given inside the hole alone."""


def needed(contract: Contract) -> tuple[Port, ...]:
    """Guides that are always given: those that the network cannot do without, and its things."""
    return tuple(
        port
        for port in contract.guides
        if port.kind == "instances" or (not port.optional and port.kind not in ("noise", "vector"))
    )


def asked(contract: Contract, wanted: Sequence[str]) -> tuple[Port, ...]:
    """Guides of those `wanted` that the network has and can do without."""
    always = needed(contract)
    return tuple(port for port in contract.guides if port.name in wanted and port not in always)


def check_guides(name: str, ports: Sequence[Port], entries: Sequence[Entry]) -> None:
    """Raise ConfigError if these pictures lack what the network `name` is to be given."""
    for port in ports:
        if port.name not in DRAWN and port.kind not in NUMBERED:
            raise ConfigError(
                f"{name} needs the guide {port.name!r}, which nothing here makes of a picture; "
                "leave it out"
            )
        if port.kind == "labels":
            check_label_maps(entries, name)


def true_guides(
    ports: Sequence[Port], square: Square, lines: Tensor | None, random: np.random.Generator
) -> dict[str, Tensor]:
    """By port, as the pipeline takes them: maps (1, C, H, W) in [0, 1], numbers (1, 1, H, W).

    lines (1, 1, H, W): those of the picture, where a sketch is among the ports. Colour strokes are
    drawn by `random`, as in training; segments are those of the label map if there is one. Things
    without a map of them are left out: the pipeline tells them apart by their labels.
    Raises ConfigError for a side file that cannot be read, and for colours without OpenCV.
    """
    found: dict[str, Tensor] = {}
    wanted = any(port.name == "color" or port.kind == "labels" for port in ports)
    numbers = _numbers(square.entry.seg if wanted else None, square)
    for port in ports:
        if port.name == "sketch" and lines is not None:
            found[port.name] = lines
        elif port.name == "color":
            pixels = (square.image[0] * 255).round().to(torch.uint8)
            found[port.name] = colour_strokes(pixels, numbers, random)[None].float() / 255
        elif port.kind == "labels" and numbers is not None:
            found[port.name] = numbers[None, None]
        elif port.kind == "instances" and square.entry.instances is not None:
            things = _numbers(square.entry.instances, square)
            assert things is not None  # there is a file
            found[port.name] = things[None, None]
    return found


def shown_guides(
    ports: Sequence[Port], guides: Mapping[str, Tensor], mask: Tensor
) -> dict[str, Tensor]:
    """As pictures (1, 3, H, W) in [0, 1], by their names in the grid."""
    shown: dict[str, Tensor] = {}
    for port in [port for port in ports if port.name in guides]:
        guide = guides[port.name]
        if port.kind == "labels":
            shown.setdefault("labels", paint_labels(guide, port.palette))
        elif port.kind == "map":
            name = "lines" if port.name == "sketch" else "colours"
            shown.setdefault(name, (guide * mask).expand(-1, 3, -1, -1))
    return shown


def _numbers(place: Place | None, square: Square) -> Tensor | None:
    """The numbers of a side file (H, W), by nearest neighbours; None if there is none."""
    if place is None:
        return None
    try:
        return labels(place.read(), square.frame)
    except (InpaintError, *DAMAGE, Image.DecompressionBombError) as problem:
        raise ConfigError(
            f"the side file {place.name} cannot be used: {problem}; mend or remove it"
        ) from None
