"""Export the whole pipeline as one graph: bytes of a picture and a mask in, the completed one out.

  python -m export.pipeline -o pipeline.onnx
  python -m export.pipeline weights/scfegan-faces-small.safetensors -o faces.onnx --context 1
  python -m export.pipeline -o web.onnx --fp16-storage --no-guides

Inputs: image (N, 3, H, W) and mask (N, 1, H, W), uint8 of any size, hole above 127; then the guides
of the network by name: lines (uint8, above 127), colour strokes (uint8, black is nothing), labels
(uint8, 255 unknown), instances (int32). What is not wanted is all 0. Output: completed, as the
image; where nothing is to be filled, its very bytes. Noise and, for networks that have one, the
style of the known picture are in the graph.

The graph is the strategy "single": all holes of a picture in one pass at --size pixels. Cut a
picture with holes far apart into windows, or take `python -m core fill`, which fills each by itself
and large ones coarse to fine. NAME.report.json says how far the graph is off from that strategy in
PyTorch; a graph that is too far off is not kept.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from core.errors import BackendError, ConfigError
from core.files import sha256_of, write_json
from core.flags import exit_code
from core.graph import BYTE_THRESHOLD, GraphInfo
from core.models.base import Generator
from core.pipeline import FillOptions
from core.progress import Stages
from core.registry import architecture_of
from core.single import Canvas, canvas_of
from core.weights import DEFAULT_WEIGHTS, load_weights, read_info

from .graph import GraphSettings, stamp, to_bytes, versions
from .onnx import EXPORTING, beside, check_out, unwritable
from .pipeline_graph import export_pipeline, pipeline_ports, stored_in_half
from .pipeline_verify import CASES, verify_pipeline
from .running import open_run

DEFAULTS = FillOptions()
FEATHER = 4
"""Pixels: on a canvas of another scale a hard edge would show."""
PRECISIONS = ("fp32", "fp16")


@dataclass(frozen=True, kw_only=True)
class PipelineSettings:
    """How the graph is made."""

    size: int | None = None
    """Side of the canvas in pixels; None: that at which the weights are at their best."""
    context: float = DEFAULTS.context
    feather: int = FEATHER
    grow: int = 0
    precision: Any = "fp32"
    """What the network computes in; all round it is float32."""
    fp16_storage: bool = False
    """Whether weights take half the room in the file, and are float32 when it is loaded."""
    guides: bool = True
    """Whether guides that may be left out are inputs of the graph."""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ConfigError(
                f"the precision is {self.precision!r}; it must be one of {', '.join(PRECISIONS)}"
            )
        if self.fp16_storage and self.precision != "fp32":
            raise ConfigError("weights of fp16 are stored in 2 bytes as it is; leave out one flag")
        FillOptions(context=self.context, feather=self.feather, grow=self.grow)

    @property
    def exact(self) -> bool:
        """Whether every number is float32."""
        return self.precision == "fp32" and not self.fp16_storage

    def canvas(self, generator: Generator) -> Canvas:
        """The canvas for a network. Raises ConfigError for a size that it does not take."""
        contract = generator.contract
        size = contract.native_size if self.size is None else self.size
        if size < 1 or (self.size is not None and size % contract.multiple_of):
            raise ConfigError(
                f"--size is {size}; it must be a multiple of {contract.multiple_of} for this "
                "network"
            )
        return canvas_of(
            replace(contract, native_size=size),
            context=self.context, grow=self.grow, feather=self.feather,
        )  # fmt: skip


def write_pipeline(
    weights: Path,
    out: Path,
    settings: PipelineSettings | None = None,
    *,
    force: bool = False,
    tell: Callable[[str], object] | None = None,
) -> dict[str, Any]:
    """Export the pipeline of the network of `weights` to `out`, verified; returns the report.

    tell: is given a line when a stage begins, as `core.progress.Stages` writes it.
    Raises ConfigError if there is something at `out`, BackendError if the graph is too far off;
    then nothing was written but the report.
    """
    settings = settings or PipelineSettings()
    check_out(out, force=force)
    generator = load_weights(weights)
    canvas = settings.canvas(generator)
    graph = GraphSettings(precision=settings.precision)
    stages = Stages(EXPORTING + len(CASES), tell)
    stages.begin("pipeline: exporting", EXPORTING)
    model = export_pipeline(generator, canvas, graph, optional=settings.guides)
    if settings.fp16_storage:
        model = stored_in_half(model)
    data = to_bytes(stamp(model, pipeline_info(generator, weights, canvas, settings)))
    report_file = out.with_suffix(".report.json")
    with beside(out) as folder:
        file = folder / out.name
        try:
            file.write_bytes(data)
        except OSError as problem:
            raise unwritable(out, problem) from None
        with torch.inference_mode():
            report = verify_pipeline(
                generator, canvas, open_run(file, "fp32"),
                exact=settings.exact, optional=settings.guides, stages=stages,
            )  # fmt: skip
        report["precision"] = settings.precision
        write_json(report_file, {"weights": weights.name, "parts": [report]}, flag="-o")
        if not report["passed"]:
            raise BackendError(
                f"the graph is too far off from the pipeline in PyTorch ({worst(report)}), so "
                f"nothing was kept but {report_file}; take another precision"
            )
        file.replace(out)
    return report


def pipeline_info(
    generator: Generator, weights: Path, canvas: Canvas, settings: PipelineSettings
) -> GraphInfo:
    """What the graph says of itself; `settings` has all that `core.single` has in its `Canvas`."""
    ports = pipeline_ports(generator.contract, optional=settings.guides)
    return GraphInfo(
        kind="pipeline",
        contract=generator.contract,
        architecture=architecture_of(generator.config),
        weights_sha256=sha256_of(weights),
        precision=settings.precision,
        opset=GraphSettings(precision=settings.precision).set_of_operators,
        versions=versions(),
        about=read_info(weights).about,
        settings={
            **asdict(canvas),
            "strategy": "single",
            "inputs": [port.name for port in ports],
            "set_above": BYTE_THRESHOLD,
            "noise_seed": 0,
            "fp16_storage": settings.fp16_storage,
        },
    )


def worst(report: dict[str, Any]) -> str:
    """The case that is furthest off, in words."""
    entry = max(report["cases"], key=lambda x: (not x["passed"], x["changed"]["mean"]))
    return (
        f"{entry['case']}: a share of {entry['differing']:.2g} of the bytes differs, by "
        f"{entry['changed']['worst']:.0f} levels at most"
    )


def build_parser() -> argparse.ArgumentParser:
    """The flags of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m export.pipeline",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("weights", nargs="?", default=str(DEFAULT_WEIGHTS), metavar="WEIGHTS",
        help="a .safetensors file of this project (default: the bundled ones)")  # fmt: skip
    add("-o", "--output", required=True, metavar="OUT.onnx", help="the graph")
    add("--size", type=int, metavar="N",
        help="side of the canvas in pixels (default: that of the weights)")  # fmt: skip
    add("--context", type=float, default=DEFAULTS.context, metavar="SHARE",
        help=f"picture round the holes, in hole sides (default: {DEFAULTS.context})")  # fmt: skip
    add("--feather", type=int, default=FEATHER, metavar="N",
        help=f"pixels round the hole to blend over (default: {FEATHER})")  # fmt: skip
    add("--grow", type=int, default=0, metavar="N", help="pixels to widen the hole (default: 0)")
    add("--precision", choices=PRECISIONS, default="fp32",
        help="what the network computes in (default: fp32)")  # fmt: skip
    add("--fp16-storage", action="store_true",
        help="weights in half the room, arithmetic in fp32")  # fmt: skip
    add("--guides", action=argparse.BooleanOptionalAction, default=True,
        help="inputs for guides that may be left out (default: yes)")  # fmt: skip
    add("--force", action="store_true", help="replace what is at OUT.onnx")
    return parser


def run(args: argparse.Namespace) -> int:
    """Export as the flags say."""
    names = ("size", "context", "feather", "grow", "precision", "fp16_storage", "guides")
    settings = PipelineSettings(**{name: getattr(args, name) for name in names})
    out = Path(args.output)
    report = write_pipeline(
        Path(args.weights), out, settings, force=args.force, tell=sys.stderr.write
    )
    sys.stderr.write(f"{out}: {out.stat().st_size / 1e6:.1f} MB; furthest off, {worst(report)}\n")
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed, 130 interrupted."""
    args = build_parser().parse_args(argv)
    return exit_code(lambda: run(args))


if __name__ == "__main__":
    sys.exit(main())
