"""Which runtime opens a model file: by its suffix, by choice, or the first of a chain that works.

A graph has several: TensorRT, ONNX Runtime and PyTorch are tried in this order, each refusal is
said with its reason, and so is what was taken in the end. OpenVINO is taken by choice alone.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from ..engines import ENGINE_SUFFIX
from ..errors import BackendError, InpaintError
from ..files import sha256_of
from ..weights import load_weights
from .devices import choose_device
from .eager import TorchBackend
from .graph import read_parts
from .ort import OrtBackend
from .ov import OpenVinoBackend, split_openvino
from .protocol import Backend
from .providers import PROVIDERS, clash, load_onnxruntime
from .trt import find_engine, open_trt

log = logging.getLogger("gatefill")

RUNTIMES = ("auto", "torch", "onnxruntime", "openvino", "tensorrt")
"""What may be chosen; auto: whatever runs the file, of a graph the first that works."""
GRAPH = "generator.onnx"
MANIFEST = "manifest.json"
"""Files of a deployment bundle, which `python -m export.bundle` makes."""
ENGINES = "engines"
"""Folder beside a graph in which its engines are looked for; without it, those beside the graph."""
Say = Callable[[str], None]


def open_backend(
    path: Path, device: str = "", runtime: str = "auto", say: Say | None = None
) -> Backend:
    """The backend for a model: weights, an exported graph, an engine, or a deployment bundle.

    device: what the runtime calls it, such as cuda, cpu, cuda:1, cpu:bf16 (OpenVINO); "" = the best
    there is. runtime: one of `RUNTIMES`. say: is told what was refused and taken, sentence by
    sentence; None = the log, on stderr unless it is led elsewhere.
    Raises BackendError where no runtime opens it, WeightsError for weights that cannot be used.
    """
    if runtime not in RUNTIMES:
        raise BackendError(f"the backend {runtime!r} is not one of {', '.join(RUNTIMES)}")
    path = _graph_of(path) if path.is_dir() else path
    if path.suffix == ".onnx":
        return _open_graph(path, device, runtime, say or log.warning)
    if path.suffix not in BY_SUFFIX:
        known = ", ".join((*BY_SUFFIX, ".onnx"))
        raise BackendError(f"no backend for {path.name}; it needs a file ending in {known}")
    only, opener = BY_SUFFIX[path.suffix]
    if runtime not in ("auto", only):
        raise BackendError(
            f"{path.name} runs by {only} only, and the backend {runtime} was asked for; export it "
            "by `python -m export.onnx` and give the graph, or leave the backend out"
        )
    return opener(path, device)


def _graph_of(folder: Path) -> Path:
    """The network's graph in a deployment bundle. Raises BackendError for another folder."""
    missing = [name for name in (MANIFEST, GRAPH) if not (folder / name).is_file()]
    if missing:
        raise BackendError(
            f"{folder} is a folder without {' and '.join(missing)}; give a model file, or a bundle "
            "that `python -m export.bundle` made"
        )
    return folder / GRAPH


def _open_graph(path: Path, device: str, runtime: str, say: Say) -> Backend:
    read_parts(path)  # what is wrong with the file itself is said once
    steps = _steps(device, runtime)
    refused = []
    for name, place in steps:
        try:
            backend = BY_NAME[name](path, place)
        except InpaintError as problem:
            if len(steps) == 1:
                raise
            refused.append(f"{name}{f' on {place}' if place else ''}: {problem}")
            say(f"not by {refused[-1]}")
            continue
        if name == "onnxruntime" and (both := clash()):
            say(f"note: {both}")
        if runtime == "auto" or refused:
            say(f"{path.name} runs by {name}, the first of {_names(steps)} that does")
        return backend
    raise BackendError(f"nothing here runs {path}: {'; '.join(refused)}")


def _steps(device: str, runtime: str) -> list[tuple[str, str]]:
    """Runtimes and devices in the order in which they are tried."""
    if runtime == "auto":
        places = [device] if device else _places()
        pairs = [(name, place) for place in places for name in ("onnxruntime", "torch")]
        return [("tensorrt", device), *pairs]
    if runtime == "onnxruntime" and not device:
        return [(runtime, place) for place in _places()]
    return [(runtime, device)]


def _places() -> list[str]:
    """The best device that PyTorch or ONNX Runtime may have, then the CPU."""
    best = choose_device().type
    if best == "cpu" and PROVIDERS["cuda"] in _providers():
        best = "cuda"
    return list(dict.fromkeys((best, "cpu")))


def _providers() -> list[str]:
    """Those that ONNX Runtime says it has; none where it is not installed."""
    try:
        return load_onnxruntime().get_available_providers()
    except BackendError:
        return []  # said when its turn comes


def _names(steps: list[tuple[str, str]]) -> str:
    return ", ".join(f"{name} ({place})" if place else name for name, place in steps)


def _open_weights(path: Path, device: str) -> Backend:
    return TorchBackend(load_weights(path), choose_device(device))


def _open_torch(path: Path, device: str) -> Backend:
    """The weights that a graph was exported from, which must lie beside it."""
    info, _ = read_parts(path)
    there = sorted(path.parent.glob("*.safetensors"), key=lambda file: file.stem != path.stem)
    for file in there:
        if sha256_of(file) == info.weights_sha256:
            return _open_weights(file, device)
    found = f"only {', '.join(file.name for file in there)}, of other weights" if there else "none"
    raise BackendError(
        f"PyTorch needs the .safetensors file that {path.name} was exported from, and beside it "
        f"there is {found}; put the file with the SHA-256 {info.weights_sha256[:16]}... there"
    )


def _open_openvino(path: Path, device: str) -> Backend:
    name, precision = split_openvino(device)
    return OpenVinoBackend(path, precision, device=name)


def _open_tensorrt(path: Path, device: str) -> Backend:
    """The engine of a graph that `python -m export.trt` built for this very machine."""
    folder = path.parent / ENGINES
    engine = find_engine(path, folder if folder.is_dir() else path.parent, device)
    return open_trt(engine, device)


BY_NAME: dict[str, Callable[[Path, str], Backend]] = {
    "torch": _open_torch,
    "onnxruntime": OrtBackend,
    "openvino": _open_openvino,
    "tensorrt": _open_tensorrt,
}
"""Runtime -> what opens a graph by it."""
BY_SUFFIX: dict[str, tuple[str, Callable[[Path, str], Backend]]] = {
    ".safetensors": ("torch", _open_weights),
    ENGINE_SUFFIX: ("tensorrt", open_trt),
}
"""Suffix of a file that only one runtime opens -> that runtime, and how."""
