"""Running a graph just written, to see what it computes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.graph import Precision

Run = Callable[[list[Tensor]], Tensor]


def open_run(file: Path, precision: Precision) -> Run:
    """What runs the graph at `file`: ONNX Runtime, but for bf16, which only OpenVINO has on a CPU.

    Raises BackendError where the runtime is not installed.
    """
    return _openvino(file) if precision == "bf16" else _onnxruntime(file)


def _onnxruntime(file: Path) -> Run:
    from core.backends.ort import open_session

    session = open_session(file)
    names = [entry.name for entry in session.get_inputs()]

    def run(inputs: list[Tensor]) -> Tensor:
        feed = {name: x.numpy() for name, x in zip(names, inputs, strict=True)}
        return torch.from_numpy(session.run(None, feed)[0])

    return run


def _openvino(file: Path) -> Run:
    from core.backends.ov import openvino_core

    core = openvino_core()
    model = core.read_model(str(file))
    compiled: Any = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    request = compiled.create_infer_request()

    def run(inputs: list[Tensor]) -> Tensor:
        found = request.infer([x.numpy() for x in inputs])
        return torch.from_numpy(next(iter(found.values())).copy())

    return run
