"""`python -m core mask`: masks of many kinds by seed, or a sheet of all of them."""

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import Tensor

from ..errors import ConfigError
from ..flags import add_flags, from_flags
from ..image import read_picture, save_pixels
from ..masks.drawn import KINDS, BrushStyle, Size, free_form_mask
from ..masks.found import found_kinds
from ..masks.sheet import mask_sheet
from .folder import say


def add_mask(parser: ArgumentParser) -> None:
    """The flags of `mask`."""
    parser.set_defaults(run=mask)
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


def mask(args: Namespace) -> int:
    """`mask`: masks of one kind by seed, or a sheet of all kinds."""
    check_count(args.count)
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


def parse_size(text: str) -> Size:
    """Height and width, as (480, 640) of "480x640". Raises ConfigError for anything else."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if not match or "0" in match.groups():
        raise ConfigError(f"--size is {text!r}; it must be HEIGHTxWIDTH, as 480x640")
    return int(match[1]), int(match[2])


def check_count(count: int) -> None:
    """Raise ConfigError unless there is something to do."""
    if count < 1:
        raise ConfigError(f"--count is {count}; it must be at least 1")


def _mask_kinds(args: Namespace) -> dict[str, Callable[[Size, int], Tensor]]:
    """Every way to draw that the flags allow, our brush in the asked style."""
    style = from_flags(BrushStyle, args)
    folders = (Path(name) if name else None for name in (args.mask_folder, args.labels))
    own_brush = {
        "brush": lambda size, seed: free_form_mask(size, np.random.default_rng(seed), style)
    }
    return KINDS | own_brush | found_kinds(*folders)
