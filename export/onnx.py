"""Export weights as ONNX, one file for each part of the network, and compare them with PyTorch.

  python -m export.onnx -o deploy/photos.onnx
  python -m export.onnx weights/scfegan-faces-small.safetensors -o faces.onnx --precision fp16
  python -m export.onnx -o deploy/photos-1024.onnx --size 1024x1024 --batch 1
  python -m export.onnx -o deploy/photos-int8.onnx --int8 photos/

NAME.onnx is the network; NAME.refine.onnx its second stage, for networks that fill coarse to fine;
NAME.encode.onnx what makes a style of a reference picture. What takes and gives them is the
contract in their metadata: floats in its ranges, sizes multiples of what it says, batch, height and
width free unless --size and --batch fix them. NAME.report.json says how far each is off from
PyTorch in float32, at shapes that it was not traced at; a graph that is too far off is not kept.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from core.errors import BackendError, ConfigError
from core.files import part_prefix, sha256_of, write_json
from core.flags import exit_code
from core.graph import GraphInfo, part_path
from core.models.base import Generator
from core.parts import Part, parts_of
from core.progress import Stages
from core.registry import architecture_of
from core.weights import DEFAULT_WEIGHTS, load_weights, read_info

from .graph import GraphSettings, export_part, part_contract, stamp, to_bytes, versions
from .int8 import calibration_pictures, quantise_parts
from .running import open_run
from .verify import cases, verify_part, worst_case

EXPORTING = 10
"""An export takes about as long as so many comparisons."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What came of an export."""

    paths: dict[Part, Path]
    reports: list[dict[str, Any]]
    report: Path


def export_files(
    weights: Path,
    out: Path,
    settings: GraphSettings | None = None,
    *,
    calibration: Path | None = None,
    force: bool = False,
    tell: Callable[[str], object] | None = None,
) -> Exported:
    """Export every part of the network of `weights` to `out`, verified.

    calibration: a folder of pictures, for the precision int8. tell: is given a line when a stage
    begins, as `core.progress.Stages` writes it. Raises ConfigError if there is something at `out`,
    BackendError if a graph is too far off; then none was written but the report.
    """
    settings = settings or GraphSettings()
    check_out(out, force=force)
    if (settings.precision == "int8") != (calibration is not None):
        raise ConfigError("int8 goes with a folder of pictures to calibrate on, and only int8")
    if calibration is not None:
        calibration_pictures(calibration)
    generator = load_weights(weights)
    parts, contract = parts_of(generator.contract), part_contract(generator.contract, settings)
    compared = len(list(cases(contract, settings)))
    quantising = EXPORTING if calibration else 0
    stages = Stages(len(parts) * (EXPORTING + compared) + quantising, tell)
    report = out.with_suffix(".report.json")
    with beside(out) as folder:
        part_files: dict[Part, Path] = {}
        reports = []
        for part in parts:
            stages.begin(f"{part}: exporting", EXPORTING)
            info = graph_info(generator, weights, part, settings)
            file = part_path(folder / out.name, part)
            write_part(generator, info, settings, file)
            part_files[part] = file
        if calibration is not None:
            stages.begin("quantising", quantising)
            quantise_parts(generator, contract, part_files, calibration)
        for part, file in part_files.items():
            with torch.inference_mode():
                run = open_run(file, settings.precision)
                reports.append(verify_part(generator, part, contract, settings, run, stages))
        write_json(report, {"weights": weights.name, "parts": reports}, flag="-o")
        check_reports(reports, report)
        paths = {part: part_path(out, part) for part in parts}
        for part in reversed(parts):  # "run" comes last: a graph that is found has all its parts
            part_files[part].replace(paths[part])
    return Exported(paths=paths, reports=reports, report=report)


def graph_info(
    generator: Generator, weights: Path, part: Part, settings: GraphSettings
) -> GraphInfo:
    """What the graph of one part says of itself."""
    return GraphInfo(
        kind="generator",
        contract=part_contract(generator.contract, settings),
        architecture=architecture_of(generator.config),
        weights_sha256=sha256_of(weights),
        part=part,
        parts=parts_of(generator.contract),
        precision=settings.precision,
        opset=settings.set_of_operators,
        versions=versions(),
        about=read_info(weights).about,
        settings={
            "size": list(settings.size) if settings.size else None,
            "batch": settings.batch,
            "attention_chunks": settings.chunks,
        },
    )


