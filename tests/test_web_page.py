"""The browser page in a real browser: headless Chromium, driven as a visitor would."""

import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exports import tiny
from photos import smooth
from PIL import Image, ImageFilter
from toypipeline import info_of, negative, write_toy
from visits import Visit

from core.errors import BackendError
from core.single import canvas_of
from export.graph import GraphSettings, stamp, to_bytes
from export.pipeline_graph import export_pipeline
from export.web import runtime
from export.web.serve import Page, open_server
from export.web.site import build_site

api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
pytest.importorskip("onnx", reason="the package onnx is not installed")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
DESKTOP: dict[str, Any] = {"viewport": {"width": 1000, "height": 760}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 780},
    "has_touch": True,
    "is_mobile": True,
}
RIM = 4
"""Pixels round the hole over which fill and photo blend."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium on this machine")
    with api.sync_playwright() as play:
        running = play.chromium.launch(executable_path=path, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("npm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("npm_config_fetch_retries", "0")
        try:
            runtime.install(folder)
        except BackendError as problem:
            pytest.skip(str(problem))
    yield folder / "node_modules" / runtime.PACKAGE
    shutil.rmtree(folder)  # it has 140 MB


@pytest.fixture(scope="module")
def toy(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    build_site(write_toy(folder / "toy.onnx"), folder / "site", runtime=package)
    return folder / "site"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """500 x 360 pixels; a name with a space, as people's photos have."""
    path = tmp_path / "my photo.png"
    smooth(3, (360, 500)).save(path)
    return path


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Visit]]:
    """Open a folder's page in a browser of its own, which has nothing cached."""
    ends: list[Callable[[], Any]] = []

    def start(site: Path, *, isolated: bool = True, **screen: Any) -> Visit:
        asked: list[str] = []

        class Recorded(Page):
            headers_sent = Page.headers_sent if isolated else {}

            def send_head(self) -> Any:
                asked.append(self.path)
                return super().send_head()

        server = open_server(site, 0, Recorded)
        threading.Thread(target=server.serve_forever).start()
        context = browser.new_context(**(screen or DESKTOP))
        ends.extend([context.close, server.shutdown, server.server_close])
        return Visit(context, f"http://127.0.0.1:{server.server_port}/", asked)

    yield start
    for end in ends:
        end()


def test_a_visit_from_photo_to_download_and_back(toy, visit, photo, tmp_path):
    here = visit(toy)
    assert here.wait("ready") == "network"
    before = here.choose(photo)
    assert (here.result() == before).all()  # decoded as the file has it
    here.stroke((0.4, 0.4), (0.5, 0.45), (0.55, 0.4))
    mask = here.painted()
    assert mask.sum() > 500
    filled = here.fill()
    assert (filled == negative(before, mask)).all()
    assert "Filled 1 place in" in here.said()
    assert not here.painted().any()

    with here.page.expect_download() as download:
        here.page.click("#save")
    assert download.value.suggested_filename == "my photo-filled.png"
    download.value.save_as(tmp_path / "saved.png")
    with Image.open(tmp_path / "saved.png") as saved:
        assert (np.array(saved.convert("RGB")) == filled).all()

    here.page.locator("#compare").dispatch_event("pointerdown")
    assert (here.result() == before).all()
    here.page.locator("#compare").dispatch_event("pointerup")
    assert (here.result() == filled).all()
    here.page.keyboard.press("Control+z")
    assert (here.result() == before).all() and (here.painted() == mask).all()
    here.page.keyboard.press("Control+Shift+Z")
    assert (here.result() == filled).all() and not here.painted().any()

    here.stroke((0.1, 0.1), (0.2, 0.1))  # once more, on the result
    again = here.painted()
    assert (here.fill() == negative(filled, again)).all()

    here.page.close()
    here.requests.clear()
    here.open()
    assert here.wait("ready") == "cache"
    assert not [path for path in here.requests if path.endswith((".onnx", ".wasm"))]
    assert here.complaints == []


def test_holes_far_apart_are_filled_one_by_one_without_isolation(toy, visit, photo):
    here = visit(toy, isolated=False)
    assert here.wait("ready") == "network"
    assert here.page.evaluate("crossOriginIsolated") is False
    before = here.choose(photo)
    here.stroke((0.05, 0.1), (0.08, 0.12))
    here.stroke((0.9, 0.9), (0.95, 0.9))
    here.stroke((0.1, 0.85))
    mask = here.painted()
    assert (here.fill() == negative(before, mask)).all()
    assert "Filled 3 places" in here.said()
    assert here.complaints == []


