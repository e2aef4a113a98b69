"""A stand-in for the module `tensorrt`, and one for the GPU it runs on.

It has no name and takes no argument that NVIDIA's bindings have not, in all the versions of
tests/data/tensorrt_api.json (`outside` compares the two). An engine of it holds the ONNX file, and
runs it by ONNX Runtime on memory that it is given by address: what the callers do is real.
"""

import base64
import ctypes
import enum
import hashlib
import inspect
import json
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from tensorrt_bindings import TABLE, VERSIONS

from core.engines import Machine

API = json.loads(TABLE.read_text(encoding="utf-8"))["classes"]
SCRATCH = 1024
"""Bytes that a context wants for its activations."""
RECORDING: dict[int, list[Callable[[], None]]] = {}
"""Stream -> what is captured on it instead of being run."""
RUNS: list[tuple[int, ...]] = []
"""The shape of the first input of each run of any engine."""
MEETING: list[threading.Barrier] = []
"""Where given, runs wait for each other there."""


def members_of(name: str) -> dict[str, list[dict[str, Any]]]:
    """What a class of the table has in all versions: member -> its forms."""
    found = {}
    for member, forms in API[name].items():
        if {version for form in forms for version in form["in"]} == set(VERSIONS):
            found[member] = forms
    return found


def values_of(name: str) -> Any:
    """An enumeration with the values that it has in all versions."""
    values = [value for value, forms in members_of(name).items() if forms[0]["kind"] == "value"]
    return enum.IntEnum(name, {value: number for number, value in enumerate(values)})


class Strict:
    """Lets nothing be set that cannot be set on the class of that name in NVIDIA's bindings."""

    def __setattr__(self, name: str, value: Any) -> None:
        own = next(one for one in type(self).__mro__ if one.__module__ == __name__)
        forms = API[own.__name__].get(name, [])
        settable = any(form["kind"] in ("property", "write only") for form in forms)
        if not (settable or name.startswith("_") or type(self) is not own):
            raise AttributeError(f"{own.__name__} has no attribute {name!r} that can be set")
        object.__setattr__(self, name, value)


Severity = values_of("Severity")
BuilderFlag = values_of("BuilderFlag")
MemoryPoolType = values_of("MemoryPoolType")
HardwareCompatibilityLevel = values_of("HardwareCompatibilityLevel")
NetworkDefinitionCreationFlag = values_of("NetworkDefinitionCreationFlag")
TensorIOMode = values_of("TensorIOMode")
DataType = values_of("DataType")
ExecutionContextAllocationStrategy = values_of("ExecutionContextAllocationStrategy")
NUMPY = {
    np.dtype(np.float32): DataType.FLOAT,
    np.dtype(np.uint8): DataType.UINT8,
    np.dtype(np.int32): DataType.INT32,
}


class ILogger(Strict):
    Severity = Severity

    def __init__(self) -> None:
        self._made = True

    def log(self, severity: Any, msg: str) -> None:
        raise NotImplementedError


class IProgressMonitor(Strict):
    def __init__(self) -> None:
        self._made = True


class IHostMemory(bytes):
    """Bytes that TensorRT holds."""

    @property
    def nbytes(self) -> int:
        return len(self)


class ParserError(Strict):
    def __init__(self, operator: str):
        self._operator = operator

    def desc(self) -> str:
        return "checkNode: false"

    def node_name(self) -> str:
        return "node_7"

    def node_operator(self) -> str:
        return self._operator


class INetworkDefinition(Strict):
    def __init__(self, logger: ILogger):
        self._logger, self._model = logger, b""


class OnnxParser(Strict):
    def __init__(self, network: INetworkDefinition, logger: ILogger):
        assert network._logger is logger
        self._network, self._errors = network, []

    def parse_from_file(self, model: str) -> bool:
        assert isinstance(model, str)
        self._network._model = Path(model).read_bytes()
        nodes = onnx.load_from_string(self._network._model).graph.node
        self._errors = [ParserError(n.op_type) for n in nodes if n.op_type in ("Col2Im", "NonZero")]
        return not self._errors

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]


