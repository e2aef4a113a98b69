"""Opens what is measured, inside the process that measures it: one call without arguments each."""

import importlib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from core.backends import Backend, open_backend
from core.backends.ort import OrtBackend, open_session
from core.backends.ov import OpenVinoBackend, openvino_core
from core.contract import Contract, Port
from core.errors import BackendError, ConfigError
from core.graph import GraphInfo, read_graph
from core.pipeline import FillOptions, Inpainter

from ..examples import example_inputs
from .cases import AGAINST, BASELINE, Case, Subject
from .settings import Size
from .torch_paths import bound_network, device_name, open_torch

BASELINE_MODULE = "benchmarks.straightforward"
"""`benchmarks` stands beside this package, not beneath it; it is found by name as --against is."""
IMAGE, MASK = Port("image", 3), Port("mask", 1, binary=True)
GUIDE_TYPES = {"instances": np.int32}
Run = Callable[[dict[str, np.ndarray]], Any]
PACKAGES = {"openvino": "openvino", "openvino-bf16": "openvino", "onnxruntime": "onnxruntime"}


class Bound(NamedTuple):
    """Something that runs with its inputs in place."""

    call: Callable[[], Any]
    """One run, which has ended when the call returns."""
    runs_on: str
    """Device or provider that is really in use."""
    precision: str
    copies: Callable[[], Any] | None = None
    """What goes to the accelerator and back for one run; None where nothing does."""


def bound_case(case: Case) -> Bound:
    """Open the model of a case and put its inputs in place. Raises InpaintError if it cannot be."""
    subject = case.subject
    torch.set_num_threads(subject.threads)
    if not subject.model:
        raise ConfigError("no graph was given; name one with --onnx or --bundle")
    if subject.runtime == AGAINST:
        return _bound_callable(case)
    if subject.whole:
        return _bound_graph_pipeline(case)
    backend, runs_on, precision = open_subject(subject)
    if case.hole is not None:
        return _bound_pipeline(case, backend, runs_on, precision)
    call, copies = bound_network(backend, network_inputs(backend.contract, case), subject)
    return Bound(call, runs_on, precision, copies)


def open_subject(subject: Subject) -> tuple[Backend, str, str]:
    """The backend, what it really runs on, and what it computes in."""
    path = Path(subject.model)
    if subject.runtime == BASELINE:
        opened = importlib.import_module(BASELINE_MODULE).open_baseline(path, subject.device)
        return opened, f"PyTorch, {device_name(opened.device)}", "fp32"
    if subject.runtime.startswith("torch"):
        return open_torch(path, subject.runtime, subject.device)
    backend: Any
    if subject.runtime == "onnxruntime":
        backend = OrtBackend(path, subject.device, subject.threads)
    elif subject.runtime == "tensorrt":
        backend = open_backend(path, subject.device.replace("cpu", ""), "tensorrt")
    else:
        backend = OpenVinoBackend(path, openvino_hint(subject), subject.threads)
    return backend, backend.device, computes_in(backend.info, subject)


