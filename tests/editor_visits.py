"""A visitor of the demo's editor: the page of demo_harness.py in a browser, and what Python got."""

import io
import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from photos import smooth
from PIL import Image

SECONDS = 60_000
"""Milliseconds to wait for anything: a busy machine is slow, and waiting costs nothing."""
SIZE = (200, 300)
"""Of the photo that visitors open, (height, width)."""
DESKTOP: dict[str, Any] = {"viewport": {"width": 1200, "height": 900}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
}
TURNED = 6
"""EXIF's orientation of a photo taken upright: its first row is shown on the right."""
Point = tuple[float, float]


class Arrived:
    """What Python got of one event."""

    def __init__(self, folder: Path):
        self.folder = folder
        content = json.loads((folder / "value.json").read_text(encoding="utf-8"))
        self.event, self.value = content["event"], content["value"]

    def picture(self) -> bytes:
        return next(self.folder.glob("picture.*")).read_bytes()

    def layer(self, name: str) -> np.ndarray | None:
        """(H, W, 4) bytes; None if nothing came."""
        path = self.folder / f"{name}.png"
        if not path.exists():
            return None
        with Image.open(path) as image:
            assert (image.format, image.mode) == ("PNG", "RGBA")
            return np.array(image)

    def alpha(self, name: str) -> np.ndarray:
        """(H, W) bytes."""
        layer = self.layer(name)
        assert layer is not None, f"{name} did not come"
        return layer[..., 3]

    def layers(self) -> dict[str, bytes]:
        """The pixels of all layers that came."""
        return {
            path.stem: self.layer(path.stem).tobytes()
            for path in self.folder.glob("*.png")
            if path.stem != "picture"
        }


