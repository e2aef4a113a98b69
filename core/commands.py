"""The commands of `python -m core`: parsed flags in, files and lines of text out."""

import json
import re
import sys
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

import torch
from tqdm import tqdm

from .backends import open_backend
from .errors import ConfigError, ImageError
from .image import read_picture, save_pixels, side_by_side
from .jobs import Job, MaskSource, attempt, fill_file, pair_folder, report_line
from .masks import KINDS, Size
from .pipeline import FillOptions, Inpainter
from .weights import WeightsInfo, read_info

SAMPLES = Path(__file__).resolve().parent.parent / "samples"


def fill(args: Namespace) -> int:
    """`fill`: one file, or a folder with a report."""
    image, output = Path(args.image), Path(args.output)
    masks = _mask_source(args)
    sketch = Path(args.sketch) if args.sketch else None
    if not image.exists():
        raise ImageError(f"no picture or folder at {image}")
    if image.is_dir():
        _check_folder(image, output)
        jobs = list(pair_folder(image, masks, output, sketch=sketch))
        return _fill_folder(_inpainter(args), jobs, args)
    if masks.path is not None and masks.path.is_dir():
        raise ImageError(f"{image} is one picture but {masks.path} is a folder; name its mask")
    if output.is_dir():
        output = output / image.name
    job = Job(image=image, mask=masks, output=output, sketch=sketch)
    inpainter = _inpainter(args)
    if args.json:
        line = attempt(inpainter, job)
        sys.stdout.write(json.dumps(line) + "\n")
        return 0 if line["status"] == "done" else 1
    filled = fill_file(inpainter, job)
    _say(f"{output}: filled in {filled.seconds:.2f} s")
    if not (filled.mask > 0).any():
        _say("note: the mask is empty, so the picture is as it was; white is the hole")
    return 0


def mask(args: Namespace) -> int:
    """`mask`: free-form or box masks by seed."""
    if args.count < 1:
        raise ConfigError(f"--count is {args.count}; it must be at least 1")
    size = read_picture(Path(args.like)).size if args.like else parse_size(args.size)
    output = Path(args.output)
    for seed in range(args.seed, args.seed + args.count):
        path = output if args.count == 1 else output / f"{seed:06d}.png"
        drawn = KINDS[args.kind](size, seed)
        save_pixels(path, drawn)
        _say(f"{path}: {100 * float(drawn.mean()):.1f} % hole")
    return 0


def info(args: Namespace) -> int:
    """`info`: what a weights file says of itself."""
    found = read_info(Path(args.file))
    facts = {
        "architecture": found.architecture,
        "parameters": found.parameters,
        "dtype": found.dtype,
        "config": vars(found.config),
        "contract": found.contract,
        "about": found.about,
    }
    if args.json:
        sys.stdout.write(json.dumps(facts, sort_keys=True) + "\n")
    else:
        sys.stdout.write(_describe(found))
    return 0


def demo(args: Namespace) -> int:
    """`demo`: every sample photo, with input, mask, result and all of them side by side."""
    inpainter = _inpainter(args)
    output = Path(args.output)
    for mask_file in sorted(SAMPLES.glob("*.mask.png")):
        name = mask_file.name.removesuffix(".mask.png")
        image = next(p for p in SAMPLES.glob(f"{name}.*") if p.suffix == ".jpg")
        sketch = SAMPLES / f"{name}.sketch.png"
        job = Job(
            image=image,
            mask=MaskSource(path=mask_file),
            output=output / f"{name}.result.png",
            sketch=sketch if sketch.exists() else None,
        )
        filled = fill_file(inpainter, job)
        hole = filled.mask.expand_as(filled.completed)
        drawn = filled.guides.get("sketch", torch.zeros(1))
        seen = filled.picture.pixels * (1 - hole) + hole * (1 - drawn)
        save_pixels(output / f"{name}.input.png", filled.picture.pixels)
        save_pixels(output / f"{name}.mask.png", filled.mask)
        row = [filled.picture.pixels, seen, filled.completed]
        save_pixels(output / f"{name}.side_by_side.png", side_by_side(row))
        _say(f"{name}: filled in {filled.seconds:.2f} s, {output / name}.side_by_side.png")
    _say(f"input, mask, result and side by side are in {output.resolve()}")
    return 0


