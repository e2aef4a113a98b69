"""Which networks there are to choose from, and those that are open.

Only bundled weights, files below one folder and the file that the operator named can be chosen;
a visitor gives a name, never a path.
"""

import importlib.util
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from core.backends import RUNTIMES, Backend, open_backend
from core.backends.chain import BY_SUFFIX
from core.backends.eager import TorchBackend
from core.contract import Contract, Port
from core.errors import ConfigError
from core.model_files import (
    SUFFIXES,
    bundled_files,
    contract_of_file,
    files_below,
    fills_pictures,
    problem_of,
    stamp,
)
from core.sketch.files import PUBLISHED, drawer_kind
from core.weights import DEFAULT_WEIGHTS
from gradio_demo.running import Turns

DRAWING = tuple({*SUFFIXES, *PUBLISHED})
"""Suffixes of files that may draw lines."""
KEPT = 4
"""Networks that stay open; the one used longest ago makes room for another."""


log = logging.getLogger("gatefill")


class Shared:
    """A backend that several jobs use, a pass each in turn."""

    def __init__(self, backend: Backend, turns: Turns):
        self.backend, self.contract, self._turns = backend, backend.contract, turns

    def run(self, *inputs: Tensor) -> Tensor:
        """As that of the backend."""
        with self._turns.turn():
            return self.backend.run(*inputs)

    def refine(self, first_fill: Tensor, *inputs: Tensor) -> Tensor:
        """As that of the backend."""
        with self._turns.turn():
            return self.backend.refine(first_fill, *inputs)

    def encode(self, picture: Tensor) -> Tensor:
        """As that of the backend."""
        with self._turns.turn():
            return self.backend.encode(picture)


@dataclass(frozen=True, eq=False)
class Opened:
    """A network that is ready to run."""

    name: str
    backend: Shared
    runs_on: str
    """What really runs it, in words."""
    seconds: float
    """That opening it took; 0 where it was open already."""

    @property
    def contract(self) -> Contract:
        """What it takes and gives."""
        return self.backend.contract


