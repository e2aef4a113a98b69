"""ONNX files made by hand, whose fills a test can compute: a bundle without any training or export.

The pipeline inverts the picture in the hole, and where a line is drawn there it gives 200; with
labels it gives ten times the label. The network gives its picture with the sign turned.
"""

from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from core.contract import Contract, Port
from core.graph import GraphInfo

SKETCH = Port("sketch", 1, binary=True, optional=True)
LABELS = Port("semantic", 3, kind="labels", labels=("sky", "road"), palette=("#808080", "#0000ff"))
"""Two names and three channels: the last one is unknown."""


def contract_with(*guides: Port) -> Contract:
    """Picture, mask and guides."""
    image = Port("image", 3, low=-1.0)
    inputs = (image, Port("mask", 1, binary=True), *guides)
    return Contract(inputs, Port("filled", 3, low=-1.0), multiple_of=8, native_size=64)


def write_graphs(folder: Path, contract: Contract, pipeline: str = "invert") -> None:
    """generator.onnx and pipeline.onnx; pipeline: one of `BODIES`."""
    facts: dict[str, Any] = {"architecture": "handmade", "weights_sha256": "0" * 64, "opset": 18}
    facts["about"] = {"licence": "research alone"}
    float_ports = [(port.name, TensorProto.FLOAT, port.channels) for port in contract.inputs]
    body = [helper.make_node("Neg", ["image"], ["filled"])]
    save(
        folder / "generator.onnx", body, float_ports, ("filled", TensorProto.FLOAT),
        GraphInfo(kind="generator", contract=contract, **facts),
    )  # fmt: skip
    flat = {"labels": 1}
    byte_ports = [
        (port.name, TensorProto.UINT8, flat.get(port.kind, port.channels))
        for port in contract.inputs
    ]
    save(
        folder / "pipeline.onnx", BODIES[pipeline](contract), byte_ports,
        ("completed", TensorProto.UINT8), GraphInfo(kind="pipeline", contract=contract, **facts),
    )  # fmt: skip


def save(path: Path, body: list[Any], ports: list[Any], output: tuple[str, int], info: Any) -> None:
    """One graph with free batch, height and width."""
    inputs = [
        helper.make_tensor_value_info(name, kind, ["batch", channels, "h", "w"])
        for name, kind, channels in ports
    ]
    outputs = [helper.make_tensor_value_info(*output, ["batch", 3, "h", "w"])]
    constants = [
        helper.make_tensor(name, TensorProto.FLOAT, [], [value])
        for name, value in (("set", 127.0), ("white", 255.0), ("line", 200.0), ("ten", 10.0))
    ]
    graph = helper.make_graph(body, "handmade", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    model.metadata_props.add(key="gatefill", value=info.to_json())
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


def node(kind: str, inputs: str, output: str, **attributes: Any) -> Any:
    """A node; names of inputs with spaces between."""
    return helper.make_node(kind, inputs.split(), [output], **attributes)


def invert(contract: Contract) -> list[Any]:
    """255 - image in the hole; lines and labels as above."""
    guides = [port.name for port in contract.guides]
    body = [
        node("Cast", "image", "x", to=TensorProto.FLOAT),
        node("Cast", "mask", "m", to=TensorProto.FLOAT),
        node("Greater", "m set", "hole"),
        node("Sub", "white x", "fill0"),
    ]
    if "sketch" in guides:
        body += [
            node("Cast", "sketch", "s", to=TensorProto.FLOAT),
            node("Greater", "s set", "drawn"),
            node("Where", "drawn line fill0", "fill"),
        ]
    elif "semantic" in guides:
        body += [
            node("Cast", "semantic", "n", to=TensorProto.FLOAT),
            node("Mul", "n ten", "n10"),
            node("Mul", "x n10", "zero0"),
            node("Sub", "zero0 zero0", "zero"),
            node("Add", "zero n10", "fill"),
        ]
    else:
        body.append(node("Identity", "fill0", "fill"))
    body.append(node("Where", "hole fill x", "y"))
    return [*body, node("Cast", "y", "completed", to=TensorProto.UINT8)]


def nothing(contract: Contract) -> list[Any]:
    """The picture as it came."""
    return [node("Identity", "image", "completed")]


def everything(contract: Contract) -> list[Any]:
    """Inverted, known pixels too."""
    return [
        node("Cast", "image", "x", to=TensorProto.FLOAT),
        node("Sub", "white x", "y"),
        node("Cast", "y", "completed", to=TensorProto.UINT8),
    ]


BODIES = {"invert": invert, "nothing": nothing, "everything": everything}
