"""PyTorch in its several ways: eager, compiled, as a CUDA graph; in float32 or half precision."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.backends import choose_device
from core.backends.eager import TorchBackend
from core.errors import BackendError
from core.layers.attention import ContextualAttention
from core.weights import load_weights

from .cases import Subject

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
WARM_UPS = 3
"""Runs before a CUDA graph is captured, as PyTorch's documentation has it."""


def open_torch(path: Path, runtime: str, device: str) -> tuple["HalfBackend", str, str]:
    """The backend for `runtime` (torch-compile-bf16, ...), what it runs on, what it computes in."""
    place = choose_device(device)
    precision = next((half for half in ("bf16", "fp16") if runtime.endswith(half)), "fp32")
    if "-graph" in runtime and place.type != "cuda":
        raise BackendError(f"a CUDA graph needs the device cuda; this is {place}")
    backend = HalfBackend(load_weights(path), place)
    backend.dtype = DTYPES[precision]
    backend.generator.to(backend.dtype)
    if "-graph" in runtime:
        for module in backend.generator.modules():
            if isinstance(module, ContextualAttention):
                # A graph holds no decisions: no rows left out, no chunks.
                module.prune, module.memory_budget = None, 1 << 62
    if "-compile" in runtime:
        backend.generator.compile()
    name = device_name(place)
    mode = "".join(f" {word}" for word in ("compile", "graph") if f"-{word}" in runtime)
    return backend, f"PyTorch{mode}, {name}", precision


class HalfBackend(TorchBackend):
    """`TorchBackend` whose weights and features may be of half precision; attention knows how."""

    dtype: torch.dtype = torch.float32

    def run(self, *inputs: Tensor) -> Tensor:
        """As there; -> in the type and the place of the first input."""
        return super().run(*self.converted(inputs)).to(inputs[0])

    def refine(self, first_fill: Tensor, *inputs: Tensor) -> Tensor:
        """As there."""
        moved = self.converted((first_fill, *inputs))
        return super().refine(*moved).to(first_fill)

    def encode(self, picture: Tensor) -> Tensor:
        """As there."""
        return super().encode(*self.converted((picture,))).to(picture)

    def converted(self, inputs: tuple[Tensor, ...]) -> list[Tensor]:
        """On the device and in the type of the network."""
        return [x.to(self.device, self.dtype) for x in inputs]


def bound_network(
    backend: Any, inputs: tuple[Tensor, ...], subject: Subject
) -> tuple[Callable[[], Any], Callable[[], Any] | None]:
    """A run with the inputs where it computes, which waits for its end; and the copies, or None."""
    dtype = getattr(backend, "dtype", torch.float32)
    there = subject.device.startswith("cuda") and torch.cuda.is_available()
    place = torch.device(subject.device if there else "cpu")

    def move() -> list[Tensor]:
        return [x.to(place, dtype) for x in inputs]

    moved = move()

    def run() -> Any:
        return backend.run(*moved)

    work = captured(run) if "-graph" in subject.runtime else run
    if not there:
        return work, None

    def call() -> None:
        work()
        torch.cuda.synchronize(place)

    output = run()

    def copies() -> None:
        move()
        output.cpu()
        torch.cuda.synchronize(place)

    return call, copies


def captured(run: Callable[[], Any]) -> Callable[[], Any]:
    """The kernels of one run, launched together from then on."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UPS):
            run()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def device_name(device: torch.device) -> str:
    """The card's own name, or the kind of the device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
