"""A real ComfyUI server with this pack in it, for tests; needs COMFYUI_DIR, a checkout of ComfyUI.

COMFYUI_PYTHON is the interpreter that has its packages (default: the one of the tests). What the
server is given is what a clone has, minus what `.comfyignore` leaves out of the published archive.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
COMFYUI_DIR = os.environ.get("COMFYUI_DIR", "")
PYTHON = os.environ.get("COMFYUI_PYTHON", sys.executable)
PATIENCE = 120.0
"""Seconds to start, or to finish one prompt."""
FOLDER = "gatefill"
"""Of the pack below custom_nodes."""
Prompt = dict[str, Any]
Event = tuple[float, str, dict[str, Any]]
"""Seconds since the prompt was posted, type, data."""


class Server:
    """A running server; `log` is all that it has written."""

    def __init__(self, base: Path, port: int, process: subprocess.Popen, log_file: Path):
        self.base, self.process, self._log = base, process, log_file
        self.address = f"127.0.0.1:{port}"
        self.url = f"http://{self.address}"

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def send(self, path: str, body: Any) -> tuple[int, Any]:
        """Status and answer of a POST."""
        data = json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data, {"Content-Type": "application/json"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else {}
        except urllib.error.HTTPError as problem:
            return problem.code, json.loads(problem.read() or b"{}")

    def run(self, prompt: Prompt, during: Callable[[Event], None] | None = None) -> "Done":
        """Post a prompt and wait for its end; `during` is told every event as it comes."""
        from websockets.sync.client import connect

        client = uuid.uuid4().hex
        with connect(f"ws://{self.address}/ws?clientId={client}", max_size=None) as page:
            status, answer = self.send("/prompt", {"prompt": prompt, "client_id": client})
            assert status == 200 and not answer.get("node_errors"), (status, answer)
            began, events, name = time.monotonic(), [], answer["prompt_id"]
            while not _ended(events):
                message = page.recv(timeout=PATIENCE)
                if not isinstance(message, str):
                    continue  # a preview
                parsed = json.loads(message)
                data = parsed.get("data", {})
                if data.get("prompt_id", name) != name:
                    continue
                events.append((time.monotonic() - began, parsed["type"], data))
                if during is not None:
                    during(events[-1])
        while not (found := self.get(f"/history/{name}")):
            time.sleep(0.05)
        return Done(self, events, found[name])

    def bytes_at(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return answer.read()

    def text_at(self, path: str) -> str:
        return self.bytes_at(path).decode()

    def picture_at(self, path: str) -> Image.Image:
        return Image.open(BytesIO(self.bytes_at(path)))

    def picture(self, facts: dict[str, str]) -> Image.Image:
        return self.picture_at(f"/view?{urllib.parse.urlencode(facts)}")


class Done:
    """What came of a prompt."""

    def __init__(self, server: Server, events: list[Event], history: dict[str, Any]):
        self.server, self.events, self.history = server, events, history

    @property
    def outcome(self) -> str:
        return self.events[-1][1]

    def data(self, kind: str) -> list[dict[str, Any]]:
        """Of all events of one kind."""
        return [data for _, name, data in self.events if name == kind]

    def pictures(self, node: str) -> list[Image.Image]:
        """Those that an output node saved or previews."""
        return [self.server.picture(x) for x in self.history["outputs"][node].get("images", [])]

    def text(self, node: str) -> str:
        return "\n".join(self.history["outputs"][node].get("text", []))

    @property
    def cached(self) -> set[str]:
        return {name for data in self.data("execution_cached") for name in data["nodes"]}

    @property
    def error(self) -> str:
        """The first line of what the user sees."""
        return self.data("execution_error")[0]["exception_message"].splitlines()[0]


def _ended(events: list[Event]) -> bool:
    ends = ("execution_success", "execution_error", "execution_interrupted")
    return bool(events) and events[-1][1] in ends


@contextlib.contextmanager
def running(base: Path, *flags: str) -> Iterator[Server]:
    """A server on the CPU whose files lie in `base`, with the pack installed."""
    install(base / "custom_nodes" / FOLDER)
    for name in ("models/inpaint", "input", "output", "user", "temp"):
        (base / name).mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [PYTHON, "main.py", "--cpu", "--listen", "127.0.0.1", "--port", str(port)]
    command += ["--base-directory", str(base), "--disable-api-nodes", "--disable-auto-launch"]
    command += ["--database-url", "sqlite:///:memory:", *flags]
    quiet = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1"}
    log = base / "log.txt"
    with log.open("w") as file:
        process = subprocess.Popen(
            command, cwd=COMFYUI_DIR, stdout=file, stderr=subprocess.STDOUT,
            env={**os.environ, **quiet},
        )  # fmt: skip
    server = Server(base, port, process, log)
    try:
        _wait(server)
        yield server
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


def _wait(server: Server) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert server.process.poll() is None, server.log
        with contextlib.suppress(OSError):
            server.get("/system_stats")
            return
        time.sleep(0.3)
    raise AssertionError(f"the server does not answer\n{server.log}")


def install(folder: Path) -> None:
    """The files of the published archive."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    ignored = subprocess.run(
        ["git", "ls-files", "-ci", "-o", "--exclude-from=.comfyignore"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in set(listed.stdout.splitlines()) - set(ignored.stdout.splitlines()):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
