"""Training samples: crop, mask and lines, each a function of (seed, sample number) and no more.

That is what makes a resumed run the run that was not interrupted, whatever the workers did.
"""

import io
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from core.errors import ConfigError, TrainingError
from core.image.exif import DAMAGE

from ..config import TrainConfig
from ..widen import initial_contract
from .frame import random_frame
from .guides import Cut, Guides
from .holes import Holes, Report
from .loader import Batch, Sample, Slices, load, say_skipped, to_batch
from .order import LocalOrder, Order, StreamOrder
from .shards import ShardCache
from .sides import labels, read_side
from .sources import Entry, Pictures, Place, find_pictures

__all__ = ["Batch", "Entry", "Pictures", "Samples", "batches", "find_pictures", "to_batch"]

DAMAGED_IN_A_ROW = 1000
"""Unreadable pictures after which a set counts as unreadable."""
LOOKED_AT = 64
"""Pictures whose sizes are looked at before training."""
MOST_ENLARGED = 4
"""If all pictures had to be enlarged by more than this to be cropped, nothing could be learnt."""


class Samples(Dataset[dict[str, Tensor]]):
    """Sample k for every k >= 0: epochs of shuffled pictures without end."""

    def __init__(self, entries: Sequence[Entry], config: TrainConfig):
        self.pictures = entries if isinstance(entries, Pictures) else Pictures(entries)
        if not self.pictures.entries and not self.pictures.shards:
            raise TrainingError("there are no pictures to train on; name some by --data")
        self.config = config
        self.order = _order(self.pictures, config)
        self.holes = Holes(config)
        self.contract = initial_contract(config.init, config.network())
        self.guides = Guides(config, self.contract)
        self._cache: dict[Place, np.ndarray] = {}
        self._cached_bytes = 0

    def __getitem__(self, k: int) -> dict[str, Tensor]:
        """The parts of a sample, as `Sample` says.

        Raises TrainingError if no picture can be read, ConfigError for an unknown label.
        """
        return self.sample(k).parts

    def sample(self, k: int) -> Sample:
        """As `samples[k]`, with the files that were skipped.

        A damaged picture is replaced by the next one in order.
        """
        skipped: list[tuple[str, str]] = []

        def report(name: str, reason: str) -> None:
            skipped.append((name, reason))

        entry, pixels = self._picture(k, report)
        # Each part draws from a sequence of its own: other masks leave the crops as they are.
        look, hole, loss = (np.random.default_rng((self.config.seed, i, k)) for i in (1, 2, 4))
        frame = random_frame(pixels.shape[:2], self.config.crop, self.config.zoom, look)
        image = frame.picture(pixels)
        if self.config.colour_jitter:
            # From none to full, so that colours as they are stay common.
            strength = self.config.colour_jitter * look.random()
            image = jitter_colours(image, look, strength=strength)
        mask = self.holes.draw(hole, lambda: read_side(entry.seg, labels, frame, report), report)
        chance = torch.tensor(loss.random(), dtype=torch.float32)
        parts = {"image": image, "mask": mask, "chance": chance}
        return Sample(parts | self.guides.draw(k, Cut(image, entry, frame), report), skipped)

    def check(self) -> None:
        """Raise ConfigError for settings that cannot work with these pictures."""
        here, crop, workers = self.pictures.entries, self.config.crop, self.config.workers
        if crop % self.contract.multiple_of:
            raise ConfigError(
                f"--crop is {crop}; this network needs a multiple of {self.contract.multiple_of}"
            )
        if self.pictures.shards:
            return  # nothing is known of them yet
        if workers > len(here):
            raise ConfigError(
                f"--workers is {workers} but there are only {len(here)} pictures; use fewer"
            )
        if self.holes.want_labels and not any(entry.seg for entry in here):
            raise ConfigError(
                "--holes asks for segments, but no picture has a label map (KEY.seg.png); give "
                "some, or a folder of them by --labels"
            )
        self.guides.check(here)
        largest = max(map(_short_side, here[:: math.ceil(len(here) / LOOKED_AT)]), default=0)
        if 0 < largest * MOST_ENLARGED < crop:
            raise ConfigError(
                f"--crop is {crop} but the short side of the largest picture looked at is "
                f"{largest}; use at most {largest * MOST_ENLARGED} or larger pictures"
            )

    def release(self) -> None:
        """Let go of shards that this process no longer reads."""
        self.order.release()

    def _picture(self, k: int, report: Report) -> tuple[Entry, np.ndarray]:
        """The picture in place k, or the next one that can be read."""
        first = ""
        for step in range(DAMAGED_IN_A_ROW):
            entry = self.order.entry(k + step)
            for damaged in self.order.take_damaged():
                report(*damaged)
            try:
                return entry, self._decode(entry)
            except TrainingError as problem:
                report(entry.name, str(problem))
                first = first or str(problem)
            total = self.order.total()
            if total is not None and step >= 2 * total:  # all of them, wherever an epoch begins
                break
        raise TrainingError(f"{step + 1} pictures in a row cannot be read; the first: {first}")

    def _decode(self, entry: Entry) -> np.ndarray:
        """(H, W, 3) uint8, from memory if it is there."""
        if entry.place in self._cache:
            return self._cache[entry.place]
        pixels = np.asarray(entry.decode())
        fits = self._cached_bytes + pixels.nbytes <= self.config.cache_mib << 20
        if fits and not self.pictures.shards:  # of a stream, each comes once in a long time
            self._cache[entry.place] = pixels
            self._cached_bytes += pixels.nbytes
        return pixels


