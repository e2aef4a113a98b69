"""What a TensorRT engine needs of a GPU, through PyTorch: facts, streams, memory, graphs."""

import platform
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..engines import Machine
from ..errors import BackendError

_CAPTURING = threading.Lock()
"""PyTorch captures one graph at a time."""


class Cuda:
    """One GPU. Raises BackendError where there is none.

    device: cuda, cuda:1, ..., or "" = the current one.
    """

    def __init__(self, device: str = ""):
        kind, _, number = device.partition(":")
        if kind not in ("", "cuda"):
            raise BackendError(
                f"TensorRT runs on GPUs of NVIDIA only, not on {device!r}; give the device cuda, "
                "or take another backend"
            )
        if not torch.cuda.is_available():
            raise BackendError(
                "TensorRT needs a GPU of NVIDIA and a PyTorch with CUDA, which finds no GPU here; "
                "take another backend, such as onnxruntime"
            )
        count = torch.cuda.device_count()
        if number and not (number.isdigit() and int(number) < count):
            raise BackendError(f"there is no device {device!r}; this machine has {count} of them")
        self.device = torch.device("cuda", int(number or torch.cuda.current_device()))

    def machine(self, tensorrt: str) -> Machine:
        """The facts that an engine is tied to; tensorrt: its version."""
        return Machine(
            gpu=torch.cuda.get_device_name(self.device),
            capability="".join(map(str, torch.cuda.get_device_capability(self.device))),
            driver=driver_version(),
            cuda=torch.version.cuda or "",
            tensorrt=tensorrt,
            platform=this_platform(),
        )

    @contextmanager
    def here(self) -> Iterator[None]:
        """Makes this GPU the current one, on which TensorRT builds and loads."""
        with torch.cuda.device(self.device):
            yield

    def stream(self) -> Any:
        """A new stream."""
        return torch.cuda.Stream(self.device)

    def handle(self, stream: Any) -> int:
        """The `cudaStream_t` of a stream."""
        return int(stream.cuda_stream)

    @contextmanager
    def on(self, stream: Any) -> Iterator[None]:
        """Queues what follows on `stream`, after the caller's work and before what comes next.

        "The caller's" is the stream that is current where this is called.
        """
        caller = torch.cuda.current_stream(self.device)
        stream.wait_stream(caller)
        with torch.cuda.device(self.device), torch.cuda.stream(stream):
            yield
        caller.wait_stream(stream)

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Memory on the GPU."""
        return torch.empty(shape, dtype=dtype, device=self.device)

    def capture(self, stream: Any, work: Callable[[], None]) -> Any:
        """What `work` queues on `stream`, as a CUDA graph with a method `replay`; nothing is run.

        Raises RuntimeError where the work cannot be captured.
        """
        graph = torch.cuda.CUDAGraph()
        # Other threads go on with theirs: only this one must keep from what cannot be captured.
        capturing = torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local")
        with _CAPTURING, capturing:
            work()
        return graph


def this_platform() -> str:
    """Such as linux-x86_64."""
    return f"{sys.platform}-{platform.machine().lower()}"


def driver_version() -> str:
    """Of the GPU, as nvidia-smi has it, or "" where there is none. It is noted, never compared."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ""
    command = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.partition("\n")[0].strip()
