"""Masks for training, mixed of several kinds by shares."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from core.errors import ConfigError, ImageError, TrainingError
from core.masks.drawn import KINDS, BrushStyle, free_form_mask
from core.masks.found import cut_mask, open_labels, own_mask, picture_files, segment_mask

if TYPE_CHECKING:
    from ..config import TrainConfig

Report = Callable[[str, str], None]
"""Takes the name of a file that cannot be used, and why."""

FILE_KINDS = ("folder", "segments")
"""Kinds that come from the user's files."""
WHOLE = "whole"
"""All of the picture, for networks that paint by a map of labels; not joined with others."""
FULLEST = 0.95
"""Largest share of a training hole; with less around it nothing could be learnt."""
TRIES = 20
"""Masks drawn before a kind counts as unable to give one with hole and known pixels."""
MOVED = 0.5
"""How often a segment of the picture itself is moved to another place."""
FILES_KEPT = 64
"""Masks and label maps that stay in memory."""


def parse_shares(holes: Sequence[str]) -> list[tuple[tuple[str, ...], float]]:
    """("brush=0.7", "brush+box=0.3") -> kinds that are joined, and the share of the masks.

    Raises ConfigError for unknown kinds and shares that are no positive numbers.
    """
    parsed = []
    for text in holes:
        names, _, number = text.partition("=")
        kinds = tuple(names.split("+"))
        known = (*KINDS, *FILE_KINDS) if len(kinds) > 1 else (*KINDS, *FILE_KINDS, WHOLE)
        unknown = [kind for kind in kinds if kind not in known]
        if unknown:
            raise ConfigError(
                f"--holes has {text!r}, but no kind is called {unknown[0]!r}; the kinds are "
                f"{', '.join(known)}, joined by + where one mask has several"
            )
        try:
            share = float(number or 1)
        except ValueError:
            share = 0.0
        if not 0 < share < 1e6:
            raise ConfigError(f"--holes has {text!r}; it must be KIND=SHARE, as brush=0.7")
        parsed.append((kinds, share))
    if not parsed:
        raise ConfigError("--holes is empty; give at least one kind, as brush")
    return parsed


class Holes:
    """Draws the mask of a sample."""

    def __init__(self, config: "TrainConfig"):
        self.size = (config.crop, config.crop)
        parsed = parse_shares(config.holes)
        self.kinds = [kinds for kinds, _ in parsed]
        self.shares = np.array([share for _, share in parsed])
        self.shares /= self.shares.sum()
        self.style = brush_style(config)
        used = {kind for kinds in self.kinds for kind in kinds}
        self.own = _files(config.mask_folder, "mask-folder") if "folder" in used else []
        self.maps = _files(config.labels, "labels") if "segments" in used and config.labels else []

    @property
    def want_labels(self) -> bool:
        """Whether segments are asked for and must come from the pictures' own label maps."""
        return not self.maps and any("segments" in kinds for kinds in self.kinds)

    def draw(
        self, random: np.random.Generator, labels: Callable[[], Tensor | None], report: Report
    ) -> Tensor:
        """A mask (1, crop, crop) uint8, 1 = hole: neither empty nor nearly all hole.

        `labels` gives the picture's own label map (crop, crop), or None. A picture without a
        segment that can be a hole gets strokes instead. Raises TrainingError if the files of the
        user give no mask.
        """
        kinds = self.kinds[random.choice(len(self.kinds), p=self.shares)]
        if kinds == (WHOLE,):
            return torch.ones(1, *self.size, dtype=torch.uint8)
        for _ in range(TRIES):
            mask = torch.zeros(1, 1, *self.size)
            for kind in kinds:
                mask = torch.maximum(mask, self._one(kind, random, labels, report))
            if 0 < mask.mean() <= FULLEST:
                return mask[0].to(torch.uint8)
        raise TrainingError(
            f"--holes {'+'.join(kinds)} gave no mask of {self.size[0]} pixels with hole and known "
            f"area in {TRIES} tries; change its settings or files"
        )

    def _one(
        self, kind: str, random: np.random.Generator, labels: Callable[[], Tensor | None],
        report: Report,
    ) -> Tensor:  # fmt: skip
        if kind == "folder":
            return self._from_folder(random, report)
        if kind == "segments":
            mask = self._segment(random, labels, report)
            return mask if mask is not None else free_form_mask(self.size, random, self.style)
        if kind == "brush":
            return free_form_mask(self.size, random, self.style)
        return KINDS[kind](self.size, int(random.integers(2**32)))

    def _from_folder(self, random: np.random.Generator, report: Report) -> Tensor:
        start = int(random.integers(len(self.own)))
        for path in self.own[start:] + self.own[:start]:
            try:
                mask = cut_mask(_own_mask(path), self.size, random)
            except ImageError as problem:
                report(str(path), str(problem))
                continue
            if mask is not None:
                return mask
        raise TrainingError(f"no mask in {self.own[0].parent} can be used; white must be the hole")

    def _segment(
        self, random: np.random.Generator, labels: Callable[[], Tensor | None], report: Report
    ) -> Tensor | None:
        if not self.maps:
            own = labels()
            moved = bool(random.random() < MOVED)
            return None if own is None else segment_mask(own, self.size, random, moved=moved)
        start = int(random.integers(len(self.maps)))
        for path in (self.maps[start:] + self.maps[:start])[:TRIES]:
            try:
                mask = segment_mask(_label_map(path), self.size, random, moved=True)
            except ImageError as problem:
                report(str(path), str(problem))
                continue
            if mask is not None:
                return mask
        return None


def brush_style(config: "TrainConfig") -> BrushStyle:
    """Our brush as the settings have it. Raises ConfigError for spans that cannot be."""
    style = BrushStyle(
        strokes=config.brush_strokes,
        vertices=config.brush_vertices,
        length=config.brush_length,
        width=config.brush_width,
        angle=config.brush_angle,
    )
    return style.scaled(1.0, thickness=config.brush)


def _files(folder: Path | None, flag: str) -> list[Path]:
    if folder is None:
        raise ConfigError(f"--holes asks for masks of your own; name their folder by --{flag}")
    return picture_files(folder, flag)


_own_mask = lru_cache(FILES_KEPT)(own_mask)
_label_map = lru_cache(FILES_KEPT)(open_labels)
