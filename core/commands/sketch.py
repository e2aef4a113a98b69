"""`python -m core sketch`: the lines of a picture, or of a folder, as files."""

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from ..errors import ConfigError, ImageError, InpaintError
from ..image import read_picture, save_pixels
from ..sketch.draw import (
    KINDS,
    SOURCES,
    WORK_SIZE,
    Drawer,
    draw_lines,
    open_drawer,
    strength_of,
)
from .folder import check_folder, say, work_through
from .guides import is_side_file
from .jobs import picture_files

SUFFIX = "_edge"
"""What stands after the name of a picture in the name of its lines, as training looks for it."""
LINE_ENDINGS = (SUFFIX, ".edge")
NOTHING = {"landmarks": "no face was found"}
"""Kind -> what it means that there are no lines."""


@dataclass(frozen=True)
class SketchJob:
    """One picture whose lines are wanted."""

    image: Path
    output: Path


def add_sketch(parser: ArgumentParser) -> None:
    """The flags of `sketch`."""
    parser.set_defaults(run=sketch)
    parser.description = (
        "Draw the lines of IMAGE, white on black, as `fill --sketch` takes them. For a folder, "
        "NAME_edge.png for each picture, as training takes them, and a report. Where a network "
        "works at full size, it does so piece by piece, with the same result as at once."
    )
    parser.add_argument("image", metavar="IMAGE", help="picture, or folder of pictures")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="file or folder")
    parser.add_argument(
        "--kind", choices=tuple(KINDS), default="detector",
        help="how lines are found (default: detector, the bundled network)",
    )  # fmt: skip
    sources = "; ".join(f"for {kind}: {source}" for kind, source in SOURCES.items())
    parser.add_argument("--weights", metavar="FILE", help=f"for detector: in place of the bundled "
                        f"ones; {sources}")  # fmt: skip
    parser.add_argument("--device", default="", help="cpu, cuda or mps (default: the best there)")
    parser.add_argument("--threshold", type=float, metavar="T", help="strength above which it is "
                        "a line, 0 to 1 (default: that of the kind)")  # fmt: skip
    parser.add_argument(
        "--work-size", type=int, default=WORK_SIZE, metavar="SIDE",
        help="longest side on which lines are found; larger pictures are scaled to it, which is "
        f"much faster and leaves out what is fine; 0 = full size (default: {WORK_SIZE})",
    )  # fmt: skip
    parser.add_argument("--strength", action="store_true", help="write how strong lines are, grey")
    parser.add_argument(
        "--suffix", default=SUFFIX, help=f"folders: after the name (default: {SUFFIX})"
    )
    parser.add_argument(
        "--resume", action="store_true", help="folders: skip pictures whose result is there"
    )
    parser.add_argument("--report", metavar="FILE", help="folders: default OUT/report.jsonl")
    parser.add_argument("--json", action="store_true", help="report on stdout, a line of JSON each")


def sketch(args: Namespace) -> int:
    """`sketch`: one file, or a folder with a report."""
    image, output = Path(args.image), Path(args.output)
    if not image.exists():
        raise ImageError(f"no picture or folder at {image}")
    _check_suffix(args.suffix)
    if image.is_dir():
        check_folder(image, output, beside=True)
        jobs = sketch_jobs(image, output, args.suffix)
        return work_through(jobs, _attempt(_drawing(args), args), args, did="drawn")
    if output.is_dir():
        output = output / f"{image.stem}{args.suffix}.png"
    if output.resolve() == image.resolve():
        raise ImageError(f"-o is the picture itself, {image}; name another file")
    lines, seconds = _draw_file(_drawing(args), SketchJob(image, output))
    say(f"{output}: {100 * float(lines.mean()):.1f} % lines, in {seconds:.2f} s")
    if not lines.any():
        say(f"note: {NOTHING.get(args.kind, 'no line was found')}, so the sketch is empty")
    return 0


def sketch_jobs(images: Path, output: Path, suffix: str) -> list[SketchJob]:
    """A job per picture below `images`, but for masks, guides and results of an earlier run."""
    within = output.resolve() if output.resolve() != images.resolve() else None
    jobs = []
    for image in picture_files(images):
        lines = image.stem.endswith((*LINE_ENDINGS, suffix) if suffix else LINE_ENDINGS)
        if not (lines or is_side_file(image)) and within not in image.resolve().parents:
            name = image.relative_to(images)
            jobs.append(SketchJob(image, output / name.with_name(f"{name.stem}{suffix}.png")))
    return jobs


Drawing = Callable[[Tensor], Tensor]
"""Pixels (1, 3, H, W) -> lines or strength (1, 1, H, W)."""


def _drawing(args: Namespace) -> Drawing:
    """What the flags ask for."""
    if args.threshold is not None and args.strength:
        raise ConfigError("--strength writes all strengths; leave --threshold out, or --strength")
    drawer: Drawer = open_drawer(
        args.kind, weights=Path(args.weights) if args.weights else None, device=args.device
    )
    if args.threshold is not None and drawer.drawn:
        raise ConfigError(f"{args.kind} knows no strength of lines; leave --threshold out")
    if args.strength:
        return partial(strength_of, drawer, work_size=args.work_size)
    return partial(draw_lines, drawer, threshold=args.threshold, work_size=args.work_size)


def _draw_file(drawing: Drawing, job: SketchJob) -> tuple[Tensor, float]:
    """The lines, which are written, and the seconds without files. Raises InpaintError."""
    pixels = read_picture(job.image).pixels
    started = time.perf_counter()
    lines = drawing(pixels)
    seconds = time.perf_counter() - started
    save_pixels(job.output, lines)
    return lines, seconds


def _attempt(drawing: Drawing, args: Namespace) -> Callable[[SketchJob], dict[str, Any]]:
    """What draws one picture of a folder; only a user's errors are caught."""
    owners: dict[Path, Path] = {}

    def attempt(job: SketchJob) -> dict[str, Any]:
        line: dict[str, Any] = {"image": str(job.image), "output": str(job.output)}
        owner = owners.setdefault(job.output, job.image)
        try:
            if owner != job.image or job.output.resolve() == job.image.resolve():
                raise ImageError(f"{owner.name} would have the same result; rename one of them")
            if args.resume and job.output.exists():  # results appear whole or not at all
                return {**line, "status": "skipped"}
            lines, seconds = _draw_file(drawing, job)
        except InpaintError as problem:
            return {**line, "status": "failed", "error": str(problem)}
        share = round(100 * float(lines.mean()), 3)
        if not lines.any():
            nothing = NOTHING.get(args.kind, "no line was found")
            tqdm.write(f"note: {job.image}: {nothing}", file=sys.stderr)
        return {**line, "status": "done", "lines_percent": share, "seconds": round(seconds, 3)}

    return attempt


def _check_suffix(suffix: str) -> None:
    if any(sign in suffix for sign in "/\\"):
        raise ConfigError(f"--suffix is {suffix!r}; it must be part of a file name, as {SUFFIX}")
