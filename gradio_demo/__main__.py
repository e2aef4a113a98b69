"""Serve the demo for a browser.

  python -m gradio_demo
  python -m gradio_demo --models my_networks --auth me:secret --host 0.0.0.0

A page with an editor for masks, sketches and colours, with tabs for many pictures and for comparing
networks, and endpoints for programs. It listens on this machine alone unless --host says otherwise.
"""

import sys

from core.flags import run_command
from gradio_demo.serve import serve
from gradio_demo.settings import Settings


def main(argv: list[str] | None = None) -> int:
    """Serve until Ctrl+C; returns the exit code: 0 ended, 1 failed, 2 wrong usage."""
    return run_command(argv, "gradio_demo", __doc__, Settings, serve)


if __name__ == "__main__":
    sys.exit(main())
