"""What runs a generator: PyTorch, ONNX Runtime, OpenVINO or TensorRT."""

from .chain import RUNTIMES, open_backend
from .devices import choose_device
from .protocol import Backend

__all__ = ["RUNTIMES", "Backend", "choose_device", "open_backend"]
