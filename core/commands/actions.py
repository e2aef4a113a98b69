"""The commands of `python -m core`: parsed flags in, files and lines of text out."""

import json
import re
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..backends import open_backend
from ..errors import ConfigError, ImageError
from ..flags import from_flags
from ..image import read_picture, save_pixels, side_by_side
from ..masks.drawn import KINDS, BrushStyle, Size, free_form_mask
from ..masks.found import found_kinds
from ..masks.sheet import mask_sheet
from ..pipeline import FillOptions, Inpainter
from ..weights import WeightsInfo, read_info
from .folder import check_folder, say, work_through
from .jobs import Job, MaskSource, attempt, fill_file, pair_folder, report_line

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


def fill(args: Namespace) -> int:
    """`fill`: one file, or a folder with a report."""
    image, output = Path(args.image), Path(args.output)
    masks = _mask_source(args)
    sketch = Path(args.sketch) if args.sketch else None
    if not image.exists():
        raise ImageError(f"no picture or folder at {image}")
    if image.is_dir():
        check_folder(image, output)
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
    say(f"{output}: filled in {filled.seconds:.2f} s")
    if not (filled.mask > 0).any():
        say("note: the mask is empty, so the picture is as it was; white is the hole")
    return 0


def mask(args: Namespace) -> int:
    """`mask`: masks of one kind by seed, or a sheet of all kinds."""
    if args.count < 1:
        raise ConfigError(f"--count is {args.count}; it must be at least 1")
    size = read_picture(Path(args.like)).size if args.like else parse_size(args.size)
    kinds = _mask_kinds(args)
    if args.sheet:
        save_pixels(Path(args.sheet), mask_sheet(kinds, size, args.seed))
        say(f"{args.sheet}: {len(kinds)} kinds of masks")
        return 0
    if args.kind not in kinds:
        flag = {"folder": "--mask-folder", "segments": "--labels"}[args.kind]
        raise ConfigError(f"--kind {args.kind} needs {flag} with a folder of files; give it")
    output = Path(args.output)
    for seed in range(args.seed, args.seed + args.count):
        path = output if args.count == 1 else output / f"{seed:06d}.png"
        drawn = kinds[args.kind](size, seed)
        save_pixels(path, drawn)
        say(f"{path}: {100 * float(drawn.mean()):.1f} % hole")
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
        say(f"{name}: filled in {filled.seconds:.2f} s, {output / name}.side_by_side.png")
    say(f"input, mask, result and side by side are in {output.resolve()}")
    return 0


def parse_size(text: str) -> Size:
    """Height and width, as (480, 640) of "480x640". Raises ConfigError for anything else."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if not match or "0" in match.groups():
        raise ConfigError(f"--size is {text!r}; it must be HEIGHTxWIDTH, as 480x640")
    return int(match[1]), int(match[2])


def _fill_folder(inpainter: Inpainter, jobs: list[Job], args: Namespace) -> int:
    def attempt_or_skip(job: Job) -> dict[str, Any]:
        if args.resume and job.output.exists():  # results appear whole or not at all
            return report_line(job, status="skipped")
        return attempt(inpainter, job)

    return work_through(jobs, attempt_or_skip, args, did="filled")


def _mask_kinds(args: Namespace) -> dict[str, Callable[[Size, int], Tensor]]:
    """Every way to draw that the flags allow, our brush in the asked style."""
    style = from_flags(BrushStyle, args)
    folders = (Path(name) if name else None for name in (args.mask_folder, args.labels))
    own_brush = {
        "brush": lambda size, seed: free_form_mask(size, np.random.default_rng(seed), style)
    }
    return KINDS | own_brush | found_kinds(*folders)


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


def _inpainter(args: Namespace) -> Inpainter:
    fields = ("grow", "feather", "strategy", "context", "work_size")
    values = {name: getattr(args, name) for name in fields if hasattr(args, name)}
    options = FillOptions(**values)
    backend = open_backend(Path(args.weights), args.device)
    say(f"{Path(args.weights).name} on {getattr(backend, 'device', 'its own device')}")
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
