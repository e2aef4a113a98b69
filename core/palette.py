"""Which colour stands for which label: palettes from files, from a network, or made up."""

import colorsys
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import ImageColor

from .contract import Port
from .errors import ConfigError

Palette = Mapping[int, str]
"""Colour, as the number 0xRRGGBB, -> name of its label, or the label's number as text."""
GIMP = "GIMP Palette"
NAMELESS = ("", "Untitled")
"""What GIMP calls a colour without a name; such a colour goes by its place, from 0."""
GOLDEN = 0.618034
"""Steps of hue by the golden section: neighbouring labels differ, and none comes back."""


def read_palette(path: Path) -> Palette:
    """A palette of GIMP (.gpl), or JSON as {"sky": "#808080", ...}.

    Raises ConfigError for a file that is missing or anything else, and where two labels have the
    same colour.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{path} is not a readable palette ({problem}); name another") from None
    try:
        pairs = _gimp(text) if text.startswith(GIMP) else _json(text)
    except ValueError as problem:
        raise ConfigError(
            f"{path} is not a palette ({problem}); it must be one of GIMP (.gpl) or JSON as "
            '{"sky": "#808080"}'
        ) from None
    return _without_twins(pairs, str(path))


def palette_of(port: Port) -> Palette:
    """The palette that a network brings along; may be empty."""
    numbers = map(parse_colour, port.palette)
    return _without_twins(list(zip(numbers, port.labels, strict=False)), "the network's palette")


def parse_colour(text: str) -> int:
    """A colour as "#808080", or by name, as its number. Raises ValueError for anything else."""
    red, green, blue = ImageColor.getrgb(text)[:3]
    return red << 16 | green << 8 | blue


def hex_of(colour: int) -> str:
    """0x808080 -> "#808080"."""
    return f"#{colour:06x}"


def made_up(count: int) -> Sequence[str]:
    """So many colours that can be told apart, where a network has no palette."""
    colours = []
    for i in range(count):
        rgb = colorsys.hsv_to_rgb(i * GOLDEN % 1, (0.85, 0.55)[i % 2], (0.95, 0.8, 0.6)[i % 3])
        colours.append("#" + "".join(f"{round(255 * value):02x}" for value in rgb))
    return colours


def _gimp(text: str) -> list[tuple[int, str]]:
    pairs: list[tuple[int, str]] = []
    for line in text.splitlines()[1:]:
        if not line.strip() or line.startswith(("#", "Name:", "Columns:")):
            continue
        red, green, blue, *name = line.split(maxsplit=3)
        numbers = [int(value) for value in (red, green, blue)]
        if not all(0 <= number <= 255 for number in numbers):
            raise ValueError(f"{line!r} is no colour")
        label = name[0].strip() if name else ""
        colour = numbers[0] << 16 | numbers[1] << 8 | numbers[2]
        pairs.append((colour, str(len(pairs)) if label in NAMELESS else label))
    return pairs


def _json(text: str) -> list[tuple[int, str]]:
    content = json.loads(text)
    if not isinstance(content, dict) or not all(isinstance(c, str) for c in content.values()):
        raise ValueError("it is not names with colours")
    return [(parse_colour(colour), name) for name, colour in content.items()]


def _without_twins(pairs: Sequence[tuple[int, str]], where: str) -> Palette:
    palette: dict[int, str] = {}
    for colour, name in pairs:
        if palette.setdefault(colour, name) != name:
            raise ConfigError(
                f"{where} has {hex_of(colour)} for both {palette[colour]} and {name}; each label "
                "needs a colour of its own"
            )
    return palette
