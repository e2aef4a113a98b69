"""Whether an exported graph computes what PyTorch computes, at shapes that it was not traced at."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.contract import Contract, Port
from core.errors import BackendError
from core.graph import Precision
from core.models.base import Generator
from core.parts import Part, PartModule, ports_of
from core.progress import Stages

from .examples import boxes, example_inputs
from .graph import GraphSettings

Size = tuple[int, int]
Run = Callable[[list[Tensor]], Tensor]
"""Inputs of a graph in its order -> its output."""

LEVELS = 255
"""Of a byte: errors are said in them, as they are seen in a picture."""
VECTOR_LEVELS = 255 / 8
"""Styles are about N(0, 1), from -4 to 4."""


@dataclass(frozen=True)
class Limits:
    """How far off a graph may be, in levels of a byte, hole and known pixels each."""

    mean: float
    worst: float
    off: float
    """Share of values that may be more than one level off."""


LIMITS: dict[Precision, Limits] = {
    "fp32": Limits(mean=0.02, worst=2.0, off=0.0005),
    "fp16": Limits(mean=1.0, worst=64.0, off=0.10),
    "bf16": Limits(mean=6.0, worst=192.0, off=0.90),
    "int8": Limits(mean=16.0, worst=255.0, off=1.0),
}
"""Half precision and int8 change the numbers by what they are; what that costs in quality is for
`python -m export.bench --quality` to say. These limits find a graph that is wrong."""


@dataclass(frozen=True)
class Case:
    """One comparison."""

    name: str
    batch: int
    size: Size
    mask: Tensor


@dataclass(frozen=True)
class Region:
    """The error over some pixels, in levels of a byte."""

    mean: float
    worst: float
    off: float
    """Share of values more than one level off."""
    psnr: float | None
    """In decibels; None: not a single value differs, or there is none."""

    @classmethod
    def of(cls, difference: Tensor) -> "Region":
        """difference: any shape, in levels, NaN where something went wrong."""
        if not difference.numel():
            return cls(0.0, 0.0, 0.0, None)
        far = difference.abs().double()
        if not far.isfinite().all():
            return cls(float("inf"), float("inf"), 1.0, None)
        square = float(far.square().mean())
        return cls(
            mean=float(far.mean()),
            worst=float(far.max()),
            off=float((far > 1).double().mean()),
            psnr=float(10 * np.log10(LEVELS**2 / square)) if square else None,
        )

    def within(self, limits: Limits) -> bool:
        """Whether it is no more than that."""
        return self.mean <= limits.mean and self.worst <= limits.worst and self.off <= limits.off


def cases(contract: Contract, settings: GraphSettings) -> Iterator[Case]:
    """Shapes off the trace and the masks at which attention and padding can go wrong."""
    multiple, batch, fixed = contract.multiple_of, settings.batch, settings.size

    def case(name: str, count: int, height: int, width: int, mask: str = "box") -> Case:
        size = fixed or (_rounded(height, multiple), _rounded(width, multiple))
        count = batch or count
        return Case(name, count, size, MASKS[mask](count, size))

    yield case("odd aspect", 1, 72, 264)
    yield case("batch of three, each with its own mask", 3, 64, 96)
    yield case("empty mask", 1, 64, 64, "empty")
    yield case("full mask", 1, 64, 64, "full")
    yield case("hole at the border", 1, 96, 64, "border")
    yield case("smallest size", 1, multiple, multiple)
    yield case("native size", 1, contract.native_size, contract.native_size)


def _rounded(side: int, multiple: int) -> int:
    return max(round(side / multiple), 1) * multiple


def _border(batch: int, size: Size) -> Tensor:
    mask = torch.zeros(batch, 1, *size)
    mask[..., : max(size[0] // 2, 1), : max(size[1] // 3, 1)] = 1
    return mask


MASKS: dict[str, Callable[[int, Size], Tensor]] = {
    "box": boxes,
    "empty": lambda batch, size: torch.zeros(batch, 1, *size),
    "full": lambda batch, size: torch.ones(batch, 1, *size),
    "border": _border,
}


def verify_part(
    generator: Generator, part: Part, contract: Contract, settings: GraphSettings, run: Run,
    stages: Stages | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Compare `run` with the network in float32: a report as plain values.

    `report["passed"]` says whether every case keeps to `LIMITS`. contract: that of the graph.
    stages: is told of each case.
    """
    module = PartModule(generator.eval(), part)
    ports, output = ports_of(contract, part)
    limits = LIMITS[settings.precision]
    found = []
    for case in cases(contract, settings):
        if stages is not None:
            stages.begin(f"{part}: comparing, {case.name}")
        found.append(_compared(case, module, ports, output, run=run))
    for entry in found:
        regions = (entry["hole"], entry["known"])
        entry["passed"] = all(Region(**region).within(limits) for region in regions)
    return {
        "part": part,
        "precision": settings.precision,
        "limits": asdict(limits),
        "cases": found,
        "passed": all(entry["passed"] for entry in found),
    }


def _compared(
    case: Case, module: PartModule, ports: Sequence[Port], output: Port, *, run: Run
) -> dict[str, Any]:
    inputs = list(example_inputs(ports, case.batch, case.size, seed=1, mask=case.mask))
    with torch.inference_mode():
        expected = module(*inputs)
    actual = run(inputs)
    if actual.shape != expected.shape:
        raise BackendError(
            f"the graph gives {tuple(actual.shape)} where PyTorch gives {tuple(expected.shape)} "
            f"({case.name}); it is not the graph of this network"
        )
    levels = VECTOR_LEVELS if output.kind == "vector" else LEVELS / (output.high - output.low)
    difference = (actual.float() - expected) * levels
    hole = torch.ones_like(difference, dtype=torch.bool)
    if output.kind != "vector":
        hole = (case.mask > 0).expand_as(difference)
    return {
        "case": case.name,
        "batch": case.batch,
        "size": list(case.size),
        "hole": asdict(Region.of(difference[hole])),
        "known": asdict(Region.of(difference[~hole])),
    }


def worst_case(report: dict[str, Any]) -> str:
    """The case that is furthest off, in words."""
    entry = max(report["cases"], key=lambda x: (not x["passed"], x["hole"]["mean"]))
    hole, known = entry["hole"], entry["known"]
    return (
        f"{entry['case']}: hole off by {hole['mean']:.3g} levels on average, {hole['worst']:.3g} "
        f"at most; known pixels by {known['mean']:.3g} and {known['worst']:.3g}"
    )
