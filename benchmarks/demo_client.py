"""The browser demo as a process of its own, and somebody on the net who talks to it."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 120
"""To wait for an answer, and for the server to start: Gradio's import is slow on a busy machine."""
JSON = {"Content-Type": "application/json"}
BOUNDARY = "gatefill"


class Answer(NamedTuple):
    """What the server answered."""

    status: int
    text: str

    @property
    def json(self) -> Any:
        """The text, which must be JSON."""
        return json.loads(self.text)

    @property
    def events(self) -> list[tuple[str, Any]]:
        """Of a stream: kind and data of each event."""
        parts = [part.split("\ndata: ", 1) for part in self.text.strip().split("\n\n")]
        return [(p[0].removeprefix("event: "), json.loads(p[1])) for p in parts if len(p) == 2]


class Client:
    """Plain HTTP, a connection for each request; any thread may use it."""

    def __init__(self, port: int):
        self.port, self.url = port, f"http://127.0.0.1:{port}/"

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Any request; `path` as it stands in the address, without the first slash."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        with contextlib.closing(connection):
            connection.request(method, "/" + path, body, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.read().decode(errors="replace"))

    def ask(self, path: str, data: Any = None) -> Answer:
        """GET, or POST of JSON."""
        if data is None:
            return self.send("GET", path)
        return self.send("POST", path, json.dumps(data).encode(), JSON)

    def upload(self, name: str, content: bytes) -> Answer:
        """The answer is the path by which the server knows the file, in a list."""
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        return self.send("POST", "gradio_api/upload", form(name, content), kind)

    def given(self, name: str, content: bytes) -> dict[str, Any]:
        """A file, uploaded, as a call takes it."""
        path = self.upload(name, content).json[0]
        return {"path": path, "meta": {"_type": "gradio.FileData"}}

    def call(self, endpoint: str, values: dict[str, Any] | list[Any]) -> Answer:
        """Call by name, with named values or all in order; the refusal, or the stream of events."""
        named = isinstance(values, dict)
        route = f"gradio_api/call/{'v2/' if named else ''}{endpoint}"
        begun = self.ask(route, values if named else {"data": values})
        if begun.status != 200:
            return begun
        return self.ask(f"gradio_api/call/{endpoint}/{begun.json['event_id']}")

    def file(self, path: str) -> Answer:
        """Of the server, by the path that it gave."""
        return self.send("GET", f"gradio_api/file={quote(path)}")


def form(name: str, content: bytes) -> bytes:
    """A form with one file."""
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    )
    return head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


class Server:
    """The demo in its process."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path, port: int):
        self.process, self.client, self._log = process, Client(port), log

    @property
    def log(self) -> str:
        """All that it has said."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def end(self) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextlib.contextmanager
def served(folder: Path, *flags: object, before: str = "", **places: str) -> Iterator[Server]:
    """The demo, whose files lie in `folder`.

    before: Python that runs in it first; places: variables of its environment.
    Raises RuntimeError with what it says if it does not start.
    """
    port = free_port()
    code = f"{before}\nimport sys\nfrom gradio_demo.__main__ import main\nsys.exit(main())"
    command = [sys.executable, "-c", code, "--port", str(port), *map(str, flags)]
    log = folder / "server.log"
    with log.open("wb") as out:
        env = {**os.environ, "TMPDIR": str(folder), **places}
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=out)
    server = Server(process, log, port)
    try:
        _wait_until_up(server)
        yield server
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port that nobody listens at just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_up(server: Server) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if server.client.ask("gradio_api/app_id").status in (200, 401):
                return
        time.sleep(0.2)
    raise RuntimeError(f"the demo did not start: {server.log}")
