"""Whether a graph of the whole pipeline completes pictures as our own pipeline does."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from core.backends.eager import TorchBackend
from core.contract import Contract, Port
from core.crop import feather, grow
from core.guides import Size
from core.models.base import Generator
from core.pipeline import FillOptions, Inpainter
from core.progress import Stages
from core.semantic import UNKNOWN, has_unknown, label_count
from core.single import Canvas

from .examples import smooth
from .pipeline_graph import above_threshold, empty_input, entered, pipeline_ports, to_levels
from .running import Run
from .verify import LIMITS, Limits, Region

DIFFERING = 0.001
"""Share of bytes that may be one level off in float32, as rounding falls one way or the other."""
EXACT = Limits(mean=DIFFERING, worst=1.0, off=0.0)
"""In float32: no byte more than one level off, and few that much."""

Box = tuple[float, float, float, float]
"""Top, left, bottom, right as shares of the picture's height and width."""


@dataclass(frozen=True)
class PipelineCase:
    """One comparison: for each picture of a batch the boxes that are holes in it."""

    name: str
    size: Size
    holes: tuple[tuple[Box, ...], ...]


MIDDLE: Box = (0.35, 0.4, 0.6, 0.62)
CORNER: Box = (0.75, 0.8, 1.0, 1.0)
CASES = (
    PipelineCase("a hole in the middle", (240, 331), ((MIDDLE,),)),
    PipelineCase("a batch, each with its own holes", (97, 130), ((MIDDLE,), (CORNER,), ())),
    PipelineCase("a hole along the border", (200, 300), (((0.0, 0.3, 0.1, 1.0),),)),
    PipelineCase("many holes", (310, 200), ((MIDDLE, CORNER, (0.1, 0.1, 0.2, 0.2)),)),
    PipelineCase("an empty mask", (150, 90), ((),)),
    PipelineCase("a full mask", (90, 150), (((0.0, 0.0, 1.0, 1.0),),)),
    PipelineCase("one pixel", (1, 1), (((0.0, 0.0, 1.0, 1.0),),)),
    PipelineCase("a few pixels", (5, 3), ((MIDDLE,),)),
    PipelineCase("a line of pixels", (1, 260), ((MIDDLE,),)),
    PipelineCase("a wide hole, made smaller", (700, 900), (((0.1, 0.1, 0.8, 0.9),),)),
    PipelineCase("a small hole of a large picture", (900, 1500), ((CORNER,),)),
)


def verify_pipeline(
    generator: Generator,
    canvas: Canvas,
    run: Run,
    *,
    exact: bool,
    optional: bool = True,
    cases: tuple[PipelineCase, ...] = CASES,
    stages: Stages | None = None,
) -> dict[str, Any]:
    """Compare `run` with `Inpainter` in PyTorch: a report as plain values.

    run: the graph, inputs as `pipeline_ports` orders them. exact: whether the graph computes and
    stores in float32 alone. `report["passed"]` says whether every case keeps to the limits and
    leaves every byte alone that is not to be changed. stages: is told of each case.
    """
    contract = replace(generator.contract, native_size=canvas.size)
    ports = pipeline_ports(contract, optional=optional)
    limits = EXACT if exact else LIMITS["fp16"]
    found = []
    for case in cases:
        if stages is not None:
            stages.begin(f"pipeline: comparing, {case.name}")
        inputs = case_inputs(ports, case)
        actual, expected = run(inputs), completed(generator, contract, canvas, ports, inputs)
        alpha = feather(grow(above_threshold(inputs[1]), canvas.grow), canvas.feather)
        entry = compared(inputs[0], actual, expected, alpha > 0)
        region = Region(**entry["changed"])
        passed = entry["touched"] == 0 and region.within(limits)
        size = list(case.size)
        found.append(
            {"case": case.name, "batch": len(alpha), "size": size, **entry, "passed": passed}
        )
    passed = all(entry["passed"] for entry in found)
    return {"part": "pipeline", "limits": asdict(limits), "cases": found, "passed": passed}


def compared(image: Tensor, actual: Tensor, expected: Tensor, changing: Tensor) -> dict[str, Any]:
    """The error where the picture may change, and how many bytes changed elsewhere."""
    where = changing.expand_as(image)
    difference = actual.float() - expected.float()
    return {
        "changed": asdict(Region.of(difference[where])),
        "differing": float((difference != 0).double().mean()),
        "touched": int((actual != image)[~where].sum()),
    }


def completed(
    generator: Generator,
    contract: Contract,
    canvas: Canvas,
    ports: tuple[Port, ...],
    inputs: list[Tensor],
) -> Tensor:
    """What our own pipeline makes of the inputs of the graph, as bytes."""
    backend = TorchBackend(generator)
    backend.contract = contract  # the side of the canvas is what it takes for its native one
    options = FillOptions(
        strategy="single", context=canvas.context, grow=canvas.grow, feather=canvas.feather
    )
    inpainter = Inpainter(backend, options)
    image, mask = inputs[0].float() / 255, above_threshold(inputs[1])
    given = {port.name: _given(port, x) for port, x in zip(ports[2:], inputs[2:], strict=True)}
    items = []
    for i in range(len(image)):  # one by one: the graph gives each the noise of a first picture
        one = slice(i, i + 1)
        own = {name: x[one] for name, x in given.items()}
        items.append(inpainter(image[one], mask[one], **own))
    return to_levels(torch.cat(items))


def case_inputs(ports: tuple[Port, ...], case: PipelineCase) -> list[Tensor]:
    """What the graph takes, drawn by seed."""
    random = torch.Generator().manual_seed(sum(case.size))
    batch = len(case.holes)
    return [_drawn(port, batch, case, random) for port in ports]


def _given(port: Port, x: Tensor) -> Tensor:
    """As `Inpainter` takes it: labels as they are in files, 255 being unknown."""
    return x if port.kind == "labels" else entered(port, x)


def _drawn(port: Port, batch: int, case: PipelineCase, random: torch.Generator) -> Tensor:
    empty = empty_input(port, batch, case.size)
    if port.name == "mask":
        return torch.stack([_mask(case.size, holes) for holes in case.holes])
    if port.kind == "vector":
        return torch.randn(empty.shape, generator=random)
    x = smooth(empty.shape[1], batch, case.size, random)
    if port.kind == "labels":
        numbers = (x * label_count(port)).long().clamp(max=label_count(port) - 1)
        # Some pixels are unknown, where a network knows of such.
        numbers = torch.where((x > 0.7) & torch.tensor(has_unknown(port)), UNKNOWN, numbers)
        return numbers.to(empty.dtype)
    if port.kind == "instances":
        return (x * 2000).to(empty.dtype)
    if port.name == "image":
        return to_levels(x)
    drawn = (x - 0.5).abs() < 0.02  # lines and strokes: where broad shapes meet
    return (to_levels(x) if not port.binary else 255) * drawn.to(empty.dtype)


def _mask(size: Size, holes: tuple[Box, ...]) -> Tensor:
    """(1, H, W) bytes; a box has at least one pixel."""
    mask = torch.zeros(1, *size, dtype=torch.uint8)
    for box in holes:
        (top, bottom), (left, right) = (_span(box[i], box[i + 2], size[i]) for i in (0, 1))
        mask[:, top:bottom, left:right] = 255
    return mask


def _span(first: float, last: float, length: int) -> tuple[int, int]:
    start = min(int(first * length), length - 1)
    return start, max(int(last * length), start + 1)
