"""How a released checkpoint becomes a network of this project: facts, plan, check, conversion.

A release says whether a file is one of its kind. Its plan then says for each tensor of our network
of which tensors of the file it is made. Names and shapes are all checked before a number is read.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config import Order
from ..errors import ConfigError, WeightsError
from ..models.base import Network
from ..registry import build_network
from .checkpoint import Checkpoint


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What a user may say of a file that the file does not say itself; None = not said."""

    order: Order | None = None
    encoder: Path | None = None
    labels: Path | None = None
    unknown: bool | None = None
    instance_edges: bool | None = None
    upsampling: str | None = None
    native_size: int | None = None
    aspect: float | None = None


def as_is(tensor: Tensor) -> Tensor:
    """The tensor itself."""
    return tensor


@dataclass(frozen=True)
class Piece:
    """Of which tensors of a file one of ours is made, and how."""

    sources: tuple[str, ...]
    make: Callable[..., Tensor] = as_is


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How one file is to be converted."""

    config: Any
    piece: Callable[[str], Piece]
    """Name of a tensor of our network -> what it is made of."""
    left_out: Callable[[str], str | None] = lambda name: None
    """Name of a tensor that nothing is made of -> what it is; None if it should not be there."""
    constants: dict[str, Tensor] = field(default_factory=dict)
    """Tensors of the file that must hold these values wherever they are: the networks here have
    them built in."""
    notes: tuple[str, ...] = ()
    """What was assumed, and what differs from the original."""
    checkpoint: Checkpoint | None = None
    """In place of the file's own, where more than one file is needed."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """One kind of checkpoint that other people released."""

    title: str
    source: str
    """The project."""
    paper: str
    terms: str
    """Under which the weights may be used."""
    signature: tuple[str, ...]
    """Names that tell it from all others; most of them must be there."""
    plan: Callable[[Checkpoint, ImportOptions], Plan]
    """Raises WeightsError if that file cannot be converted, ConfigError for options."""
    options: frozenset[str] = frozenset()
    """Fields of ImportOptions that mean something here."""

    def matches(self, checkpoint: Checkpoint) -> bool:
        """Whether most of the telling names are in the file."""
        there = sum(name in checkpoint.shapes for name in self.signature)
        return 2 * there > len(self.signature)


def check_fit(checkpoint: Checkpoint, title: str, plan: Plan) -> tuple[Network, dict[str, str]]:
    """An empty network (on the meta device) of the plan, and what is left out: name -> what it is.

    Raises WeightsError unless each of the network's tensors can be made, with the right shape,
    and every other name in the file is accounted for.
    """
    path = checkpoint.path
    with torch.device("meta"):
        network = build_network(plan.config)
    used: set[str] = set()
    for name, wanted in network.state_dict().items():
        piece = plan.piece(name)
        for source in piece.sources:
            if source not in checkpoint.shapes:
                raise WeightsError(
                    f"{path} looks like {title} but lacks {source}; it is a part of one, or "
                    "damaged; get a fresh copy"
                )
        used.update(piece.sources)
        _check_shape(checkpoint, title, piece, wanted)
    left_out = {}
    for name in checkpoint.shapes.keys() - used - plan.constants.keys():
        what = plan.left_out(name)
        if what is None:
            raise WeightsError(
                f"{path} looks like {title} but also holds {name}, which that does not have; it "
                "is of another network, which cannot be imported"
            )
        left_out[name] = what
    return network, left_out


def _check_shape(checkpoint: Checkpoint, title: str, piece: Piece, wanted: Tensor) -> None:
    found = [torch.empty(checkpoint.shapes[name], device="meta") for name in piece.sources]
    try:
        made: tuple[int, ...] | None = tuple(piece.make(*found).shape)
    except (RuntimeError, IndexError):
        made = None
    if made != tuple(wanted.shape):
        shapes = ", ".join(f"{name} {checkpoint.shapes[name]}" for name in piece.sources)
        raise WeightsError(
            f"{checkpoint.path} looks like {title}, but there the shape of {shapes} cannot be "
            "right beside the others; it is of another network or damaged"
        )


def convert(checkpoint: Checkpoint, plan: Plan, network: Network) -> None:
    """Give the empty `network` its numbers, a tensor at a time.

    Raises WeightsError if one is damaged, not finite or of another kind of number.
    """
    for name, value in plan.constants.items():
        if name in checkpoint.shapes and not _holds(checkpoint.read(name), value):
            raise WeightsError(
                f"{checkpoint.path}: {name} is not what that network computes with; it is of "
                "another network or damaged"
            )
    state = {}
    for name, wanted in network.state_dict().items():
        piece = plan.piece(name)
        found = [_checked(checkpoint, source, wanted) for source in piece.sources]
        state[name] = piece.make(*found).contiguous()
    network.load_state_dict(state, assign=True)


def _holds(found: Tensor, value: Tensor) -> bool:
    try:
        return bool((found == value).all())
    except RuntimeError:  # shapes that do not fit together
        return False


def _checked(checkpoint: Checkpoint, name: str, wanted: Tensor) -> Tensor:
    tensor = checkpoint.read(name)
    if tensor.is_floating_point() != wanted.is_floating_point():
        raise WeightsError(
            f"{checkpoint.path}: {name} holds {str(tensor.dtype).removeprefix('torch.')}, which "
            "cannot be right; get a fresh copy"
        )
    if not torch.isfinite(tensor).all():
        raise WeightsError(
            f"{checkpoint.path}: {name} holds infinite numbers or no numbers (NaN); its training "
            "went wrong or the file is damaged, so take another one"
        )
    return tensor


def refuse(reason: str) -> Callable[[Checkpoint, ImportOptions], Plan]:
    """The plan of a release that is recognised but cannot be imported, and says why."""

    def plan(checkpoint: Checkpoint, options: ImportOptions) -> Plan:
        raise WeightsError(f"{checkpoint.path} is {reason}")

    return plan


def reject_options(release: Release, options: ImportOptions) -> None:
    """Raises ConfigError if `options` say something that means nothing for `release`."""
    for name, value in vars(options).items():
        if value is not None and name not in release.options:
            flag = name.replace("_", "-")
            raise ConfigError(f"--{flag} means nothing for {release.title}; leave it out")
