"""PyTorch as the backend: the network itself, on the CPU or an accelerator."""

import torch
from torch import Tensor

from ..contract import TRUSTED
from ..layers.attention import MIB, ContextualAttention
from ..models.base import Generator

ACCELERATOR_BUDGET = 1024 * MIB
"""Scores that attention may hold at once on an accelerator, where large products pay."""


class TorchBackend:
    """Runs a generator where it is told to; tensors come back to where they came from."""

    def __init__(self, generator: Generator, device: torch.device | None = None):
        self.generator = generator.eval().to(device or torch.device("cpu"))
        self.contract = generator.contract
        self.placed(device or torch.device("cpu"))

    def placed(self, device: torch.device) -> None:
        """Take note that the network has been moved to `device`."""
        self.device = device
        for module in self.generator.modules():
            if isinstance(module, ContextualAttention):
                module.prune = TRUSTED  # nobody looks further
                cpu = device.type == "cpu"
                module.memory_budget = type(module).memory_budget if cpu else ACCELERATOR_BUDGET

    @torch.inference_mode()
    def run(self, *inputs: Tensor) -> Tensor:
        """Tensors as `contract.inputs` describes them -> a tensor as `contract.output` does."""
        return self.generator(*self._moved(inputs)).to(inputs[0].device)

    @torch.inference_mode()
    def refine(self, first_fill: Tensor, *inputs: Tensor) -> Tensor:
        """As `run`, from a given first fill."""
        filled = self.generator.refine(*self._moved((first_fill, *inputs)))
        return filled.to(inputs[0].device)

    @torch.inference_mode()
    def encode(self, picture: Tensor) -> Tensor:
        """The vector of a reference picture (N, 3, h, w), as the port image has it."""
        return self.generator.encode(*self._moved((picture,))).to(picture.device)

    def _moved(self, tensors: tuple[Tensor, ...]) -> list[Tensor]:
        return [tensor.to(self.device) for tensor in tensors]
