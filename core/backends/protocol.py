"""What every backend is."""

from typing import Protocol

from torch import Tensor

from ..contract import Contract


class Backend(Protocol):
    """Something that runs a generator."""

    contract: Contract

    def run(self, *inputs: Tensor) -> Tensor:
        """Tensors as `contract.inputs` describes them -> a tensor as `contract.output` does.

        It must be right in the hole and up to `contract.TRUSTED` pixels round it.
        """
        ...

    def refine(self, first_fill: Tensor, *inputs: Tensor) -> Tensor:
        """As `run`, from a given first fill; only where `contract.refines`."""
        ...

    def encode(self, picture: Tensor) -> Tensor:
        """The vector (N, channels) of a reference picture (N, 3, h, w), as the port image has it.

        Only where a port of the contract is `encoded`.
        """
        ...
