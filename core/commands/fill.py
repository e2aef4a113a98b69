"""`python -m core fill`: the hole of a picture, or those of a folder."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigError, ImageError
from ..pipeline import Inpainter
from .folder import check_folder, say, work_through
from .guides import add_guides, check_guides, given_guides, given_palette
from .jobs import Job, MaskSource, attempt, fill_file, pair_folder, report_line
from .network import add_folder_flags, add_model, add_options, open_inpainter


def add_fill(parser: ArgumentParser) -> None:
    """The flags of `fill`."""
    parser.set_defaults(run=fill)
    parser.description = (
        "Fill the hole of IMAGE. For folders masks and guides are found by name (cat.jpg: cat.png, "
        "cat.mask.png, cat_sketch.png, cat.seg.png, ...) and a report is written beside the "
        "results; a guide that is one file serves every picture."
    )
    parser.add_argument("image", metavar="IMAGE", help="picture, or folder of pictures")
    parser.add_argument("mask", metavar="MASK", nargs="?", help="mask, or folder of masks")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="file or folder")
    hole = parser.add_argument_group("hole (without MASK: what is transparent)")
    hole.add_argument(
        "--mask-color", metavar="COLOR", help="without MASK: pixels of this colour are the hole"
    )
    hole.add_argument(
        "--tolerance", type=float, default=0.0, metavar="T",
        help="with --mask-color: how far off a colour may be, 0 to 1",
    )  # fmt: skip
    hole.add_argument("--invert", action="store_true", help="the mask is white where known")
    hole.add_argument(
        "--scale-mask", action="store_true", help="scale masks and guides to the picture"
    )
    add_guides(parser)
    add_options(parser)
    add_model(parser)
    add_folder_flags(parser)


def fill(args: Namespace) -> int:
    """`fill`: one file, or a folder with a report."""
    image, output = Path(args.image), Path(args.output)
    masks, guides = _mask_source(args), given_guides(args)
    if not image.exists():
        raise ImageError(f"no picture or folder at {image}")
    if image.is_dir():
        check_folder(image, output)
        palette = given_palette(args)
        jobs = list(pair_folder(image, masks, output, guides=guides, palette=palette))
        return _fill_folder(_inpainter(args, guides), jobs, args)
    _check_files(image, masks, guides)
    if output.is_dir():
        output = output / image.name
    job = Job(image=image, mask=masks, output=output, guides=guides, palette=given_palette(args))
    inpainter = _inpainter(args, guides)
    if args.json:
        line = attempt(inpainter, job)
        sys.stdout.write(json.dumps(line) + "\n")
        return 0 if line["status"] == "done" else 1
    filled = fill_file(inpainter, job)
    say(f"{output}: filled in {filled.seconds:.2f} s")
    if not (filled.mask > 0).any():
        say("note: the mask is empty, so the picture is as it was; white is the hole")
    return 0


def _inpainter(args: Namespace, guides: Mapping[str, Path]) -> Inpainter:
    inpainter = open_inpainter(args)
    check_guides(inpainter.backend.contract, guides, args)
    return inpainter


def _fill_folder(inpainter: Inpainter, jobs: list[Job], args: Namespace) -> int:
    def attempt_or_skip(job: Job) -> dict[str, Any]:
        if args.resume and job.output.exists():  # results appear whole or not at all
            return report_line(job, status="skipped")
        return attempt(inpainter, job)

    return work_through(jobs, attempt_or_skip, args, did="filled")


def _check_files(image: Path, masks: MaskSource, guides: Mapping[str, Path]) -> None:
    """Raise ImageError where a folder goes with one picture."""
    if masks.path is not None and masks.path.is_dir():
        raise ImageError(f"{image} is one picture but {masks.path} is a folder; name its mask")
    for name, path in guides.items():
        if path.is_dir():
            raise ImageError(f"{image} is one picture but {path} is a folder; name its --{name}")


def _mask_source(args: Namespace) -> MaskSource:
    if args.mask and args.mask_color:
        raise ConfigError("both MASK and --mask-color are given; the hole needs one source")
    if args.mask and not Path(args.mask).exists():
        raise ImageError(f"no mask or folder of masks at {args.mask}")
    return MaskSource(
        path=Path(args.mask) if args.mask else None,
        colour=args.mask_color,
        tolerance=args.tolerance,
        invert=args.invert,
        rescale=args.scale_mask,
    )
