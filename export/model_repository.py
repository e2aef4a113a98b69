"""A model repository for NVIDIA Triton Inference Server, made of exported graphs.

  REPOSITORY/NAME/config.pbtxt
  REPOSITORY/NAME/1/model.onnx

The configuration follows from the signature of the graph: names, types and sizes of its inputs and
outputs. It is read back by Triton's own message definition where the package tritonclient is there.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.errors import BackendError, ConfigError
from core.extras import need

TYPES = {
    "FLOAT": "TYPE_FP32",
    "FLOAT16": "TYPE_FP16",
    "BFLOAT16": "TYPE_BF16",
    "UINT8": "TYPE_UINT8",
    "INT8": "TYPE_INT8",
    "INT32": "TYPE_INT32",
    "INT64": "TYPE_INT64",
    "BOOL": "TYPE_BOOL",
}
"""ONNX's name of a type -> Triton's."""
ANY = -1
"""Triton's mark of a free axis."""
LONGEST_WAIT = 2000
"""Microseconds that a request waits for others of its size; a fill takes a hundred times that."""
SCHEMA = "tritonclient.grpc.model_config_pb2"

Device = Literal["cpu", "gpu"]


@dataclass(frozen=True)
class Slot:
    """One input or output of a graph."""

    name: str
    data_type: str
    """Triton's name."""
    dims: tuple[int, ...]
    """With the batch first; `ANY` where the axis is free."""


@dataclass(frozen=True)
class Signature:
    """What a graph takes and gives."""

    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]

    @property
    def batched(self) -> bool:
        """Whether the first axis of everything is free, so that requests can be joined."""
        return all(slot.dims[:1] == (ANY,) for slot in (*self.inputs, *self.outputs))


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model of a repository."""

    name: str
    graph: Path
    max_batch: int = 0
    """Requests of one size that are joined to a batch; 0: each is run as it comes, of any batch."""


@dataclass(frozen=True, kw_only=True)
class Serving:
    """On what, and how often at once, each model runs."""

    device: Device = "cpu"
    instances: int = 1
    """On each GPU, or on the CPU."""

    def __post_init__(self) -> None:
        if self.instances < 1:
            raise ConfigError(f"instances is {self.instances}; it must be at least 1")


def write_repository(folder: Path, entries: Sequence[Entry], serving: Serving) -> str | None:
    """Write the repository `folder` anew; returns what checked it, as "tritonclient 2.73.0".

    None: tritonclient is not installed, and nothing checked it. Graphs are hard links where the
    file system has them, so that they take no room twice. Raises OSError as the file system does,
    ConfigError for a graph that Triton cannot serve.
    """
    for entry in entries:
        place = folder / entry.name
        (place / "1").mkdir(parents=True)
        link_or_copy(entry.graph, place / "1" / "model.onnx")
        text = config_text(entry, read_signature(entry.graph), serving)
        (place / "config.pbtxt").write_text(text, encoding="utf-8")
        if schema_version():
            check_config(text, f"{entry.name}/config.pbtxt")
    return schema_version()


def config_text(entry: Entry, signature: Signature, serving: Serving) -> str:
    """The model configuration in protobuf's text format."""
    batch = entry.max_batch
    if batch and not signature.batched:
        raise ConfigError(
            f"{entry.graph.name} has a fixed batch, so Triton cannot join requests for it; export "
            "it with a free batch"
        )
    lines = [f'name: "{entry.name}"', 'backend: "onnxruntime"', f"max_batch_size: {batch}"]
    lines += _slots("input", signature.inputs, batched=batch > 0)
    lines += _slots("output", signature.outputs, batched=batch > 0)
    kind = f"KIND_{serving.device.upper()}"
    lines.append(f"instance_group [ {{ kind: {kind} count: {serving.instances} }} ]")
    if batch:
        lines.append(f"dynamic_batching {{ max_queue_delay_microseconds: {LONGEST_WAIT} }}")
    if serving.device == "gpu":
        lines.append(GPU)
    return "\n".join(lines) + "\n"


GPU = """\
# The default tries every algorithm of a convolution, anew for each size of picture.
optimization {
  execution_accelerators {
    gpu_execution_accelerator [
      { name: "cuda" parameters { key: "cudnn_conv_algo_search" value: "HEURISTIC" } }
    ]
  }
}"""


def _slots(what: str, slots: Sequence[Slot], *, batched: bool) -> list[str]:
    listed = []
    for slot in slots:
        dims = slot.dims[1:] if batched else slot.dims
        numbers = ", ".join(str(side) for side in dims)
        listed.append(
            f'  {{ name: "{slot.name}" data_type: {slot.data_type} dims: [ {numbers} ] }}'
        )
    return [f"{what} [", ",\n".join(listed), "]"]


def read_signature(path: Path) -> Signature:
    """That of the ONNX file at `path`. Raises ConfigError for a type that Triton does not know."""
    onnx = need("onnx", "onnx")
    graph = onnx.load(str(path), load_external_data=False).graph
    given = {tensor.name for tensor in graph.initializer}
    inputs = tuple(_slot(onnx, value) for value in graph.input if value.name not in given)
    return Signature(inputs, tuple(_slot(onnx, value) for value in graph.output))


def _slot(onnx: Any, value: Any) -> Slot:
    tensor = value.type.tensor_type
    kind = onnx.TensorProto.DataType.Name(tensor.elem_type)
    if kind not in TYPES:
        raise ConfigError(f"{value.name} is of the type {kind}, which Triton does not know")
    dims = [side.dim_value if side.HasField("dim_value") else ANY for side in tensor.shape.dim]
    return Slot(value.name, TYPES[kind], tuple(dims))


def check_config(text: str, where: str) -> Any:
    """The `ModelConfig` of Triton that `text` says. Raises ConfigError where it says none.

    `where` is for messages. Raises BackendError without the package tritonclient.
    """
    schema = need(SCHEMA, "triton")
    text_format = need("google.protobuf.text_format", "triton")
    try:
        return text_format.Parse(text, schema.ModelConfig())
    except text_format.ParseError as problem:
        raise ConfigError(
            f"{where} is no configuration of Triton ({problem}); correct it"
        ) from None


def schema_version() -> str | None:
    """What holds Triton's message definition here, as "tritonclient 2.73.0"."""
    from importlib import metadata

    try:
        need(SCHEMA, "triton")
    except BackendError:
        return None
    return f"tritonclient {metadata.version('tritonclient')}"


def link_or_copy(source: Path, target: Path) -> None:
    """A second name for a file, or a copy where the file system has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
