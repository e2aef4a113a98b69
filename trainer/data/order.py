"""Which picture a sample takes: a function of the seed and the sample's number."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from torch.utils.data import get_worker_info

from core.errors import TrainingError

from .shards import ShardCache
from .sources import Entry, shown

CHUNK = 1000
"""Local pictures that are mixed in like one remote shard."""


class Order(Protocol):
    """Epochs of shuffled pictures without end."""

    def entry(self, k: int) -> Entry:
        """The picture in place k."""
        ...

    def total(self) -> int | None:
        """Pictures in an epoch, if that is known yet."""
        ...

    def take_damaged(self) -> list[tuple[str, str]]:
        """Name and reason of the shards that turned out to be used in part, each time once."""
        ...

    def release(self) -> None:
        """Let go what other processes may want."""
        ...


class LocalOrder:
    """All pictures, shuffled anew for each epoch."""

    def __init__(self, entries: Sequence[Entry], seed: int):
        self.entries = entries
        self.seed = seed
        self._epoch, self._order = -1, np.empty(0, int)

    def index(self, k: int) -> int:
        """The picture in place k, by its number."""
        epoch, place = divmod(k, len(self.entries))
        if self._epoch != epoch:
            random = np.random.default_rng((self.seed, 0, epoch))
            self._epoch, self._order = epoch, random.permutation(len(self.entries))
        return int(self._order[place])

    def entry(self, k: int) -> Entry:
        """As `Order`."""
        return self.entries[self.index(k)]

    def total(self) -> int:
        """As `Order`."""
        return len(self.entries)

    def take_damaged(self) -> list[tuple[str, str]]:
        """As `Order`; local sources were looked through at the start."""
        return []

    def release(self) -> None:
        """As `Order`; nothing is held."""


Unit = str | list[Entry]
"""What is shuffled as a whole: a remote shard by its address, or some local pictures."""


class StreamOrder:
    """Remote shards, shuffled per epoch; pictures are shuffled within windows of a few shards.

    Where sample k lies follows from how many pictures the shards before have, so that going on
    elsewhere fetches those shards once, or only their remembered counts.
    """

    def __init__(
        self, entries: Sequence[Entry], urls: Sequence[str], cache: ShardCache, *,
        seed: int, window: int,
    ):  # fmt: skip
        self.local = entries
        self.urls = urls
        self.cache = cache
        self.seed = seed
        self.window = window
        self._damaged: list[tuple[str, str]] = []
        self._known: dict[str, int] = {}
        self._plan: tuple[int, list[list[Unit]]] = (-1, [])
        self._at = (0, 0, 0)  # epoch, window and number of its first sample
        self._loaded: tuple[tuple[int, int], list[Entry]] = ((-1, -1), [])

    def entry(self, k: int) -> Entry:
        """As `Order`; fetches what is missing. Raises TrainingError if that cannot be."""
        epoch, window, first = self._locate(k)
        if self._loaded[0] != (epoch, window):
            self._loaded = ((epoch, window), self._load(epoch, window))
        return self._loaded[1][k - first]

    def total(self) -> int | None:
        """As `Order`."""
        if len(self._known) < len(set(self.urls)):
            return None
        return sum(self._known[url] for url in self.urls) + len(self.local)

    def take_damaged(self) -> list[tuple[str, str]]:
        """As `Order`."""
        damaged, self._damaged = self._damaged, []
        return damaged

    def release(self) -> None:
        """As `Order`: shards may be deleted."""
        self.cache.release()
        self._loaded = ((-1, -1), [])

    def _locate(self, k: int) -> tuple[int, int, int]:
        """Epoch and window of sample k, and the number of the window's first sample."""
        epoch, window, first = self._at if k >= self._at[2] else (0, 0, 0)
        total = self.total()
        if total == 0:
            raise TrainingError(f"there are no pictures in {shown(self.urls[0])} and the others")
        if total and k // total > epoch:
            epoch, window, first = k // total, 0, k // total * total
        while k >= first + (count := self._count(epoch, window)):
            first += count
            window += 1
            if window == len(self._windows(epoch)):
                self._at = (epoch + 1, 0, first)
                return self._locate(k)  # all counts are known now
        self._at = (epoch, window, first)
        return self._at

    def _windows(self, epoch: int) -> list[list[Unit]]:
        """The shards of an epoch in their order, a few to a window."""
        if self._plan[0] != epoch:
            random = np.random.default_rng((self.seed, 0, epoch))
            mixed = random.permutation(len(self.local))
            units: list[Unit] = list(self.urls)
            for start in range(0, len(mixed), CHUNK):
                units.append([self.local[i] for i in mixed[start : start + CHUNK]])
            order = [units[i] for i in random.permutation(len(units))]
            step = self.window
            self._plan = (epoch, [order[i : i + step] for i in range(0, len(order), step)])
        return self._plan[1]

    def _count(self, epoch: int, window: int) -> int:
        return sum(map(self._count_of, self._windows(epoch)[window]))

    def _count_of(self, unit: Unit) -> int:
        if not isinstance(unit, str):
            return len(unit)
        if unit not in self._known:
            self._known[unit] = self.cache.count(unit)
        return self._known[unit]

    def _load(self, epoch: int, window: int) -> list[Entry]:
        units = self._windows(epoch)[window]
        urls = [unit for unit in units if isinstance(unit, str)]
        info = get_worker_info()
        turn = info.id % len(urls) if info and urls else 0
        # Each worker begins with another shard, so that several come at once.
        held = self.cache.hold(urls[turn:] + urls[:turn])
        self._damaged += self.cache.cuts(urls)
        entries = [e for unit in units for e in (held[unit] if isinstance(unit, str) else unit)]
        random = np.random.default_rng((self.seed, 0, epoch, window + 1))
        if info is not None and info.id == 0:  # no thread where processes are still forked
            self.cache.fetch_ahead(self._next_urls(epoch, window))
        return [entries[i] for i in random.permutation(len(entries))]

    def _next_urls(self, epoch: int, window: int) -> list[str]:
        windows = self._windows(epoch)
        units = windows[window + 1] if window + 1 < len(windows) else []
        return [unit for unit in units if isinstance(unit, str)]
