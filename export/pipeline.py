"""One graph with everything in it: bytes of a picture and its mask in, the completed picture out.

python -m export.pipeline WEIGHTS -o pipeline.onnx
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.contract import Contract, Port
from core.crop import feather, grow
from core.graph import BYTE_THRESHOLD
from core.guides import NUMBERED, Guides
from core.models.base import Generator
from core.semantic import UNKNOWN, has_unknown, label_count
from core.single import Canvas, fill_on_canvas

from .graph import Converted, GraphSettings, to_onnx

LEVELS = 255


class Pipeline(nn.Module):
    """The strategy "single" of `core.pipeline.Inpainter`, from bytes to bytes."""

    def __init__(
        self, generator: Generator, contract: Contract, canvas: Canvas, settings: GraphSettings
    ):
        super().__init__()
        self.contract = contract
        self.canvas = canvas
        self.net = Converted(generator, "run", settings)
        self.encoder = (
            Converted(generator, "encode", settings)
            if any(p.encoded for p in contract.inputs)
            else None
        )
        for name, noise in noise_of(contract, canvas.size).items():
            self.register_buffer("noise_" + name, noise)

    def run(self, *inputs: Tensor) -> Tensor:
        return self.net(*inputs)

    def encode(self, picture: Tensor) -> Tensor:
        return self.encoder(picture)

    def forward(self, *inputs: Tensor) -> Tensor:
        image, mask, *guides = inputs
        given = {
            port.name: entered(port, x)
            for port, x in zip(guide_ports(self.contract), guides, strict=True)
        }
        for port in self.contract.guides:
            if port.kind == "noise":
                given[port.name] = getattr(self, "noise_" + port.name)
        alpha = feather(grow(byte_set(mask), self.canvas.grow), self.canvas.feather)
        known = image.float() / LEVELS
        own = Guides(self.contract, given, np.random.default_rng((0, 0)))
        filled = fill_on_canvas(self, self.canvas, known, alpha, own)
        completed = torch.lerp(known, filled, alpha)
        return (completed * LEVELS).round().clamp(0, LEVELS).to(torch.uint8)


def noise_of(contract: Contract, side: int) -> dict[str, Tensor]:
    random = np.random.default_rng((0, 0))
    found = {}
    for port in contract.guides:
        if port.kind == "noise":
            ones = random.random((1, port.channels, side, side)) < port.density
            found[port.name] = torch.from_numpy(ones).float() * (port.high - port.low) + port.low
    return found


def guide_ports(contract: Contract) -> tuple[Port, ...]:
    """The guides that are inputs of the graph; noise is inside, and a style that the network can tell."""
    return tuple(p for p in contract.guides if p.kind != "noise" and not p.encoded)


def byte_set(x: Tensor) -> Tensor:
    return (x.float() > BYTE_THRESHOLD).float()


def entered(port: Port, x: Tensor) -> Tensor:
    if port.kind == "vector":
        return x
    if port.kind == "labels":
        numbers = x.to(torch.int32)
        return (
            torch.where(numbers == UNKNOWN, label_count(port), numbers)
            if has_unknown(port)
            else numbers
        )
    if port.kind == "instances":
        return x
    return byte_set(x) if port.binary else x.float() / LEVELS


def example(port: Port, batch: int, size) -> Tensor:
    if port.kind == "vector":
        return torch.zeros(batch, port.channels)
    if port.kind in NUMBERED:
        return torch.zeros(
            batch, 1, *size, dtype=torch.uint8 if port.kind == "labels" else torch.int32
        )
    return torch.zeros(batch, port.channels, *size, dtype=torch.uint8)


def export_pipeline(generator: Generator, canvas: Canvas, settings: GraphSettings) -> Any:
    contract = replace(generator.contract, native_size=canvas.size)
    module = Pipeline(generator, contract, canvas, settings)
    ports = [contract.port("image"), contract.port("mask"), *guide_ports(contract)]
    inputs = [example(port, 2, (300, 420)) for port in ports]
    n, h, w = (
        torch.export.Dim("batch", min=1, max=1024),
        torch.export.Dim("height", min=1, max=65536),
        torch.export.Dim("width", min=1, max=65536),
    )
    shapes = [{0: n} if p.kind == "vector" else {0: n, 2: h, 3: w} for p in ports]
    return to_onnx(
        module,
        inputs,
        [p.name for p in ports],
        "completed",
        shapes=shapes,
        opset=settings.set_of_operators,
    )
