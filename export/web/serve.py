"""A server of static files for this machine alone, with the headers that the page likes."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from core.errors import ConfigError

HOST = "127.0.0.1"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".onnx": "application/octet-stream",
}
"""By suffix: a browser refuses modules of another type, and what Python knows differs by system."""
ALL_TYPES = {**SimpleHTTPRequestHandler.extensions_map, **TYPES}
HEADERS = {
    # The first two isolate the page; only so may it use threads.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
        "style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""For every file: documents and workers are both asked for them."""


class Page(SimpleHTTPRequestHandler):
    """Files of one folder; no listings."""

    protocol_version = "HTTP/1.1"
    extensions_map = ALL_TYPES
    headers_sent: ClassVar[dict[str, str]] = HEADERS

    def end_headers(self) -> None:
        for name, value in self.headers_sent.items():
            self.send_header(name, value)
        self.send_header("Cache-Control", "no-cache")  # asks anew, and is told "not modified"
        super().end_headers()

    def list_directory(self, path: object) -> None:
        self.send_error(404, "File not found")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def open_server(folder: Path, port: int, handler: type[Page] = Page) -> ThreadingHTTPServer:
    """A server for `folder` on this machine; port 0 takes a free one.

    Raises ConfigError where the port cannot be had.
    """
    try:
        return ThreadingHTTPServer((HOST, port), partial(handler, directory=str(folder)))
    except (OSError, OverflowError) as problem:
        raise ConfigError(
            f"port {port} cannot be had ({problem}); name another by --serve"
        ) from None