def test_lines_and_colours_reach_the_network_and_the_eraser_takes_all_away(toy, visit, photo):
    here = visit(toy)
    here.wait("ready")
    before = here.choose(photo)
    here.page.fill("#size", "90")
    here.stroke((0.3, 0.5), (0.6, 0.5))
    here.page.keyboard.press("p")
    here.page.fill("#size", "20")
    here.page.fill("#tint", "#12c846")
    here.stroke((0.35, 0.5), (0.45, 0.5))
    here.page.keyboard.press("l")
    here.stroke((0.3, 0.45), (0.6, 0.55))
    layers = ("mask", "color", "sketch")
    across = (slice(150, 210), 200)  # the eraser's way
    assert all(here.painted(name)[across].any() for name in layers)
    here.page.keyboard.press("e")
    here.stroke((0.4, 0.3), (0.4, 0.7))
    mask, color, line = map(here.painted, layers)
    assert not (mask[across] | color[across] | line[across]).any()
    assert color.sum() > 300 and line.sum() > 100
    expected = negative(before, mask)
    tints = here.layer("color")[..., :3]
    assert (tints[180, 185] == (0x12, 0xC8, 0x46)).all()
    expected[mask & color] = tints[mask & color]
    expected[mask & line] = 0
    assert (here.fill() == expected).all()
    assert here.complaints == []