class IOptimizationProfile(Strict):
    def __init__(self) -> None:
        self._shapes: dict[str, list[list[int]]] = {}

    def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:
        self._shapes[input] = [list(min), list(opt), list(max)]


class ITimingCache(Strict):
    def __init__(self, text: bytes):
        self._text = text

    def serialize(self) -> IHostMemory:
        return IHostMemory(self._text)


class IBuilderConfig(Strict):
    def __init__(self) -> None:
        self._flags = {BuilderFlag.TF32}
        self._pools: dict[Any, int] = {}
        self._profiles: list[IOptimizationProfile] = []
        self._cache: ITimingCache | None = None
        self.builder_optimization_level = 3
        self.hardware_compatibility_level = HardwareCompatibilityLevel.NONE
        self.progress_monitor = None

    def set_flag(self, flag: Any) -> None:
        self._flags.add(BuilderFlag(flag))

    def clear_flag(self, flag: Any) -> None:
        self._flags.discard(BuilderFlag(flag))

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        self._pools[MemoryPoolType(pool)] = pool_size

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self._profiles.append(profile)
        return len(self._profiles) - 1

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache | None:
        return None if serialized_timing_cache == b"damaged" else ITimingCache(
            serialized_timing_cache or b"timings:"
        )  # fmt: skip

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        self._cache = cache
        return ignore_mismatch or cache._text.startswith(b"timings:")

    def get_timing_cache(self) -> ITimingCache | None:
        return self._cache


class Builder(Strict):
    _version = "11.1.0.1"
    _made: "list[Builder]" = []  # noqa: RUF012 - all that were made, for the tests to look at
    _refuses = ""

    def __init__(self, logger: ILogger):
        assert logger._made, "the logger's own __init__ was not called"
        self._logger = logger
        self._made.append(self)

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED
        return INetworkDefinition(self._logger)

    def create_builder_config(self) -> IBuilderConfig:
        self._config = IBuilderConfig()
        return self._config

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> IHostMemory | None:
        self._logger.log(Severity.INFO, "building")
        if self._refuses:
            self._logger.log(Severity.ERROR, self._refuses)
            return None
        if not self._walk(config.progress_monitor):
            return None
        if config._cache is not None:
            config._cache._text += b"conv;"
        stripped = BuilderFlag.STRIP_PLAN in config._flags
        model = b"" if stripped else network._model
        plan = {
            "version": self._version,
            "flags": sorted(flag.name for flag in config._flags),
            "shapes": [profile._shapes for profile in config._profiles],
            "onnx": base64.b64encode(model).decode(),
            "onnx_hash": hashlib.sha256(network._model).hexdigest(),
        }
        return IHostMemory(json.dumps(plan).encode())

    @staticmethod
    def _walk(monitor: Any) -> bool:
        """Two phases, one in the other, as the builder goes through them."""
        monitor.phase_start("Building Engine", None, 2)
        monitor.phase_start("Timing", "Building Engine", 3)
        steps = [monitor.step_complete("Timing", step) for step in range(3)]
        monitor.phase_finish("Timing")
        steps += [monitor.step_complete("Building Engine", step) for step in range(2)]
        monitor.phase_finish("Building Engine")
        return all(steps)


