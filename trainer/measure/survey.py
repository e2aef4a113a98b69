"""Every method on every picture with every hole: the loop of the measuring, and what it finds."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..data.samples import Entry
from .fills import Fill
from .metrics import measure, quantised
from .observe import TRUE, Observer, Pools, Seen
from .tables import Means, averages, over_seeds
from .trials import Draw, read_square


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
    """Measure. What is looked up of a true picture is looked up once for all its holes."""
    found, pools = Findings(), Pools()
    holes = [(seed, kind) for seed in task.seeds for kind in task.kinds]
    with tqdm(total=len(task.entries) * len(holes)) as progress:
        for number, entry in enumerate(task.entries):
            image = read_square(entry, task.size)
            true = task.observer.see(image)
            for seed, kind in holes:
                progress.update()
                mask = task.kinds[kind](number, seed)
                if mask is None:
                    found.left_out += 1
                    continue
                about = {"picture": f"{entry.path.name} @ {entry.offset}", "masks": kind}
                fills = _fill(task, image, mask, true)
                seen = task.observer.see(torch.cat(list(fills.values())))
                compared = task.observer.compare(seen, true, mask)
                for (name, filled), more in zip(fills.items(), compared, strict=True):
                    numbers = measure(filled, image, mask) | more
                    found.lines.append(about | {"seed": seed, "method": name} | numbers)
                random = np.random.default_rng((seed, number))
                vectors = zip(fills, seen.vectors(mask, random), strict=True)
                pools.add(kind, seed, dict(vectors) | {TRUE: true.vectors(mask, random)[0]})
                if seed == task.seeds[0] and len(found.columns.get("true", ())) < task.rows:
                    _show(found.columns, image, mask, true, fills)
    found.sets = pools.lines()
    return found


def _fill(task: Task, image: Tensor, mask: Tensor, true: Seen) -> dict[str, Tensor]:
    return {name: quantised(fill(image, mask, true.lines)) for name, fill in task.methods.items()}


def _show(
    columns: dict[str, list[Tensor]],
    image: Tensor,
    mask: Tensor,
    true: Seen,
    fills: dict[str, Tensor],
) -> None:
    """One more row of the grid."""
    row = {"masked": image.maximum(mask)}
    if true.lines is not None:
        row["lines"] = (true.lines * mask).expand_as(image)
    for name, picture in {**row, **fills, "true": image}.items():
        columns.setdefault(name, []).append(picture)
