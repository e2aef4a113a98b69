"""The browser page without a browser: windows, the folder, the server."""

import json
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toypipeline import SETTINGS, info_of, write_toy

from core.crop import Window, hole_groups
from core.files import sha256_of
from core.single import Canvas, needed_window
from export.web import runtime
from export.web.__main__ import main
from export.web.serve import HEADERS, open_server
from export.web.site import CANVAS, PAGE, build_site

PHOTOS = dict(SETTINGS, size=256, context=0.75)
NODE = shutil.which("node")
SCRIPT = f"""
import * as calls from {json.dumps((PAGE / "window.mjs").as_uri())};
let text = '';
for await (const part of process.stdin) text += part;
const answers = JSON.parse(text).map(([name, ...args]) => calls[name](...args));
process.stdout.write(JSON.stringify(answers));
"""


def in_javascript(calls: list[list[Any]]) -> list[Any]:
    """The answers of functions of window.mjs: [[name, argument, ...], ...]."""
    if NODE is None:
        pytest.skip("node is not here, which runs the page's JavaScript without a browser")
    command = [NODE, "--input-type=module", "-e", SCRIPT]
    done = subprocess.run(command, input=json.dumps(calls), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def region(window: Window) -> dict[str, int]:
    return {
        "left": window.left,
        "top": window.top,
        "width": window.width,
        "height": window.height,
    }


def hole_of(mask: np.ndarray, left: int = 0, top: int = 0) -> dict[str, Any]:
    """A region as the page makes it; mask (h, w) bool."""
    height, width = mask.shape
    bytes_ = (mask.astype(int) * 255).ravel().tolist()
    return {"left": left, "top": top, "width": width, "height": height, "mask": bytes_}


def windows() -> list[tuple[Window, tuple[int, int], dict[str, Any]]]:
    """Boxes in pictures, each under several rules: corners, edges, whole, smaller than a canvas."""
    random = np.random.default_rng(0)
    cases = []
    for height, width in [(480, 640), (3000, 4000), (100, 900), (40, 30), (1, 1), (257, 256)]:
        boxes = [(0, 0, 1, 1), (height - 1, width - 1, height, width), (0, 0, height, width)]
        for _ in range(40):
            top, bottom = sorted(random.integers(0, height + 1, 2))
            left, right = sorted(random.integers(0, width + 1, 2))
            if bottom > top and right > left:
                boxes.append((int(top), int(left), int(bottom), int(right)))
        for box in boxes:
            for enlarge in (False, True):
                rule = dict(PHOTOS, enlarge=enlarge, context=float(random.choice([0.0, 0.3, 0.75])))
                rule |= {"grow": int(random.integers(0, 9)), "feather": int(random.integers(0, 9))}
                rule["widest_hole"] = float(random.choice([0.375, 0.5, 0.3]))
                cases.append((Window(*box), (height, width), rule))
    # Where a side comes out whole but for the last digit of a float.
    for step, part in [(13, {"context": 0.0, "widest_hole": 0.325}), (10, {"context": 2.15})]:
        for longer in range(step, 1000, step):
            rule = {**PHOTOS, "grow": 0, "feather": 0, **part}
            cases.append((Window(5, 7, 5 + longer, 8), (3000, 4000), rule))
    return cases


def test_the_page_cuts_the_windows_that_the_graph_needs():
    cases = windows()
    answers = in_javascript(
        [["neededWindow", region(box), size[1], size[0], rule] for box, size, rule in cases]
    )
    assert len(cases) > 300
    for (box, size, rule), answer in zip(cases, answers, strict=True):
        assert answer == region(needed_window(box, size, Canvas(**rule))), (box, size, rule)


def test_the_page_groups_holes_as_the_pipeline_does():
    random = np.random.default_rng(1)
    calls, expected = [], []
    for height, width, dabs in [(200, 300, 6), (90, 700, 9), (33, 41, 3), (120, 2600, 12)]:
        for _ in range(8):
            mask = np.zeros((height, width), bool)
            for _ in range(dabs):
                y, x = random.integers(0, height), random.integers(0, width)
                h, w = random.integers(1, 30, 2)
                mask[y : y + h, x : x + w] = True
            gap = int(random.integers(8, 64))
            ys, xs = np.nonzero(mask)
            top, left = max(0, ys.min() - 3), max(0, xs.min() - 5)
            part = hole_of(mask[top : ys.max() + 1, left : xs.max() + 1], int(left), int(top))
            calls.append(["holeGroups", part, width, height, gap])
            groups = hole_groups(torch.from_numpy(mask).float()[None, None], gap=gap)
            expected.append([region(w) for w in sorted(groups, key=lambda w: (w.top, w.left))])
    assert in_javascript(calls) == expected
    assert max(map(len, expected)) > 4


def planned(mask: np.ndarray, size: tuple[int, int] | None = None) -> list[dict[str, Any]]:
    """For a mask at the top left of a photo of `size`, as large as the mask if none is given."""
    height, width = size or mask.shape
    return in_javascript([["planWindows", hole_of(mask), width, height, PHOTOS]])[0]


def test_every_hole_is_filled_by_exactly_one_run():
    random = np.random.default_rng(2)
    mask = np.zeros((300, 2000), bool)
    for _ in range(14):
        y, x = random.integers(0, 280), random.integers(0, 1960)
        mask[y : y + random.integers(2, 80), x : x + random.integers(2, 80)] = True
    times = np.zeros(mask.shape, int)
    pairs = planned(mask)
    for pair in pairs:
        inner, window = pair["inner"], pair["window"]
        for side, length in (("left", "width"), ("top", "height")):
            assert window[side] <= inner[side]
            assert inner[side] + inner[length] <= window[side] + window[length]
        rows = slice(inner["top"], inner["top"] + inner["height"])
        times[rows, inner["left"] : inner["left"] + inner["width"]] += 1
    assert len(pairs) > 1
    assert times.max() == 1
    assert times[mask].min() == 1


def test_holes_that_fit_one_square_are_filled_together_and_far_ones_apart():
    mask = np.zeros((310, 2000), bool)
    mask[100:110, 300:310] = mask[100:110, 360:370] = True  # 50 pixels apart: more than the gap
    mask[100:110, 1500:1510] = True
    inner = [pair["inner"] for pair in planned(mask)]
    # The rim of 4 pixels belongs to what is changed.
    assert inner == [
        {"left": 296, "top": 96, "width": 78, "height": 18},
        {"left": 1496, "top": 96, "width": 18, "height": 18},
    ]


def test_holes_apart_whose_rims_would_meet_are_filled_together():
    mask = np.zeros((600, 600), bool)
    mask[0, :300] = mask[:300, 0] = True  # two arms; the corner between them is empty
    mask[303:600, 599] = mask[599, 303:600] = True
    assert [pair["inner"] for pair in planned(mask, (2000, 2000))] == [
        {"left": 0, "top": 0, "width": 604, "height": 604}
    ]


def test_a_window_into_which_another_hole_reaches_is_the_bare_square():
    mask = np.zeros((600, 1200), bool)
    mask[200:300, 400:500] = True  # with its rim 108 wide: a square of 108 / 0.375 = 288
    mask[295:298, 590:760] = True  # 178 wide: 178 / 0.375 = 474.67, so 475
    first, second = planned(mask)
    assert first["window"] == {"left": 306, "top": 106, "width": 288, "height": 288}
    assert second["window"] == {"left": 437, "top": 59, "width": 475, "height": 475}


def package(folder: Path, version: str = "") -> Path:
    """What npm would bring, but with other bytes in it."""
    (folder / "dist").mkdir(parents=True)
    for file in (*runtime.FILES, "ort.all.mjs"):
        (folder / "dist" / file).write_text(f"the bytes of {file}")
    facts = {"name": runtime.PACKAGE, "version": version or runtime.pinned_version()}
    (folder / "package.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    pytest.importorskip("onnx", reason="the package onnx is not installed")
    return write_toy(tmp_path / "toy.onnx")


@pytest.fixture
def site(graph: Path, tmp_path: Path) -> Path:
    build_site(graph, tmp_path / "site", runtime=package(tmp_path / "npm"))
    return tmp_path / "site"


def test_the_folder_holds_page_graph_and_three_files_of_the_runtime(graph, site):
    found = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    ort = f"ort-{runtime.pinned_version()}/"
    model = f"toy.{sha256_of(graph)[:16]}.onnx"
    ours = {path.name for path in PAGE.iterdir()} - {"onnxruntime-LICENSE.txt"}
    extra = {ort + name for name in (*runtime.FILES, "LICENSE.txt")}
    assert found == ours | extra | {model, "site.json", "_headers"}
    facts = json.loads((site / "site.json").read_text())["model"]
    assert (facts["file"], facts["bytes"]) == (model, graph.stat().st_size)
    assert facts["sha256"] == sha256_of(site / model) == sha256_of(graph)
    assert facts["settings"] == {name: SETTINGS[name] for name in CANVAS}
    assert "Microsoft" in (site / ort / "LICENSE.txt").read_text()


def test_nothing_in_the_page_names_another_host():
    for path in PAGE.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text and "https://" not in text, path.name
    lock = (runtime.HERE / "package-lock.json").read_text()
    assert "http" not in lock and "resolved" not in lock
    packages = json.loads(lock)["packages"]
    assert packages["node_modules/onnxruntime-web"]["version"] == runtime.pinned_version()
    assert all(entry["integrity"].startswith("sha512-") for name, entry in packages.items() if name)


def refusal(capsys: pytest.CaptureFixture[str], *flags: object) -> str:
    assert main([str(flag) for flag in flags]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    return said


@pytest.mark.parametrize(
    ("info", "sentence"),
    [
        (info_of(kind="generator"), "is a bare network"),
        (info_of(settings={"size": 64}), "does not say its context, grow"),
        (info_of(guides=("semantic",)), "takes semantic, which nobody can paint"),
    ],
)
def test_a_graph_that_the_page_cannot_feed_is_refused(info, sentence, graph, tmp_path, capsys):
    write_toy(graph, info)
    flags = ("--runtime", package(tmp_path / "npm"))
    assert sentence in refusal(capsys, graph, "-o", tmp_path / "out", *flags)
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_graph_is_refused(tmp_path, capsys):
    pytest.importorskip("onnx")
    (tmp_path / "a.onnx").write_bytes(b"not a graph")
    assert "a.onnx is damaged" in refusal(capsys, tmp_path / "a.onnx", "-o", tmp_path / "out")
    assert "no graph at" in refusal(capsys, tmp_path / "b.onnx", "-o", tmp_path / "out")


def test_another_version_of_the_runtime_is_refused(graph, tmp_path, capsys):
    out = tmp_path / "out"
    old = package(tmp_path / "old", version="1.16.3")
    said = refusal(capsys, graph, "-o", out, "--runtime", old)
    assert "onnxruntime-web 1.16.3; the page needs" in said
    assert "no npm package" in refusal(capsys, graph, "-o", out, "--runtime", tmp_path)
    (package(tmp_path / "part") / "dist" / runtime.WASM).unlink()
    assert "is missing" in refusal(capsys, graph, "-o", out, "--runtime", tmp_path / "part")
    assert not out.exists() and not list(tmp_path.glob(".part-*"))


def test_without_npm_it_says_what_to_do(graph, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "install Node.js, or name" in refusal(capsys, graph, "-o", tmp_path / "out")


def test_only_a_page_is_replaced_and_only_by_force(graph, site, tmp_path, capsys):
    flags = ("--runtime", tmp_path / "npm")
    assert "replace it by --force" in refusal(capsys, graph, "-o", site, *flags)
    (site / "old.txt").write_text("old")
    assert main([str(x) for x in (graph, "-o", site, *flags, "--force")]) == 0
    assert not (site / "old.txt").exists() and (site / "site.json").exists()
    said = refusal(capsys, graph, "-o", tmp_path, *flags, "--force")
    assert "holds something else than a page" in said
    assert graph.exists()


def test_there_must_be_something_to_do(tmp_path, capsys):
    assert "there is nothing to do" in refusal(capsys, "-o", tmp_path)
    assert "holds no page" in refusal(capsys, "-o", tmp_path, "--serve", "0")


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    with open_server(site, 0) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_the_server_sends_types_and_headers_that_a_browser_wants(address, graph):
    types = {
        "": "text/html; charset=utf-8",
        "app.mjs": "text/javascript; charset=utf-8",
        f"ort-{runtime.pinned_version()}/{runtime.WASM}": "application/wasm",
        f"toy.{sha256_of(graph)[:16]}.onnx": "application/octet-stream",
    }
    for path, kind in types.items():
        with urllib.request.urlopen(address + path) as answer:
            assert answer.headers["Content-Type"] == kind
            for name, value in HEADERS.items():
                assert answer.headers[name] == value


@pytest.mark.parametrize("path", ["none.onnx", f"ort-{runtime.pinned_version()}/", "../toy.onnx"])
def test_the_server_gives_files_of_the_page_alone(address, path):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(address + path)
    with refused.value as answer:
        assert answer.code == 404


def test_a_port_in_use_is_named(site, address, capsys):
    port = address.rstrip("/").rpartition(":")[2]
    assert f"port {port} cannot be had" in refusal(capsys, "-o", site, "--serve", port)
