"""Batches for the network, loaded beside its work."""

import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from core.contract import Contract, Port
from core.errors import ConfigError, InpaintError
from core.guides import to_port
from core.semantic import instance_edges, one_hot

from ..config import TrainConfig


class Batch(NamedTuple):
    """What an update learns from, float32: image (N, 3, H, W) and mask (N, 1, H, W), 1 = hole."""

    image: Tensor
    """In the range and the order of channels of the network's own output."""
    mask: Tensor
    guides: dict[str, Tensor]
    """By port, as the network takes them; maps are 0 outside the hole."""
    chance: Tensor | None = None
    """A number in [0, 1) for each item, (N,), for what a loss draws by chance."""

    def map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """Every picture-like tensor changed."""
        guides = {name: change(x) if x.ndim == 4 else x for name, x in self.guides.items()}
        return Batch(change(self.image), change(self.mask), guides, self.chance)


class Sample(NamedTuple):
    """A sample, and name and reason of every file that could not be used for it.

    parts, uint8 but where said: image (3, crop, crop), mask (1, crop, crop), `chance` () float, and
    by port: maps (C, crop, crop), 0 or 1 if binary, else 0 to 255; labels and instances (1, crop,
    crop) int64; vectors (C,) float.
    """

    parts: dict[str, Tensor]
    skipped: list[tuple[str, str]]


class Source(Protocol):
    """Samples by number."""

    contract: Contract
    """Of the network that they are for."""

    def sample(self, k: int) -> Sample:
        """Sample k. Raises InpaintError if none can be made."""
        ...


def to_batch(parts: dict[str, Tensor], contract: Contract) -> Batch:
    """Samples, stacked -> what the network of `contract` takes.

    Raises ConfigError for a label that it does not know.
    """
    mask = parts["mask"].float()
    guides = {port.name: _guide(parts[port.name], port, mask, contract) for port in contract.guides}
    image = to_port(parts["image"].float() / 255, contract.output, contract)
    return Batch(image, mask, guides, parts["chance"])


def _guide(x: Tensor, port: Port, mask: Tensor, contract: Contract) -> Tensor:
    if port.kind == "labels":
        return one_hot(x, port)
    if port.kind == "instances":
        return instance_edges(x)
    if port.kind == "vector":
        return x
    return to_port(x.float() / (1 if port.binary else 255), port, contract) * mask


def micro_batch(config: TrainConfig, world: int) -> int:
    """Samples that one process takes at once. Raises ConfigError if the batch does not divide."""
    parts = world * config.accumulate
    if config.batch % parts:
        raise ConfigError(
            f"--batch is {config.batch}, which {world} processes with --accumulate "
            f"{config.accumulate} cannot share; it must be a multiple of {parts}"
        )
    return config.batch // parts


def load(
    samples: Source, slices: "Slices", config: TrainConfig, device: torch.device,
    skipped: Callable[[str, str], None],
) -> Iterator[Batch]:  # fmt: skip
    """The micro-batches that `slices` names, without end.

    `skipped` is called once for every damaged file.
    """
    loader: DataLoader[Any] = DataLoader(
        _Told(samples),
        batch_sampler=slices,
        num_workers=config.workers,
        collate_fn=_collate,
        worker_init_fn=_begin_worker,
        persistent_workers=config.workers > 0,
        prefetch_factor=config.prefetch if config.workers else None,
        pin_memory=device.type == "cuda",
    )
    met: set[str] = set()
    iterator = iter(loader)
    try:
        while True:
            loaded = next(iterator)
            if isinstance(loaded, InpaintError):
                raise loaded
            parts, damaged = loaded
            _tell(damaged, met, skipped)
            moved = {
                name: part.to(device, non_blocking=device.type == "cuda")
                for name, part in parts.items()
            }
            yield to_batch(moved, samples.contract)
    finally:
        # The workers end here, not when the last error that holds this frame is forgotten.
        del iterator, loader


def _tell(
    damaged: list[tuple[str, str]], met: set[str], skipped: Callable[[str, str], None]
) -> None:
    """Call `skipped` for what was not met before."""
    for name, reason in damaged:
        if name not in met:
            met.add(name)
            skipped(name, reason)


def say_skipped(name: str, reason: str) -> None:
    """Tell a person."""
    sys.stderr.write(f"skipped {name}: {reason}\n")


class _Told(Dataset[Any]):
    """Samples, or the error as a value: a worker would wrap an exception into its traceback."""

    def __init__(self, samples: Source):
        self.samples = samples

    def __getitem__(self, k: int) -> Any:
        try:
            return self.samples.sample(k)
        except InpaintError as problem:
            return problem


def _collate(samples: list[Any]) -> Any:
    """Parts and skipped files of a batch, or the first error among the samples."""
    for sample in samples:
        if isinstance(sample, InpaintError):
            return sample
    parts = default_collate([sample.parts for sample in samples])
    return parts, [skipped for sample in samples for skipped in sample.skipped]


def _begin_worker(worker: int) -> None:
    """Ctrl+C reaches every process of the terminal; the main one still needs its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)


class Slices(Sampler[list[int]]):
    """The samples of every micro-batch of one of `world` processes, from update `start` on.

    Micro-batch a of update u holds samples u B + (a W + rank) m to that + m, of batches of B
    samples by W processes in micro-batches of m. Raises ConfigError if m is no whole number.
    """

    def __init__(self, start: int, config: TrainConfig, rank: int, world: int):
        self.start, self.rank, self.world = start, rank, world
        self.batch, self.accumulate = config.batch, config.accumulate
        self.micro = micro_batch(config, world)

    def __iter__(self) -> Iterator[list[int]]:
        first = self.start * self.batch
        while True:
            for part in range(self.accumulate):
                begin = first + (part * self.world + self.rank) * self.micro
                yield list(range(begin, begin + self.micro))
            first += self.batch
