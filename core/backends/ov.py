"""OpenVINO as the backend: the fastest on CPUs, in float32 or, by choice, in bfloat16."""

import threading
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import BackendError
from ..extras import need
from ..parts import Part, ports_of
from ..progress import wait_for
from .graph import GraphBackend, Runner, first_line, read_parts

PRECISIONS = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}
"""What may be asked for -> what OpenVINO calls the type then."""


class OpenVinoBackend(GraphBackend):
    """Runs exported graphs by OpenVINO; any thread may call it.

    precision: f32, bf16 or f16, what convolutions compute in (scores of attention too, but for
    f32). threads: 0 = as many as PyTorch takes. device: cpu, or gpu for one of Intel.
    Raises BackendError for a graph, a precision or a device that cannot be used.
    """

    def __init__(
        self, path: Path, precision: str = "f32", threads: int = 0, *, device: str = "cpu"
    ):
        ov = need("openvino")
        info, files = read_parts(path)
        core = openvino_core()
        name = _device(core, device)
        settings = _settings(precision, threads, name)
        runners: dict[Part, Runner] = {}
        for part, file in files.items():
            try:
                compiled = core.compile_model(core.read_model(str(file)), name, settings)
            except RuntimeError as problem:  # the one thing that OpenVINO raises
                raise BackendError(
                    f"OpenVINO does not take {file} ({last_line(problem)}); export it again, or "
                    "take another backend"
                ) from None
            _check_precision(compiled, precision)
            names = [port.name for port in ports_of(info.contract, part)[0]]
            runners[part] = _Runner(ov, compiled, names)
        super().__init__(info, runners, f"{name} of OpenVINO, {precision}")


@cache
def openvino_core() -> Any:
    """OpenVINO itself, one for the process. Raises BackendError where it is not installed.

    What it runs on a CPU by gives signals a stack of its own. Of two that end in the order in which
    they began, the last one puts back the stack of the first, which is gone: the next signal, such
    as Ctrl+C or the end of a child, would kill the process.
    """
    return need("openvino").Core()


def split_openvino(device: str) -> tuple[str, str]:
    """Device and precision of a text: "cpu:bf16" -> ("cpu", "bf16"), "" -> ("cpu", "f32").

    Raises BackendError for what OpenVINO does not have.
    """
    name, _, precision = device.partition(":")
    if name not in ("", "cpu", "gpu") or precision not in ("", *PRECISIONS):
        raise BackendError(
            f"OpenVINO has no device {device!r}; it has cpu and gpu (of Intel), with :bf16 or :f16 "
            "behind it for less precision, such as cpu:bf16"
        )
    return name or "cpu", precision or "f32"


class _Runner:
    """One part of a network; each thread that calls it has an infer request of its own."""

    def __init__(self, ov: Any, compiled: Any, names: list[str]):
        self._ov = ov
        self._compiled = compiled
        self._names = names
        self._own = threading.local()

    def __call__(self, *inputs: Tensor) -> Tensor:
        request = self._request()
        arrays = [x.detach().to("cpu", torch.float32).contiguous().numpy() for x in inputs]
        feed = {n: self._ov.Tensor(x) for n, x in zip(self._names, arrays, strict=True)}
        try:
            wait_for(partial(_infer, request, feed), request.cancel)
        except RuntimeError as problem:
            raise BackendError(
                f"OpenVINO does not run the graph on {tuple(inputs[0].shape)} "
                f"({last_line(problem)}); give it a size that it was exported for, or less at once"
            ) from None
        # A copy: the next call writes into the request's own memory.
        result = torch.from_numpy(request.get_output_tensor().data.copy())
        return result.to(inputs[0].device)

    def _request(self) -> Any:
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        return self._own.request


def _infer(request: Any, feed: dict[str, Any]) -> None:
    # Not `infer`, which cannot be cancelled.
    request.start_async(feed)
    request.wait()


def _device(core: Any, device: str) -> str:
    """OpenVINO's name of a device. Raises BackendError where there is none of them."""
    there = [name.partition(".")[0] for name in core.available_devices]
    if device.upper() not in there:
        raise BackendError(
            f"OpenVINO finds no device {device!r} here, only {', '.join(there).lower()}; take one "
            "of these"
        )
    return device.upper()


def _settings(precision: str, threads: int, device: str) -> dict[str, Any]:
    if precision not in PRECISIONS:
        raise BackendError(
            f"OpenVINO computes in {', '.join(PRECISIONS)}, not in {precision!r}; take one of them"
        )
    # Said always: on CPUs that know bfloat16 it is OpenVINO's default.
    settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    if device == "CPU":
        # By default it keeps kernels for thousands of sizes, which for a small network is 2 MiB
        # each; without them a change of size costs 3 %.
        settings["CPU_RUNTIME_CACHE_CAPACITY"] = "0"
        settings["INFERENCE_NUM_THREADS"] = str(threads or torch.get_num_threads())
    return settings


def _check_precision(compiled: Any, precision: str) -> None:
    """Raise BackendError where OpenVINO took another precision, for want of instructions."""
    used = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if used != precision:
        raise BackendError(
            f"this machine does not compute in {precision}, and OpenVINO would take {used} without "
            "a word; leave the precision out"
        )


def last_line(problem: Exception) -> str:
    """What OpenVINO says at the end, after the places in its sources."""
    lines = [line for line in str(problem).splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else first_line(problem)
