"""From a PyTorch module to a clean ONNX model: no paths of the machine, the same bytes again."""

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from core.contract import Contract, Port
from core.errors import ConfigError
from core.extras import need
from core.graph import METADATA_KEY, GraphInfo, Precision
from core.layers.spectral import SpectralConv2d
from core.models.base import Generator
from core.parts import PICTURE, Part, PartModule, ports_of

from .examples import example_inputs

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
OPSET = 18
OPSET_BF16 = 22
"""The first whose convolutions know bfloat16."""
NEWEST_OPSET = 23
Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class GraphSettings:
    """How one graph is made."""

    precision: Precision = "fp32"
    """int8 is made of a graph of fp32 afterwards."""
    opset: int | None = None
    """None: the least that the precision needs."""
    size: Size | None = None
    """(height, width), fixed; None: any multiple of what the contract says."""
    batch: int | None = None
    """Fixed number of pictures; None: any."""
    chunks: int = 0
    """Attention in so many chunks of query rows, for large pictures; 0: all scores at once."""

    def __post_init__(self) -> None:
        if self.batch is not None and self.batch < 1:
            raise ConfigError(f"the batch is {self.batch}; it must be at least 1")
        least = OPSET_BF16 if self.precision == "bf16" else OPSET
        if not least <= self.set_of_operators <= NEWEST_OPSET:
            raise ConfigError(
                f"opset {self.opset} with the precision {self.precision}; it must be from {least} "
                f"to {NEWEST_OPSET}"
            )

    @property
    def set_of_operators(self) -> int:
        """The opset, decided."""
        return self.opset or (OPSET_BF16 if self.precision == "bf16" else OPSET)


def part_contract(contract: Contract, settings: GraphSettings) -> Contract:
    """The contract of the graph: chunks need as many rows of attention cells."""
    if not settings.chunks or settings.size is not None:
        return contract
    return replace(contract, multiple_of=contract.multiple_of * settings.chunks)


def export_part(generator: Generator, part: Part, settings: GraphSettings) -> Any:
    """One part of a network as an `onnx.ModelProto`, without metadata (see `stamp`).

    Tensors at its border are float32, whatever it computes in.
    """
    contract = part_contract(generator.contract, settings)
    check_size(contract, settings)
    inputs, output = ports_of(contract, part)
    module = Converted(generator, part, settings)
    size = settings.size or (3 * contract.multiple_of, 5 * contract.multiple_of)
    # Two of them: an example of one would be taken for a batch that is always one.
    example = example_inputs(inputs, settings.batch or 2, size, seed=0)
    shapes = tuple(dynamic_shape(port, contract, settings) for port in inputs)
    return to_onnx(
        module, example, [port.name for port in inputs], output.name,
        shapes=shapes, opset=settings.set_of_operators,
    )  # fmt: skip


def check_size(contract: Contract, settings: GraphSettings) -> None:
    """Raise ConfigError for a fixed size that the network does not take."""
    if settings.size is None:
        return
    multiple = contract.multiple_of
    if any(side < 1 or side % multiple for side in settings.size):
        height, width = settings.size
        raise ConfigError(
            f"the size is {height}x{width}; both sides must be multiples of {multiple} for this "
            "network"
        )


