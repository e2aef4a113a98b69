"""The edge detector: its convolutions, its loss, its training and how it is measured."""

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from core.__main__ import main as core_main
from core.errors import TrainingError, WeightsError
from core.layers.difference import KERNELS, RING, DifferenceConv2d
from core.losses import balanced_cross_entropy
from core.models.edges import EdgeConfig, EdgeDetector
from core.weights import load_edges, load_network, load_weights, read_info, save_weights
from trainer.edges import (
    EdgeCrops,
    EdgesConfig,
    _scaled,
    learning_rate,
    main,
    read_pairs,
    train_edges,
)
from trainer.evaluate_edges import Truth, detect, f_measure, scores
from trainer.evaluate_edges import main as evaluate_main

CLOCKWISE = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))


def naive(x: np.ndarray, w: np.ndarray, kind: str) -> np.ndarray:
    """Su et al. 2021, figure 2, pixel by pixel: x (H, W), w (3, 3) -> (H, W), zero outside."""
    padded = np.pad(x, 2)
    out = np.zeros_like(x)
    for row, column in np.ndindex(*x.shape):

        def at(offset, row=row, column=column):
            return padded[row + 2 + offset[0], column + 2 + offset[1]]

        total = 0.0
        for i, offset in enumerate(CLOCKWISE):
            weight = w[1 + offset[0], 1 + offset[1]]
            far = (2 * offset[0], 2 * offset[1])
            total += (
                weight
                * {
                    "plain": at(offset),
                    "central": at(offset) - at((0, 0)),
                    "angular": at(offset) - at(CLOCKWISE[(i + 1) % 8]),
                    "radial": at(far) - at(offset),
                }[kind]
            )
        if kind == "plain":
            total += w[1, 1] * at((0, 0))
        out[row, column] = total
    return out


@pytest.mark.parametrize("kind", KERNELS)
def test_difference_convolution_is_the_sum_over_pairs_of_pixels(kind):
    layer = DifferenceConv2d(1, 1, kind).double()
    x = torch.randn(1, 1, 6, 7, dtype=torch.float64)
    expected = naive(x[0, 0].numpy(), layer.weight[0, 0].detach().numpy(), kind)
    torch.testing.assert_close(layer(x)[0, 0], torch.from_numpy(expected))


@pytest.mark.parametrize("kind", [kind for kind in KERNELS if kind != "plain"])
def test_differences_of_a_flat_picture_are_zero_inside(kind):
    layer = DifferenceConv2d(2, 3, kind)
    assert layer(torch.full((1, 2, 8, 8), 0.7))[..., 2:-2, 2:-2].abs().max() < 1e-6


def test_the_ring_walks_clockwise_from_the_top_left():
    assert [(1 + y) * 3 + 1 + x for y, x in CLOCKWISE] == list(RING)


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (33, 18), (64, 64)])
def test_the_detector_takes_any_size_and_gives_strengths(size):
    torch.manual_seed(0)
    detector = EdgeDetector(EdgeConfig(width=4, side=2)).eval()
    strength = detector(torch.rand(2, 3, *size) * 2 - 1)
    assert strength.shape == (2, 1, *size)
    assert strength.min() >= 0 and strength.max() <= 1
    maps = detector.logits(torch.zeros(1, 3, *size))
    assert [m.shape for m in maps] == [(1, 1, *size)] * 5


def test_the_default_detector_stays_under_two_megabytes():
    count = sum(p.numel() for p in EdgeDetector(EdgeConfig()).parameters())
    assert 2 * count < 2e6  # in half precision


