"""Colour strokes: what they are drawn after, and that they are like a hand's."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from core.errors import ConfigError
from core.sketch.colors import Ground, amount_of, colour_strokes, smoothed
from trainer.config import TrainConfig
from trainer.data.colours import draw_colours
from trainer.data.frame import Frame
from trainer.data.sources import Entry, Place

cv2 = pytest.importorskip("cv2")
RED, BLUE = (200, 40, 30), (20, 60, 190)
STRAY = 40
"""Levels by which a drawn colour differs at most: 6 deviations of 6.7."""


def halves(size: tuple[int, int] = (96, 96)) -> Tensor:
    """Red to the left, blue to the right."""
    image = torch.tensor(RED, dtype=torch.uint8).view(3, 1, 1).repeat(1, *size)
    image[..., size[1] // 2 :] = torch.tensor(BLUE, dtype=torch.uint8).view(3, 1, 1)
    return image


def drawn(strokes: Tensor) -> Tensor:
    """Where there is a stroke: (H, W)."""
    return (strokes > 0).any(dim=0)


def many(image: Tensor, count: int, segments: Tensor | None = None) -> list[Tensor]:
    return [colour_strokes(image, segments, np.random.default_rng(seed)) for seed in range(count)]


def near(strokes: Tensor, colours: Tensor) -> Tensor:
    """Where the strokes have about these colours: (H, W)."""
    return (strokes.int() - colours.int()).abs().amax(dim=0) <= STRAY


def test_strokes_depend_on_the_picture_and_the_random_numbers_alone():
    first, other = many(halves(), 6), many(halves().flip(-1), 6)
    again = many(halves(), 6)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert len({a.numpy().tobytes() for a in first}) > 3


@pytest.mark.parametrize("size", [(64, 64), (96, 128), (257, 130)])
def test_strokes_have_the_size_and_type_of_the_picture(size):
    for strokes in many(halves(size), 8):
        assert strokes.shape == (3, *size) and strokes.dtype == torch.uint8


def test_there_are_none_few_and_broad_ones():
    """By the documented shares: 5 % nothing, 25 % up to four strokes, 15 % areas."""
    shares = np.array([drawn(strokes).float().mean() for strokes in many(halves(), 200)])
    assert 2 <= (shares == 0).sum() <= 22
    assert ((shares > 0) & (shares < 0.1)).mean() > 0.1
    assert 0.05 < (shares > 0.7).mean() < 0.4
    assert 0.1 < np.median(shares) < 0.6


def test_a_stroke_has_the_colour_of_its_segment_and_mostly_stays_in_it():
    image, right, total = halves(), 0, 0
    for strokes in many(image, 60):
        where = drawn(strokes)
        either = near(strokes, image) | near(strokes, image.flip(-1))
        assert either[where].all()
        right, total = right + int(near(strokes, image)[where].sum()), total + int(where.sum())
    assert right / total > 0.95


def test_colours_are_picked_nearly_not_exactly():
    ground = Ground(halves().movedim(0, -1).numpy(), np.zeros((96, 96), np.uint8), (0.0,))
    left = np.zeros((96, 96), bool)
    left[:, :48] = True
    random = np.random.default_rng(0)
    picked = np.array([ground.drawn_colour(left, random) for _ in range(500)])
    assert np.abs(picked.mean(axis=0) - RED).max() < 1.5
    # 6 for all channels at once and 3 for each: sqrt(45) in each, and 36 of their 45 in common
    assert picked.std(axis=0) == pytest.approx([45**0.5] * 3, rel=0.12)
    assert np.corrcoef(picked.T)[0, 1] == pytest.approx(36 / 45, abs=0.08)


def test_drawn_black_is_not_nothing():
    black = np.zeros((64, 64, 3), np.uint8)
    ground = Ground(black, black, (1.0,) * 3)
    random, everywhere = np.random.default_rng(0), np.ones((64, 64), bool)
    picked = [tuple(ground.drawn_colour(everywhere, random)) for _ in range(200)]
    assert (0, 0, 0) not in picked and (1, 1, 1) in picked


def test_small_things_of_another_colour_are_drawn_too():
    """Six of 1.1 % of the pixels each.

    A stroke begins in each of them with a chance of 10 / (60 + 93) = 6.5 %, the roots of areas.
    """
    image = torch.full((3, 96, 96), 150, dtype=torch.uint8)
    colours = torch.tensor(
        [RED, BLUE, (20, 190, 40), (230, 220, 20), (0, 200, 220), (220, 20, 220)]
    )[..., None, None]
    for i, colour in enumerate(colours):
        top, left = 8 + i % 3 * 30, 20 + i // 3 * 40
        image[:, top : top + 10, left : left + 10] = colour
    found = [sum(bool(near(s, colour).any()) for colour in colours) for s in many(image, 60)]
    assert np.mean(found) > 2.2  # by area alone it would be 1.4


def test_whole_areas_are_filled_at_times():
    """Of 16 tiles in as many colours two areas and twelve strokes never cover the most."""
    tiles = np.random.default_rng(5).integers(0, 256, (3, 4, 4), dtype=np.uint8)
    image = torch.from_numpy(np.kron(tiles, np.ones((1, 24, 24), np.uint8)))
    shares = np.array([drawn(strokes).float().mean() for strokes in many(image, 80)])
    assert 0.04 < (shares > 0.6).mean() < 0.25


def test_a_density_says_how_much_is_drawn():
    """From one stroke to areas that leave next to nothing free."""
    shares = []
    for amount in map(amount_of, (0.01, 0.3, 0.6, 1.0)):
        found = [
            colour_strokes(halves(), None, np.random.default_rng(seed), amount)
            for seed in range(20)
        ]
        shares.append(np.mean([drawn(strokes).float().mean() for strokes in found]))
    assert shares == sorted(shares)
    assert shares[0] < 0.05 and 0.15 < shares[1] < 0.6 and shares[3] > 0.85
    assert amount_of(0.5) == ((0, 0), (15, 15)) and amount_of(1) == ((24, 24), (30, 30))


@pytest.mark.parametrize("density", [0, -0.5, 1.01, float("nan")])
def test_a_density_that_is_none_is_refused(density):
    with pytest.raises(ConfigError, match="must be above 0 and up to 1"):
        amount_of(density)


def test_a_pen_is_no_wider_than_what_it_draws():
    """30 strokes in segments of 2 x 2 pixels are dabs of at most 3 x 3."""
    rows = torch.arange(96) // 2
    for strokes in many(halves(), 60, rows[:, None] * 48 + rows):
        assert drawn(strokes).sum() <= 30 * 9


def ramp() -> Tensor:
    """From black at the left to white at the right."""
    return torch.linspace(0, 255, 96).round().to(torch.uint8).expand(3, 96, 96).contiguous()


def test_with_a_label_map_a_segment_has_one_colour_however_much_it_varies():
    """The median of the ramp's left half is 64, of its right half 191."""
    segments = (torch.arange(96) >= 48).long().expand(96, 96) * 70_000
    for strokes in many(ramp(), 30, segments):
        for half, median in ((strokes[..., :44], 64), (strokes[..., 52:], 191)):
            assert near(half, torch.full((3, 1, 1), median))[drawn(half)].all()
    spread = [s[:, drawn(s)].float().std() for s in many(ramp(), 30) if drawn(s).sum() > 2000]
    assert max(spread) > 50  # without it dark ones and light ones


