"""ONNX Runtime's execution providers: their names, and whether the one asked for is really used.

ONNX Runtime falls back to the CPU without a word when a provider does not load, and its CPU and GPU
packages overwrite each other; both are found out here.
"""

import contextlib
import ctypes
import functools
import io
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ..errors import BackendError
from ..extras import need

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "rtx": "NvTensorRTRTXExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
"""Device -> execution provider."""
PACKAGES = {
    "cuda": "onnxruntime-gpu",
    "tensorrt": "onnxruntime-gpu",
    "directml": "onnxruntime-directml",
}
"""Device -> the package that brings its provider; the others come with onnxruntime itself."""
RUNTIMES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
    "onnxruntime-training",
)
"""Distributions that bring a module `onnxruntime`; only one of them can be installed at a time."""
RTX_MODULE = "onnxruntime_ep_nv_tensorrt_rtx"
RTX_PACKAGE = "onnxruntime-ep-nv-tensorrt-rtx-cu13"
"""NVIDIA's plugin for consumer cards; it goes with any of the distributions."""


def load_onnxruntime() -> ModuleType:
    """ONNX Runtime. Raises BackendError where it is missing or only half of it is there."""
    try:
        ort = need("onnxruntime", "onnx")
    except BackendError as problem:
        found = installed_runtimes()
        if not found:
            raise
        raise BackendError(f"{problem}: {mending(found)}") from None
    if not hasattr(ort, "InferenceSession"):
        # What pip leaves when it uninstalls one of two packages that share their files.
        raise BackendError(
            "the module onnxruntime is there but has lost files, as happens when one of its "
            f"packages is uninstalled beside another; {mending(installed_runtimes())}"
        )
    return ort


def installed_runtimes() -> list[str]:
    """The installed ones of `RUNTIMES`."""
    found = []
    for name in RUNTIMES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            metadata.distribution(name)
            found.append(name)
    return found


def clash() -> str:
    """What is wrong where several distributions of ONNX Runtime are installed; "" where not."""
    found = installed_runtimes()
    if len(found) < 2:
        return ""
    # Written by the last one installed, over the other's.
    name = getattr(sys.modules.get("onnxruntime"), "package_name", "") or "the last installed"
    return (
        f"{' and '.join(found)} are installed at once and overwrite each other's files (those of "
        f"{name} are in use); {mending(found)}"
    )


def mending(found: list[str], wanted: str = "") -> str:
    """The two commands after which one distribution is there, whole.

    wanted: which; "": the one with the most providers of those found.
    """
    keep = wanted or (found[-1] if found else "onnxruntime")
    remove = f"`pip uninstall -y {' '.join(found)}` and then " if found else ""
    return f"run {remove}`pip install {keep}`"


def split_device(device: str) -> tuple[str, int]:
    """Name and number of a device: "cuda:1" -> ("cuda", 1), "" -> ("cpu", 0).

    Raises BackendError for a device that ONNX Runtime does not have.
    """
    name, _, number = device.partition(":")
    name = name or "cpu"
    if name not in PROVIDERS or (number and not number.isdigit()):
        raise BackendError(f"ONNX Runtime has no device {device!r}; it has {', '.join(PROVIDERS)}")
    return name, int(number or 0)


def provider_of(device: str) -> str:
    """The execution provider for a device. Raises BackendError if ONNX Runtime has none here."""
    name, _ = split_device(device)
    ort = load_onnxruntime()
    there = ort.get_available_providers()
    if name != "rtx" and PROVIDERS[name] not in there:
        raise BackendError(
            f"this ONNX Runtime has no {PROVIDERS[name]}, only {', '.join(there)}; {remedy(name)}"
        )
    return PROVIDERS[name]


def remedy(name: str) -> str:
    """What to do where ONNX Runtime lacks the provider of the device `name`."""
    if name not in PACKAGES:
        return "that device needs macOS" if name == "coreml" else "take the device cpu"
    found = installed_runtimes()
    return clash() if PACKAGES[name] in found[1:] else mending(found, PACKAGES[name])


