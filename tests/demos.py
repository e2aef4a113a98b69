"""The demo for the tests: a service in this process, and a real server in one of its own."""

import contextlib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from exports import tiny
from photos import smooth
from PIL import Image

from benchmarks.demo_client import ROOT, SECONDS, Answer, Client, Server, free_port, served
from core.weights import save_weights
from gradio_demo.models import Models
from gradio_demo.running import Workers
from gradio_demo.service import Service
from gradio_demo.store import Limits, Store

__all__ = ["ROOT", "Demo", "free_port", "running"]

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


class Demo(Client):
    """A server, as somebody on the net sees it."""

    def __init__(self, server: Server):
        super().__init__(server.client.port)
        self.server = server
        self.models: Path | None = None

    def log(self) -> str:
        return self.server.log

    def end(self) -> int:
        return self.server.end()

    def upload_file(self, file: Path) -> Answer:
        """The answer is the path by which the server knows it."""
        return self.upload(file.name, file.read_bytes())

    def give(self, file: Path) -> dict[str, Any]:
        """A file, uploaded, as a call takes it."""
        return self.given(file.name, file.read_bytes())

    def error(self, endpoint: str, **values: Any) -> str:
        """The sentence with which a call fails."""
        answer = self.call(endpoint, values)
        if answer.status != 200:
            return str(answer.json["detail"])
        kind, said = answer.events[-1]
        assert kind == "error", answer.text
        return str(said["error"])

    def result(self, endpoint: str, **values: Any) -> Any:
        """What a call gives."""
        kind, data = self.call(endpoint, values).events[-1]
        assert kind == "complete", data
        return data

    def fetch(self, file: dict[str, Any]) -> bytes:
        """The bytes of a file that a call gave."""
        with urllib.request.urlopen(file["url"], timeout=SECONDS) as answer:
            return bytes(answer.read())


@contextlib.contextmanager
def running(folder: Path, *flags: object, before: str = "") -> Iterator[Demo]:
    """A server of its own; before: Python that runs in it first."""
    folder.mkdir(parents=True, exist_ok=True)
    with served(folder, *flags, before=before, OMP_NUM_THREADS="1") as server:
        yield Demo(server)
