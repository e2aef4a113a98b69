"""What networks see in pictures, looked up once for all the metrics that compare it."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.backends import choose_device
from core.metrics import Numbers
from core.sketch.draw import Drawer, draw_lines, open_drawer

from ..perceptual import FeatureNetwork, feature_distance, load_features
from .fid import Inception, frechet_distance, load_inception
from .lpips import Lpips, load_lpips
from .metrics import edge_agreement
from .texture import hole_vectors, texture_distance

TRUE = ""
"""Stands for the true pictures where the fills of a method stand by its name."""
Vectors = dict[str, Tensor]
"""Of one picture: metric of whole sets -> feature vectors (n, C)."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was asked for of `count` pictures: layers of features, lines, one vector each."""

    count: int
    features: list[Tensor] | None = None
    lpips: list[Tensor] | None = None
    lines: Tensor | None = None
    inception: Tensor | None = None

    def vectors(self, mask: Tensor, random: np.random.Generator) -> list[Vectors]:
        """For each picture, what stands for it in a comparison of sets; mask as everywhere."""
        found = {}
        if self.features is not None:
            found["texture"] = hole_vectors(self.features, mask, random).cpu()
        if self.inception is not None:
            found["fid"] = self.inception[:, None].cpu()
        return [{name: each[i] for name, each in found.items()} for i in range(self.count)]


@dataclass(frozen=True, kw_only=True)
class Observer:
    """The networks that metrics need, those that are wanted."""

    device: torch.device
    features: FeatureNetwork | None = None
    lpips: Lpips | None = None
    drawer: Drawer | None = None
    inception: Inception | None = None

    @torch.inference_mode()
    def see(self, pictures: Tensor) -> Seen:
        """Pictures (N, 3, H, W) in [0, 1] on the CPU."""
        scaled = 2 * pictures.to(self.device) - 1
        return Seen(
            count=len(pictures),
            features=self.features(scaled) if self.features else None,
            lpips=self.lpips(scaled) if self.lpips else None,
            lines=draw_lines(self.drawer, pictures) if self.drawer else None,
            inception=self.inception(pictures) if self.inception else None,
        )

    @torch.inference_mode()
    def compare(self, fills: Seen, true: Seen, mask: Tensor) -> list[Numbers]:
        """The metrics of each fill of one picture; `true` was seen of that picture alone."""
        numbers: list[Numbers] = [{} for _ in range(fills.count)]
        columns: dict[str, list[float]] = {}
        if fills.features and true.features:
            columns["features"] = (100 * feature_distance(fills.features, true.features)).tolist()
        if self.lpips and fills.lpips and true.lpips:
            columns["lpips"] = self.lpips.distance(fills.lpips, true.lpips).tolist()
        if fills.lines is not None and true.lines is not None:
            found = [edge_agreement(lines[None], true.lines, mask) for lines in fills.lines]
            columns |= {"edges": [x for x in found if x is not None]}  # all of them, or none
        for key, column in columns.items():
            for line, value in zip(numbers, column, strict=False):
                line[key] = value
        return numbers


def open_observer(
    *,
    features: Path | None = None,
    lpips: tuple[Path, ...] = (),
    inception: Path | None = None,
    lines: str | None = None,
    device: str = "",
) -> Observer:
    """Load what is named. Raises TrainingError for a file that cannot be used."""
    place = choose_device(device)
    return Observer(
        device=place,
        features=load_features(features).to(place) if features else None,
        lpips=load_lpips(*lpips).to(place) if lpips else None,
        drawer=open_drawer(lines, device=device) if lines else None,
        inception=load_inception(inception, place) if inception else None,
    )


class Pools:
    """The vectors of whole sets of pictures, by kind of hole, seed and method."""

    def __init__(self) -> None:
        self.kept: defaultdict[tuple[str, int], defaultdict[str, list[Vectors]]]
        self.kept = defaultdict(lambda: defaultdict(list))

    def add(self, kind: str, seed: int, vectors: dict[str, Vectors]) -> None:
        """What one picture with one hole gives: method -> vectors, and those of the true one."""
        for method, each in vectors.items():
            self.kept[kind, seed][method].append(each)

    def lines(self) -> list[dict[str, Any]]:
        """One line per kind of hole, seed and method, in the form of those of single pictures."""
        lines = []
        for (kind, seed), methods in self.kept.items():
            true = methods[TRUE]
            for method in [name for name in methods if name != TRUE]:
                numbers = compare_sets(methods[method], true, seed=seed)
                lines.append({"masks": kind, "seed": seed, "method": method, **numbers})
        return lines


def compare_sets(filled: list[Vectors], true: list[Vectors], *, seed: int) -> Numbers:
    """The metrics of two sets of pictures; without those for which there are too few vectors."""
    numbers = {}
    for name in true[0]:
        mine, theirs = (torch.cat([each[name] for each in part]) for part in (filled, true))
        if min(len(mine), len(theirs)) < 2:
            continue
        if name == "texture":
            numbers[name] = texture_distance(mine, theirs, seed=seed)
        else:
            numbers[name] = frechet_distance(mine, theirs)
    return numbers
