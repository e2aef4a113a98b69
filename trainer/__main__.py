r"""Train an inpainting network on a folder of pictures.

For example:

  python -m trainer --data photos/ --out runs/first --preset deepfillv2-sketch
  python -m trainer --data a.tar b.tar --out runs/second --crop 128 --batch 16 --l1 areas \
      --gan-start 4000 --bf16 --channels-last --compile
  python -m trainer --data photos/ --out runs/first --preset deepfillv2-sketch --resume
  python -m trainer --data faces/ --out runs/faces --preset scfegan --perceptual vgg16.pth
  python -m trainer --data streets/ --out runs/streets --preset spade --perceptual vgg19.pth
  torchrun --nproc-per-node 2 --max-restarts 3 -m trainer --data photos/ --out runs/third

SIGINT (Ctrl+C) and SIGTERM write a checkpoint first; --resume goes on from the newest one and
gives bit for bit the run that was not interrupted. --batch counts the pictures of all processes.
With another --preset the defaults below are those of its paper: name it before --help to see them.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.errors import InpaintError
from core.flags import add_flags, from_flags

from .config import TrainConfig
from .loop import train
from .ranks import PeerFailed, PeersLost, mean_to_end, meant_to_end
from .recipes import recipe


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed, 128 + n stopped by signal n."""
    parser = argparse.ArgumentParser(
        prog="python -m trainer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-n", "--dry-run", action="store_true", help="show the settings and stop")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    try:
        add_flags(parser, TrainConfig, defaults=_recipe(argv))
    except InpaintError as problem:
        sys.stderr.write(f"error: {problem}\n")
        return 1
    args = parser.parse_args(argv)
    code = meant_to_end()
    if code is not None:
        return code  # a launcher would start again what has ended on purpose
    try:
        code = _run(args)
    except PeersLost as problem:
        sys.stderr.write(f"error: {problem}\n")
        return 1  # not on purpose: the launcher may start all processes again
    except PeerFailed:
        code = 1
    except InpaintError as problem:
        sys.stderr.write(f"error: {problem}\n")
        code = 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted a second time; --resume goes on from the last checkpoint\n")
        code = 130
    mean_to_end(code)
    return code


def _recipe(argv: list[str] | None) -> dict[str, Any]:
    """The settings of the paper whose network the flags name: the defaults of all other flags."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", default=TrainConfig.preset)
    first.add_argument("--init", type=Path)
    chosen, _ = first.parse_known_args(argv)
    return recipe(chosen.preset, chosen.init)


def _run(args: argparse.Namespace) -> int:
    config = from_flags(TrainConfig, args)
    if args.dry_run:
        sys.stdout.write(json.dumps(asdict(config), default=str, indent=2) + "\n")
        return 0
    number = train(config, resume=args.resume)
    return 128 + number if number else 0


if __name__ == "__main__":
    sys.exit(main())
