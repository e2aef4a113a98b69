r"""Train an inpainting network on a folder of pictures.

For example:

  python -m trainer --data photos/ --out runs/first --preset deepfillv2-sketch
  python -m trainer --data a.tar b.tar --out runs/second --crop 128 --batch 16 --l1 areas \
      --gan-start 4000 --bf16 --channels-last --compile
  python -m trainer --data photos/ --out runs/first --preset deepfillv2-sketch --resume

SIGINT (Ctrl+C) and SIGTERM write a checkpoint first; --resume goes on from the newest one and
gives bit for bit the run that was not interrupted.
"""

import argparse
import json
import sys
from dataclasses import asdict

from core.errors import InpaintError
from core.flags import add_flags, from_flags

from .config import TrainConfig
from .loop import train


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed, 128 + n stopped by signal n."""
    parser = argparse.ArgumentParser(
        prog="python -m trainer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-n", "--dry-run", action="store_true", help="show the settings and stop")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    add_flags(parser, TrainConfig)
    args = parser.parse_args(argv)
    try:
        config = from_flags(TrainConfig, args)
        if args.dry_run:
            sys.stdout.write(json.dumps(asdict(config), default=str, indent=2) + "\n")
            return 0
        signal_number = train(config, resume=args.resume)
        sys.stderr.write(f"{config.out / 'weights.safetensors'} is ready to be used\n")
    except InpaintError as problem:
        sys.stderr.write(f"error: {problem}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted a second time; --resume goes on from the last checkpoint\n")
        return 130
    return 128 + signal_number if signal_number else 0


if __name__ == "__main__":
    sys.exit(main())
