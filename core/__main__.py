"""Fill holes in pictures, draw masks, look into weights.

For example:

  python -m core fill photo.jpg mask.png -o filled.jpg
  python -m core fill photo.jpg mask.png -o filled.jpg --sketch lines.png --grow 4
  python -m core fill cutout.png -o filled.png                  (transparent pixels are the hole)
  python -m core fill photo.png -o filled.png --colour '#ff00ff'   (pixels of a colour are)
  python -m core fill photos/ masks/ -o filled/ --resume
  python -m core mask -o mask.png --size 480x640 --seed 7
  python -m core mask --sheet sheet.png                         (examples of every kind)
  python -m core sketch photo.jpg -o lines.png
  python -m core info weights/deepfillv2-photos.safetensors

In a mask white is the hole and black is kept; --invert takes it the other way round.
"""

import argparse
import sys

from .commands import actions as commands
from .commands.sketch import add_sketch
from .errors import InpaintError
from .flags import add_flags
from .masks.drawn import KINDS, BrushStyle
from .pipeline import FillOptions
from .weights import DEFAULT_WEIGHTS

DEFAULTS = FillOptions()


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    args = build_parser().parse_args(argv)
    try:
        return args.run(args)
    except InpaintError as problem:
        sys.stderr.write(f"error: {problem}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing is half written\n")
        return 130


def build_parser() -> argparse.ArgumentParser:
    """All commands and their flags."""
    parser = argparse.ArgumentParser(
        prog="python -m core",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_fill(subparsers.add_parser("fill", help="fill the hole of a picture, or of a folder"))
    _add_mask(subparsers.add_parser("mask", help="draw masks by seed"))
    add_sketch(subparsers.add_parser("sketch", help="draw the lines of a picture, or of a folder"))
    _add_info(subparsers.add_parser("info", help="say what a weights file is"))
    _add_demo(subparsers.add_parser("demo", help="fill the sample photos"))
    return parser


def _add_fill(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=commands.fill)
    parser.description = (
        "Fill the hole of IMAGE. For folders the masks are found by name (cat.jpg: cat.png, "
        "cat.mask.png, cat_mask.png, ...) and a report is written beside the results."
    )
    parser.add_argument("image", metavar="IMAGE", help="picture, or folder of pictures")
    parser.add_argument("mask", metavar="MASK", nargs="?", help="mask, or folder of masks")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="file or folder")
    parser.add_argument("--sketch", metavar="PATH", help="lines to follow, light on dark")
    parser.add_argument("--colour", help="without MASK: pixels of this colour are the hole")
    parser.add_argument(
        "--tolerance", type=float, default=0.0, help="with --colour: how far off, 0 to 1"
    )
    parser.add_argument("--invert", action="store_true", help="the mask is white where known")
    parser.add_argument(
        "--scale-mask", action="store_true", help="scale masks and sketches to the picture"
    )
    _add_options(parser)
    _add_model(parser)
    parser.add_argument(
        "--resume", action="store_true", help="folders: skip pictures whose result is there"
    )
    parser.add_argument("--report", metavar="FILE", help="folders: default OUT/report.jsonl")
    parser.add_argument("--json", action="store_true", help="report on stdout, a line of JSON each")


def _add_options(parser: argparse.ArgumentParser) -> None:
    """The flags of `FillOptions`."""
    group = parser.add_argument_group("how to fill")
    for name, text in (
        ("grow", "pixels to widen the hole"),
        ("feather", "pixels round the hole to blend over; 0 keeps them bit for bit"),
        ("work-size", "longest side on which the network works"),
    ):
        default = getattr(DEFAULTS, name.replace("-", "_"))
        group.add_argument(
            f"--{name}", type=int, default=default, help=f"{text} (default: {default})"
        )
    group.add_argument(
        "--strategy", choices=("auto", "full", "crop"), default=DEFAULTS.strategy,
        help="whole picture, or crops round the holes (default: auto)",
    )  # fmt: skip
    group.add_argument(
        "--context", type=float, default=DEFAULTS.context,
        help=f"picture kept round a crop, in hole sides (default: {DEFAULTS.context})",
    )  # fmt: skip


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights", default=str(DEFAULT_WEIGHTS), metavar="FILE",
        help="default: the bundled ones",
    )  # fmt: skip
    parser.add_argument("--device", default="", help="cpu, cuda or mps (default: the best there)")


def _add_mask(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=commands.mask)
    parser.description = "Draw masks of many kinds, white = hole; the same seed, the same mask."
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("-o", "--output", metavar="OUT", help="file, or with --count a folder")
    where.add_argument("--sheet", metavar="FILE", help="draw examples of every kind on one sheet")
    parser.add_argument(
        "--kind", choices=(*KINDS, "folder", "segments"), default="brush",
        help="10-20: covering 10 to 20 %% of the picture; bins: one of those; folder and segments "
        "take the flags below (default: brush)",
    )  # fmt: skip
    parser.add_argument("--mask-folder", metavar="DIR", help="own masks, white = hole")
    parser.add_argument("--labels", metavar="DIR", help="label maps whose segments are holes")
    parser.add_argument("--size", default="256x256", help="HEIGHTxWIDTH (default: 256x256)")
    parser.add_argument("--like", metavar="IMAGE", help="take the size of this picture")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--count", type=int, default=1, help="how many, with seeds counting up")
    add_flags(parser, BrushStyle)


def _add_info(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=commands.info)
    parser.add_argument("file", metavar="FILE", nargs="?", default=str(DEFAULT_WEIGHTS))
    parser.add_argument("--json", action="store_true", help="for programs")


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=commands.demo)
    parser.description = "Fill the sample photos that come with the project, and show the result."
    parser.add_argument("-o", "--output", default="demo_output", help="default: demo_output")
    _add_model(parser)


if __name__ == "__main__":
    sys.exit(main())
