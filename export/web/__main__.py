"""Build the page that fills photos in a browser, all on the visitor's device.

  python -m export.web pipeline.onnx -o site/
  python -m export.web pipeline.onnx -o site/ --serve 8080
  python -m export.web -o site/ --serve 8080               (a page that was built before)
  python -m export.web pipeline.onnx -o site/ --runtime node_modules/onnxruntime-web

The folder is static: put it on any host, in any path. It holds the page, the graph that
`python -m export.pipeline` made, under a name with its hash, and three files of onnxruntime-web,
which npm brings, of the version that package-lock.json pins. Nothing is fetched from elsewhere.

A host that sends the headers of the file `_headers` lets it use more than one thread; it works
without them too. --serve listens on this machine alone and sends them.
"""

import argparse
import sys
from pathlib import Path

from core.errors import ConfigError
from core.flags import exit_code

from .serve import open_server
from .site import build_site, check_site


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    args = build_parser().parse_args(argv)
    return exit_code(lambda: work(args))


def build_parser() -> argparse.ArgumentParser:
    """All flags."""
    parser = argparse.ArgumentParser(
        prog="python -m export.web",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "graph", nargs="?", type=Path, metavar="PIPELINE.onnx", help="what export.pipeline wrote"
    )
    parser.add_argument("-o", "--out", required=True, type=Path, help="folder of the page")
    parser.add_argument(
        "--runtime", type=Path, help="the npm package onnxruntime-web (default: npm is asked)"
    )
    parser.add_argument("--title", default="", help="name of the network on the page")
    parser.add_argument("--force", action="store_true", help="replace a page that is there already")
    parser.add_argument("--serve", type=int, metavar="PORT", help="then serve it on this machine")
    return parser


def work(args: argparse.Namespace) -> int:
    """Build, serve, or both."""
    if args.graph is None and args.serve is None:
        raise ConfigError("there is nothing to do; name a PIPELINE.onnx, or --serve PORT, or both")
    if args.graph is not None:
        size = build_site(
            args.graph, args.out, runtime=args.runtime, title=args.title, force=args.force
        )
        sys.stdout.write(f"{args.out}: {size / 1e6:.1f} MB\n")
    if args.serve is not None:
        serve(args.out, args.serve)
    return 0


def serve(folder: Path, port: int) -> None:
    """Serve a page until Ctrl+C."""
    check_site(folder)
    with open_server(folder, port) as server:
        sys.stdout.write(f"http://127.0.0.1:{server.server_port}/ (Ctrl+C ends it)\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
