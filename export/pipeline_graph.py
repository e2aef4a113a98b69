"""The strategy "single" of the pipeline as one graph, from bytes to bytes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.contract import Contract, Port
from core.crop import feather, grow
from core.extras import need
from core.graph import BYTE_THRESHOLD
from core.guides import NUMBERED, Guides, Size
from core.models.base import Generator
from core.parts import parts_of
from core.semantic import UNKNOWN, has_unknown, label_count
from core.single import Canvas, fill_on_canvas

from .graph import Converted, GraphSettings, to_onnx

LEVELS = 255
SEED = (0, 0)
"""Of the noise inside the graph: that of the first picture under `FillOptions.seed` = None."""
TRACED = (300, 420)
"""Height and width of the example; the graph takes any."""
LARGEST = 65536
LEAST_STORED = 512
"""Weights of fewer numbers stay as they are when the others are stored in half precision."""
OUTPUT = "completed"


class Pipeline(nn.Module):
    """image (N, 3, H, W) uint8, mask (N, 1, H, W) uint8, then guides -> completed, as the image.

    Mask and lines count as set above `BYTE_THRESHOLD`; guides by `pipeline_ports`. It is its own
    network for `core.single`.
    """

    def __init__(
        self, generator: Generator, contract: Contract, canvas: Canvas, settings: GraphSettings
    ):
        super().__init__()
        self.contract = contract
        self.canvas = canvas
        parts = parts_of(generator.contract)
        self.generator = Converted(generator, "run", settings)
        self.encoder = Converted(generator, "encode", settings) if "encode" in parts else None
        for name, noise in noise_of(contract, canvas.size).items():
            self.register_buffer(f"noise_{name}", noise)

    def run(self, *inputs: Tensor) -> Tensor:
        return self.generator(*inputs)

    def encode(self, picture: Tensor) -> Tensor:
        assert self.encoder is not None  # called only where a port is encoded
        return self.encoder(picture)

    def forward(self, *inputs: Tensor) -> Tensor:
        # The exporter takes no named and starred arguments together.
        image, mask, *rest = inputs
        ports = pipeline_ports(self.contract)[2:]
        given = {port.name: entered(port, x) for port, x in zip(ports, rest, strict=False)}
        for port in self.contract.guides:
            if port.kind == "noise":
                given[port.name] = self.get_buffer(f"noise_{port.name}")
        alpha = feather(grow(above_threshold(mask), self.canvas.grow), self.canvas.feather)
        picture = image.float() / LEVELS
        guides = Guides(self.contract, given, np.random.default_rng(SEED))
        filled = fill_on_canvas(self, self.canvas, picture, alpha, guides)
        return to_levels(torch.lerp(picture, filled, alpha))


def pipeline_ports(contract: Contract, *, optional: bool = True) -> tuple[Port, ...]:
    """The inputs of the graph: picture, mask, guides; without `optional` those that must be given.

    Noise is in the graph, and so is what tells the style of the known picture.
    """
    guides = (p for p in contract.guides if p.kind != "noise" and not p.encoded)
    kept = (p for p in guides if optional or not p.optional)
    return (contract.port("image"), contract.port("mask"), *kept)


def noise_of(contract: Contract, side: int) -> dict[str, Tensor]:
    """What the pipeline draws for its first picture, by port: (1, C, side, side)."""
    random = np.random.default_rng(SEED)
    for port in contract.guides:
        if port.encoded:  # `core.single` draws the style that stands for no known pixel before
            random.standard_normal((1, port.channels), dtype=np.float32)
    drawn = {}
    for port in contract.guides:
        if port.kind == "noise":
            ones = random.random((1, port.channels, side, side)) < port.density
            drawn[port.name] = torch.from_numpy(ones).float() * (port.high - port.low) + port.low
    return drawn


def above_threshold(x: Tensor) -> Tensor:
    """Bytes -> 0 and 1; TensorRT compares no bytes, so they become floats before."""
    return (x.float() > BYTE_THRESHOLD).float()


def to_levels(x: Tensor) -> Tensor:
    """[0, 1] -> bytes, halves to the even one."""
    return (x * LEVELS).round().clamp(0, LEVELS).to(torch.uint8)


def entered(port: Port, x: Tensor) -> Tensor:
    """A guide from the graph's input to what `core.pipeline.Inpainter` is given."""
    if port.kind == "labels":
        numbers = x.float().to(torch.int32)  # TensorRT casts bytes to floats alone
        if has_unknown(port):
            return torch.where(numbers == UNKNOWN, label_count(port), numbers)
        return numbers
    if port.kind in ("instances", "vector"):
        return x
    return above_threshold(x) if port.binary else x.float() / LEVELS


def empty_input(port: Port, batch: int, size: Size) -> Tensor:
    """Zeros of the shape and type that the graph takes for a port."""
    if port.kind == "vector":
        return torch.zeros(batch, port.channels)
    channels = 1 if port.kind in NUMBERED else port.channels
    dtype = torch.int32 if port.kind == "instances" else torch.uint8
    return torch.zeros(batch, channels, *size, dtype=dtype)


def export_pipeline(
    generator: Generator, canvas: Canvas, settings: GraphSettings, *, optional: bool = True
) -> Any:
    """The whole pipeline as an `onnx.ModelProto`, without metadata (see `export.graph.stamp`)."""
    contract = replace(generator.contract, native_size=canvas.size)
    module = Pipeline(generator, contract, canvas, settings)
    ports = pipeline_ports(contract, optional=optional)
    batch = torch.export.Dim("batch", min=1, max=1024)
    height, width = (torch.export.Dim(name, min=1, max=LARGEST) for name in ("height", "width"))
    free = {0: batch, 2: height, 3: width}
    return to_onnx(
        module,
        # Two of them: an example of one would be taken for a batch that is always one.
        [empty_input(port, 2, TRACED) for port in ports],
        [port.name for port in ports],
        OUTPUT,
        shapes=[{0: batch} if port.kind == "vector" else free for port in ports],
        opset=settings.set_of_operators,
    )


def stored_in_half(model: Any) -> Any:
    """Store the weights of convolutions and linear layers as float16, in place.

    They are cast back where they are used, so that all arithmetic stays float32.
    """
    onnx = need("onnx", "onnx")
    weights = _weight_names(model.graph.node)
    casts = []
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        large = values.ndim > 1 and values.size >= LEAST_STORED
        if tensor.name not in weights or values.dtype != np.float32 or not large:
            continue
        name, stored = tensor.name, f"{tensor.name}_half"
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(
            onnx.helper.make_node(
                "Cast", [stored], [name], f"{name}_cast", to=onnx.TensorProto.FLOAT
            )
        )
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    return model


def _weight_names(nodes: Sequence[Any]) -> set[str]:
    """The tensors that convolutions and linear layers multiply by, and what they are made of."""
    made_by = {name: node for node in nodes for name in node.output}
    wanted = [node.input[1] for node in nodes if node.op_type in ("Conv", "ConvTranspose", "Gemm")]
    found: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        found.add(name)
        if name in made_by:
            wanted.extend(made_by[name].input)
    return found
