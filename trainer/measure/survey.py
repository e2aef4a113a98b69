"""Every method on every picture with every hole: the loop of the measuring, and what it finds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from core.errors import ConfigError
from core.metrics import measure

from ..data.samples import Entry
from .fills import Fill, given_ports
from .guides import shown_guides, true_guides
from .metrics import quantised
from .observe import TRUE, Observer, Pools, Seen
from .tables import Means, averages, over_seeds
from .trials import Draw, Square, read_square

STROKES = 5
"""Joins seed and number of a picture in the seed of its colour strokes."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is measured on what."""

    entries: list[Entry]
    kinds: dict[str, Draw]
    """Kinds of holes by name; each is measured apart."""
    methods: dict[str, Fill]
    observer: Observer
    seeds: tuple[int, ...]
    size: int
    rows: int
    """Rows of the grid: the first pictures, with the holes of the first seed; 0 = none."""


@dataclass
class Findings:
    """What a survey has measured."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    """One for each picture, kind of hole, seed and method."""
    sets: list[dict[str, Any]] = field(default_factory=list)
    """One for each kind of hole, seed and method: metrics of the whole set."""
    columns: dict[str, list[Tensor]] = field(default_factory=dict)
    """Of the grid, by name."""
    left_out: int = 0
    """Masks without hole, or with nothing but."""

    def means(self, kind: str) -> tuple[Means, Means]:
        """Means over pictures, of all seeds, and their spread over the seeds."""
        mine = [line for line in [*self.lines, *self.sets] if line["masks"] == kind]
        seeds = sorted({line["seed"] for line in mine})
        return over_seeds([averages([x for x in mine if x["seed"] == seed]) for seed in seeds])


def survey(task: Task) -> Findings:
    """Measure. What is looked up of a true picture is looked up once for all its holes.

    Guides are those of the true picture; strokes of colour are a function of seed and number.
    """
    found, pools = Findings(), Pools()
    ports = given_ports(task.methods.values())
    with tqdm(total=len(task.entries) * len(task.seeds) * len(task.kinds)) as progress:
        for number, entry in enumerate(task.entries):
            square = read_square(entry, task.size)
            true = task.observer.see(square.image)
            for seed in task.seeds:
                random = np.random.default_rng((seed, number, STROKES))
                guides = true_guides(ports, square, true.lines, random)
                for kind, draw in task.kinds.items():
                    progress.update()
                    mask = draw(number, seed)
                    if mask is None:
                        found.left_out += 1
                        continue
                    fills = _fill(task.methods, square, mask, guides)
                    trial = _Trial(number, seed, kind, square, mask)
                    _note(task.observer, trial, true, fills, found, pools)
                    if seed == task.seeds[0] and len(found.columns.get("true", ())) < task.rows:
                        _show(found.columns, trial, shown_guides(ports, guides, mask), fills)
    found.sets = pools.lines()
    return found


@dataclass(frozen=True)
class _Trial:
    """A picture, by its number, with one of its holes."""

    number: int
    seed: int
    kind: str
    square: Square
    mask: Tensor


def _fill(
    methods: Mapping[str, Fill], square: Square, mask: Tensor, guides: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    fills = {}
    for name, fill in methods.items():
        try:
            fills[name] = quantised(fill(square.image, mask, guides))
        except ConfigError as problem:  # as for a label that the network does not know
            raise ConfigError(f"{square.entry.name} with {name}: {problem}") from None
    return fills


def _note(
    observer: Observer,
    trial: _Trial,
    true: Seen,
    fills: dict[str, Tensor],
    found: Findings,
    pools: Pools,
) -> None:
    """Measure the fills of one trial, and keep what will be needed of them for whole sets."""
    entry, image, mask = trial.square.entry, trial.square.image, trial.mask
    seen = observer.see(torch.cat(list(fills.values())))
    compared = observer.compare(seen, true, mask)
    about = {"picture": f"{entry.path.name} @ {entry.offset}", "masks": trial.kind}
    for (name, filled), more in zip(fills.items(), compared, strict=True):
        numbers = measure(filled, image, mask) | more
        found.lines.append(about | {"seed": trial.seed, "method": name} | numbers)
    random = np.random.default_rng((trial.seed, trial.number))
    vectors = zip(fills, seen.vectors(mask, random), strict=True)
    truth = {TRUE: true.vectors(mask, random)[0]}
    pools.add(trial.kind, trial.seed, dict(vectors) | truth)


def _show(
    columns: dict[str, list[Tensor]],
    trial: _Trial,
    guides: dict[str, Tensor],
    fills: dict[str, Tensor],
) -> None:
    """One more row of the grid; a picture that is all hole has no masked form to be seen."""
    image, mask = trial.square.image, trial.mask
    masked = {} if mask.all() else {"masked": image.maximum(mask)}
    for name, picture in {**masked, **guides, **fills, "true": image}.items():
        columns.setdefault(name, []).append(picture)
