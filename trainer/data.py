"""Training samples: crop, mask and lines, each a function of (seed, sample number) and no more.

That is what makes a resumed run the run that was not interrupted, whatever the workers did.
"""

import io
import math
import signal
import tarfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from core.errors import InpaintError, TrainingError
from core.masks import BrushStyle, box_mask, free_form_mask
from core.sketch import canny_lines

from .config import TrainConfig

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}


class Batch(NamedTuple):
    """image (N, 3, H, W) in [-1, 1], mask and sketch (N, 1, H, W) of 0 and 1; float32."""

    image: Tensor
    mask: Tensor
    sketch: Tensor


@dataclass(frozen=True)
class Entry:
    """Where a picture lies: a file, or bytes inside a tar shard."""

    path: Path
    offset: int = 0
    length: int = -1

    def read(self) -> bytes:
        """The encoded picture."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.length)

    def decode(self) -> Image.Image:
        """The picture, RGB, upright. Raises TrainingError if it cannot be read."""
        try:
            with Image.open(io.BytesIO(self.read())) as picture:
                return ImageOps.exif_transpose(picture).convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:
            place = f" at byte {self.offset}" if self.length >= 0 else ""
            raise TrainingError(
                f"{self.path}{place} is not a readable picture ({problem}); remove or replace it"
            ) from None


def find_pictures(sources: Sequence[Path]) -> list[Entry]:
    """Every picture in folders (recursively) and uncompressed tar shards, in a fixed order.

    Side files with a second suffix (KEY.edge.png, KEY.seg.png) are left out.
    Raises TrainingError for a source that is missing, damaged or without pictures.
    """
    entries: list[Entry] = []
    for source in sources:
        found = list(_in_folder(source) if source.is_dir() else _in_tar(source))
        if not found:
            raise TrainingError(f"no pictures in {source}; it needs {', '.join(sorted(SUFFIXES))}")
        entries += found
    return entries


def _in_folder(folder: Path) -> Iterator[Entry]:
    for path in sorted(folder.rglob("*")):
        if _is_picture(path.name) and path.is_file():
            yield Entry(path)


def _in_tar(shard: Path) -> Iterator[Entry]:
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                if member.isfile() and _is_picture(Path(member.name).name):
                    yield Entry(shard, member.offset_data, member.size)
    except (OSError, tarfile.TarError) as problem:
        raise TrainingError(
            f"{shard} is neither a folder nor a readable .tar shard ({problem})"
        ) from None


def _is_picture(name: str) -> bool:
    first, *suffixes = name.lower().split(".")
    return bool(first) and len(suffixes) == 1 and "." + suffixes[0] in SUFFIXES


class Samples(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Sample k for every k >= 0: epochs of shuffled pictures without end."""

    def __init__(self, entries: Sequence[Entry], config: TrainConfig):
        self.entries = entries
        self.config = config
        self._cache: OrderedDict[int, np.ndarray] = OrderedDict()
        self._cached_bytes = 0
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, int))

    def __getitem__(self, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """uint8 tensors: image (3, crop, crop), mask and sketch (1, crop, crop).

        Raises TrainingError for a picture that cannot be read.
        """
        config = self.config
        random = np.random.default_rng((config.seed, 1, k))
        image = self._crop(self._decode(self._index(k)), random)
        if config.colour_jitter:
            # From none to full, so that colours as they are stay common.
            strength = config.colour_jitter * random.random()
            image = jitter_colours(image, random, strength=strength)
        mask = training_mask(config, random)
        lines = torch.zeros_like(mask)
        if random.random() < config.sketch_share:
            lines = training_lines(image, random)
        return image, mask, lines

    def _index(self, k: int) -> int:
        epoch, place = divmod(k, len(self.entries))
        if self._order[0] != epoch:
            random = np.random.default_rng((self.config.seed, 0, epoch))
            self._order = (epoch, random.permutation(len(self.entries)))
        return int(self._order[1][place])

    def _decode(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8, from the cache if it is there."""
        if index in self._cache:
            return self._cache[index]
        pixels = np.asarray(self.entries[index].decode())
        if self._cached_bytes + pixels.nbytes <= self.config.cache_mib << 20:
            self._cache[index] = pixels
            self._cached_bytes += pixels.nbytes
        return pixels

    def _crop(self, pixels: np.ndarray, random: np.random.Generator) -> Tensor:
        """A random zoom, place and flip: (3, crop, crop) uint8."""
        crop = self.config.crop
        height, width = pixels.shape[:2]
        least = crop / min(height, width)
        zoom = max(least, random.uniform(min(self.config.zoom, 1.0), 1.0))
        side = crop / zoom
        left = random.uniform(0, max(width - side, 0))
        top = random.uniform(0, max(height - side, 0))
        area = (left, top, min(left + side, width), min(top + side, height))
        resample = Image.Resampling.BICUBIC if zoom > 1 else Image.Resampling.LANCZOS
        picture = Image.fromarray(pixels).resize((crop, crop), resample, box=area)
        out = torch.from_numpy(np.array(picture)).movedim(-1, 0)
        return out.flip(-1) if random.random() < 0.5 else out


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


def training_mask(config: TrainConfig, random: np.random.Generator) -> Tensor:
    """Free-form strokes, for some samples with a box: (1, crop, crop) uint8, never all hole."""
    size = (config.crop, config.crop)
    thin, thick = (edge * config.brush for edge in BrushStyle().width)
    mask = free_form_mask(size, random, BrushStyle(width=(thin, thick)))
    if random.random() < config.box_share:
        box = box_mask(size, random)
        mask = box if random.random() < 0.5 else torch.maximum(mask, box)
    return mask[0].to(torch.uint8)


def training_lines(image: Tensor, random: np.random.Generator) -> Tensor:
    """Edges of the true picture, finer or coarser, some lines left out: (1, H, W) uint8."""
    high = random.uniform(0.25, 0.7)
    lines = canny_lines(image, low=0.4 * high, high=high)
    return drop_lines(lines, random, share=random.uniform(0, 0.5))


def drop_lines(lines: Tensor, random: np.random.Generator, *, share: float) -> Tensor:
    """Remove connected lines at random, about `share` of them, as a hand would leave them out."""
    import cv2

    count, labels = cv2.connectedComponents(lines[0].numpy(), connectivity=8)
    kept = random.random(count) >= share
    kept[0] = False  # the ground
    return torch.from_numpy(kept[labels])[None].to(torch.uint8)


def batches(
    samples: Samples, config: TrainConfig, start: int, device: torch.device
) -> Iterator[Batch]:
    """Batches from update `start` on, without end."""
    loader: DataLoader[Any] = DataLoader(
        _Told(samples),
        batch_size=config.batch,
        sampler=_Counter(start * config.batch),
        num_workers=config.workers,
        collate_fn=_collate,
        worker_init_fn=_leave_signals_to_the_main_process,
        persistent_workers=config.workers > 0,
        pin_memory=device.type == "cuda",
    )
    for loaded in loader:
        if isinstance(loaded, InpaintError):
            raise loaded
        yield to_batch(*(part.to(device) for part in loaded))


def to_batch(image: Tensor, mask: Tensor, sketch: Tensor) -> Batch:
    """uint8 samples -> what the networks take."""
    return Batch(image.float() / 127.5 - 1, mask.float(), sketch.float() * mask)


class _Told(Dataset[Any]):
    """Samples, or the error as a value: a worker would wrap an exception into its traceback."""

    def __init__(self, samples: Samples):
        self.samples = samples

    def __getitem__(self, k: int) -> Any:
        try:
            return self.samples[k]
        except InpaintError as problem:
            return problem


def _collate(samples: list[Any]) -> Any:
    """A batch, or the first error among the samples."""
    return next((s for s in samples if isinstance(s, InpaintError)), None) or default_collate(
        samples
    )


def _leave_signals_to_the_main_process(worker: int) -> None:
    """Ctrl+C reaches every process of the terminal; the main one still needs its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Counter(Sampler[int]):
    """start, start + 1, ... without end; the sampler of a stream that knows where it stands."""

    def __init__(self, start: int):
        self.start = start

    def __iter__(self) -> Iterator[int]:
        k = self.start
        while True:
            yield k
            k += 1