class EditorVisit:
    """The page in a browser, and what it complained of."""

    def __init__(self, context: Any, address: str, folder: Path):
        self.context, self.address, self.folder = context, address, folder
        self.complaints: list[str] = []
        context.set_default_timeout(SECONDS)
        context.on("request", self._check)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("console", self._listen)
        self.page = context.new_page()
        self.load()

    def load(self, query: str = "") -> None:
        self.page.goto(self.address + query)
        self.page.wait_for_selector(".gf-editor[data-layers='mask sketch color semantic']")
        self.root = self.page.locator(".gf-editor")

    def _check(self, request: Any) -> None:
        if not request.url.startswith((self.address, "blob:", "data:")):
            self.complaints.append(f"foreign request: {request.url}")

    def _listen(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    # ---- what the page says ----

    def state(self, key: str) -> str:
        return str(self.root.evaluate(f"root => root.dataset.{key} ?? ''"))

    def wait(self, **states: Any) -> None:
        """Until the editor's data-* have these values."""
        for key, value in states.items():
            self.page.wait_for_selector(f".gf-editor[data-{key}='{value}']")

    def said(self) -> str:
        return str(self.page.text_content(".gf-status"))

    def seen(self) -> np.ndarray:
        """What the canvas shows: (H, W, 3) bytes, a pixel of the canvas for each."""
        self.page.evaluate(
            "() => new Promise((go) => setTimeout(() => requestAnimationFrame(go), 50))"
        )
        url = self.page.evaluate("document.querySelector('.gf-view').toDataURL()")
        with urllib.request.urlopen(url) as file, Image.open(io.BytesIO(file.read())) as image:
            return np.array(image.convert("RGB"))

    # ---- what people do ----

    def choose(self, photo: Path, size: tuple[int, int]) -> None:
        """Open a photo of `size` (height, width)."""
        self.opening(lambda: self.page.set_input_files(".gf-open-file", photo))
        assert self.state("size") == f"{size[1]}x{size[0]}"

    def opening(self, act: Any) -> Arrived:
        """Do what leads to another picture, and wait until Python was told."""
        return self._after(act, "opened")

    def press(self, *keys: str) -> None:
        self.page.locator(".gf-view").focus()
        for key in keys:
            self.page.keyboard.press(key)

    def brush(self, size: int, softness: int = 0) -> None:
        folded = not self.page.locator(".gf-exact").is_visible()  # on a phone
        if folded:
            self.page.click("[data-act=more]")
        self.page.fill(".gf-exact", str(size))
        self.page.press(".gf-exact", "Enter")
        if folded:
            self.page.click("[data-act=more]")
        if softness:
            self.page.locator(".gf-softness").fill(str(softness))
        self.wait(brush=size)

    def spot(self, x: float, y: float) -> Point:
        """A place of the picture on the page, to whole pixels, as pointers have them."""
        view = self.page.locator(".gf-view")
        view.evaluate("view => view.scrollIntoView({ block: 'nearest' })")
        box = view.bounding_box()
        scale, left, top = (float(self.state(key)) for key in ("scale", "x", "y"))
        return round(box["x"] + left + x * scale), round(box["y"] + top + y * scale)

    def place(self, spot: Point) -> Point:
        """The inverse of `spot`, from where the canvas lies and how a picture is fitted into it."""
        box = self.page.locator(".gf-view").bounding_box()
        across, down = round(box["width"]), round(box["height"])  # of whole pixels
        width, height = map(int, self.state("size").split("x"))
        scale = min(across / width, down / height)
        x = (spot[0] - box["x"]) * across / box["width"] - (across - width * scale) / 2
        y = (spot[1] - box["y"]) * down / box["height"] - (down - height * scale) / 2
        return x / scale, y / scale

    def stroke(self, *points: Point, button: str = "left") -> list[Point]:
        """Draw with the mouse through places of the picture; where the pointer really was there."""
        spots = [self.spot(*point) for point in points]
        self.page.mouse.move(*spots[0])
        self.page.mouse.down(button=button)
        for spot in spots[1:]:
            self.page.mouse.move(*spot)
        self.page.mouse.up(button=button)
        return [self.place(spot) for spot in spots]

    def fingers(self, *moments: list[Point]) -> None:
        """Touch the page with as many fingers as each moment has points, then let go."""
        session = self.context.new_cdp_session(self.page)
        for number, spots in enumerate(moments):
            kind = (
                "touchMove" if number and len(spots) == len(moments[number - 1]) else "touchStart"
            )
            points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(spots)]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        session.detach()

    def load_layer(self, path: Path) -> None:
        """Load a file into the layer that is chosen."""
        self.page.set_input_files(".gf-layer-file", path)

    def download(self, selector: str, folder: Path) -> Path:
        with self.page.expect_download() as waiting:
            self.page.click(selector)
        path = folder / waiting.value.suggested_filename
        waiting.value.save_as(path)
        return path

    # ---- what Python gets ----

    def echo(self) -> Arrived:
        """What an event sends."""
        return self._after(lambda: self.page.click("#echo"), "a note")

    def fill(self) -> Arrived:
        """Fill, and wait for the result."""
        results = int(self.state("results"))
        arrived = self._after(lambda: self.page.click("#fill"), "filled")
        self.wait(results=results + 1, showing="true", busy="false")
        return arrived

    def _after(self, act: Any, word: str) -> Arrived:
        before = self._count()
        act()
        number = self._next(before)
        self.page.wait_for_function(
            "text => document.querySelector('#log textarea').value === text", arg=f"{number} {word}"
        )
        self.wait(busy="false")
        return Arrived(self.folder / "came" / str(number))

    def _count(self) -> int:
        return len(list((self.folder / "came").glob("*/value.json")))

    def _next(self, before: int) -> int:
        deadline = time.monotonic() + SECONDS / 1000
        while self._count() == before and time.monotonic() < deadline:
            self.page.wait_for_timeout(20)
        assert self._count() == before + 1
        return before


def inside(points: list[Point], radius: float, size: tuple[int, int]) -> tuple[Any, Any]:
    """What a round brush covers on its way: two (H, W) of bool, surely and perhaps.

    By the distance of each pixel's centre from the nearest of many points of the way.
    """
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    distance = np.full(size, np.inf)
    for start, end in zip(points, points[1:] or points, strict=False):
        away = np.subtract(end, start)
        length = max(float(away @ away), 1e-12)
        along = ((columns - start[0]) * away[0] + (rows - start[1]) * away[1]) / length
        along = along.clip(0, 1)
        x, y = start[0] + along * away[0], start[1] + along * away[1]
        np.minimum(distance, np.hypot(columns - x, rows - y), out=distance)
    return distance < radius - 1e-6, distance <= radius + 1e-6


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two views show the same; painted in other parts, smoothing rounds otherwise."""
    return bool((np.abs(one.astype(int) - other) <= 8).all())


def exif_photo(path: Path) -> bytes:
    """A JPEG that is to be turned, with a date in its EXIF, and shown as SIZE."""
    exif = Image.Exif()
    exif[0x0112], exif[0x0132] = TURNED, "2026:11:27 10:00:00"
    smooth(5, SIZE[::-1]).save(path, quality=90, exif=exif)
    return path.read_bytes()
