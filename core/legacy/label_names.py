"""Names and colours of labels, by file."""

import re
from pathlib import Path

from ..errors import ConfigError
from ..palette import hex_of, read_palette

LINE = re.compile(r"(?P<name>\S.*?)(?:\s+(?P<colour>#[0-9a-fA-F]{6}))?")


def read_labels(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names, and the colours (#rrggbb) if there are any, of a palette or a text file.

    A palette is as `read_palette` takes it (.gpl, .json). A text file has a line for each label, in
    the order of their numbers: its name, and perhaps its colour after a space ("sky #808080").
    Empty lines, and those that begin with "# ", say nothing. Raises ConfigError for a file that is
    neither.
    """
    if path.suffix.lower() in (".gpl", ".json"):
        palette = read_palette(path)
        return tuple(palette.values()), tuple(map(hex_of, palette))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(
            f"cannot read the labels in {path} ({problem}); give a text file"
        ) from None
    lines = [line.strip() for line in text.splitlines()]
    found = [LINE.fullmatch(line) for line in lines if line and not line.startswith("# ")]
    names = tuple(match["name"] for match in found if match)
    colours = tuple(match["colour"].lower() for match in found if match and match["colour"])
    if colours and len(colours) != len(names):
        raise ConfigError(
            f"{path} gives colours to {len(colours)} of {len(names)} labels; all or none need one"
        )
    return names, colours