def open_on(device: str, path: Path, options: Any) -> Any:
    """An `onnxruntime.InferenceSession` of the graph at `path` that really runs on `device`.

    Raises BackendError where the device is not to be had, and what ONNX Runtime raises where it
    refuses the graph.
    """
    wanted = provider_of(device)
    name, number = split_device(device)
    ort = load_onnxruntime()
    # Without it ONNX Runtime prints on stdout what failed, and goes on with the CPU.
    more: dict[str, Any] = {"enable_fallback": 0}
    if name == "rtx":
        options.add_provider_for_devices([rtx_device(number)], {})
    else:
        more["providers"] = _with_settings(name, number)
    if name in ("cuda", "tensorrt"):
        _load_cuda(ort)
    if name == "directml":
        options.enable_mem_pattern = False  # as DirectML wants it
    session = ort.InferenceSession(str(path), options, **more)
    check_providers(wanted, session.get_providers())
    return session


def check_providers(wanted: str, used: list[str]) -> None:
    """Raise BackendError if ONNX Runtime fell back to another provider than asked for."""
    if used[0] == wanted:
        return
    reason = f" ({why})" if (why := missing_library(wanted)) else ""
    both = f"; and {found}" if (found := clash()) else ""
    raise BackendError(
        f"{wanted} does not load here{reason}, and ONNX Runtime would run on {used[0]} without a "
        f"word; install what that provider needs, or take the device cpu{both}"
    )


def missing_library(provider: str) -> str:
    """What the library of a provider lacks, in the system's words; "" where that is not known."""
    stems = {"CUDAExecutionProvider": "cuda", "TensorrtExecutionProvider": "tensorrt"}
    folder = Path(load_onnxruntime().__file__ or "").parent / "capi"
    for file in sorted(folder.glob(f"*onnxruntime_providers_{stems.get(provider)}.*")):
        try:
            ctypes.CDLL(str(file))
        except OSError as problem:
            return str(problem)
    return ""


@functools.cache
def rtx_devices() -> tuple[Any, ...]:
    """The cards that NVIDIA's plugin for consumer cards can use; it is registered here, once.

    Raises BackendError where it is not installed or does not load.
    """
    ort = load_onnxruntime()
    plugin = need(RTX_MODULE, "gpu", package=RTX_PACKAGE)
    refusals: tuple[type[Exception], ...] = (OSError, *errors_of(ort))
    try:
        ort.register_execution_provider_library(plugin.get_ep_name(), plugin.get_library_path())
    except refusals as problem:
        raise BackendError(
            f"the plugin {RTX_PACKAGE} does not load ({problem}); it needs an RTX card and "
            "NVIDIA's driver, or take the device cpu"
        ) from None
    return tuple(x for x in ort.get_ep_devices() if x.ep_name == plugin.get_ep_name())


def rtx_device(number: int) -> Any:
    """One of `rtx_devices`. Raises BackendError where there are not so many."""
    devices = rtx_devices()
    if number >= len(devices):
        raise BackendError(
            f"the plugin {RTX_PACKAGE} finds {len(devices)} RTX cards here, and number {number} is "
            "asked for, counted from 0; take another device"
        )
    return devices[number]


def errors_of(ort: ModuleType) -> tuple[type[Exception], ...]:
    """Everything that ONNX Runtime raises for a graph, a device or an input; no base is shared."""
    state = ort.capi.onnxruntime_pybind11_state
    own = [x for x in vars(state).values() if isinstance(x, type) and issubclass(x, Exception)]
    return (RuntimeError, ValueError, *own)


def _with_settings(name: str, number: int) -> list[tuple[str, dict[str, Any]]]:
    """Providers in the order in which they take nodes, with their options; the CPU comes last."""
    cuda = {
        "device_id": number,
        # Searching the best convolution anew for every size takes longer than it saves.
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
        "use_tf32": 0,  # float32 is float32
    }
    settings: dict[str, list[dict[str, Any]]] = {
        "cuda": [cuda],
        "tensorrt": [{"device_id": number}, cuda],
        "directml": [{"device_id": number}],
        "coreml": [{"ModelFormat": "MLProgram"}],
    }
    names = [PROVIDERS[name], PROVIDERS["cuda"]]
    return list(zip(names, settings.get(name, [{}]), strict=False))


def _load_cuda(ort: ModuleType) -> None:
    """CUDA's libraries as pip installs them, where PyTorch does not bring them along already."""
    if torch.version.cuda is None and hasattr(ort, "preload_dlls"):
        # It prints what it does not find; what is missing in the end `check_providers` says.
        with contextlib.redirect_stdout(io.StringIO()):
            ort.preload_dlls()
