"""Guides on their way into a network: checked, cut and scaled as people have them, then as ports.

What the kind of a port means to the pipeline stands here, in `ENTRY`, and nowhere else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .contract import THRESHOLD, Contract, Kind, Port
from .crop import Window, mirror_to_multiple, nearest, resize_drawn, resize_hole
from .errors import ConfigError, ShapeError
from .semantic import checked, hot, instance_edges, numbered

Size = tuple[int, int]
"""(height, width) in pixels."""


@dataclass(frozen=True, eq=False)
class Guides:
    """All that one picture is filled by, at one size, and the chance in it."""

    contract: Contract
    given: Mapping[str, Tensor]
    """By port: maps (1, C, H, W) in [0, 1], numbers (1, 1, H, W), vectors (1, C)."""
    random: np.random.Generator
    """Noise is drawn from it, pass after pass."""

    def of(self, window: Window) -> "Guides":
        """Those inside the window."""
        return self._each(window.of)

    def at(self, size: Size) -> "Guides":
        """Those at another size: lines and strokes stay, labels and things by nearest."""
        kinds = {name: self.contract.port(name).kind for name in self.given}
        scaled = {
            name: nearest(x, size) if kinds[name] in NUMBERED else _scaled_map(x, size)
            for name, x in self.given.items()
            if x.dim() == 4
        }
        return replace(self, given={**self.given, **scaled})

    def inputs(self, image: Tensor, hole: Tensor) -> list[Tensor]:
        """What the network takes, in its order and padded to its multiple.

        image (1, 3, H, W) in [0, 1], hole (1, 1, H, W), of the size of the guides.
        """
        full = replace(self, given={**self.given, "image": image, "mask": hole})
        return [ENTRY[port.kind](full, port) for port in self.contract.inputs]

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Guides":
        changed = {k: change(x) if x.dim() == 4 else x for k, x in self.given.items()}
        return replace(self, given=changed)


def to_port(x: Tensor, port: Port, contract: Contract) -> Tensor:
    """[0, 1] -> the range of a map's port and, for pictures, the network's order of channels."""
    if port.binary:
        x = (x > THRESHOLD).to(x.dtype)
    return _in_order(x, contract) * (port.high - port.low) + port.low


def from_output(x: Tensor, contract: Contract) -> Tensor:
    """The network's output -> RGB in [0, 1]."""
    return rgb_of(x.float(), contract).clamp(0, 1)


def rgb_of(x: Tensor, contract: Contract) -> Tensor:
    """The network's output -> RGB, from 0 to 1 where it keeps to its range."""
    low, high = contract.output.low, contract.output.high
    return (_in_order(x, contract) - low) / (high - low)


def _in_order(x: Tensor, contract: Contract) -> Tensor:
    """RGB <-> the network's order; what has not three channels is no picture."""
    return x.flip(1) if contract.order == "bgr" and x.shape[1] == 3 else x


def _scaled_map(x: Tensor, size: Size) -> Tensor:
    """A thin line must not vanish when it shrinks: the strongest pixel of each cell stays."""
    return resize_hole(x, size) if x.shape[1] == 1 else resize_drawn(x, size)


def _padded(x: Tensor, guides: Guides) -> Tensor:
    return mirror_to_multiple(x, guides.contract.multiple_of)


def _enter_map(guides: Guides, port: Port) -> Tensor:
    x = guides.given.get(port.name)
    if x is None:
        hole = _padded(guides.given["mask"], guides)
        return torch.full_like(hole, port.low).expand(-1, port.channels, -1, -1)
    return _padded(to_port(x, port, guides.contract), guides)


def _enter_labels(guides: Guides, port: Port) -> Tensor:
    return _ranged(hot(_padded(guides.given[port.name], guides), port), port)


def _enter_instances(guides: Guides, port: Port) -> Tensor:
    """Edges between things; without a map of things, those of the labels."""
    numbers = guides.given.get(port.name)
    for other in guides.contract.guides:
        if numbers is None and other.kind == "labels":
            numbers = guides.given.get(other.name)
    if numbers is None:
        return _enter_map(guides, port)
    return _ranged(_padded(instance_edges(numbers), guides), port)


def _enter_noise(guides: Guides, port: Port) -> Tensor:
    like = _padded(guides.given["mask"], guides)
    if port.name in guides.given:
        return guides.given[port.name].expand(like.shape[0], -1, -1, -1)
    shape = (len(like), port.channels, *like.shape[-2:])
    ones = torch.from_numpy(guides.random.random(shape) < port.density)
    return _ranged(ones.to(like), port)


