"""ONNX Runtime's execution providers: their names, and whether the one asked for is really used.

ONNX Runtime falls back to the CPU without a word when a provider does not load, and its CPU and GPU
packages overwrite each other; both are found out here.
"""

from importlib import metadata

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


def provider_of(device: str) -> str:
    """The execution provider for a device. Raises BackendError if ONNX Runtime has none here."""
    name = device.partition(":")[0] or "cpu"
    if name not in PROVIDERS:
        raise BackendError(f"ONNX Runtime has no device {device!r}; it has {', '.join(PROVIDERS)}")
    there = need("onnxruntime", "onnx").get_available_providers()
    if PROVIDERS[name] not in there:
        raise BackendError(
            f"this ONNX Runtime was built without {PROVIDERS[name]} (it has {', '.join(there)}); "
            "install the package for that device"
        )
    return PROVIDERS[name]


def check_providers(wanted: str, used: list[str]) -> None:
    """Raise BackendError if ONNX Runtime fell back to another provider than asked for."""
    if used[0] != wanted:
        raise BackendError(
            f"{wanted} does not load here and ONNX Runtime fell back to {used[0]}; install what "
            "that provider needs, or take the device cpu"
        )


def installed_runtimes() -> list[str]:
    """The installed distributions that bring a module `onnxruntime`, which can be only one."""
    names = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino")
    found = []
    for name in names:
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        found.append(name)
    return found
