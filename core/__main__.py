"""Fill holes in pictures, draw masks, look into weights.

For example:

  python -m core fill photo.jpg mask.png -o filled.jpg
  python -m core fill photo.jpg mask.png -o filled.jpg --sketch lines.png --grow 4
  python -m core fill cutout.png -o filled.png                  (transparent pixels are the hole)
  python -m core fill photo.png -o filled.png --mask-color '#ff00ff'   (pixels of a colour are)
  python -m core fill face.png mask.png -o out.png --color strokes.png --weights scfegan.safetensors
  python -m core fill photos/ masks/ -o filled/ --resume
  python -m core synthesize map.png -o street.png --weights spade.safetensors --seed 3
  python -m core mask -o mask.png --size 480x640 --seed 7
  python -m core mask --sheet sheet.png                         (examples of every kind)
  python -m core sketch photo.jpg -o lines.png
  python -m core info weights/deepfillv2-photos.safetensors
  python -m core import snap-0.index -o weights/places2.safetensors   (what others released)

In a mask white is the hole and black is kept; --invert takes it the other way round.
"""

import argparse
import sys

from .commands.demo import add_demo
from .commands.fill import add_fill
from .commands.importing import add_import
from .commands.info import add_info
from .commands.masks import add_mask
from .commands.sketch import add_sketch
from .commands.synthesize import add_synthesize
from .flags import exit_code


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    args = build_parser().parse_args(argv)
    return exit_code(lambda: args.run(args))


def build_parser() -> argparse.ArgumentParser:
    """All commands and their flags."""
    parser = argparse.ArgumentParser(
        prog="python -m core",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    add_fill(subparsers.add_parser("fill", help="fill the hole of a picture, or of a folder"))
    add_synthesize(subparsers.add_parser("synthesize", help="make pictures of maps of labels"))
    add_mask(subparsers.add_parser("mask", help="draw masks by seed"))
    add_sketch(subparsers.add_parser("sketch", help="draw the lines of a picture, or of a folder"))
    add_info(subparsers.add_parser("info", help="say what a weights file is"))
    add_import(subparsers.add_parser("import", help="convert weights that others released"))
    add_demo(subparsers.add_parser("demo", help="fill the sample photos"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
