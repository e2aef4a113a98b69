"""What a network looks at while it fills: its gates, and where its attention copies from.

After the figures of Yu et al. 2019, "Free-Form Image Inpainting with Gated Convolution", and Yu et
al. 2018, "Generative Image Inpainting with Contextual Attention". Both are seen in the pipeline's
own passes, at its sizes and with what it puts into the network.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .backends import Backend
from .backends.eager import TorchBackend
from .errors import ConfigError
from .guides import Size
from .layers.attention import ContextualAttention
from .layers.recorded import gated_layers, recorded_attention, recorded_gates
from .pipeline import Inpainter, Task

CHANNELS = 5
"""Gates of a layer that are shown."""
ROWS = 6
"""Layers whose gates are shown where none are named."""
SIGHT = 32
"""Cells along each side at which gates are compared with one another."""

Record = Callable[[nn.Module], AbstractContextManager[dict[str, Any]]]


class Pass(NamedTuple):
    """What was recorded in one pass of the network."""

    size: Size
    """Of its inputs, padded."""
    seen: dict[str, Any]


class Gate(NamedTuple):
    """Some gates of one layer."""

    layer: str
    maps: Tensor
    """(k, h, w) in [0, 1]."""
    channels: tuple[int, ...]
    """Which they are."""
    total: int
    """How many the layer has."""


class Sources(NamedTuple):
    """Where the attention of one pass copies from, for a window of the picture."""

    task: Task
    centres: Tensor
    """(2, h, w): row and column of the middle of each cell, in pixels of the window."""
    taken: Tensor
    """(2, h, w): those of the middle of the cell that each takes most of."""
    weight: Tensor
    """(h, w) in [0, 1]: how much of what it copies is that cell; 0 = it copies nothing."""

    @property
    def cell(self) -> tuple[float, float]:
        """Height and width of a cell, in pixels of the window."""
        return 2 * float(self.centres[0, 0, 0]), 2 * float(self.centres[1, 0, 0])


class Watched:
    """A backend that keeps what its network does in each pass."""

    def __init__(self, backend: TorchBackend, record: Record):
        self.contract = backend.contract
        self.passes: list[Pass] = []
        self._backend, self._record = backend, record

    def run(self, *inputs: Tensor) -> Tensor:
        """As that of the backend."""
        return self._watch(self._backend.run, inputs)

    def refine(self, first_fill: Tensor, *inputs: Tensor) -> Tensor:
        """As that of the backend."""
        return self._watch(self._backend.refine, (first_fill, *inputs))

    def encode(self, picture: Tensor) -> Tensor:
        """As that of the backend."""
        return self._backend.encode(picture)

    def _watch(self, work: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> Tensor:
        with self._record(self._backend.generator) as seen:
            filled = work(*inputs)
        self.passes.append(Pass((inputs[0].shape[-2], inputs[0].shape[-1]), seen))
        return filled


def sources(
    inpainter: Inpainter, image: Tensor, mask: Tensor, **guides: Tensor | None
) -> list[list[Sources]]:
    """Where the hole is copied from, for each picture and each window of it that is filled.

    Arguments as `inpainter` takes them, and what it raises; where a window is filled coarse to fine
    it is the last pass. Raises ConfigError for a network without attention.
    """
    generator = with_weights(inpainter.backend).generator
    if not any(isinstance(layer, ContextualAttention) for layer in generator.modules()):
        raise ConfigError(
            f"{type(generator).__name__} has no attention to show; load a network that copies what "
            "is known into the hole, such as DeepFillv2"
        )
    return [
        [_sources(task, passes[-1]) for task, passes in done]
        for done in _watched(inpainter, recorded_attention, image, mask, **guides)
    ]


def gates(
    inpainter: Inpainter,
    image: Tensor,
    mask: Tensor,
    layers: Sequence[str] = (),
    **guides: Tensor | None,
) -> list[tuple[Task, list[Gate]]]:
    """The gates of the layers, for each picture in the window with the largest hole.

    layers: names or patterns ("conv1", "coarse.*"), none = some of all. Of each layer those are
    taken that differ most from one another; a layer that runs in several passes is seen in the
    last. Otherwise as `sources`; raises ConfigError for a network without gates.
    """
    names = _chosen(with_weights(inpainter.backend).generator, layers)

    @contextmanager
    def record(network: nn.Module) -> Iterator[dict[str, Any]]:
        kept: dict[str, Any] = {}
        with recorded_gates(network, names) as seen:
            yield kept
        kept |= {name: _some(x[0]) for name, x in seen.items()}

    found = []
    for done in _watched(inpainter, record, image, mask, **guides):
        task, passes = max(done, key=lambda one: one[0].inner.height * one[0].inner.width)
        last: dict[str, Gate] = {}
        for small, one in zip(task.sizes, passes, strict=True):
            last |= {name: _gate(name, x, small, one.size) for name, x in one.seen.items()}
        found.append((task, [last[name] for name in names if name in last]))
    return found


def with_weights(backend: Backend) -> TorchBackend:
    """The backend. Raises ConfigError where it has but a graph or an engine of the network."""
    if isinstance(backend, TorchBackend):
        return backend
    raise ConfigError(
        "an exported graph or engine does not tell what it looks at; load the weights "
        "(.safetensors) that it was made of"
    )


def unlike(maps: Tensor, count: int) -> list[int]:
    """Channels that differ most from one another: (C, h, w) -> numbers, ascending.

    The first is that with the most variance, each next the one furthest from its nearest taken.
    """
    small = F.adaptive_avg_pool2d(maps.float(), SIGHT) if max(maps.shape[-2:]) > SIGHT else maps
    flat = small.flatten(1).float()
    taken = [int(flat.var(dim=1, correction=0).argmax())]
    nearest = torch.full((len(flat),), torch.inf, device=flat.device)
    while len(taken) < min(count, len(flat)):
        nearest = torch.minimum(nearest, (flat - flat[taken[-1]]).square().sum(dim=1))
        nearest[taken] = -1
        taken.append(int(nearest.argmax()))
    return sorted(taken)


def _chosen(network: nn.Module, layers: Sequence[str]) -> list[str]:
    """The names of the gated layers that `layers` names, in the order of the network."""
    names = gated_layers(network)
    if not names:
        raise ConfigError(
            f"{type(network).__name__} has no gates to show; load a network of gated convolutions, "
            "such as DeepFillv2 or SC-FEGAN"
        )
    if not layers:
        count = min(ROWS, len(names))
        return [names[round(i * (len(names) - 1) / max(count - 1, 1))] for i in range(count)]
    for pattern in layers:
        if not any(_is_meant(name, pattern) for name in names):
            raise ConfigError(f"no gated layer is called {pattern!r}; there are {', '.join(names)}")
    return [name for name in names if any(_is_meant(name, pattern) for pattern in layers)]


def _is_meant(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name.rpartition(".")[2], pattern)


def _some(maps: Tensor) -> tuple[Tensor, tuple[int, ...], int]:
    """Some of the gates (C, h, w) of a layer, which they are, and C."""
    channels = unlike(maps, CHANNELS)
    return maps[channels].float().cpu(), tuple(channels), len(maps)


def _gate(name: str, some: tuple[Tensor, tuple[int, ...], int], small: Size, full: Size) -> Gate:
    """What `_some` gave, without the padding that made `full` of `small`."""
    maps, channels, count = some
    h, w = maps.shape[-2:]
    rows, columns = (-(-h * small[0] // full[0]), -(-w * small[1] // full[1]))
    return Gate(name, maps[:, :rows, :columns], channels, count)


def _sources(task: Task, seen: Pass) -> Sources:
    """What `recorded_attention` found in the pass, in pixels of the window."""
    best, weight = (x[0].cpu() for x in next(iter(seen.seen.values())))
    edges, centres = (task.outer.height, task.outer.width), []
    for cells, full, small, edge in zip(best.shape, seen.size, task.sizes[-1], edges, strict=True):
        centres.append((torch.arange(cells) + 0.5) * (full / cells) * (edge / small))
    rows, columns = centres[0][best // best.shape[1]], centres[1][best % best.shape[1]]
    # What lies beyond the edge is the window, mirrored again and again.
    there = [(x % (2 * edge), edge) for x, edge in zip((rows, columns), edges, strict=True)]
    taken = [torch.minimum(x, 2 * edge - x) for x, edge in there]
    grid = torch.meshgrid(*centres, indexing="ij")
    return Sources(task, torch.stack(grid), torch.stack(taken), weight.float())


def _watched(
    inpainter: Inpainter, record: Record, image: Tensor, mask: Tensor, **guides: Tensor | None
) -> list[list[tuple[Task, list[Pass]]]]:
    """For each picture its tasks and their passes, from coarse to fine."""
    if inpainter.options.strategy == "single":
        raise ConfigError(
            "the strategy is 'single', which sees the picture on a canvas of its own; take auto, "
            "full or crop to show what is looked at"
        )
    watched = Watched(with_weights(inpainter.backend), record)
    Inpainter(watched, inpainter.options, inpainter.progress)(image, mask, **guides)
    given = (image, mask, *(x for x in guides.values() if x is not None))
    alpha = inpainter.options.blending(mask.float()).expand(max(map(len, given)), -1, -1, -1)
    passes, found = iter(watched.passes), []
    for number, one in enumerate(alpha.split(1)):
        tasks = inpainter.tasks(one)
        if not tasks:
            raise ConfigError(
                f"picture {number + 1} has no hole, so nothing is looked at; draw one"
            )
        found.append([(task, [next(passes) for _ in task.sizes]) for task in tasks])
    return found
