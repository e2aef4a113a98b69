"""Training lines: where they come from, and what makes them like those of a hand."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import default_collate

from core.config import PRESETS
from core.masks.components import components
from core.registry import build_generator
from core.sketch.draw import landmark_lines, lines_of
from core.weights import DEFAULT_EDGES, save_weights
from trainer.config import TrainConfig
from trainer.data.lines import by_hand
from trainer.data.samples import Samples, find_pictures, to_batch
from trainer.data.sides import grey
from trainer.widen import initial_contract

ROOT = Path(__file__).parent.parent


@pytest.fixture
def config(tmp_path) -> TrainConfig:
    folder = tmp_path / "photos"
    folder.mkdir()
    pixels = np.full((64, 64, 3), 200, np.uint8)
    pixels[:, 32:] = 40
    Image.fromarray(pixels).save(folder / "a.png")
    return TrainConfig(
        data=(str(folder),), out=tmp_path / "run", preset="deepfillv2-tiny", crop=64, zoom=1.0,
        workers=0, sketch_share=1.0, lines="canny", holes=("box",), line_drop=0.0, line_shift=0.0,
    )  # fmt: skip


def samples(config: TrainConfig, count: int) -> list[torch.Tensor]:
    made = Samples(find_pictures(config.data), config)
    return [made[k]["sketch"] for k in range(count)]


def lines_image() -> torch.Tensor:
    """A circle, a diagonal and an upright line, apart from one another."""
    lines = torch.zeros(1, 256, 256, dtype=torch.uint8)
    angle = torch.linspace(0, 2 * torch.pi, 2000)
    lines[0, (80 + 40 * angle.sin()).round().long(), (80 + 40 * angle.cos()).round().long()] = 1
    lines[0, torch.arange(150, 240), torch.arange(150, 240)] = 1
    lines[0, 20:120, 200] = 1
    return lines


def near(lines: torch.Tensor, reach: int) -> torch.Tensor:
    return F.max_pool2d(lines.float()[None], 2 * reach + 1, 1, reach)[0] > 0


def test_with_nothing_to_do_lines_stay_exactly_as_they_are():
    for seed in range(10):
        lines = by_hand(lines_image(), np.random.default_rng(seed), drop=0.0, shift=0.0)
        assert torch.equal(lines, lines_image())


def test_lines_stray_no_farther_than_asked_and_do_not_tear():
    """2 pixels, half a pixel of rounding on either axis, one pixel of a pen three wide."""
    strayed = 0
    for seed in range(30):
        lines = by_hand(lines_image(), np.random.default_rng(seed), drop=0.0, shift=2.0)
        assert lines.dtype == torch.uint8 and not (lines.bool() & ~near(lines_image(), 4)).any()
        assert not (lines_image().bool() & ~near(lines, 4)).any()
        strayed += not torch.equal(lines, lines_image())
        assert len(components(lines[None])[1].unique()) == 3
    assert strayed > 25


def test_lines_bend_and_whole_lines_shift():
    """Seen on the upright line: its columns differ along it, and differ from sample to sample."""
    bent, means = 0, []
    for seed in range(30):
        lines = by_hand(lines_image(), np.random.default_rng(seed), drop=0.0, shift=8.0)
        columns = lines[0, 30:110, 180:220].float()
        where = (columns * torch.arange(40.0)).sum(1) / columns.sum(1)
        bent += bool(where.max() - where.min() > 2)
        means.append(float(where.mean()))
    assert bent > 10 and np.std(means) > 0.7


def test_pens_are_one_to_three_pixels_wide():
    widths = set()
    for seed in range(40):
        lines = by_hand(lines_image(), np.random.default_rng(seed), drop=0.0, shift=0.01)
        widths.add(int(lines[0, 70, 190:210].sum()))
    assert widths == {1, 2, 3}


def test_whole_lines_are_left_out():
    """A share between 0 and a half of three lines: three quarters stay, each whole or not."""
    kept = []
    for seed in range(200):
        lines = by_hand(lines_image(), np.random.default_rng(seed), drop=0.5, shift=0.0)
        for part in (lines[0, 30:130, 30:130], lines[0, 150:, 150:], lines[0, :130, 190:]):
            kept.append(bool(part.any()))
        left = lines_image().bool() & ~lines.bool()
        assert not (near(lines, 1) & left).any()
    assert 0.68 < np.mean(kept) < 0.82


BUNDLED = pytest.mark.skipif(not DEFAULT_EDGES.exists(), reason="no detector is bundled")


@pytest.mark.parametrize("kind", ["canny", pytest.param("detector", marks=BUNDLED)])
def test_lines_lie_on_the_edges_of_the_picture(config, kind):
    for lines in samples(replace(config, lines=kind), 4):
        columns = lines[0].nonzero()[:, 1]
        assert len(columns) > 40 and columns.min() >= 28 and columns.max() <= 35


def test_a_side_file_goes_before_landmarks_and_these_before_the_picture(config):
    folder = Path(config.data[0])
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    face = np.stack([32 + 20 * np.cos(angle), 32 + 20 * np.sin(angle)], 1)
    (folder / "a.landmarks.json").write_text(json.dumps(face.tolist()))
    expected = landmark_lines(torch.tensor(face, dtype=torch.float32), (64, 64)).to(torch.uint8)
    turned = face * [-1, 1] + [63, 0]
    mirrored = landmark_lines(torch.tensor(turned, dtype=torch.float32), (64, 64)).to(torch.uint8)
    seen = samples(config, 12)
    for lines in seen:
        assert torch.equal(lines, expected) or torch.equal(lines, mirrored)
    assert {torch.equal(lines, expected) for lines in seen} == {True, False}
    strength = np.zeros((64, 64), np.uint8)
    strength[10:50, 12] = 255
    Image.fromarray(strength).save(folder / "a_edge.png")
    exact = lines_of(torch.from_numpy(strength)[None, None] / 255, threshold=0.5)[0]
    for lines in samples(config, 6):
        straight = exact.to(torch.uint8)
        assert torch.equal(lines, straight) or torch.equal(lines, straight.flip(-1))


def test_how_strong_an_edge_must_be_varies(config):
    folder = Path(config.data[0])
    strength = np.zeros((64, 64), np.uint8)
    strength[10:50, 12], strength[10:50, 40] = 255, 128
    Image.fromarray(strength).save(folder / "a_edge.png")
    drawn = {round(float(lines.sum()), -1) for lines in samples(config, 16)}
    assert drawn == {40.0, 80.0}


def test_strengths_may_have_16_bits():
    """40000 of 65535 is 155.6 of 255."""
    content = io.BytesIO()
    Image.fromarray(np.array([[0, 40000, 65535]], np.uint16)).save(content, "PNG")
    assert grey(content.getvalue()).tolist() == [[0, 155, 255]]


def test_only_lines_inside_the_hole_count(config):
    samples = Samples(find_pictures(config.data), config)
    parts = samples[0] | {"sketch": torch.ones(1, 64, 64, dtype=torch.uint8)}
    batch = to_batch(default_collate([parts]), samples.contract)
    assert torch.equal(batch.guides["sketch"], batch.mask)


@pytest.mark.parametrize(
    ("of", "preset", "takes"),
    [
        ("deepfillv2", "deepfillv2", False),
        ("deepfillv2", "deepfillv2-sketch", True),  # widened by a sketch
        ("deepfillv2-tiny", "deepfillv2", True),
    ],
)
def test_weights_to_start_from_say_whether_lines_are_wanted(config, tmp_path, of, preset, takes):
    start = tmp_path / "start.safetensors"
    save_weights(start, build_generator(replace(PRESETS[of], width=8)))
    started = replace(config, init=start, preset=preset)
    contract = initial_contract(started.init, started.network())
    assert ("sketch" in [port.name for port in contract.guides]) == takes


WITHOUT = """
import sys
sys.modules.update(dict.fromkeys(("cv2", "skimage", "scipy"), None))
from core.errors import ConfigError
from trainer.config import TrainConfig
from trainer.data.samples import Samples, find_pictures
for preset, share, lines in (
    ("deepfillv2-sketch", 0.0, "canny"), ("deepfillv2", 1.0, "canny"),
    ("deepfillv2-sketch", 1.0, "canny"), ("deepfillv2-sketch", 1.0, "detector"),
):
    config = TrainConfig(data=(sys.argv[1],), out="x", preset=preset, crop=64, workers=0,
                         sketch_share=share, lines=lines)
    try:
        sample = Samples(find_pictures(config.data), config)[0]
        print(float(sample["sketch"].sum()) if "sketch" in sample else "no sketch")
    except ConfigError as problem:
        print(problem)
"""


def test_without_lines_no_optional_package_is_needed_and_with_them_it_is_named(config):
    command = [sys.executable, "-c", WITHOUT, config.data[0]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "0.0",
        "no sketch",
        "drawing lines from pictures needs OpenCV; install opencv-python-headless",
        "thinning lines needs scikit-image; install scikit-image",
    ], done.stderr