def network_inputs(contract: Contract, case: Case) -> tuple[Tensor, ...]:
    """Pictures as the network takes them, with a square hole of half their sides."""
    height, width = case.size
    if height % contract.multiple_of or width % contract.multiple_of:
        raise ConfigError(
            f"{height}x{width} is no size for this network; both sides must be multiples of "
            f"{contract.multiple_of}"
        )
    mask = square_hole(case.batch, case.size, (height // 2, width // 2))
    inputs = example_inputs(contract.inputs, case.batch, case.size, 0, mask)
    empty = {port.name: port.low for port in contract.inputs if port.optional}
    return tuple(
        torch.full_like(x, empty[port.name]) if port.name in empty else x
        for port, x in zip(contract.inputs, inputs, strict=True)
    )


def square_hole(batch: int, size: Size, hole: Size) -> Tensor:
    """(batch, 1, *size), 1 in the middle."""
    mask = torch.zeros(batch, 1, *size)
    top, left = ((side - min(part, side)) // 2 for side, part in zip(size, hole, strict=True))
    mask[..., top : top + hole[0], left : left + hole[1]] = 1
    return mask


def whole_picture(case: Case) -> tuple[Tensor, Tensor]:
    """A picture and its mask, [0, 1]: with the hole of a pipeline case, or that of a network's."""
    sides = (case.size[0] // 2, case.size[1] // 2) if case.hole is None else (case.hole, case.hole)
    mask = square_hole(case.batch, case.size, sides)
    image, _ = example_inputs((IMAGE, MASK), case.batch, case.size, 0, mask)
    return image, mask


def _bound_callable(case: Case) -> Bound:
    module, _, name = case.subject.model.partition(":")
    try:
        work = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as problem:
        raise ConfigError(f"--against {case.subject.model} is not there ({problem})") from None
    image, mask = (x.numpy() for x in whole_picture(case))
    given = np.asarray(work(image, mask))
    if given.shape != image.shape:
        raise ConfigError(
            f"{case.subject.model} gave an array of the shape {given.shape} for a picture of "
            f"{image.shape}; it must give a picture of that size"
        )
    return Bound(lambda: work(image, mask), "not known", "not known")


def _bound_pipeline(case: Case, backend: Backend, runs_on: str, precision: str) -> Bound:
    """Bytes to bytes through our pipeline, as files are filled."""
    inpainter = Inpainter(backend, FillOptions(strategy=case.strategy))
    picture, mask = (x.mul(255).byte() for x in whole_picture(case))

    def fill() -> Tensor:
        completed = inpainter(picture.float() / 255, mask.float() / 255)
        return completed.mul(255).round().byte()

    return Bound(fill, runs_on, precision)


def _bound_graph_pipeline(case: Case) -> Bound:
    """Bytes to bytes through the one graph; guides, if it takes any, are empty."""
    subject, path = case.subject, Path(case.subject.model)
    info = read_graph(path)
    if info.kind != "pipeline":
        raise BackendError(f"{path} is no graph of a pipeline; give one that export.pipeline made")
    image, mask = (x.mul(255).byte().numpy() for x in whole_picture(case))
    feed = {"image": image, "mask": mask}
    for port in info.contract.guides:
        if port.kind == "vector":
            feed[port.name] = np.zeros((1, port.channels), np.float32)
        elif port.kind != "noise":
            shape = (1, port.channels if port.kind == "map" else 1, *case.size)
            feed[port.name] = np.zeros(shape, GUIDE_TYPES.get(port.kind, np.uint8))
    opener = _open_ort if subject.runtime == "onnxruntime" else _open_openvino
    run, names, runs_on = opener(subject)
    given = {name: feed[name] for name in names}
    return Bound(lambda: run(given), runs_on, computes_in(info, subject))


def _open_ort(subject: Subject) -> tuple[Run, list[str], str]:
    session = open_session(Path(subject.model), subject.device, subject.threads)
    names = [one.name for one in session.get_inputs()]
    runs_on = f"{session.get_providers()[0]} of ONNX Runtime"
    return lambda feed: session.run(None, feed), names, runs_on


def _open_openvino(subject: Subject) -> tuple[Run, list[str], str]:
    if not subject.runtime.startswith("openvino"):
        raise BackendError(f"the graph of the pipeline is not measured with {subject.runtime}")
    settings = {
        "INFERENCE_PRECISION_HINT": openvino_hint(subject),
        "INFERENCE_NUM_THREADS": str(subject.threads),
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino_core().compile_model(subject.model, "CPU", settings)
    names = [one.get_any_name() for one in compiled.inputs]
    return compiled.create_infer_request().infer, names, "CPU of OpenVINO"


def openvino_hint(subject: Subject) -> str:
    """What OpenVINO is to compute in."""
    return "bf16" if subject.runtime.endswith("bf16") else "f32"


def computes_in(info: GraphInfo, subject: Subject) -> str:
    """Of a graph: its own precision, but for OpenVINO, which takes what it is told."""
    if not subject.runtime.startswith("openvino"):
        return info.precision
    told = "bf16" if subject.runtime.endswith("bf16") else "fp32"
    if info.precision == "int8":
        return f"int8, {told}"
    return told if info.precision in ("fp32", told) else f"{told} ({info.precision} weights)"


def device_free(device: str) -> int | None:
    """Free bytes of the card, or None without one."""
    if not device.startswith("cuda") or not torch.cuda.is_available():
        return None
    return torch.cuda.mem_get_info()[0]


def versions(runtime: str) -> dict[str, str]:
    """Of PyTorch and of the runtime's package."""
    found = {"torch": str(torch.__version__)}
    package = PACKAGES.get(runtime)
    for name in metadata.packages_distributions().get(package, []) if package else []:
        found[name] = metadata.version(name)
    return found
