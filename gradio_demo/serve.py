"""The service in its process: made of the flags, launched, ended by a signal."""

import logging
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.errors import ConfigError
from core.extras import need
from gradio_demo.models import Models
from gradio_demo.running import Workers
from gradio_demo.service import Service
from gradio_demo.settings import Settings
from gradio_demo.store import Limits, Store

QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # What Gradio keeps of past requests is looked through after each; nobody here reads it.
    "GRADIO_ANALYTICS_MAX_EVENTS": "50",
}
"""Nothing is sent anywhere, and nothing asked of anybody."""
SESSIONS = 64
"""Visitors of whom Gradio keeps which choices they were shown; each call of a program is one, and
takes 170 kB. Nothing here depends on it."""


def serve(settings: Settings) -> None:
    """Serve the page until a signal ends it. Raises InpaintError where it cannot be served."""
    signal.signal(signal.SIGTERM, _interrupt)
    _check_address(settings)
    models = Models(
        settings.models, settings.weights, backend=settings.backend, device=settings.device
    )
    models.opened(models.first)  # what is wrong with backend or device is said at once
    with _service(settings, models) as service:
        os.environ.update(QUIET, GRADIO_TEMP_DIR=str(service.store.root))
        need("gradio", "demo")
        end = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: end.set())
        page = _launch(settings, service)
        try:
            _say(settings, page)
            while not end.wait(0.5):  # so that signals are seen on Windows too
                pass
        finally:
            _end(page)


def _interrupt(number: int, frame: Any) -> None:
    """End as by Ctrl+C, so that what lies on the disk goes too."""
    raise KeyboardInterrupt


def _check_address(settings: Settings) -> None:
    """Raise ConfigError where nobody can listen; said before anything is opened, and in words."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        with socket.socket(found[0][0], socket.SOCK_STREAM) as probe:
            if os.name == "posix":  # elsewhere it would take a port from whoever listens there
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found[0][4])
    except (OSError, UnicodeError) as problem:
        raise _unheard(settings, problem) from None


def _unheard(settings: Settings, problem: Exception) -> ConfigError:
    why = getattr(problem, "strerror", None) or str(problem)
    return ConfigError(
        f"cannot listen at {settings.host}, port {settings.port} ({why}); name another --port or "
        "--host"
    )


@contextmanager
def _service(settings: Settings, models: Models) -> Iterator[Service]:
    """The service with its folder, which is gone afterwards."""
    limits = Limits(pixels=settings.max_pixels, bytes=settings.max_bytes)
    root = Path(tempfile.mkdtemp(prefix="gatefill-demo-"))
    store = Store(root, keep=settings.keep, limits=limits)
    service = Service(models, store, Workers(settings.workers))
    store.keep_swept()
    try:
        yield service
    finally:
        service.close()
        store.close()


def _launch(settings: Settings, service: Service) -> Any:
    """The page (`gr.Blocks`), served. Raises ConfigError where that cannot be."""
    import gradio as gr
    from fastapi.exceptions import RequestValidationError
    from starlette.middleware import Middleware

    from gradio_demo.app import build_app, functions_of, looks
    from gradio_demo.guard import Guard
    from gradio_demo.page import unfit
    from gradio_demo.strangers import Strangers

    page: gr.Blocks = build_app(service, settings.url)
    # Requests that skip the queue would skip its bounds.
    page.queue(max_size=settings.queue, default_concurrency_limit=settings.workers, api_open=False)
    guard = Middleware(Guard, store=service.store, functions=functions_of(page))
    try:
        page.launch(
            **looks(),
            server_name=settings.host,
            server_port=settings.port,
            auth=settings.credentials,
            share=settings.share,
            max_file_size=settings.max_bytes,
            app_kwargs={
                "middleware": [guard, Middleware(Strangers, names=settings.hosts)],
                "exception_handlers": {RequestValidationError: unfit},
                "docs_url": None, "redoc_url": None,
            },
            prevent_thread_lock=True, quiet=True, inbrowser=False, show_error=False,
            run_history=False, enable_monitoring=False, pwa=False, ssr_mode=False,
            mcp_server=False, num_workers=0, footer_links=[], state_session_capacity=SESSIONS,
        )  # fmt: skip
    except OSError as problem:
        raise _unheard(settings, problem) from None
    page.app.iterators = Going(page.app.iterators)
    if settings.share and not page.share_url:
        page.close(verbose=False)
        raise ConfigError(
            "Gradio gave no public address; see whether this machine reaches the net, or leave "
            "--share out"
        )
    return page


class Going(dict[str, Any]):
    """What goes on, by the number of its event.

    Gradio ends it where it is cancelled and where it comes to its end, both at once at times; what
    is gone already is no fault then.
    """

    def __delitem__(self, key: str) -> None:
        self.pop(key, None)


def _end(page: Any) -> None:
    """Close the page at once. Whoever still listens is cut off, of which Uvicorn would complain."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    page.server.force_exit = True
    page.close(verbose=False)


def _say(settings: Settings, page: Any) -> None:
    sys.stderr.write(f"{page.share_url or settings.url} (Ctrl+C ends it)\n")
    if settings.is_open:
        sys.stderr.write(
            "note: whoever reaches it may use it; --auth USER:PASSWORD asks for more\n"
        )
    sys.stderr.flush()