class Models:
    """The networks of a service.

    folder: where the operator's own lie; first: the file that is chosen at first, None = the
    bundled one for photographs; backend, device: as `open_backend` takes them, `device` for that
    backend alone.
    """

    def __init__(
        self,
        folder: Path | None = None,
        first: Path | None = None,
        *,
        backend: str = "auto",
        device: str = "",
    ):
        if folder is not None and not folder.is_dir():
            raise ConfigError(f"no folder of models at {folder}; name one, or leave it out")
        self.turns = Turns()
        """At the device."""
        self.backend = backend
        self._folder, self._device = folder, device
        self._reported: set[tuple[Path, str]] = set()
        self._open: OrderedDict[tuple[Path, str, str], tuple[Backend, str]] = OrderedDict()
        contract_of_file(first or DEFAULT_WEIGHTS)  # what is wrong with it is said at once
        known = {path.resolve() for _, path in self._known(None)}
        self._named = first.resolve() if first and first.resolve() not in known else None
        self.first = self._name_of(first or DEFAULT_WEIGHTS)

    def names(self) -> list[str]:
        """All networks that fill pictures, that which is chosen at first before the others.

        The folder is looked through each time, so that what is put there is found at once; what
        is wrong with a file is in the log.
        """
        known = self._known(self._named)
        self._report(known)
        names = [name for name, path in known if fills_pictures(path)]
        return sorted(names, key=lambda name: (name != self.first, "." in name, name))

    def drawers(self) -> dict[str, Path]:
        """Files of the folder that draw lines, by name; the bundled one is not among them."""
        own = files_below(self._folder, DRAWING) if self._folder else ()
        return {name: path for name, path in sorted(own) if drawer_kind(path)}

    def path(self, name: object) -> Path:
        """The file of a network. Raises ConfigError for a name that is none."""
        path = dict(self._known(self._named)).get(name) if isinstance(name, str) else None
        if path is None or not fills_pictures(path):
            raise ConfigError(
                f"there is no network {str(name)[:80]!r} here; choose one of "
                f"{', '.join(self.names())}"
            )
        return path

    def contract(self, name: object) -> Contract:
        """What a network takes, which need not be opened for it. Raises as `path`."""
        return contract_of_file(self.path(name))

    def backends(self, name: object) -> tuple[str, ...]:
        """What can be asked to run a network. Raises as `path`."""
        only = BY_SUFFIX.get(self.path(name).suffix)
        return ("auto", only[0]) if only else RUNTIMES

    def other(self) -> tuple[str, str]:
        """A network and a backend to compare the first one with.

        Another network that takes the same guides; else another runtime that is installed, for a
        file that several run; else a network that takes at least those guides; else the same.
        """
        wanted, others = self._given(self.first), self.names()[1:]
        alike = [name for name in others if self._given(name) == wanted]
        more = [name for name in others if self._given(name) > wanted and not self._labels(name)]
        runtimes = [x for x in ("openvino", "onnxruntime") if importlib.util.find_spec(x)]
        if self.backend in runtimes:
            runtimes.remove(self.backend)
        several = runtimes and len(self.backends(self.first)) > 2
        if alike or not several:
            return next(iter([*alike, *more, self.first])), "auto"
        return self.first, runtimes[0]

    def with_labels(self) -> str | None:
        """The first network that takes a map of labels, if there is one."""
        takers = (name for name in self.names() if labels_port(self.contract(name)))
        return next(takers, None)

    @property
    def torch_device(self) -> str:
        """The operator's device where it is one of PyTorch; "" = the best."""
        return self._device if self.backend == "torch" else ""

    def opened(self, name: object, backend: object = None) -> Opened:
        """A network, open; `backend` None = as the operator said. Raises InpaintError."""
        path, runtime = self.path(name), self.backend if backend is None else str(backend)
        device = self._device if runtime == self.backend else ""
        key = (path, stamp(path), runtime)
        started = time.perf_counter()
        with self.turns.turn():  # opening takes memory and time of the device
            fresh = key not in self._open
            if fresh:
                found = open_backend(path, device, runtime)
                while len(self._open) >= KEPT:
                    self._open.popitem(last=False)
                self._open[key] = (found, _words(found))
            self._open.move_to_end(key)
            inner, runs_on = self._open[key]
        seconds = time.perf_counter() - started if fresh else 0.0
        return Opened(str(name), Shared(inner, self.turns), runs_on, seconds)

    def _given(self, name: str) -> set[str]:
        """The guides that people give to a network."""
        return {port.name for port in self.contract(name).guides if port.given}

    def _labels(self, name: str) -> bool:
        return labels_port(self.contract(name)) is not None

    def _known(self, named: Path | None) -> list[tuple[str, Path]]:
        """Name and path of each file; names of bundled weights have no suffix."""
        known = [(path.stem, path) for path in bundled_files()]
        if named is not None:
            known.append((named.name, named))
        return known + list(files_below(self._folder) if self._folder else ())

    def _report(self, known: list[tuple[str, Path]]) -> None:
        """Name in the log, once, what cannot be offered."""
        for name, path in known:
            problem, seen = problem_of(path), (path, stamp(path))
            if problem and seen not in self._reported and not drawer_kind(path):
                self._reported.add(seen)
                log.warning("%s is not offered: %s", name, problem)

    def _name_of(self, path: Path) -> str:
        wanted = path.resolve()
        return next(name for name, known in self._known(self._named) if known.resolve() == wanted)


def labels_port(contract: Contract) -> Port | None:
    """The port that takes a map of labels, if there is one."""
    return next((port for port in contract.guides if port.kind == "labels"), None)


def _words(backend: Backend) -> str:
    if isinstance(backend, TorchBackend):
        return f"PyTorch on {backend.device}"
    return str(getattr(backend, "device", type(backend).__name__))
