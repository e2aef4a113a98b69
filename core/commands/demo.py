"""`python -m core demo`: the sample photos that come with the project, filled."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import torch

from ..image import save_pixels, side_by_side
from .folder import say
from .guides import GUIDES
from .jobs import Job, MaskSource, fill_file
from .network import add_model, open_inpainter

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


def add_demo(parser: ArgumentParser) -> None:
    """The flags of `demo`."""
    parser.set_defaults(run=demo)
    parser.description = "Fill the sample photos that come with the project, and show the result."
    parser.add_argument("-o", "--output", default="demo_output", help="default: demo_output")
    add_model(parser)


def demo(args: Namespace) -> int:
    """`demo`: each sample photo for this network, with input, mask, result and side by side."""
    inpainter = open_inpainter(args)
    output = Path(args.output)
    ports = {port.name for port in inpainter.backend.contract.guides}
    drawn_on = "sketch" in ports
    for mask_file in sorted(SAMPLES.glob("*.mask.png")):
        name = mask_file.name.removesuffix(".mask.png")
        if not tasks_of(name) <= ports:
            continue
        image = next(p for p in SAMPLES.glob(f"{name}.*") if p.suffix == ".jpg")
        sketch = SAMPLES / f"{name}.sketch.png"
        job = Job(
            image=image,
            mask=MaskSource(path=mask_file),
            output=output / f"{name}.result.png",
            guides={"sketch": sketch} if drawn_on and sketch.exists() else {},
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


def tasks_of(name: str) -> set[str]:
    """The ports that a network must have to fill a sample as it is meant; lines are no must."""
    return {
        port
        for port, side in GUIDES.items()
        if port != "sketch" and any(any(SAMPLES.glob(f"{name}.{w}.*")) for w in side.words)
    }
