"""Whether TensorRT takes a graph: its operators and the forms they have, checked without TensorRT.

  python -m export.operators generator.onnx pipeline.onnx

The list is short on purpose: operators of tensors alone that TensorRT 10 and 11 parse in every form
that comes out of our exports. What its parser knows but a graph here has no use for (If, Loop and
Scan: no CUDA graphs; NonZero: sizes known only afterwards) is refused as well.
`export.parser_check` asks NVIDIA's own parser.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from core.errors import BackendError
from core.extras import need
from core.flags import exit_code

_NAMES = """
Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast Ceil Clip Concat Constant
ConstantOfShape Conv ConvTranspose Cos DepthToSpace DequantizeLinear Div Einsum Elu Equal Erf Exp
Expand Flatten Floor Gather GatherElements GatherND Gemm GlobalAveragePool GlobalMaxPool Greater
GreaterOrEqual HardSigmoid Identity InstanceNormalization LRN LayerNormalization LeakyRelu Less
LessOrEqual Log LogSoftmax MatMul Max MaxPool Mean Min Mod Mul Neg Not Or PRelu Pad Pow
QuantizeLinear Range Reciprocal ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd
ReduceSum ReduceSumSquare Relu Reshape Resize Round ScatterElements ScatterND Selu Shape Sigmoid
Sign Sin Size Slice Softmax Softplus SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh Tile TopK
Transpose Unsqueeze Where Xor
"""
TAKEN = frozenset(_NAMES.split())
"""Operators of the standard domain."""
BYTES_MAY = {"Cast", "Identity", "Shape", "Size", "QuantizeLinear", "DequantizeLinear"}
"""What may touch a tensor of uint8; casts and quantisation are judged further."""
OPSETS = range(9, 26)
Types = dict[str, int]
"""Tensor -> element type, as ONNX numbers them."""


def refused(model: Any) -> list[str]:
    """What TensorRT would not take in an `onnx.ModelProto`, a sentence each; none: it takes it.

    Forms are looked at where all operators are of the list.
    """
    onnx = need("onnx", "onnx")
    found = [
        f"the operator {node.op_type} is not one that TensorRT takes here"
        for node in model.graph.node
        if node.domain not in ("", "ai.onnx") or node.op_type not in TAKEN
    ]
    if not found:
        types = element_types(onnx.shape_inference.infer_shapes(model))
        constants = _constants(onnx, model.graph)
        for node in model.graph.node:
            where = f"{node.op_type} {node.name}".strip()
            forms = _form_refused(onnx, node, types, constants)
            found += [f"{where}: {problem}" for problem in forms]
    return list(dict.fromkeys([*_opset_refused(model), *found]))


def element_types(model: Any) -> Types:
    """The element type of every tensor of a model whose shapes were inferred."""
    graph = model.graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for entry in (*graph.input, *graph.value_info, *graph.output):
        types[entry.name] = entry.type.tensor_type.elem_type
    return types


def _opset_refused(model: Any) -> Iterator[str]:
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx") and entry.version not in OPSETS:
            newest = OPSETS.stop - 1
            yield f"the opset is {entry.version}; TensorRT reads {OPSETS.start} to {newest}"


def _form_refused(onnx: Any, node: Any, types: Types, constants: dict[str, Any]) -> Iterator[str]:
    yield from _types_refused(onnx.TensorProto, node, types)
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        yield from _quantised_refused(onnx, node, types, constants)
    for attribute in node.attribute:
        if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
            yield "a graph inside"


def _types_refused(kinds: Any, node: Any, types: Types) -> Iterator[str]:
    found = {types.get(name) for name in (*node.input, *node.output) if name}
    if kinds.DOUBLE in found:
        yield "numbers of 64 bits (double)"
    if kinds.UINT8 in found and node.op_type not in BYTES_MAY:
        yield "bytes (uint8); they can only be cast"
    # NVIDIA's description of DataType::kUINT8; the parser of TensorRT-RTX takes others too.
    floats = {kinds.UINT8, kinds.FLOAT, kinds.FLOAT16}
    if kinds.UINT8 in found and node.op_type == "Cast" and not found <= floats:
        yield "bytes (uint8) to or from something else than float32 and float16"
    if kinds.BFLOAT16 in found and node.op_type == "ConvTranspose":
        # The parser takes it; the builder "could not infer output types" (TensorRT-RTX 1.7.1).
        yield "a transposed convolution in bfloat16; keep it in float32"


def _quantised_refused(
    onnx: Any, node: Any, types: Types, constants: dict[str, Any]
) -> Iterator[str]:
    kinds = onnx.TensorProto
    quantised = node.output[0] if node.op_type == "QuantizeLinear" else node.input[0]
    if types.get(quantised) == kinds.INT32:
        yield "a bias of int32; leave biases as floats"
    elif types.get(quantised) != kinds.INT8:
        yield "quantised to something else than int8"
    if node.input[1] not in constants:
        yield "a scale that is not constant"
    zero = node.input[2] if len(node.input) > 2 else ""
    if zero and (zero not in constants or constants[zero].any()):
        yield "a zero point other than 0; quantise symmetrically"


def _constants(onnx: Any, graph: Any) -> dict[str, Any]:
    """Initialisers and constants as arrays."""
    found = {x.name: onnx.numpy_helper.to_array(x) for x in graph.initializer}
    for node in graph.node:
        values = [a.t for a in node.attribute if a.name == "value"]
        if node.op_type == "Constant" and values:
            found[node.output[0]] = onnx.numpy_helper.to_array(values[0])
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 all are taken, 1 one is refused."""
    parser = argparse.ArgumentParser(
        prog="python -m export.operators",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", type=Path, nargs="+", metavar="FILE.onnx")
    models = parser.parse_args(argv).models
    return exit_code(lambda: max(report(path) for path in models))


def report(path: Path) -> int:
    """A line on stdout for what is refused in the file at `path`; 0: nothing is, 1: something."""
    found = refused(load(path))
    sys.stdout.write(f"{path}: {'; '.join(found) or 'every operator is one that TensorRT takes'}\n")
    return 1 if found else 0


def load(path: Path) -> Any:
    """The ONNX file at `path`. Raises BackendError if it cannot be read."""
    onnx = need("onnx", "onnx")
    damaged = need("google.protobuf.message", "onnx").DecodeError
    try:
        return onnx.load(str(path))
    except (damaged, OSError, ValueError) as problem:
        raise BackendError(
            f"{path} is missing, damaged or not an ONNX file ({problem}); export it again"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
