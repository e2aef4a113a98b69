"""Filling files: one picture or a folder, each with its mask, and a line of report for each."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..contract import THRESHOLD
from ..errors import ImageError, InpaintError
from ..image import (
    Picture,
    alpha_mask,
    colour_mask,
    read_mask,
    read_picture,
    write_picture,
)
from ..image.write import SUFFIXES, pictures_below
from ..palette import Palette
from ..pipeline import Inpainter
from .guides import MASK_ENDINGS, Reading, find_partner, is_side_file, own_guides, read_guides


@dataclass(frozen=True, kw_only=True)
class MaskSource:
    """Where the hole of a picture comes from: a file, its transparency or a colour in it."""

    path: Path | None = None
    colour: str | None = None
    """Without a path: the colour that marks the hole; None = transparent pixels are the hole."""
    tolerance: float = 0.0
    invert: bool = False
    rescale: bool = False

    @property
    def from_alpha(self) -> bool:
        """Whether transparent pixels are the hole."""
        return self.path is None and self.colour is None

    def read(self, picture: Picture) -> Tensor:
        """(1, 1, H, W) in [0, 1], 1 = hole."""
        if self.path is not None:
            return read_mask(self.path, picture.size, invert=self.invert, rescale=self.rescale)
        if self.colour is not None:
            mask = colour_mask(picture.pixels, self.colour, tolerance=self.tolerance)
        else:
            mask = alpha_mask(picture)
        return 1 - mask if self.invert else mask

    def alpha(self, picture: Picture, mask: Tensor) -> Tensor | None:
        """The transparency (1, 1, H, W) of the filled picture; None = that which it has."""
        if not self.from_alpha or picture.alpha is None:
            return None
        # The transparency said where the hole is; what is filled is no longer transparent.
        return torch.maximum(picture.alpha, (mask > 0).float())


@dataclass(frozen=True, kw_only=True)
class Job:
    """One picture to fill."""

    image: Path
    mask: MaskSource
    output: Path
    guides: Mapping[str, Path] = field(default_factory=dict)
    """By port."""
    palette: Palette | None = None
    """Of coloured maps of labels; None = the network's."""


@dataclass(frozen=True)
class Filled:
    """What came of a job."""

    picture: Picture
    mask: Tensor
    completed: Tensor
    guides: dict[str, Tensor]
    """What was given, by port."""
    seconds: float
    """In the network and the pipeline, files not counted."""

    @property
    def facts(self) -> dict[str, Any]:
        """What a report says of it."""
        return {
            "height": self.picture.size[0],
            "width": self.picture.size[1],
            "hole_percent": round(100 * float((self.mask > THRESHOLD).float().mean()), 3),
            "seconds": round(self.seconds, 3),
        }


def fill_file(inpainter: Inpainter, job: Job) -> Filled:
    """Fill one file and write the result. Raises InpaintError; then nothing was written."""
    picture = read_picture(job.image)
    mask = job.mask.read(picture)
    reading = Reading(size=picture.size, rescale=job.mask.rescale, palette=job.palette)
    guides = read_guides(job.guides, inpainter.backend.contract, reading)
    filled = fill_picture(inpainter, picture, mask, guides)
    alpha = job.mask.alpha(picture, mask)
    write_picture(job.output, picture, filled.completed, alpha=alpha)
    return filled


def fill_picture(
    inpainter: Inpainter, picture: Picture, mask: Tensor, guides: dict[str, Tensor]
) -> Filled:
    """Fill a picture that was read, (1, 1, H, W) being its mask; nothing is written."""
    started = time.perf_counter()
    completed = inpainter(picture.pixels, mask, **guides)
    return Filled(picture, mask, completed, guides, time.perf_counter() - started)


def report_line(job: Job, **facts: Any) -> dict[str, Any]:
    """One line of the report, plain values."""
    mask = str(job.mask.path) if job.mask.path else job.mask.colour or "alpha"
    line: dict[str, Any] = {"image": str(job.image), "mask": mask, "output": str(job.output)}
    if job.guides:
        line["guides"] = {name: str(path) for name, path in job.guides.items()}
    return line | facts


def attempt(inpainter: Inpainter, job: Job) -> dict[str, Any]:
    """Do the job and say in a report line how it went; only a user's errors are caught."""
    try:
        filled = fill_file(inpainter, job)
    except InpaintError as problem:
        return report_line(job, status="failed", error=str(problem))
    return report_line(job, status="done", **filled.facts)


def pair_folder(
    images: Path,
    masks: MaskSource,
    output: Path,
    *,
    guides: Mapping[str, Path],
    palette: Palette | None = None,
) -> Iterator[Job]:
    """A job per picture below `images`; masks and guides are found by its relative name.

    The mask of a/b.jpg is a/b.mask, a/b_mask, a/b-mask or a/b with any picture suffix below the
    folder of masks, its sketch a/b.sketch, ..., a/b, and so on; what is one file serves every
    picture. A picture without mask gives a job whose mask is missing, so that it is reported and
    not passed over.
    """
    for image in picture_files(images):
        if is_side_file(image):
            continue
        name = image.relative_to(images)
        if output.resolve() in image.resolve().parents:
            continue  # a result of an earlier run
        source = masks
        if masks.path is not None and masks.path.is_dir():
            source = replace(masks, path=find_partner(image, masks.path / name, MASK_ENDINGS))
        own = own_guides(image, name, guides)
        yield Job(image=image, mask=source, output=output / name, guides=own, palette=palette)


def picture_files(folder: Path) -> list[Path]:
    """Every file below `folder` whose suffix is that of a picture, sorted.

    Raises ImageError if there is none.
    """
    found = pictures_below(folder)
    if not found:
        raise ImageError(f"no pictures in {folder}; it needs files ending in {', '.join(SUFFIXES)}")
    return found
