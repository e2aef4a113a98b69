"""The demo for the tests: a service in this process, and a real server in one of its own."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from exports import tiny
from photos import smooth
from PIL import Image

from core.weights import save_weights
from gradio_demo.models import Models
from gradio_demo.running import Workers
from gradio_demo.service import Service
from gradio_demo.store import Limits, Store

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 120
"""To wait for a server to start: Gradio's import takes long on a busy machine."""
TINY = {"tiny.safetensors": "deepfillv2-tiny", "streets.safetensors": "spade-tiny"}


def write_models(folder: Path) -> Path:
    """A folder with tiny networks, weights by seed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, preset in TINY.items():
        save_weights(folder / name, tiny(preset))
    return folder


def service_in(
    folder: Path, models: Path | None = None, *, workers: int = 2, keep: float = 600, **limits: int
) -> Service:
    """A service whose files lie in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(folder, keep=keep, limits=Limits(**limits))
    return Service(Models(models), store, Workers(workers))


def picture_file(path: Path, size: tuple[int, int] = (80, 100), seed: int = 1) -> Path:
    """A smooth picture of `size` (height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    smooth(seed, size).save(path)
    return path


def mask_file(path: Path, size: tuple[int, int] = (80, 100), box: Any = (30, 20, 60, 50)) -> Path:
    """White where the hole is; box: left, top, right, bottom."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = Image.new("L", size[::-1])
    mask.paste(255, box)
    mask.save(path)
    return path


def layer_file(path: Path, colour: tuple[int, int, int] = (9, 9, 9), **mask: Any) -> Path:
    """A layer of the editor, opaque where a mask is white."""
    with Image.open(mask_file(path, **mask)) as drawn:
        alpha = drawn.convert("L")
    layer = Image.new("RGBA", alpha.size, colour)
    layer.putalpha(alpha)
    layer.save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    """(H, W, C) bytes."""
    with Image.open(path) as image:
        return np.asarray(image)


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Demo:
    """A server, as somebody on the net sees it."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], log: Path):
        self.url, self.process, self._log = f"http://127.0.0.1:{port}/", process, log

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def ask(self, path: str, data: Any = None, **headers: str) -> Answer:
        """GET, or POST of JSON or of bytes; `path` as it stands in the address."""
        body = data if data is None or isinstance(data, bytes) else json.dumps(data).encode()
        kind = {"Content-Type": "application/json"} if body is not None else {}
        request = urllib.request.Request(self.url + path, body, kind | headers)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return Answer(answer.status, answer.read().decode(errors="replace"))
        except urllib.error.HTTPError as problem:
            return Answer(problem.code, problem.read().decode(errors="replace"))

    def upload(self, *files: Path) -> Answer:
        """The answer is the paths by which the server knows them."""
        body = b""
        for file in files:
            head = f'Content-Disposition: form-data; name="files"; filename="{file.name}"'
            body += f"--x\r\n{head}\r\n\r\n".encode() + file.read_bytes() + b"\r\n"
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        return self.ask("gradio_api/upload", body + b"--x--\r\n", **kind)

    def given(self, file: Path) -> dict[str, Any]:
        """A file, uploaded, as a call takes it."""
        return {"path": self.upload(file).json[0], "meta": {"_type": "gradio.FileData"}}

    def call(self, endpoint: str, **values: Any) -> Answer:
        """Call by name; the status, and then the whole stream of events."""
        begun = self.ask(f"gradio_api/call/v2/{endpoint}", values)
        if begun.status != 200:
            return begun
        return self.ask(f"gradio_api/call/{endpoint}/{begun.json['event_id']}")

    def error(self, endpoint: str, **values: Any) -> str:
        """The sentence with which a call fails."""
        answer = self.call(endpoint, **values)
        if answer.status != 200:
            return str(answer.json["detail"])
        last = answer.text.strip().split("\n\n")[-1]
        assert last.startswith("event: error\ndata: "), answer.text
        return str(json.loads(last.split("data: ", 1)[1])["error"])

    def result(self, endpoint: str, **values: Any) -> Any:
        """What a call gives."""
        last = self.call(endpoint, **values).text.strip().split("\n\n")[-1]
        assert last.startswith("event: complete\ndata: "), last
        return json.loads(last.split("data: ", 1)[1])

    def fetch(self, file: dict[str, Any]) -> bytes:
        """The bytes of a file that a call gave."""
        with urllib.request.urlopen(file["url"], timeout=SECONDS) as answer:
            return bytes(answer.read())

    def end(self) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextlib.contextmanager
def running(folder: Path, *flags: object, before: str = "") -> Iterator[Demo]:
    """A server of its own; before: Python that runs in it first."""
    port = free_port()
    code = f"{before}\nimport sys\nfrom gradio_demo.__main__ import main\nsys.exit(main())"
    command = [sys.executable, "-c", code, "--port", str(port), *map(str, flags)]
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "server.log"
    places = {"TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | places, stdout=out, stderr=out
        )
    demo = Demo(port, process, log)
    try:
        wait_until_up(demo)
        yield demo
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def wait_until_up(demo: Demo) -> None:
    """Return when it answers. Raises RuntimeError with its log if it does not."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and demo.process.poll() is None:
        with contextlib.suppress(OSError):
            if demo.ask("gradio_api/app_id").status in (200, 401):
                return
        time.sleep(0.2)
    raise RuntimeError(f"the server did not start: {demo.log()}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
