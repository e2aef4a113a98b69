"""The parts of a network that run by themselves: each becomes a graph of its own when exported."""

from dataclasses import replace
from typing import Literal

from torch import Tensor, nn

from .contract import Contract, Port
from .models.base import Generator

Part = Literal["run", "refine", "encode"]
"""run: the whole network. refine: from a given first fill. encode: a picture to its style vector.
They are the methods of `core.backends.Backend`."""

FIRST_FILL = "first_fill"
PICTURE = "picture"


def parts_of(contract: Contract) -> tuple[Part, ...]:
    """The parts that a network of `contract` has; "run" comes first."""
    refine: tuple[Part, ...] = ("refine",) if contract.refines else ()
    encode: tuple[Part, ...] = ("encode",) if encoded_port(contract) else ()
    return ("run", *refine, *encode)


def ports_of(contract: Contract, part: Part) -> tuple[tuple[Port, ...], Port]:
    """What `part` takes, in order, and what it gives. Raises KeyError for a part that is not."""
    if part == "refine" and contract.refines:
        return (replace(contract.output, name=FIRST_FILL), *contract.inputs), contract.output
    style = encoded_port(contract)
    if part == "encode" and style is not None:
        return (replace(contract.port("image"), name=PICTURE),), style
    if part != "run":
        raise KeyError(part)
    return contract.inputs, contract.output


def encoded_port(contract: Contract) -> Port | None:
    """The port whose vector can be made of a picture, if there is one."""
    return next((port for port in contract.inputs if port.encoded), None)


class PartModule(nn.Module):
    """One part of a network as a module: `forward` takes what `ports_of` says."""

    def __init__(self, generator: Generator, part: Part):
        super().__init__()
        self.generator = generator
        self.part = part

    def forward(self, *inputs: Tensor) -> Tensor:
        if self.part == "refine":
            return self.generator.refine(*inputs)
        if self.part == "encode":
            return self.generator.encode(*inputs)
        return self.generator(*inputs)
