"""Means over pictures, spread over seeds, and the tables and pictures that show them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from core.image import side_by_side
from core.metrics import Numbers

from .fills import guided
from .metrics import COLUMNS

Means = dict[str, Numbers]
"""Method -> metric -> mean over pictures."""
TEXT_SIZE = 14
"""Most pixels of the names over a grid; they get smaller where they are too long."""
WHITE = 255


def averages(lines: list[dict[str, Any]]) -> Means:
    """Method -> metric -> mean over the pictures that have it."""
    values: dict[str, dict[str, list[float]]] = {}
    for line in lines:
        for key in [key for key in COLUMNS if key in line]:
            values.setdefault(line["method"], {}).setdefault(key, []).append(line[key])
    return {
        method: {key: sum(column) / len(column) for key, column in columns.items()}
        for method, columns in values.items()
    }


def over_seeds(per_seed: list[Means]) -> tuple[Means, Means]:
    """Mean of the means of each seed, and their standard deviation (n - 1; nothing for one seed).

    A value that is not finite has no deviation: nan.
    """
    means, spread = {}, {}
    for method in per_seed[0]:
        columns = {
            key: [means[method][key] for means in per_seed if key in means[method]]
            for key in COLUMNS
            if key in per_seed[0][method]
        }
        means[method] = {key: sum(column) / len(column) for key, column in columns.items()}
        if len(per_seed) > 1:
            spread[method] = {key: deviation(column) for key, column in columns.items()}
    return means, spread


def deviation(values: list[float]) -> float:
    """Standard deviation of a sample; nan for a single value or one that is not finite."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return math.nan
    return float(np.std(values, ddof=1))


def table(title: str, means: Means, spread: Means | None = None) -> str:
    """A Markdown table of four significant digits, best hole L1 first, nan last."""
    ranked = sorted(means, key=lambda name: (math.isnan(x := means[name]["hole_l1"]), x))
    keys = [key for key in COLUMNS if any(key in numbers for numbers in means.values())]
    head = [title, *(COLUMNS[key] for key in keys)]
    rows = [head, ["---", *("---:" for _ in keys)]]
    rows += [[name, *(_cell(name, key, means, spread or {}) for key in keys)] for name in ranked]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cell(method: str, key: str, means: Means, spread: Means) -> str:
    if key not in means[method]:
        return "-"
    value = f"{means[method][key]:#.4g}"
    wide = spread.get(method, {}).get(key)
    return value if wide is None else f"{value} ± {wide:.2g}"


def guide_note(means: Means, guides: Mapping[str, Sequence[str]]) -> str:
    """What guides are worth: by how much they lower the error in the hole, one line a network.

    guides: network -> those that it is measured without and with.
    """
    lines = []
    for network, names in guides.items():
        plain, better = means[network]["hole_l1"], means[guided(network, names)]["hole_l1"]
        change = 100 * (better / plain - 1) if plain else 0.0
        lines.append(
            f"{network}: hole L1 {plain:.4g} % without the true {' and '.join(names)}, "
            f"{better:.4g} % with {'it' if len(names) == 1 else 'them'} ({change:+.1f} %)\n"
        )
    return "".join(lines)


def labelled(columns: dict[str, list[Tensor]]) -> Tensor:
    """A grid with a name over each column: name -> pictures (1, 3, H, W), from top to bottom."""
    width = next(iter(columns.values()))[0].shape[-1]
    stacks = []
    for name, pictures in columns.items():
        head = side_by_side([_lettering(name, width).mT, *(each.mT for each in pictures)]).mT
        stacks.append(head)
    return side_by_side(stacks)


def _lettering(text: str, width: int) -> Tensor:
    """Black on white, in the middle of (1, 3, about 1.5 lines, width)."""
    canvas = Image.new("RGB", (width, round(1.5 * TEXT_SIZE)), (WHITE,) * 3)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(TEXT_SIZE)
    if (long := draw.textlength(text, font)) > width:
        font = ImageFont.load_default(max(6, int(TEXT_SIZE * width / long)))
    middle = (width / 2, canvas.height / 2)
    draw.text(middle, text, fill=(0, 0, 0), font=font, anchor="mm")
    return torch.from_numpy(np.array(canvas)).movedim(-1, 0)[None].float() / WHITE
