"""A folder that runs without PyTorch: graphs, infer.py, a repository for Triton, an image, proof.

  python -m export.bundle OUT [--weights weights/scfegan-faces-small.safetensors]
  python -m export.bundle --check OUT

OUT holds generator.onnx with its parts, pipeline.onnx, infer.py (numpy, pillow and onnxruntime are
all that it needs), model_repository/ for NVIDIA Triton Inference Server, TensorRT engines or what
builds them, a Dockerfile, a README, the card of the weights, and manifest.json: the contract, the
versions, the terms, how far each graph is off from PyTorch, and the hash of every file. It appears
whole or not at all, and not before its own infer.py has filled a picture.

--check compares every file with its hash, finds what is missing and what does not belong there, and
fills a picture again.
"""

import argparse
import sys
from pathlib import Path

from core.flags import add_flags, exit_code, from_flags

from .check import check_bundle
from .make import BundleConfig, make_bundle


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed, 130 interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m export.bundle",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the bundle")
    parser.add_argument(
        "--check", action="store_true", help="make nothing, but see if OUT is whole"
    )
    add_flags(parser, BundleConfig, without=("out",))
    args = parser.parse_args(argv)
    return exit_code(lambda: run(args))


def run(args: argparse.Namespace) -> int:
    """Make a bundle or check one; returns the exit code."""
    if args.check:
        sys.stdout.write(f"{args.out}: {check_bundle(args.out)}\n")
        return 0
    config = from_flags(BundleConfig, args)
    said = make_bundle(config)
    sys.stdout.write(f"{config.out}: {said}\n")
    if not config.weights.with_suffix(".md").is_file():
        sys.stderr.write(
            f"note: no card beside the weights ({config.weights.with_suffix('.md').name}), so the "
            "bundle says nothing of their terms\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