def parse_size(text: str) -> Size:
    """Height and width, as (480, 640) of "480x640". Raises ConfigError for anything else."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if not match or "0" in match.groups():
        raise ConfigError(f"--size is {text!r}; it must be HEIGHTxWIDTH, as 480x640")
    return int(match[1]), int(match[2])


def _fill_folder(inpainter: Inpainter, jobs: list[Job], args: Namespace) -> int:
    report = Path(args.report) if args.report else Path(args.output) / "report.jsonl"
    failed = done = skipped = 0
    try:
        report.parent.mkdir(parents=True, exist_ok=True)
        # Appended line by line, so that an interrupted run has its report up to there.
        with report.open("a" if args.resume else "w", encoding="utf-8") as file:
            for line in _attempts(inpainter, jobs, args.resume):
                _write_line(file, line)
                if args.json:
                    _write_line(sys.stdout, line)
                failed += line["status"] == "failed"
                done += line["status"] == "done"
                skipped += line["status"] == "skipped"
                if line["status"] == "failed":
                    tqdm.write(f"failed: {line['image']}: {line['error']}", file=sys.stderr)
    except OSError as problem:
        raise ImageError(f"cannot write the report {report} ({problem}); name another") from None
    _say(f"{done} filled, {skipped} skipped, {failed} failed; report in {report}")
    return 1 if failed else 0


def _attempts(inpainter: Inpainter, jobs: list[Job], resume: bool) -> Iterable[dict[str, Any]]:
    for job in tqdm(jobs, unit="picture", file=sys.stderr, dynamic_ncols=True):
        if resume and job.output.exists():  # results appear whole or not at all
            yield report_line(job, status="skipped")
        else:
            yield attempt(inpainter, job)


def _mask_source(args: Namespace) -> MaskSource:
    if args.mask and args.colour:
        raise ConfigError("both MASK and --colour are given; the hole needs one source")
    if args.mask and not Path(args.mask).exists():
        raise ImageError(f"no mask or folder of masks at {args.mask}")
    return MaskSource(
        path=Path(args.mask) if args.mask else None,
        colour=args.colour,
        tolerance=args.tolerance,
        invert=args.invert,
        rescale=args.scale_mask,
    )


def _check_folder(image: Path, output: Path) -> None:
    if output.is_file():
        raise ImageError(f"{image} is a folder but {output} is a file; name a folder for -o")
    if output.resolve() == image.resolve():
        raise ImageError(f"-o is the folder of the pictures itself, {image}; name another")


def _inpainter(args: Namespace) -> Inpainter:
    fields = ("grow", "feather", "strategy", "context", "work_size")
    values = {name: getattr(args, name) for name in fields if hasattr(args, name)}
    options = FillOptions(**values)
    backend = open_backend(Path(args.weights), args.device)
    _say(f"{Path(args.weights).name} on {getattr(backend, 'device', 'its own device')}")
    return Inpainter(backend, options)


def _describe(found: WeightsInfo) -> str:
    ports = [
        f"{port['name']} ({port['channels']})" + (", optional" if port["optional"] else "")
        for port in found.contract["inputs"]
    ]
    lines = {
        "architecture": found.architecture,
        "parameters": f"{found.parameters:,}, {found.dtype} on disk",
        "inputs": "; ".join(ports),
        "sizes": f"multiples of {found.contract['multiple_of']}, best at "
        f"{found.contract['native_size']}",
        "settings": ", ".join(f"{k}={v}" for k, v in vars(found.config).items()),
        **{key: str(value) for key, value in sorted(found.about.items())},
    }
    return "".join(f"{key:<14}{value}\n" for key, value in lines.items())


def _write_line(file: TextIO, line: dict[str, Any]) -> None:
    file.write(json.dumps(line) + "\n")
    file.flush()


def _say(text: str) -> None:
    """For a person; stdout stays free for what programs read."""
    sys.stderr.write(text + "\n")