def dynamic_shape(port: Port, contract: Contract, settings: GraphSettings) -> dict[int, Any]:
    """Which axes of a port's tensor are free, as torch.export wants them named."""
    free: dict[int, Any] = {}
    if settings.batch is None:
        free[0] = torch.export.Dim("batch", min=1, max=1024)
    if settings.size is None and port.kind != "vector":
        # A reference picture may have any size; what is filled, multiples of the contract's.
        multiple = 1 if port.name == PICTURE else contract.multiple_of
        least = 8 if port.name == PICTURE else 1
        for axis, name in ((2, "h"), (3, "w")):
            side = torch.export.Dim(name, min=least, max=65536 // multiple)
            free[axis] = multiple * side if multiple > 1 else side
    return free


class Converted(nn.Module):
    """A part of a network in the precision of the graph, with float32 at its border."""

    def __init__(self, generator: Generator, part: Part, settings: GraphSettings):
        super().__init__()
        self.dtype = DTYPES["fp32" if settings.precision == "int8" else settings.precision]
        generator = copy.deepcopy(generator).eval()
        for module in generator.modules():
            if hasattr(module, "export_chunks"):
                setattr(module, "export_chunks", settings.chunks)  # noqa: B010  # typed as Module
        merge_spectral(generator)
        self.part = PartModule(generator.to(self.dtype), part)
        if self.dtype == torch.bfloat16:
            widen_transposed(generator)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.part(*(x.to(self.dtype) for x in inputs)).float()


def merge_spectral(generator: nn.Module) -> None:
    """Put plain convolutions, of the weights that count, for the spectrally normalised ones."""
    for module in list(generator.modules()):
        for name, child in module.named_children():
            if isinstance(child, SpectralConv2d):
                setattr(module, name, child.merged())


def widen_transposed(generator: nn.Module) -> None:
    """Let transposed convolutions compute in float32: TensorRT has none in bfloat16."""
    for module in generator.modules():
        if isinstance(module, nn.ConvTranspose2d):
            module.float()
            module.register_forward_pre_hook(lambda _, given: (given[0].float(),))
            module.register_forward_hook(lambda _, given, result: result.to(torch.bfloat16))


def to_onnx(
    module: nn.Module,
    example: Sequence[Tensor],
    input_names: Sequence[str],
    output_name: str,
    *,
    shapes: Sequence[dict[int, Any]],
    opset: int,
) -> Any:
    """`module`, whose forward takes `*inputs`, as an `onnx.ModelProto` without local paths.

    shapes: per input its free axes (`torch.export.Dim`). The same module gives the same bytes.
    """
    onnx = need("onnx", "onnx")
    need("onnxscript", "onnx")
    with torch.no_grad(), quiet():
        program = torch.onnx.export(
            module.eval(),
            tuple(example),
            opset_version=opset,
            input_names=list(input_names),
            output_names=[output_name],
            dynamic_shapes=(tuple(shapes),) if any(shapes) else None,
            dynamo=True,
            verbose=False,
            external_data=False,
        )
    assert program is not None  # None only where a file name is given
    model = clean(program.model_proto)
    check_free(model, shapes)
    mend_kernels(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def mend_kernels(model: Any) -> None:
    """Give kernels the type of what they are applied to.

    The exporter's optimiser joins a normalisation with the convolution before it in float32, even
    if both are in bfloat16, which no checker lets pass.
    """
    import onnx

    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    if len({tensors[node.input[1]].data_type for node in convolutions}) == 1:
        return
    del model.graph.value_info[:]  # they repeat the mistake
    changed = True
    while changed:  # a wrong one hides the types of all after it
        inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
        types = {value.name: value.type.tensor_type.elem_type for value in inferred}
        changed = False
        for node in convolutions:
            wanted = types.get(node.input[0])
            for tensor in (tensors[name] for name in node.input[1:]):
                if wanted and tensor.data_type != wanted:
                    values = onnx.numpy_helper.to_array(tensor)
                    dtype = onnx.helper.tensor_dtype_to_np_dtype(wanted)
                    tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(dtype), tensor.name))
                    changed = True


def check_free(model: Any, shapes: Sequence[dict[int, Any]]) -> None:
    """Raise RuntimeError if tracing fixed an axis that was to be free, as `len(tensor)` does."""
    for entry, free in zip(model.graph.input, shapes, strict=True):
        fixed = [axis for axis in free if not entry.type.tensor_type.shape.dim[axis].dim_param]
        if fixed:
            raise RuntimeError(f"tracing fixed the axes {fixed} of {entry.name}; mend the network")


@contextmanager
def quiet() -> Iterator[None]:
    """The exporter's remarks on itself, none of which a user can act on, switched off."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # thousands of records, which test runners keep
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def clean(model: Any) -> Any:
    """The model without what the exporter noted of the source: names of files, stack traces."""
    model.doc_string = ""
    graph = model.graph
    graph.doc_string = ""
    for holder in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info):
        del holder.metadata_props[:]
        holder.doc_string = ""
    for tensor in graph.initializer:
        tensor.doc_string = ""
        del tensor.metadata_props[:]
    return model


def stamp(model: Any, info: GraphInfo) -> Any:
    """Write `info` into the model's metadata, in place."""
    del model.metadata_props[:]
    model.metadata_props.add(key=METADATA_KEY, value=info.to_json())
    return model


def to_bytes(model: Any) -> bytes:
    """The file; the same model gives the same bytes."""
    return model.SerializeToString(deterministic=True)


def versions() -> dict[str, str]:
    """Those of the packages that make a graph."""
    from importlib import metadata

    return {name: metadata.version(name) for name in ("torch", "onnx", "onnxscript")}