def _enter_vector(guides: Guides, port: Port) -> Tensor:
    return guides.given[port.name]


def _ranged(x: Tensor, port: Port) -> Tensor:
    return x * (port.high - port.low) + port.low


NUMBERED: tuple[Kind, ...] = ("labels", "instances")
"""Kinds whose maps hold whole numbers, which have no mean."""
ENTRY: dict[Kind, Callable[[Guides, Port], Tensor]] = {
    "map": _enter_map,
    "labels": _enter_labels,
    "instances": _enter_instances,
    "noise": _enter_noise,
    "vector": _enter_vector,
}
"""Kind -> what the network gets at a port, padded to its multiple."""


def check_names(contract: Contract, names: Mapping[str, object]) -> None:
    """Raise ConfigError for guides that the network has no port for, and for those it lacks."""
    for name in names:
        port = contract.port(name)  # raises, naming what there is
        if port.kind == "noise":
            raise ConfigError(f"{name!r} is drawn by seed; leave it out, and give a seed")
    for port in contract.guides:
        needed = not port.optional and port.kind not in ("noise", "vector")
        if needed and port.name not in names:
            raise ConfigError(
                f"this network needs {port.name!r} beside image and mask; its guides are "
                f"{', '.join(port.name for port in contract.guides if port.given)}"
            )


def check_guide(port: Port, x: Tensor, count: int, size: Size) -> Tensor:
    """A guide as `Guides.given` has it, one for each of `count` pictures or one for all.

    A picture in place of a vector, (N, 3, h, w), comes back as it is.
    Raises ShapeError or ConfigError for a tensor that does not fit.
    """
    if port.kind == "vector":
        return _checked_vector(port, x, count)
    if port.kind not in NUMBERED:
        check_map(port.name, x, (count, port.channels, *size))
        return x.float()
    channels = x.shape[1] if x.dim() == 4 and port.kind == "labels" else 1
    one_hot = channels in {port.channels, len(port.labels)} - {0, 1}
    _check_shape(port.name, x, (count, channels if one_hot else 1, *size))
    if x.is_complex():
        raise ShapeError(f"{port.name} holds {x.dtype}; it must hold whole numbers")
    if one_hot:
        x = numbered(x, port)
    # Half of the memory of int64, which counts in pictures of 24 megapixels.
    return checked(x, port).to(torch.int32) if port.kind == "labels" else x


def check_map(name: str, tensor: Tensor, wanted: tuple[int, ...]) -> None:
    """Raise unless `tensor` is of the shape `wanted`, or for one item, and floats in [0, 1]."""
    _check_shape(name, tensor, wanted)
    if not tensor.is_floating_point():
        raise ShapeError(f"{name} holds {tensor.dtype}; it must hold floats from 0 to 1")
    low, high = tensor.aminmax()
    if not (low >= 0 and high <= 1):  # also false for NaN
        raise ConfigError(
            f"{name} has values from {float(low):.4g} to {float(high):.4g}; "
            "they must lie from 0 to 1, without NaN"
        )


def _checked_vector(port: Port, x: Tensor, count: int) -> Tensor:
    if x.dim() == 4 and port.encoded:
        check_map(port.name, x, (count, 3, *x.shape[-2:]))
        return x.float()
    picture = ", or a picture (N, 3, height, width)" if port.encoded else ""
    if x.dim() != 2 or len(x) not in (1, count) or x.shape[1] != port.channels:
        raise ShapeError(
            f"{port.name} has the shape {tuple(x.shape)}; it must be ({count}, {port.channels})"
            f"{picture} here"
        )
    if not (x.is_floating_point() and x.isfinite().all()):
        raise ConfigError(f"{port.name} must hold finite floats; it holds {x.dtype} or NaN")
    return x.float()


def _check_shape(name: str, tensor: Tensor, wanted: tuple[int, ...]) -> None:
    shape = tuple(tensor.shape)
    if tensor.dim() != 4 or shape[1:] != wanted[1:] or shape[0] not in (1, wanted[0]):
        raise ShapeError(
            f"{name} has the shape {shape}; it must be {wanted} here "
            "(items, channels, height, width, as the image says)"
        )
    if not tensor.numel():
        raise ShapeError(f"{name} is empty, {shape}; it needs at least one pixel")
