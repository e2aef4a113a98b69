"""A graph with the inputs of pipeline.onnx whose answer everybody can work out by hand.

A pixel of the hole becomes black under a line, the colour that was painted, or else its own
negative; every other pixel stays.
"""

from pathlib import Path
from typing import Any

import numpy as np

from core.contract import Contract, Port
from core.graph import METADATA_KEY, GraphInfo

SETTINGS = {
    "size": 64,
    "context": 0.5,
    "grow": 0,
    "feather": 4,
    "widest_hole": 0.375,
    "enlarge": False,
}
GUIDES = {"sketch": 1, "color": 3}


def info_of(guides: tuple[str, ...] = ("sketch", "color"), **changes: Any) -> GraphInfo:
    """What the graph says of itself."""
    ports = [Port("image", 3, -1.0), Port("mask", 1, binary=True)]
    ports += [Port(name, GUIDES.get(name, 1), optional=True) for name in guides]
    facts = {
        "kind": "pipeline",
        "contract": Contract(tuple(ports), Port("filled", 3, -1.0), multiple_of=8, native_size=64),
        "architecture": "toy",
        "weights_sha256": "0" * 64,
        "opset": 18,
        "settings": SETTINGS,
    }
    return GraphInfo(**{**facts, **changes})


def write_toy(path: Path, info: GraphInfo | None = None) -> Path:
    """Write the graph; needs the package onnx."""
    import onnx
    from onnx import TensorProto, helper

    info = info or info_of()
    guides = [port for port in info.contract.inputs if port.name in GUIDES]
    planes = {"image": 3, "mask": 1, **{port.name: port.channels for port in info.contract.guides}}
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.UINT8, ["n", channels, "h", "w"])
        for name, channels in planes.items()
    ]
    nodes = [helper.make_node("Cast", [name], ["f_" + name], to=1) for name in planes]
    nodes.append(helper.make_node("Sub", ["white", "f_image"], ["paint_0"]))
    for port in reversed(guides):  # colours first, so that lines lie over them
        last, own = nodes[-1].output[0], port.name
        nodes += [
            helper.make_node("ReduceMax", ["f_" + own, "axes"], ["most_" + own]),
            helper.make_node("Greater", ["most_" + own, "zero"], ["on_" + own]),
            helper.make_node(
                "Where",
                ["on_" + own, "f_color" if own == "color" else "zero", last],
                ["paint_" + own],
            ),
        ]
    nodes += [
        helper.make_node("Greater", ["f_mask", "half"], ["hole"]),
        helper.make_node("Where", ["hole", nodes[-1].output[0], "f_image"], ["bright"]),
        helper.make_node("Cast", ["bright"], ["completed"], to=TensorProto.UINT8),
    ]
    constants = [
        onnx.numpy_helper.from_array(np.array(value, kind), name)
        for name, value, kind in (
            ("white", 255, np.float32),
            ("zero", 0, np.float32),
            ("half", 127, np.float32),
            ("axes", [1], np.int64),
        )
    ]
    output = helper.make_tensor_value_info("completed", TensorProto.UINT8, ["n", 3, "h", "w"])
    graph = helper.make_graph(nodes, "toy", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    model.metadata_props.add(key=METADATA_KEY, value=info.to_json())
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    return path


def negative(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The graph's answer without guides: (H, W, 3) bytes, (H, W) bool -> (H, W, 3) bytes."""
    return np.where(mask[..., None], 255 - photo, photo)