def test_balanced_cross_entropy_by_hand():
    """4 pixels: one edge, two not, one between; logits 0, so that each costs ln 2.

    Weights: edge 2/3, not 1.1/3 each; the sum (2/3 + 2.2/3) ln 2 over one edge.
    """
    strength = torch.tensor([[[[0.8, 0.0, 0.0, 0.2]]]])
    loss = balanced_cross_entropy(torch.zeros(1, 1, 1, 4), strength, positive=0.3)
    assert float(loss) == pytest.approx(4.2 / 3 * np.log(2))
    # What lies between does not count, whatever is said there.
    wild = torch.tensor([[[[0.0, 0.0, 0.0, 50.0]]]])
    assert float(balanced_cross_entropy(wild, strength, positive=0.3)) == pytest.approx(float(loss))
    # Two edges of two: twice the weighted sum, over twice the edges.
    both = torch.cat([strength, strength], dim=-1)
    wide = balanced_cross_entropy(torch.zeros(1, 1, 1, 8), both, positive=0.3)
    assert float(wide) == pytest.approx(float(loss))
    empty = balanced_cross_entropy(torch.zeros(1, 1, 1, 4), torch.zeros(1, 1, 1, 4), positive=0.3)
    assert float(empty) == 0


def test_weights_come_back_and_are_no_generator(tmp_path, capsys):
    path = tmp_path / "edges.safetensors"
    detector = EdgeDetector(EdgeConfig(width=4, side=2)).eval()
    save_weights(path, detector)
    x = torch.rand(1, 3, 20, 30)
    with torch.inference_mode():
        assert torch.equal(load_edges(path)(x), detector(x))
    assert isinstance(load_network(path), EdgeDetector)
    assert read_info(path).architecture == "edges"
    with pytest.raises(WeightsError, match="does not fill pictures"):
        load_weights(path)
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    fill = ["fill", str(tmp_path / "a.png"), str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png")]
    assert core_main([*fill, "--weights", str(path)]) == 1
    assert "does not fill pictures" in capsys.readouterr().err
    assert core_main(["info", str(path)]) == 0
    assert "edges" in capsys.readouterr().out


def test_a_generator_is_no_detector():
    from core.weights import DEFAULT_WEIGHTS

    with pytest.raises(WeightsError, match="needs an edge detector"):
        load_edges(DEFAULT_WEIGHTS)


def drawing(seed: int) -> tuple[Image.Image, Image.Image]:
    """A disc on a ground of another colour, and its outline."""
    random = np.random.default_rng(seed)
    colours = [tuple(int(c) for c in random.integers(0, 256, 3)) for _ in range(2)]
    picture, edges = Image.new("RGB", (48, 40), colours[0]), Image.new("L", (48, 40))
    x, y, r = (int(random.integers(*span)) for span in ((15, 33), (14, 26), (7, 13)))
    ImageDraw.Draw(picture).ellipse((x - r, y - r, x + r, y + r), fill=colours[1])
    ImageDraw.Draw(edges).ellipse((x - r, y - r, x + r, y + r), outline=255)
    return picture, edges


@pytest.fixture(scope="module")
def shard(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("edges") / "edges.tar"
    with tarfile.open(path, "w") as tar:
        for i in range(4):
            for suffix, image in zip((".png", ".edge.png"), drawing(i), strict=True):
                content = io.BytesIO()
                image.save(content, "PNG")
                member = tarfile.TarInfo(f"{i:06d}{suffix}")
                member.size = content.tell()
                content.seek(0)
                tar.addfile(member, content)
    return path


@pytest.fixture
def config(shard, tmp_path) -> EdgesConfig:
    return EdgesConfig(
        data=(str(shard),), out=tmp_path / "run", width=4, steps=4, batch=2, crop=32, workers=0
    )


def test_crops_are_functions_of_seed_and_number_and_keep_edges_on_edges(config):
    pairs = read_pairs(config.data)
    assert len(pairs) == 4 and pairs[0][0].shape == (40, 48, 3) and pairs[0][1].shape == (40, 48)
    crops = EdgeCrops(pairs, config)
    for k in range(12):
        image, strength = crops[k]
        assert torch.equal(image, EdgeCrops(pairs, config)[k][0])
        assert image.shape == (3, 32, 32) and strength.shape == (1, 32, 32)
        jump = (image.diff(dim=-1).abs().amax(0) > 0.2).nonzero()
        drawn = (strength[0] > 0).nonzero().float()
        if len(drawn) and len(jump):  # where colours change, a boundary is at most 2 pixels away
            assert torch.cdist(jump.float(), drawn).amin(dim=1).max() <= 2.9


def test_a_boundary_keeps_its_strength_when_a_picture_is_scaled_down():
    """At half the size, averaging alone would leave half of it."""
    edges = np.zeros((80, 80), np.uint8)
    edges[:, 40] = 255
    image, strength = _scaled(np.zeros((80, 80, 3), np.uint8), edges, 0.5)
    assert image.shape == (40, 40, 3)
    assert strength.sum(axis=1) == pytest.approx(1, abs=0.02)


def test_learning_rate_rises_then_falls_to_nothing(config):
    long = replace(config, steps=1000, warmup=10, lr=1.0)
    assert learning_rate(long, 0) == pytest.approx(0.1, rel=1e-3)
    assert learning_rate(long, 500) == pytest.approx(0.5)
    assert learning_rate(long, 1000) == pytest.approx(0)


def test_a_resumed_run_is_the_unbroken_one(config, tmp_path, monkeypatch):
    train_edges(config)
    whole = load_edges(config.out / "edges.safetensors").state_dict()
    broken = replace(config, out=tmp_path / "broken", save_every=2)
    from trainer import edges

    class Stop(Exception):
        pass

    def failing(*args, **named):
        raise Stop

    original = edges.learning_rate
    monkeypatch.setattr(
        edges, "learning_rate", lambda c, s: failing() if s == 3 else original(c, s)
    )
    with pytest.raises(Stop):
        train_edges(broken)
    monkeypatch.setattr(edges, "learning_rate", original)
    train_edges(broken, resume=True)
    resumed = load_edges(broken.out / "edges.safetensors").state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_it_learns_outlines_and_is_measured_above_chance(config, shard, tmp_path, capsys):
    few = [
        "--width",
        "4",
        "--steps",
        "60",
        "--batch",
        "2",
        "--crop",
        "40",
        "--workers",
        "0",
        "--lr",
        "0.01",
    ]
    assert main(["--data", str(shard), "--out", str(tmp_path / "r"), *few]) == 0
    weights = tmp_path / "r" / "edges.safetensors"
    out = tmp_path / "edges.json"
    arguments = ["--data", str(shard), "--weights", str(weights), "--json", str(out)]
    assert evaluate_main([*arguments, "--grid", str(tmp_path / "grid.png")]) == 0
    table = capsys.readouterr().out
    assert "ODS" in table and "Canny" in table and out.exists()
    picture, edges = (np.asarray(part) for part in drawing(0))
    strength = detect(load_edges(weights), picture)[0, 0].numpy()
    assert strength[edges > 0].mean() > 2 * strength[edges == 0].mean()


def test_pictures_without_maps_are_refused(config, tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    with pytest.raises(TrainingError, match=r"KEY\.edge\.png"):
        read_pairs((str(tmp_path),))


def test_settings_that_changed_are_named_on_resume(config):
    train_edges(config)
    with pytest.raises(TrainingError, match="already holds a run"):
        train_edges(config)
    with pytest.raises(TrainingError, match="--lr"):
        train_edges(replace(config, lr=1e-4), resume=True)


def test_matches_within_the_tolerance_count_by_hand():
    """Diagonal 50: tolerance 0.04 reaches 2 pixels. One line of two annotators, one of one."""
    edges = np.zeros((30, 40), np.uint8)
    edges[5, :], edges[20, :] = 255, 128
    lines = np.zeros((30, 40), bool)
    lines[7, :] = True  # 2 off: matched
    lines[23, :20] = True  # 3 off: not
    matched, drawn, reached, wanted = Truth(edges, 0.04).count(lines)
    assert (matched, drawn) == (40, 60)
    assert reached == pytest.approx(40) and wanted == pytest.approx(40 + 40 * 128 / 255)
    f, precision, recall = f_measure(np.array([matched, drawn, reached, wanted]))
    assert precision == pytest.approx(2 / 3)
    assert f == pytest.approx(2 * precision * recall / (precision + recall))


def test_the_best_threshold_of_the_set_and_of_each_picture():
    """Two pictures, two thresholds; each is perfect at another one."""
    perfect, half = [10, 10, 10, 10], [5, 10, 5, 10]
    counts = np.array([[perfect, half], [half, perfect]])
    found = scores(counts)
    assert found["ODS"] == pytest.approx(0.75) and found["OIS"] == pytest.approx(1)