class IExecutionContext(Strict):
    def __init__(self, engine: "ICudaEngine"):
        self._engine = engine
        self._profile, self._memory = -1, 0
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._busy = threading.Lock()

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        self._profile = profile_index
        return True

    def set_input_shape(self, name: str, shape: Any) -> bool:
        fixed = self._engine._sides.get(name)
        profiles = self._engine._plan["shapes"]
        least, _, most = profiles[self._profile][name] if profiles else [fixed] * 3
        sides = zip(least, shape, most, strict=True)
        fits = all(low <= side <= high for low, side, high in sides)
        if fits:
            self._shapes[name] = tuple(shape)
        return fits

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name in self._shapes:
            return self._shapes[name]
        zeros = {x: np.zeros(s, self._engine._inputs[x]) for x, s in self._shapes.items()}
        return self._engine._run(zeros)[name].shape

    def set_device_memory(self, memory: int, size: int) -> None:
        assert size >= SCRATCH
        assert memory
        self._memory = memory

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return memory != 0

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert self._memory, "no memory for activations"
        assert set(self._addresses) == {*self._engine._inputs, *self._engine._outputs}
        if stream_handle in RECORDING:
            RECORDING[stream_handle].append(self._execute)
        else:
            self._execute()
        return True

    def _execute(self) -> None:
        assert self._busy.acquire(blocking=False), "two threads run one context at once"
        with_others = MEETING[0] if MEETING else None
        if with_others:
            with_others.wait(timeout=20)
        feed = {
            name: view(self._addresses[name], shape, self._engine._inputs[name]).copy()
            for name, shape in self._shapes.items()
        }
        RUNS.append(next(iter(self._shapes.values())))
        for name, value in self._engine._run(feed).items():
            view(self._addresses[name], value.shape, value.dtype)[...] = value
        self._busy.release()


class ICudaEngine(Strict):
    def __init__(self, plan: dict[str, Any]):
        self._plan, self._contexts = plan, 0
        self._load(base64.b64decode(plan["onnx"]))

    def _load(self, model: bytes) -> None:
        self._session: Any = None
        self._inputs: dict[str, Any] = {}
        self._outputs: dict[str, Any] = {}
        self._sides: dict[str, Any] = {}
        if model:
            kinds = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}
            self._session = onnxruntime.InferenceSession(model)
            self._inputs = {x.name: np.dtype(kinds[x.type]) for x in self._session.get_inputs()}
            self._sides = {x.name: x.shape for x in self._session.get_inputs()}
            self._outputs = {x.name: np.dtype(kinds[x.type]) for x in self._session.get_outputs()}

    def _run(self, feed: dict[str, Any]) -> dict[str, Any]:
        return dict(zip(self._outputs, self._session.run(list(self._outputs), feed), strict=True))

    @property
    def num_io_tensors(self) -> int:
        return len(self._inputs) + len(self._outputs)

    @property
    def num_optimization_profiles(self) -> int:
        return max(len(self._plan["shapes"]), 1)

    @property
    def device_memory_size_v2(self) -> int:
        return SCRATCH

    def get_tensor_name(self, index: int) -> str:
        return [*self._outputs, *self._inputs][index]

    def get_tensor_mode(self, name: str) -> Any:
        return TensorIOMode.INPUT if name in self._inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        return NUMPY[(self._inputs | self._outputs)[name]]

    def create_execution_context(self, strategy: Any) -> IExecutionContext:
        assert strategy is ExecutionContextAllocationStrategy.USER_MANAGED
        self._contexts += 1
        return IExecutionContext(self)


class Runtime(Strict):
    def __init__(self, logger: ILogger):
        self._logger = logger
        self.engine_host_code_allowed = False

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        plan = json.loads(serialized_engine)
        if "VERSION_COMPATIBLE" in plan["flags"] and not self.engine_host_code_allowed:
            self._logger.log(Severity.ERROR, "engine host code is not allowed")
            return None
        return ICudaEngine(plan)


class Refitter(Strict):
    def __init__(self, engine: ICudaEngine, logger: ILogger):
        self._engine, self._model = engine, b""

    def refit_cuda_engine(self) -> bool:
        self._engine._load(self._model)
        return True


