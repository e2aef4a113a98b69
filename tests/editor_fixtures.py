"""Fixtures of the demo's editor: a browser, the page, and a visitor who has opened a photo."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from editor_visits import DESKTOP, SECONDS, SIZE, EditorVisit
from photos import smooth

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
START = 300
"""Seconds that the server may take to start: on a machine with much else to do, a minute."""
HARNESS = Path(__file__).with_name("demo_harness.py")


@pytest.fixture(scope="module")
def editor_browser() -> Iterator[Any]:
    """Chromium."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium on this machine")
    api.expect.set_options(timeout=SECONDS)  # 5 s by default, which a busy machine takes
    with api.sync_playwright() as play:
        running = play.chromium.launch(executable_path=path, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address of the page of demo_harness.py, and its folder."""
    pytest.importorskip("gradio", reason="the package gradio is not installed")
    folder = tmp_path_factory.mktemp("harness")
    with harness_running(folder) as address:
        yield address, folder


@contextlib.contextmanager
def harness_running(folder: Path) -> Iterator[str]:
    """The page of the harness, its address; what arrives there lies in folder/came."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "server.log"
    env = {**os.environ, "GRADIO_TEMP_DIR": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, str(HARNESS), str(port), str(folder)],
            stdout=out, stderr=out, env=env, start_new_session=True,
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}/"
    try:
        wait_for(server, address, log)
        yield address
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


def wait_for(server: Any, address: str, log: Path) -> None:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(address + "config", timeout=5).read()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the server did not start: {log.read_text()}")


@pytest.fixture
def visit(editor_browser: Any, harness: tuple[str, Path]) -> Iterator[Callable[..., EditorVisit]]:
    """Open the page as a new visitor; nothing may be complained of in the end."""
    visits = []

    def start(**screen: Any) -> EditorVisit:
        visits.append(EditorVisit(editor_browser.new_context(**(screen or DESKTOP)), *harness))
        return visits[-1]

    yield start
    for one in visits:
        one.context.close()
        assert one.complaints == []


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "my photo.png"
    smooth(3, SIZE).save(path)
    return path


@pytest.fixture
def here(visit: Callable[..., EditorVisit], photo: Path) -> EditorVisit:
    """A visitor who has opened the photo."""
    one = visit()
    one.choose(photo, SIZE)
    return one
