"""Fill pictures by the million with a pool of workers on Ray, on one machine or on many.

For example:

  python -m export.fleet photos/ filled/                 (NAME.mask.png beside each NAME.jpg)
  python -m export.fleet photos/ filled/ --masks masks/ --workers 2
  python -m export.fleet s3://bucket/shards s3://bucket/filled --model bundle/ --address auto
  python -m export.fleet table.parquet filled/ --resume  (after whatever stopped the first run)

INPUT is a folder of pictures with masks and guides found by name, as `python -m core fill` finds
them; or WebDataset tar files (KEY.jpg, KEY.mask.png, KEY.sketch.png, ...); or Parquet files with
the columns image and mask, bytes (and id, sketch, ... if you like). It is one file or a folder,
here or in any storage that has a URI. OUTPUT gets the completed pictures in the same form, one
shard for each of the input, and a report with a line for each picture.

A worker that dies is replaced and its shard done again; a picture that cannot be filled is
reported, and all others are filled. Exit code: 0 all filled, 1 some or all were not.
"""

import argparse
import sys

from core.commands.guides import add_guides, given_palette
from core.commands.network import add_options
from core.flags import add_flags, exit_code, from_flags
from core.pipeline import FillOptions

from .config import FleetConfig
from .job import run

OPTIONS = ("grow", "feather", "strategy", "context", "work_size", "seed")


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    args = build_parser().parse_args(argv)

    def work() -> int:
        args.options = FillOptions(**{name: getattr(args, name) for name in OPTIONS})
        args.palette = given_palette(args)
        return run(from_flags(FleetConfig, args))

    return exit_code(work)


def build_parser() -> argparse.ArgumentParser:
    """All flags."""
    parser = argparse.ArgumentParser(
        prog="python -m export.fleet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", metavar="INPUT", help="folder or file of pictures, or a URI")
    parser.add_argument("output", metavar="OUTPUT", help="folder for the results, or a URI")
    add_flags(parser, FleetConfig, without=("input", "output", "options", "palette"))
    add_options(parser)
    add_guides(parser, ())
    return parser


if __name__ == "__main__":
    sys.exit(main())
