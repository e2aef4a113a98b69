"""Small graphs, each of one form of an operator, to ask of whether TensorRT takes it."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

node = helper.make_node
WEIGHTS = np.arange(-27, 27, dtype=np.int8).reshape(2, 3, 3, 3)

ZERO = np.int8(0)


def value(name: str, kind: int, sides: Sequence[Any] = ("n", 3, "h", "w")) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(sides))


floats = partial(value, kind=TensorProto.FLOAT)
codes = partial(value, kind=TensorProto.UINT8)
resized = partial(floats, sides=("n", 2, "h2", "w2"))


def model(
    nodes: list[onnx.NodeProto], inputs: list[Any], outputs: list[Any], **constants: Any
) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(np.asarray(x), name) for name, x in constants.items()]
    graph = helper.make_graph(nodes, "form", inputs, outputs, tensors)
    opset = helper.make_opsetid("", 22)
    return helper.make_model(graph, opset_imports=[opset], ir_version=10)


def one(operator: str, *others: str, out: Any = floats, **constants: Any) -> onnx.ModelProto:
    nodes = [node(operator, ["x", *others], ["y"])]
    return model(nodes, [floats("x")], [out("y")], **constants)


def on_bytes(operator: str, inputs: list[str], out: Any = codes, **constants: Any) -> Any:
    attributes = {"axis": 1} if operator == "Concat" else {}
    nodes = [node(operator, inputs, ["y"], **attributes)]
    return model(nodes, [codes("x")], [out("y")], **constants)


def byte_cast(to: str) -> onnx.ModelProto:
    nodes = [
        node("Cast", ["x"], ["between"], to=getattr(TensorProto, to)),
        node("Cast", ["between"], ["y"], to=TensorProto.FLOAT),
    ]
    return model(nodes, [codes("x")], [floats("y")])


def byte_threshold() -> onnx.ModelProto:
    nodes = [
        node("Cast", ["x"], ["between"], to=TensorProto.FLOAT),
        node("Greater", ["between", "level"], ["set"]),
        node("Cast", ["set"], ["hole"], to=TensorProto.FLOAT),
        node("Cast", ["hole"], ["y"], to=TensorProto.UINT8),
    ]
    return model(nodes, [codes("x")], [codes("y")], level=np.float32(127))


def double() -> onnx.ModelProto:
    nodes = [
        node("Cast", ["x"], ["wide"], to=TensorProto.DOUBLE),
        node("Sqrt", ["wide"], ["root"]),
        node("Cast", ["root"], ["y"], to=TensorProto.FLOAT),
    ]
    return model(nodes, [floats("x")], [floats("y")])


def col2im() -> onnx.ModelProto:
    nodes = [
        node("Reshape", ["x", "columns"], ["blocks"]),
        node("Col2Im", ["blocks", "image", "block"], ["y"]),
    ]
    return model(
        nodes, [floats("x")], [floats("y", sides=("n", 3, 8, 8))],
        columns=[-1, 12, 16], image=[8, 8], block=[2, 2],
    )  # fmt: skip


def quantised(zero: Any = ZERO, *, bias: bool = False) -> onnx.ModelProto:
    """A convolution with scales as a quantiser leaves them; bias: one of int32 as well."""
    constants = {"scale": np.float32(0.02), "zero": zero, "none": ZERO, "w": WEIGHTS}
    nodes = [
        node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        node("DequantizeLinear", ["w", "scale", "none"], ["weight"]),
    ]
    if bias:
        nodes.append(node("DequantizeLinear", ["b", "fine"], ["offset"]))
        constants |= {"b": np.array([1, 2], np.int32), "fine": np.float32(0.0004)}
    nodes.append(node("Conv", ["d", "weight", *(["offset"] if bias else [])], ["y"]))
    return model(nodes, [floats("x")], [resized("y")], **constants)


def by_its_own_scale() -> onnx.ModelProto:
    nodes = [
        node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    return model(nodes, [floats("x")], [floats("y")])


def transposed(kind: int) -> onnx.ModelProto:
    """A transposed convolution that computes in the element type `kind`."""
    nodes = [
        node("Cast", ["x"], ["given"], to=kind),
        node("Cast", ["w"], ["weight"], to=kind),
        node("ConvTranspose", ["given", "weight"], ["found"], strides=[2, 2]),
        node("Cast", ["found"], ["y"], to=TensorProto.FLOAT),
    ]
    weights = np.arange(54, dtype=np.float32).reshape(3, 2, 3, 3)
    return model(nodes, [floats("x")], [resized("y")], w=weights)


Form = Callable[[], onnx.ModelProto]
TAKEN: dict[str, Form] = {
    "relu": partial(one, "Relu"),
    "byte_threshold": byte_threshold,
    "byte_shape": partial(on_bytes, "Shape", ["x"], partial(value, kind=7, sides=(4,))),
    "byte_identity": partial(on_bytes, "Identity", ["x"]),
    "half_of_bytes": partial(byte_cast, "FLOAT16"),
    "symmetric_int8": quantised,
    "half_transposed": partial(transposed, TensorProto.FLOAT16),
}
REFUSED: dict[str, Form] = {
    "col2im": col2im,
    "nonzero": partial(one, "NonZero", out=partial(value, kind=7, sides=(4, "k"))),
    "byte_compare": partial(
        on_bytes, "Greater", ["x", "level"], partial(value, kind=9), level=np.uint8(127)
    ),
    "byte_concat": partial(
        on_bytes, "Concat", ["x", "x"], partial(codes, sides=("n", 6, "h", "w"))
    ),
    "byte_product": partial(on_bytes, "Mul", ["x", "x"]),
    "int32_bias": partial(quantised, bias=True),
    "uint8_codes": partial(quantised, np.uint8(128)),
    "asymmetric": partial(quantised, np.int8(3)),
    "dynamic_int8": by_its_own_scale,
    "bf16_transposed": partial(transposed, TensorProto.BFLOAT16),
}
SAID = {
    "col2im": "the operator Col2Im is not one",
    "nonzero": "the operator NonZero is not one",
    "byte_compare": "Greater: bytes (uint8)",
    "byte_concat": "Concat: bytes (uint8)",
    "byte_product": "Mul: bytes (uint8)",
    "int32_bias": "DequantizeLinear: a bias of int32",
    "uint8_codes": "QuantizeLinear: quantised to something else than int8",
    "asymmetric": "QuantizeLinear: a zero point other than 0",
    "bf16_transposed": "a transposed convolution in bfloat16",
    "dynamic_int8": "the operator DynamicQuantizeLinear is not one",
}
"""What the list says of each refused form."""
