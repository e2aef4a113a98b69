"""A visitor of the browser page: what people do there, and what they see."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SECONDS = 60_000
"""Milliseconds to wait for anything: a busy machine is slow, and waiting costs nothing."""


class Visit:
    """A page in the browser, and what was asked of its server."""

    def __init__(self, context: Any, address: str, requests: list[str]):
        self.context, self.address, self.requests = context, address, requests
        self.complaints: list[str] = []
        context.set_default_timeout(SECONDS)
        context.on("request", self._check)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("console", self._listen)
        self.open()

    def open(self) -> None:
        self.page = self.context.new_page()
        self.page.goto(self.address)

    def _check(self, request: Any) -> None:
        if not request.url.startswith((self.address, "blob:", "data:")):
            self.complaints.append(f"foreign request: {request.url}")

    def _listen(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def wait(self, state: str) -> str:
        """Wait for an attribute of the page; its value."""
        self.page.wait_for_selector(f"html[data-{state}]", state="attached")
        return str(self.page.evaluate(f"document.documentElement.dataset.{state}"))

    def said(self) -> str:
        return str(self.page.text_content("#status"))

    def choose(self, photo: Path) -> np.ndarray:
        """Give it a photo, (H, W, 3) bytes."""
        self.page.set_input_files("#file", photo)
        self.wait("view")
        self.page.locator("#status", has_text="Brush over what shall vanish.").wait_for()
        with Image.open(photo) as image:
            return np.array(image.convert("RGB"))

    def stroke(self, *points: tuple[float, float]) -> None:
        """Draw with the mouse along points given as fractions of the photo."""
        box = self.page.locator("#pad").bounding_box()
        there = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in points]
        self.page.mouse.move(*there[0])
        self.page.mouse.down()
        for point in there:
            self.page.mouse.move(*point, steps=4)
        self.page.mouse.up()

    def layer(self, name: str) -> np.ndarray:
        """A canvas of the page: (H, W, 4) bytes."""
        url = self.page.evaluate(f"document.getElementById('{name}').toDataURL('image/png')")
        with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
            return np.array(image.convert("RGBA"))

    def painted(self, name: str = "mask") -> np.ndarray:
        return self.layer(name)[..., 3] > 127

    def fill(self) -> np.ndarray:
        """Press Fill and wait: (H, W, 3) bytes."""
        times = self.page.evaluate("Number(document.documentElement.dataset.done ?? 0)")
        self.page.click("#run")
        self.page.wait_for_selector(f"html[data-done='{times + 1}']", state="attached")
        return self.result()

    def result(self) -> np.ndarray:
        rgba = self.layer("photo")
        assert (rgba[..., 3] == 255).all()
        return rgba[..., :3]