def write_part(generator: Generator, info: GraphInfo, settings: GraphSettings, file: Path) -> None:
    """Export one part to `file`. Raises BackendError where it cannot be written."""
    model = stamp(export_part(generator, info.part, settings), info)
    try:
        file.write_bytes(to_bytes(model))
    except OSError as problem:
        raise unwritable(file, problem) from None


def check_out(out: Path, *, force: bool) -> None:
    """Raise ConfigError where the export may not be written."""
    if out.suffix != ".onnx":
        raise ConfigError(f"the output is {out.name!r}; it needs a name that ends in .onnx")
    if out.exists() and not force:
        raise ConfigError(f"{out} is there already; name another file, or give --force")


def check_reports(reports: Sequence[dict[str, Any]], file: Path) -> None:
    """Raise BackendError if a graph is further off than its precision allows."""
    for report in reports:
        if not report["passed"]:
            raise BackendError(
                f"the graph of the part {report['part']!r} in {report['precision']} is too far off "
                f"from PyTorch ({worst_case(report)}), so nothing was kept but {file}; take "
                "another precision"
            )


def unwritable(path: Path, problem: OSError) -> ConfigError:
    """The sentence for a file that cannot be written."""
    why = problem.strerror or problem
    return ConfigError(f"cannot write {path.name} ({why}); free some room or name another place")


@contextmanager
def beside(out: Path) -> Any:
    """A folder beside `out` for what is not yet whole, gone afterwards."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=part_prefix(), dir=out.parent))
    except OSError as problem:
        raise unwritable(out, problem) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def parse_size(text: str) -> tuple[int, int]:
    """512x768 -> (512, 768), height first; 512 alone is a square."""
    height, _, width = text.lower().partition("x")
    try:
        return int(height), int(width or height)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size; it must be HEIGHTxWIDTH, as 512x768"
        ) from None


def build_parser() -> argparse.ArgumentParser:
    """The flags of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m export.onnx",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "weights", nargs="?", default=str(DEFAULT_WEIGHTS), metavar="WEIGHTS",
        help="a .safetensors file of this project (default: the bundled ones)",
    )  # fmt: skip
    parser.add_argument("-o", "--output", required=True, metavar="OUT.onnx", help="the graph")
    parser.add_argument(
        "--precision", choices=("fp32", "fp16", "bf16"), default="fp32",
        help="what the graph computes in; scores and softmax stay fp32 (default: fp32)",
    )  # fmt: skip
    parser.add_argument(
        "--int8", metavar="FOLDER", help="quantise, calibrated on the pictures in FOLDER"
    )
    parser.add_argument("--size", type=parse_size, metavar="HxW", help="fix the size")
    parser.add_argument("--batch", type=int, metavar="N", help="fix the number of pictures")
    parser.add_argument(
        "--chunks", type=int, default=0, metavar="N",
        help="attention in N chunks, for large pictures in bounded memory (default: at once)",
    )  # fmt: skip
    parser.add_argument("--opset", type=int, metavar="N", help="default: 18, for bf16 22")
    parser.add_argument("--force", action="store_true", help="replace what is at OUT.onnx")
    return parser


def run(args: argparse.Namespace) -> int:
    """Export as the flags say."""
    if args.int8 and args.precision != "fp32":
        raise ConfigError("both --int8 and --precision are given; int8 starts from fp32")
    if args.int8 and (args.size or args.batch):
        raise ConfigError("--int8 is calibrated at several sizes; leave --size and --batch out")
    settings = GraphSettings(
        precision=args.precision, opset=args.opset, size=args.size, batch=args.batch,
        chunks=args.chunks,
    )  # fmt: skip
    calibration = Path(args.int8) if args.int8 else None
    if calibration:
        settings = replace(settings, precision="int8")
    done = export_files(
        Path(args.weights), Path(args.output), settings,
        calibration=calibration, force=args.force, tell=sys.stderr.write,
    )  # fmt: skip
    for report in done.reports:
        path = done.paths[report["part"]]
        size = path.stat().st_size / 1e6
        sys.stderr.write(f"{path}: {size:.1f} MB; furthest off, {worst_case(report)}\n")
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed, 130 interrupted."""
    args = build_parser().parse_args(argv)
    return exit_code(lambda: run(args))


if __name__ == "__main__":
    sys.exit(main())