def test_a_network_without_guides_shows_no_tools_for_them(package, visit, tmp_path, photo):
    graph = write_toy(tmp_path / "bare.onnx", info_of(guides=()))
    build_site(graph, tmp_path / "site", runtime=package, title="Bare")
    here = visit(tmp_path / "site")
    here.wait("ready")
    before = here.choose(photo)
    assert here.page.text_content("#model") == "Bare"
    shown = "[...document.querySelectorAll('[data-guide]')].filter((part) => !part.hidden).length"
    assert here.page.evaluate(shown) == 0
    here.stroke((0.5, 0.5), (0.6, 0.5))
    mask = here.painted()
    assert (here.fill() == negative(before, mask)).all()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network with weights by seed, as pipeline.onnx."""
    generator = tiny("deepfillv2-tiny")
    canvas = replace(canvas_of(generator.contract, context=0.5, feather=RIM), size=64)
    info = info_of(contract=generator.contract, settings=asdict(canvas))
    model = export_pipeline(generator, canvas, GraphSettings(), optional=False)
    path = tmp_path_factory.mktemp("tiny") / "tiny.onnx"
    path.write_bytes(to_bytes(stamp(model, info)))
    return path


@pytest.mark.slow
def test_a_window_in_the_browser_gives_what_the_whole_photo_gives_here(
    network, package, visit, tmp_path, photo
):
    ort = pytest.importorskip("onnxruntime")
    build_site(network, tmp_path / "site", runtime=package)
    here = visit(tmp_path / "site")
    here.wait("ready")
    before = here.choose(photo)
    here.stroke((0.02, 0.9), (0.08, 0.95), (0.1, 0.97))
    mask = here.painted()
    filled = here.fill()

    session = ort.InferenceSession(network, providers=["CPUExecutionProvider"])
    feed = {"image": before.transpose(2, 0, 1)[None], "mask": mask[None, None] * np.uint8(255)}
    expected = session.run(None, feed)[0][0].transpose(1, 2, 0)
    off = np.abs(filled.astype(int) - expected)
    assert off.max() <= 1 and (off > 0).mean() <= 1e-3
    changed = (filled != before).any(-1)
    near = np.array(Image.fromarray(mask).convert("L").filter(ImageFilter.MaxFilter(2 * RIM + 1)))
    assert not changed[near == 0].any()
    assert changed[mask].mean() > 0.9


def test_a_phone_shows_every_control_and_takes_touches(toy, visit, photo):
    here = visit(toy, **PHONE)
    here.wait("ready")
    before = here.choose(photo)
    assert here.page.evaluate("document.documentElement.scrollWidth") == 390
    for control in ("#open", "#save", "#compare", "#undo", "#clear", "#run", "#tools label"):
        box = here.page.locator(control).first.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390
        assert box["y"] >= 0 and box["y"] + box["height"] <= 780
        assert min(box["width"], box["height"]) >= 40, control
    box = here.page.locator("#pad").bounding_box()
    here.page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    mask = here.painted()
    assert mask[180, 250]
    assert (here.fill() == negative(before, mask)).all()
    assert here.complaints == []


def test_it_can_be_used_by_the_keyboard_alone(toy, visit, photo):
    here = visit(toy)
    here.wait("ready")
    before = here.choose(photo)
    here.page.focus("#pad")
    for key in ("ArrowLeft", "ArrowLeft", "Space", "]", "ArrowUp", "Space"):
        here.page.keyboard.press(key)
    mask = here.painted()
    assert mask.any()
    here.page.keyboard.press("Enter")
    here.wait("done")
    assert (here.result() == negative(before, mask)).all()


def test_a_fill_can_be_stopped_and_done_again(toy, visit, photo):
    here = visit(toy)
    here.wait("ready")
    before = here.choose(photo)
    here.stroke((0.5, 0.5), (0.6, 0.5))
    mask = here.painted()
    here.page.evaluate("() => { run = document.getElementById('run'); run.click(); run.click(); }")
    assert here.wait("error") == "stopped"
    assert (here.result() == before).all() and (here.painted() == mask).all()
    assert (here.fill() == negative(before, mask)).all()


def test_what_a_visitor_can_do_wrong_is_said(toy, visit, photo, tmp_path):
    here = visit(toy)
    here.wait("ready")
    (tmp_path / "notes.png").write_text("no picture")
    here.page.set_input_files("#file", tmp_path / "notes.png")
    assert here.wait("error") == "photo"
    assert here.said() == "notes.png is no picture that this browser can open."
    Image.new("1", (8000, 6300)).save(tmp_path / "large.png")
    here.page.set_input_files("#file", tmp_path / "large.png")
    here.page.wait_for_selector("html[data-error=large]", state="attached")
    assert here.said() == (
        "This photo has 50 megapixels; up to 50 can be filled here: make it smaller first."
    )
    here.choose(photo)
    here.page.click("#run")
    assert here.wait("error") == "empty"
    assert here.said() == "Brush over what shall vanish first."


@pytest.fixture
def broken(toy: Path, tmp_path: Path) -> Path:
    """A copy of the page, to be spoilt."""
    return Path(shutil.copytree(toy, tmp_path / "broken"))


def test_a_missing_model_is_said_and_can_be_tried_again(broken, visit):
    (model,) = broken.glob("toy.*.onnx")
    model.rename(broken / "aside")
    here = visit(broken)
    assert here.wait("error") == "missing"
    assert here.said() == f"{model.name} is not on this server (HTTP 404); build the page again."
    (broken / "aside").rename(model)
    here.page.click("#retry")
    assert here.wait("ready") == "network"
    assert here.page.locator("#retry").is_hidden()


def test_a_changed_byte_of_the_model_is_found_and_the_file_not_kept(broken, visit):
    (model,) = broken.glob("toy.*.onnx")
    good = model.read_bytes()
    model.write_bytes(good[:-9] + bytes([good[-9] ^ 1]) + good[-8:])
    here = visit(broken)
    assert here.wait("error") == "damaged"
    assert "arrived damaged (its SHA-256 is another one)" in here.said()
    model.write_bytes(good[:-1])
    here.page.click("#retry")
    here.page.locator("#status", has_text="another length").wait_for()
    model.write_bytes(good)
    here.page.click("#retry")
    assert here.wait("ready") == "network"


@pytest.mark.parametrize("name", ["site.json", f"ort-{runtime.pinned_version()}/{runtime.ENTRY}"])
def test_a_page_that_is_incomplete_says_what_is_missing(broken, visit, name):
    (broken / name).unlink()
    here = visit(broken)
    assert here.wait("error") == "missing"
    assert here.said().startswith(f"{name} is not on this server")


def test_a_graph_that_does_not_load_is_said(broken, visit):
    """A file with the right hash, but no graph: as after a mistake in building."""
    facts = json.loads((broken / "site.json").read_text())
    bad = b"no graph at all"
    (broken / "bad.onnx").write_bytes(bad)
    facts["model"] |= {"file": "bad.onnx", "bytes": len(bad)}
    facts["model"]["sha256"] = hashlib.sha256(bad).hexdigest()
    (broken / "site.json").write_text(json.dumps(facts))
    here = visit(broken)
    assert here.wait("error") == "load"
    assert here.said().startswith("The network did not load: ")