def batches(
    samples: Samples, config: TrainConfig, start: int, device: torch.device, *,
    rank: int = 0, world: int = 1, skipped: Callable[[str, str], None] = say_skipped,
) -> Iterator[Batch]:  # fmt: skip
    """Micro-batches of process `rank` of `world` from update `start` on, without end.

    `skipped` gets name and reason of every damaged file, once. Raises ConfigError for settings
    that cannot work with these pictures.
    """
    samples.check()
    samples.release()  # before workers are forked, which would inherit what is held
    for name, reason in samples.pictures.damaged:
        skipped(name, reason)
    return load(samples, Slices(start, config, rank, world), config, device, skipped)


def jitter_colours(image: Tensor, random: np.random.Generator, *, strength: float) -> Tensor:
    """Turn the hue, stretch or mute the saturation, dim or lighten: (3, H, W) uint8 -> the same.

    A network that has seen every colour everywhere learns to continue the colours round a hole
    instead of those that pictures mostly have there.
    """
    angle = strength * random.uniform(-math.pi, math.pi)
    saturation = math.exp(strength * random.uniform(-0.7, 0.7))
    light = math.exp(strength * random.uniform(-0.7, 0.3))
    # Rodrigues' rotation about the grey axis, applied to what differs from grey.
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    grey = torch.full((3, 3), 1 / 3)
    turn = math.cos(angle) * (torch.eye(3) - grey) + math.sin(angle) * cross
    mixed = torch.tensordot(light * (grey + saturation * turn), image.float(), dims=1)
    return mixed.round().clamp(0, 255).to(torch.uint8)


def _order(pictures: Pictures, config: TrainConfig) -> Order:
    if not pictures.shards:
        return LocalOrder(pictures.entries, config.seed)
    cache = ShardCache(config.cache_dir or config.out / "shards", config.cache_gib)
    return StreamOrder(
        pictures.entries, pictures.shards, cache, seed=config.seed, window=config.shard_window
    )


def _short_side(entry: Entry) -> int:
    """In pixels; 0 if the picture is damaged."""
    try:
        with Image.open(io.BytesIO(entry.read())) as picture:
            return min(picture.size)
    except DAMAGE:
        return 0
