"""Files of weights that were not written by this project, opened as names, shapes and numbers."""

import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import WeightsError
from ..weights import METADATA_KEY

Shape = tuple[int, ...]
INNER = ("G", "model", "state_dict", "generator", "params")
"""Under which of its keys a file holds the weights of the generator; the first that is there."""
ZIP = b"PK\x03\x04"
"""How files of torch.save begin since PyTorch 1.6; only these can be read part by part."""

UNREADABLE = (
    RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError, TypeError,
    AssertionError, ArithmeticError, MemoryError, struct.error,
)  # fmt: skip
"""What torch.load raises for damaged files, beside UnpicklingError: whatever the bytes lead to."""


@dataclass(frozen=True)
class Checkpoint:
    """A foreign file: what is in it is known at once, numbers are read when asked for."""

    path: Path
    files: tuple[Path, ...]
    """All files that it consists of."""
    kind: str
    shapes: dict[str, Shape]
    read: Callable[[str], Tensor]
    """The tensor of a name. Raises WeightsError if it is damaged."""
    beside: tuple[str, ...] = ()
    """What else the file holds, which are no weights of the generator."""

    def size(self, name: str, axis: int, dimensions: int = 4) -> int:
        """How long the tensor `name` is along `axis`. Raises WeightsError if that cannot be said.

        `dimensions`: how many the tensor must have.
        """
        if name not in self.shapes:
            raise WeightsError(f"{self.path} lacks {name}; it is damaged, get a fresh copy")
        shape = self.shapes[name]
        if len(shape) != dimensions:
            raise WeightsError(
                f"{self.path}: {name} has the shape {shape}, but needs {dimensions} dimensions; "
                "the file is of another network"
            )
        return shape[axis]


def open_torch(path: Path) -> Checkpoint:
    """A file of torch.save, of the form in use now (zip) or that before PyTorch 1.6.

    Only tensors and plain values are unpickled, never code. Raises WeightsError for anything else.
    """
    with path.open("rb") as file:
        mapped = file.read(len(ZIP)) == ZIP
    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as problem:
        raise WeightsError(_not_unpickled(path, problem)) from None
    except UNREADABLE as problem:
        raise WeightsError(
            f"{path} is damaged or no file of weights ({_line(problem)}); get a fresh copy"
        ) from None
    tensors, beside = _generator(found)
    return _of_tensors(path, "PyTorch file", tensors, beside)


def open_safetensors(path: Path) -> Checkpoint:
    """A .safetensors file. Raises WeightsError if it is damaged, or of this project already."""
    try:
        file = safe_open(str(path), "pt")
        with file as opened:
            names = list(opened.keys())
            shapes = {name: tuple(opened.get_slice(name).get_shape()) for name in names}
            ours = METADATA_KEY in (opened.metadata() or {})
    except (SafetensorError, OSError, ValueError) as problem:
        raise WeightsError(
            f"{path} is damaged or not a safetensors file ({_line(problem)}); get a fresh copy"
        ) from None
    if ours:
        raise WeightsError(f"{path} is a file of this project already; use it as it is")

    def read(name: str) -> Tensor:
        with safe_open(str(path), "pt") as opened:
            return opened.get_tensor(name)

    found = Checkpoint(path, (path,), "safetensors file", shapes, read)
    return _without_prefix(found, "module.")


def _of_tensors(path: Path, kind: str, tensors: dict[str, Tensor], beside: list[str]) -> Checkpoint:
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    found = Checkpoint(path, (path,), kind, shapes, tensors.__getitem__, tuple(beside))
    return _without_prefix(found, "module.")


def _without_prefix(found: Checkpoint, prefix: str) -> Checkpoint:
    """The same without `prefix` (that of DataParallel) if every name has it."""
    if not all(name.startswith(prefix) for name in found.shapes):
        return found
    shapes = {name.removeprefix(prefix): shape for name, shape in found.shapes.items()}
    return replace(found, shapes=shapes, read=lambda name: found.read(prefix + name))


def _generator(found: Any) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors of the generator in what was unpickled, and the names of what lies beside."""
    if not isinstance(found, dict):
        return {}, []
    tensors = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    if tensors:
        return tensors, []
    for key in INNER:
        if isinstance(found.get(key), dict):
            tensors, beside = _generator(found[key])
            return tensors, [*(str(name) for name in found if name != key), *beside]
    return {}, [str(name) for name in found]


def _not_unpickled(path: Path, problem: pickle.UnpicklingError) -> str:
    text = str(problem)
    if "GLOBAL" in text or "global" in text:
        return (
            f"{path} holds Python objects beside its tensors, and to load those could run any "
            "code; it needs a file of tensors alone (a state dict), so save it anew as one"
        )
    return f"{path} is damaged or no file of weights ({_line(problem)}); get a fresh copy"


def _line(problem: Exception) -> str:
    """The first line of what an exception says."""
    return (str(problem).splitlines() or [type(problem).__name__])[0]