def test_the_filters_take_the_detail_and_leave_the_borders():
    flat = halves().movedim(0, -1).numpy()
    assert np.array_equal(smoothed(flat), flat)
    noisy = np.clip(flat + np.random.default_rng(0).normal(0, 12, flat.shape), 0, 255)
    found = smoothed(noisy.astype(np.uint8)).astype(int)
    assert found[8:-8, 8:40].std(axis=(0, 1)).max() < 3
    assert (found[:, 47, 0] - found[:, 48, 0]).min() > 140


def test_large_pictures_are_smoothed_like_small_ones():
    large = np.kron(halves().movedim(0, -1).numpy(), np.ones((3, 3, 1), np.uint8))
    assert np.abs(smoothed(large).astype(int) - large)[:, np.r_[:138, 150:288]].max() <= 1


@pytest.fixture
def config(tmp_path) -> TrainConfig:
    return TrainConfig(data=(str(tmp_path),), out=tmp_path / "run", preset="deepfillv2-tiny")


def entry(folder: Path, segments: np.ndarray | None) -> Entry:
    Image.fromarray(ramp().movedim(0, -1).numpy()).save(folder / "a.png")
    if segments is None:
        return Entry(Place(folder / "a.png"))
    Image.fromarray(segments).save(folder / "a.seg.png")
    return Entry(Place(folder / "a.png"), seg=Place(folder / "a.seg.png"))


def strokes_of(config: TrainConfig, entry: Entry, seed: int, reports: list[str]) -> Tensor:
    frame = Frame((96, 96), (0.0, 0.0, 96.0, 96.0), 96, mirrored=True)

    def report(name: str, reason: str) -> None:
        reports.append(reason)

    random = np.random.default_rng(seed)
    return draw_colours(ramp().flip(-1), entry, frame, random, report)


def test_the_label_map_beside_a_picture_is_cut_like_it(tmp_path, config):
    segments = np.zeros((96, 96), np.uint8)
    segments[:, 48:] = 3
    reports: list[str] = []
    for seed in range(4):
        found = strokes_of(config, entry(tmp_path, segments), seed, reports)
        expected = torch.from_numpy(segments[:, ::-1].copy()).long()
        given = colour_strokes(ramp().flip(-1), expected, np.random.default_rng(seed))
        assert torch.equal(found, given)
    assert not reports


def test_without_a_label_map_and_with_a_damaged_one_colours_part_the_picture(tmp_path, config):
    damaged = entry(tmp_path, np.zeros((96, 96), np.uint8))
    (tmp_path / "a.seg.png").write_bytes(b"no picture")
    reports: list[str] = []
    for made in (entry(tmp_path, None), damaged):
        found = strokes_of(config, made, 1, reports)
        given = colour_strokes(ramp().flip(-1), None, np.random.default_rng(1))
        assert torch.equal(found, given)
    assert len(reports) == 1 and "cannot be used" in reports[0]


def test_without_opencv_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ConfigError, match="needs OpenCV; install opencv-python-headless"):
        colour_strokes(halves(), None, np.random.default_rng(0))
