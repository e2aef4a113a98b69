"""A TensorRT engine that any number of threads may call.

A lane is a stream with memory of its own. In it every set of shapes has an execution context, its
buffers and, from the second time on, a CUDA graph: a graph is bound to the context it was captured
from. All contexts of a lane share its memory for activations, as they run one after the other.
"""

import logging
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..errors import BackendError
from .cuda import Cuda

log = logging.getLogger("gatefill")
MOST_SHAPES = 8
"""Sets of shapes that a lane keeps ready; the one not used for longest makes room."""
DTYPES = {
    "FLOAT": torch.float32,
    "HALF": torch.float16,
    "BF16": torch.bfloat16,
    "INT8": torch.int8,
    "INT32": torch.int32,
    "INT64": torch.int64,
    "BOOL": torch.bool,
    "UINT8": torch.uint8,
}
"""TensorRT's `DataType` -> PyTorch's."""
Shapes = tuple[tuple[int, ...], ...]


class Engine:
    """A deserialised engine with its lanes, made as they are needed.

    names: the inputs in the order in which calls give them; takes: the profile in words;
    lanes: calls that may be under way at once; graphs: whether to capture CUDA graphs.
    """

    def __init__(
        self, trt: Any, engine: Any, gpu: Cuda, names: Sequence[str], takes: str, *,
        lanes: int = 2, graphs: bool = True,
    ):  # fmt: skip
        self.trt, self.engine, self.gpu, self.takes = trt, engine, gpu, takes
        self.inputs = tuple(names)
        self.outputs = tuple(_names(trt, engine, trt.TensorIOMode.OUTPUT))
        there = set(_names(trt, engine, trt.TensorIOMode.INPUT))
        if there != set(names):
            raise BackendError(
                f"the engine takes {', '.join(sorted(there))}; its contract says "
                f"{', '.join(names)}; build it again"
            )
        self.graphs = graphs
        self._most, self._made = lanes, 0
        self._idle: queue.LifoQueue[Lane] = queue.LifoQueue()
        self._making = threading.Lock()

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The tensors in the order of `inputs` -> the first output, on the device of the first."""
        with self._lane() as lane:
            return lane.run(inputs)

    def dtype(self, name: str) -> torch.dtype:
        """Of an input or output."""
        return DTYPES[self.engine.get_tensor_dtype(name).name]

    @contextmanager
    def _lane(self) -> Iterator["Lane"]:
        lane = self._take()
        try:
            yield lane
        finally:
            self._idle.put(lane)

    def _take(self) -> "Lane":
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            pass
        with self._making:
            if self._made < self._most:
                lane = Lane(self)
                self._made += 1
                return lane
        return self._idle.get()


class Lane:
    """A stream and what runs on it; one call at a time."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self.stream = engine.gpu.stream()
        self.ready: OrderedDict[Shapes, Ready] = OrderedDict()
        with engine.gpu.on(self.stream):
            self.memory = engine.gpu.empty((engine.engine.device_memory_size_v2,), torch.uint8)

    @torch.no_grad()
    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        """As the engine's call."""
        gpu = self.engine.gpu
        with gpu.on(self.stream):
            ready = self._ready(tuple(tuple(x.shape) for x in inputs))
        output = ready.outputs[0]
        # Made on the caller's stream, as it is the caller who lets go of it.
        result = torch.empty(output.shape, dtype=output.dtype, device=inputs[0].device)
        with gpu.on(self.stream):
            for buffer, x in zip(ready.inputs, inputs, strict=True):
                buffer.copy_(x, non_blocking=True)
            ready.launch()
            result.copy_(output, non_blocking=result.device.type != "cpu")
        return result

    def _ready(self, shapes: Shapes) -> "Ready":
        if shapes not in self.ready:
            made = Ready(self, shapes)
            if len(self.ready) == MOST_SHAPES:
                self.ready.popitem(last=False)
            self.ready[shapes] = made
        self.ready.move_to_end(shapes)
        return self.ready[shapes]


class Ready:
    """An execution context for one set of shapes, with its buffers."""

    def __init__(self, lane: Lane, shapes: Shapes):
        engine = lane.engine
        self._gpu, self._stream = engine.gpu, lane.stream
        self._context = _context_for(lane, shapes)
        found = {name: tuple(self._context.get_tensor_shape(name)) for name in engine.outputs}
        self.inputs = [
            engine.gpu.empty(shape, engine.dtype(name))
            for name, shape in zip(engine.inputs, shapes, strict=True)
        ]
        self.outputs = [engine.gpu.empty(x, engine.dtype(name)) for name, x in found.items()]
        for name, buffer in zip(
            (*engine.inputs, *engine.outputs), (*self.inputs, *self.outputs), strict=True
        ):
            _done(self._context.set_tensor_address(name, buffer.data_ptr()), "take a buffer")
        self._runs = 0
        self._capture = engine.graphs
        self._launch: Callable[[], None] = self._enqueue

    def launch(self) -> None:
        """Queue the work on the lane's stream."""
        # The first time TensorRT settles what the shapes changed, which no graph can hold; and
        # shapes that never come again are not worth one.
        if self._runs == 1 and self._capture:
            self._capture_graph()
        self._launch()
        self._runs += 1

    def _enqueue(self) -> None:
        _done(self._context.execute_async_v3(self._gpu.handle(self._stream)), "run the engine")

    def _capture_graph(self) -> None:
        try:
            self._launch = self._gpu.capture(self._stream, self._enqueue).replay
        except (RuntimeError, BackendError) as problem:
            log.warning(
                "no CUDA graph could be captured (%s); the engine runs without, a little slower",
                str(problem).partition("\n")[0],
            )


def _context_for(lane: Lane, shapes: Shapes) -> Any:
    """An execution context with the first of the engine's profiles that takes `shapes`."""
    engine, handle = lane.engine, lane.engine.gpu.handle(lane.stream)
    strategy = engine.trt.ExecutionContextAllocationStrategy.USER_MANAGED
    for profile in range(engine.engine.num_optimization_profiles):
        context = engine.engine.create_execution_context(strategy)
        if context is None:
            raise BackendError(
                "TensorRT could not make an execution context, probably for want of memory on the "
                "GPU; close other programs, or build an engine with a smaller --max"
            )
        _done(context.set_optimization_profile_async(profile, handle), "take a profile")
        pairs = zip(engine.inputs, shapes, strict=True)
        if all(context.set_input_shape(name, shape) for name, shape in pairs):
            context.set_device_memory(lane.memory.data_ptr(), lane.memory.numel())
            return context
    given = ", ".join(
        f"{name} {'x'.join(map(str, shape))}"
        for name, shape in zip(engine.inputs, shapes, strict=True)
    )
    raise BackendError(f"the engine does not take {given}; {engine.takes}")


def _names(trt: Any, engine: Any, mode: Any) -> Iterator[str]:
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        if engine.get_tensor_mode(name) == mode:
            yield name


def _done(worked: bool, what: str) -> None:
    if not worked:
        raise BackendError(
            f"TensorRT refused to {what}; build the engine again with --verbose and see its log"
        )
