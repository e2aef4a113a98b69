"""What runs a generator: PyTorch here; other runtimes join beside it, chosen by file suffix."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ..contract import Contract
from ..errors import BackendError
from ..weights import load_weights
from .eager import TorchBackend


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


def choose_device(name: str = "") -> torch.device:
    """The device called `name`, or the best there is. Raises BackendError if it is not there."""
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if not name:
        return torch.device(next(kind for kind, is_there in there.items() if is_there))
    kind = name.partition(":")[0]
    if not there.get(kind):
        found = ", ".join(kind for kind, is_there in there.items() if is_there)
        raise BackendError(f"the device {name!r} is not here; this machine has {found}")
    return torch.device(name)


def open_backend(path: Path, device: str = "") -> Backend:
    """The backend for the model file at `path`, chosen by its suffix.

    Raises BackendError for an unknown suffix, WeightsError for a file that cannot be used.
    """
    if path.suffix not in OPENERS:
        raise BackendError(
            f"no backend for {path.name}; it needs a file ending in {', '.join(OPENERS)}"
        )
    return OPENERS[path.suffix](path, device)


def _open_torch(path: Path, device: str) -> Backend:
    return TorchBackend(load_weights(path), choose_device(device))


OPENERS: dict[str, Callable[[Path, str], Backend]] = {".safetensors": _open_torch}
"""File suffix -> what opens it; a runtime is added by one line."""
