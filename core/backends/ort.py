"""ONNX Runtime as the backend, on whatever of its execution providers is asked for."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import BackendError
from ..graph import METADATA_KEY, GraphInfo
from ..parts import Part, ports_of
from ..progress import wait_for
from .graph import GraphBackend, Runner, first_line, output_shape, read_parts
from .providers import (
    errors_of,
    load_onnxruntime,
    missing_library,
    open_on,
    provider_of,
    split_device,
)


class OrtBackend(GraphBackend):
    """Runs exported graphs by ONNX Runtime; any thread may call it.

    device: cpu, cuda, tensorrt, rtx, directml, coreml, the second card as cuda:1, or "" = cpu.
    threads: on the CPU; 0 = as many as PyTorch takes. Raises BackendError for a graph or a device
    that cannot be used.
    """

    def __init__(self, path: Path, device: str = "", threads: int = 0):
        info, files = read_parts(path)
        home, runners = memory_of(device), dict[Part, Runner]()
        for part, file in files.items():
            session = open_session(file, device, threads)
            runners[part] = runner_of(session, info, part, home)
        provider = session.get_providers()[0]
        super().__init__(info, runners, f"{provider} of ONNX Runtime")


def open_session(path: Path, device: str = "", threads: int = 0) -> Any:
    """An `onnxruntime.InferenceSession` that really runs on `device`; otherwise as `OrtBackend`."""
    ort = load_onnxruntime()
    if not path.is_file():
        raise BackendError(f"no graph at {path}; `python -m export.onnx` makes one")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 3  # errors; what a user must know is said by a BackendError
    try:
        return open_on(device, path, options)
    except errors_of(ort) as problem:
        reason = missing_library(provider_of(device)) or first_line(problem)
        raise BackendError(
            f"ONNX Runtime does not take {path} on the device {device or 'cpu'} "
            f"({reason}); export it again, or take another device or backend"
        ) from None


def session_info(session: Any, path: Path) -> GraphInfo:
    """What the graph of a session says of itself."""
    found = session.get_modelmeta().custom_metadata_map
    return GraphInfo.from_json(found.get(METADATA_KEY, ""), str(path))


def memory_of(device: str) -> torch.device:
    """Where tensors may lie for a session on `device`, beside the memory of the CPU."""
    name, number = split_device(device)
    if name in ("cuda", "tensorrt") and torch.cuda.is_available():
        return torch.device("cuda", number)
    return torch.device("cpu")


def runner_of(session: Any, info: GraphInfo, part: Part, home: torch.device) -> Runner:
    """What runs one part by its session; tensors on the CPU or at `home` are not copied."""
    inputs, output = ports_of(info.contract, part)
    ort = load_onnxruntime()
    refusals = errors_of(ort)

    def run(*tensors: Tensor) -> Tensor:
        placed = [_placed(x, home) for x in tensors]
        result = placed[0].new_empty(output_shape(output, placed[0]))
        if result.is_cuda:  # ONNX Runtime has a stream of its own
            torch.cuda.current_stream(result.device).synchronize()
        binding = session.io_binding()
        for port, x in zip(inputs, placed, strict=True):
            binding.bind_input(port.name, *_memory(x))
        binding.bind_output(output.name, *_memory(result))
        how = ort.RunOptions()
        try:
            wait_for(
                lambda: session.run_with_iobinding(binding, how),
                lambda: setattr(how, "terminate", True),
            )
        except refusals as problem:
            raise BackendError(
                f"the graph of {info.architecture} does not run on {tuple(placed[0].shape)} "
                f"({first_line(problem)}); give it a size that it was exported for, or less at once"
            ) from None
        binding.synchronize_outputs()
        return result.to(tensors[0].device)

    return run


def _placed(x: Tensor, home: torch.device) -> Tensor:
    """Float32 without gaps, on the CPU or at `home`."""
    x = x.detach() if x.device.type == "cpu" else x.detach().to(home)
    return x.float().contiguous()


def _memory(x: Tensor) -> tuple[str, int, type[np.float32], list[int], int]:
    """A tensor as a binding takes it: device, its number, type, shape, address."""
    return x.device.type, x.device.index or 0, np.float32, list(x.shape), x.data_ptr()
