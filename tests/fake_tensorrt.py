"""A stand-in for the module `tensorrt`, and one for the GPU it runs on.

It has no name and takes no argument that NVIDIA's bindings have not, in all the versions of
tests/data/tensorrt_api.json (`check` compares the two). An engine of it holds the ONNX file, and
runs it by ONNX Runtime on memory that it is given by address: what the callers do is real.
"""

import base64
import ctypes
import enum
import inspect
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from core.engines import Machine
from tests.tensorrt_bindings import TABLE
