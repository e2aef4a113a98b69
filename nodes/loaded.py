"""What the socket GATEFILL_MODEL carries: a network, what runs it, and whose memory it lies in."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import comfy.model_management
import torch
from comfy.model_patcher import CoreModelPatcher

from ..core.backends import Backend, choose_device, open_backend
from ..core.backends.eager import TorchBackend
from ..core.contract import Contract
from ..core.weights import load_weights

WEIGHTS = ".safetensors"
BYTES_PER_PIXEL = 1200
"""What a pass of a network takes for each pixel that it sees, with some room: 1.2 GiB at 1024."""
SESSIONS = 3
"""Graphs and engines kept open; the one used longest ago makes room for a new one."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """A network that is ready to run."""

    name: str
    """As the user chose it."""
    path: Path
    backend: Backend
    make_room: Callable[[int], None]
    """Called with the bytes that a run needs, before it."""

    @property
    def contract(self) -> Contract:
        """What it takes and gives."""
        return self.backend.contract

    def prepare(self, pixels: int) -> None:
        """Have the network and so many pixels fit into memory."""
        self.make_room(pixels * BYTES_PER_PIXEL)


def load(name: str, path: Path, runtime: str, device: str) -> Loaded:
    """The network at `path`. Raises InpaintError where it cannot be used.

    Weights that PyTorch runs are in ComfyUI's care, unless a device is named; sessions of other
    runtimes are ours, at most `SESSIONS` of them.
    """
    if path.suffix == WEIGHTS and runtime in ("auto", "torch"):
        return managed(name, path, device)
    return Loaded(name, path, session(path, runtime, device), _free_for_session)


def managed(name: str, path: Path, device: str) -> Loaded:
    """Weights whose place, the card or the CPU, ComfyUI decides as for its own models."""
    management = comfy.model_management
    home = choose_device(device) if device else management.get_torch_device()
    offload = torch.device("cpu") if device else management.unet_offload_device()
    backend = TorchBackend(load_weights(path))
    patcher = CoreModelPatcher(backend.generator, load_device=home, offload_device=offload)

    def make_room(size: int) -> None:
        # Whole: these networks are small, and their layers know nothing of partial loading.
        management.load_models_gpu([patcher], memory_required=size, force_full_load=True)
        backend.placed(patcher.load_device)

    return Loaded(name, path, backend, make_room)


_sessions: OrderedDict[tuple[str, int, int, str, str], Backend] = OrderedDict()


def session(path: Path, runtime: str, device: str) -> Backend:
    """The backend of a graph, an engine or a bundle; one that is open is used again."""
    facts = path.stat()
    key = (str(path), facts.st_mtime_ns, facts.st_size, runtime, device)
    if key not in _sessions:
        while len(_sessions) >= SESSIONS:
            _sessions.popitem(last=False)
        _free_for_session(4 * facts.st_size)
        _sessions[key] = open_backend(path, device, runtime)
    _sessions.move_to_end(key)
    return _sessions[key]


def close_sessions() -> None:
    """Forget every open session; those that a graph still holds live on with it."""
    _sessions.clear()


def _free_for_session(size: int) -> None:
    device = comfy.model_management.get_torch_device()
    if not comfy.model_management.is_device_cpu(device):
        comfy.model_management.free_memory(size, device)
