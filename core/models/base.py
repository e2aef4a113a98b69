"""What the networks have in common."""

from typing import Any

from torch import Tensor, nn

from ..contract import Contract
from ..errors import ConfigError


class Network(nn.Module):
    """A network of the registry; `forward` takes the contract's inputs in their order."""

    config: Any
    """The frozen dataclass that it was built from."""
    contract: Contract


class Generator(Network):
    """A network that fills pictures: its contract has an image, a mask and perhaps guides."""

    def stages(self, *inputs: Any, **named: Any) -> tuple[Tensor, ...]:
        """Every stage's fill, the last one being what `forward` returns; losses need them all."""
        return (self(*inputs, **named),)

    def learn(self, true: Tensor, *inputs: Any) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
        """`stages` while training, when the true picture is there too, as `contract.output` is.

        -> the stages, and whatever else the network's own losses need, by name.
        """
        return self.stages(*inputs), {}

    def encode(self, picture: Tensor) -> Tensor:
        """The vector that stands for a reference picture (N, 3, h, w) in the image port's range.

        Raises ConfigError where the network has no encoder (`Port.encoded` says so beforehand).
        """
        raise ConfigError(f"{type(self).__name__} takes no reference picture; leave it out")

    def refine(self, first_fill: Tensor, *inputs: Any, **named: Any) -> Tensor:
        """Fill from a given first fill instead of the network's own coarse stage.

        first_fill: as `contract.output`. Raises ConfigError where the network has no such stage
        (`contract.refines` says so beforehand).
        """
        raise ConfigError(f"{type(self).__name__} has no second stage; run it from the start")