class OnnxParserRefitter(Strict):
    def __init__(self, refitter: Refitter, logger: ILogger):
        self._refitter = refitter

    def refit_from_file(self, model: str) -> bool:
        assert isinstance(model, str)
        self._refitter._model = Path(model).read_bytes()
        return (
            self._refitter._engine._plan["onnx_hash"]
            == hashlib.sha256(self._refitter._model).hexdigest()
        )

    @property
    def num_errors(self) -> int:
        return 1

    def get_error(self, index: int) -> ParserError:
        return ParserError("Conv")


CLASSES = (
    *(ILogger, IProgressMonitor, IHostMemory, ParserError, INetworkDefinition, OnnxParser),
    *(IOptimizationProfile, ITimingCache, IBuilderConfig, Builder, IExecutionContext),
    *(ICudaEngine, Runtime, Refitter, OnnxParserRefitter),
)
ENUMS = (
    *(BuilderFlag, MemoryPoolType, HardwareCompatibilityLevel, NetworkDefinitionCreationFlag),
    *(TensorIOMode, DataType, ExecutionContextAllocationStrategy),
)
MADE_BY_USERS = ("ILogger", "Builder", "OnnxParser", "Runtime", "Refitter", "OnnxParserRefitter")
"""Classes whose constructor a caller may call; the others come out of methods."""


def module(version: str = "11.1.0.1") -> Any:
    """The stand-in for `tensorrt`; put it into sys.modules."""
    names = {one.__name__: one for one in (*CLASSES, *ENUMS)}
    fresh = type("Builder", (Builder,), {"_version": version, "_made": [], "__module__": __name__})
    return SimpleNamespace(**(names | {"Builder": fresh}), __version__=version)


def outside(one: type) -> list[str]:
    """What a class here has that NVIDIA's has not in all versions, or has with other arguments."""
    there, found = members_of(one.__name__), []
    for name, value in vars(one).items():
        constructor = name == "__init__" and one.__name__ in MADE_BY_USERS
        if (name.startswith("_") and not constructor) or isinstance(value, enum.EnumType):
            continue
        kinds = {form["kind"] for form in there.get(name, [])}
        if isinstance(value, property):
            fits = bool(kinds & {"property", "read only"})
        else:
            given = list(inspect.signature(value).parameters)[1:]
            known = [[a.rstrip("=") for a in f.get("args", [])] for f in there.get(name, [])]
            fits = "method" in kinds and given in known
        if not fits:
            found.append(f"{one.__name__}.{name}")
    return found


def view(address: int, shape: tuple[int, ...], dtype: Any) -> Any:
    """The array at an address in memory."""
    count = math.prod(shape) * np.dtype(dtype).itemsize
    memory = (ctypes.c_byte * count).from_address(address)
    return np.frombuffer(memory, dtype).reshape(shape)


class Host:
    """`core.backends.cuda.Cuda` on the CPU: streams are numbers, work is done at once."""

    device = torch.device("cpu")

    def __init__(self, gpu: str = "NVIDIA L4", capability: str = "89"):
        self.gpu, self.capability, self.streams, self.captures = gpu, capability, 0, 0
        self.fails_to_capture = False

    def machine(self, tensorrt: str) -> Machine:
        return Machine(
            gpu=self.gpu, capability=self.capability, driver="580.1", cuda="13.0",
            tensorrt=tensorrt, platform="linux-x86_64",
        )  # fmt: skip

    @contextmanager
    def here(self) -> Iterator[None]:
        yield

    def stream(self) -> int:
        self.streams += 1
        return id(self) + self.streams

    def handle(self, stream: int) -> int:
        return stream

    @contextmanager
    def on(self, stream: int) -> Iterator[None]:
        yield

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        return torch.zeros(shape, dtype=dtype)

    def capture(self, stream: int, work: Callable[[], None]) -> Any:
        if self.fails_to_capture:
            raise RuntimeError("operation not permitted when stream is capturing")
        self.captures += 1
        RECORDING[stream] = steps = []
        work()
        del RECORDING[stream]
        return SimpleNamespace(replay=lambda: [step() for step in steps])
