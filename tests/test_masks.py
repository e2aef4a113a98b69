"""Masks by seed: the official ones to the pixel, ours without their faults."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors import Vectors

from core.__main__ import main
from core.errors import ShapeError
from core.image import read_mask, read_picture
from core.masks.components import components
from core.masks.drawn import (
    BINS,
    KINDS,
    BrushStyle,
    _bounce,
    _grown,
    binned_mask,
    box_mask,
    free_form_mask,
    official_box_mask,
    official_brush_mask,
)
from core.masks.sheet import mask_sheet

OFFICIAL = Vectors("brush_stroke_mask_official")
PACKED = [key for key in OFFICIAL.tensors if key.endswith("packed")]


def expected(key: str, height: int, width: int) -> np.ndarray:
    bits = np.unpackbits(OFFICIAL.tensors[key].numpy())
    return bits[: height * width].reshape(height, width)


@pytest.mark.parametrize("key", PACKED)
def test_official_masks_by_the_same_seed_are_the_same(key):
    kind, size, seed, _ = key.split("/")
    height, width = map(int, size.split("x"))
    random = np.random.RandomState(int(seed))
    if kind == "brush":
        mask = official_brush_mask((height, width), random)
    else:
        top, left, high, wide = OFFICIAL.tensors[key.replace("packed", "tlhw")].tolist()
        mask = official_box_mask((height, width), random, box=(top, left, high, wide))
    difference = mask[0, 0].numpy() != expected(key, height, width)
    assert difference.mean() < 1e-3  # another Pillow may round a border pixel otherwise


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 200), width=st.integers(1, 200), seed=st.integers(0, 10**6))
def test_every_kind_draws_a_binary_mask_of_the_size_at_every_size(height, width, seed):
    for name, draw in KINDS.items():
        if height * width < 20 and (name == "bins" or name[0].isdigit()):
            continue  # no number of pixels may lie in the bin; see below
        mask = draw((height, width), seed)
        assert mask.shape == (1, 1, height, width)
        assert set(mask.unique().tolist()) <= {0.0, 1.0}
        assert torch.equal(mask, draw((height, width), seed))


def test_our_strokes_reach_every_part_of_a_wide_picture():
    """The official ones live in a transposed box and never reach the right of such a picture."""
    ours = sum(free_form_mask((64, 256), np.random.default_rng(s)) for s in range(60))
    theirs = sum(official_brush_mask((64, 256), np.random.RandomState(s)) for s in range(60))
    assert not theirs[..., 130:].any()
    assert (ours[..., 200:] > 0).float().mean() > 0.9
    assert (ours[..., :56] > 0).float().mean() > 0.9


def test_long_strokes_bounce_off_the_borders():
    """Without it they would leave the picture after a step or two and cover little of it."""
    assert _bounce(np.array([-3.0, 12.0]), (10, 10)).tolist() == [3, 8]
    style = BrushStyle(strokes=(1, 1), vertices=(12, 12), length=(0.8, 1.0), width=(0.05, 0.05))
    masks = [free_form_mask((128, 128), np.random.default_rng(s), style) for s in range(20)]
    assert float(torch.cat(masks).mean()) > 0.25


def test_our_strokes_scale_with_the_picture():
    shares = [
        np.mean([float(free_form_mask((n, n), np.random.default_rng(s)).mean()) for s in range(80)])
        for n in (64, 512)
    ]
    assert shares[0] == pytest.approx(shares[1], rel=0.15)


def test_a_thicker_brush_covers_more():
    thin, thick = (
        free_form_mask((128, 128), np.random.default_rng(3), BrushStyle(width=(w, w))).mean()
        for w in (0.02, 0.2)
    )
    assert thick > 2 * thin


def test_a_box_is_a_rectangle_of_the_asked_share():
    mask = box_mask((100, 200), np.random.default_rng(0), side=(0.5, 0.5))[0, 0]
    rows, columns = mask.nonzero(as_tuple=True)
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (50, 100)
    assert mask.sum() == 50 * 100


@pytest.mark.parametrize(("low", "high"), BINS)
@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 160), width=st.integers(1, 160), seed=st.integers(0, 10**6))
def test_the_hole_covers_its_share_of_the_picture_at_every_size(low, high, height, width, seed):
    pixels = height * width
    if not any(low < n / pixels <= high for n in range(1, pixels)):
        with pytest.raises(ShapeError, match="no hole in"):
            binned_mask((height, width), np.random.default_rng(seed), low, high)
        return
    mask = binned_mask((height, width), np.random.default_rng(seed), low, high)
    assert mask.shape == (1, 1, height, width) and set(mask.unique().tolist()) == {0.0, 1.0}
    assert low < int(mask.sum()) / pixels <= high
    assert torch.equal(mask, binned_mask((height, width), np.random.default_rng(seed), low, high))


@pytest.mark.parametrize(("low", "high"), BINS)
def test_shares_are_spread_over_their_bin(low, high):
    masks = [binned_mask((64, 64), np.random.default_rng(s), low, high) for s in range(60)]
    places = np.array([(float(mask.mean()) - low) / (high - low) for mask in masks])
    assert 0.35 < places.mean() < 0.65 and places.min() < 0.2 and places.max() > 0.8


def test_a_narrow_bin_is_hit_to_the_pixel():
    mask = binned_mask((40, 50), np.random.default_rng(0), 0.2499, 0.25)
    assert int(mask.sum()) == 500


@pytest.mark.parametrize("target", [1, 2, 37, 299])
def test_a_hole_grows_to_the_wanted_pixels_without_falling_apart(target):
    for seed in range(5):
        grown = _grown(torch.zeros(1, 1, 15, 20), target, np.random.default_rng(seed))
        assert int(grown.sum()) == target and len(components(grown)[1].unique()) == 1


def test_the_sheet_shows_every_kind_and_its_shares():
    """Two rows of two: names on the left, masks, and below each the share of the hole."""
    kinds = {"box": KINDS["box"], "10-20": KINDS["10-20"]}
    sheet = mask_sheet(kinds, (64, 96), 5, columns=2)
    assert sheet.shape == (1, 3, 8 + 2 * (64 + 14 + 8), 110 + 2 * (96 + 8))
    shown = sheet[0, 0, 8 : 8 + 64, 110 : 110 + 96]
    assert torch.equal(shown, KINDS["box"]((64, 96), 5)[0, 0])
    second = sheet[0, 0, 8 + 86 : 8 + 86 + 64, 110 + 104 : 110 + 104 + 96]
    assert torch.equal(second, KINDS["10-20"]((64, 96), 6)[0, 0])
    name = sheet[0, 0, 8 : 8 + 64, 8:100]
    assert (name > 0.6).any()  # light letters on the ground of 80 of 255


def test_the_command_draws_bins_sheets_and_the_users_own(tmp_path, capsys):
    out = tmp_path / "mask.png"
    assert main(["mask", "-o", str(out), "--kind", "30-40", "--size", "50x70"]) == 0
    assert 0.3 < float(read_mask(out, (50, 70)).mean()) <= 0.4
    assert main(["mask", "-o", str(out), "--strokes", "1", "1", "--width", "0.9", "0.9"]) == 0
    assert float(read_mask(out, (256, 256)).mean()) > 0.5
    (tmp_path / "own").mkdir()
    box_mask_file = tmp_path / "own" / "a.png"
    assert main(["mask", "-o", str(box_mask_file), "--kind", "box"]) == 0
    own = ["--mask-folder", str(tmp_path / "own"), "--labels", str(tmp_path / "own")]
    assert main(["mask", "--sheet", str(tmp_path / "sheet.png"), "--size", "64x64", *own]) == 0
    rows = len(KINDS) + 2
    assert read_picture(tmp_path / "sheet.png").size[0] == 8 + rows * (64 + 14 + 8)
    capsys.readouterr()
    assert main(["mask", "-o", str(out), "--kind", "segments"]) == 1
    assert "--kind segments needs --labels" in capsys.readouterr().err
    assert main(["mask", "-o", str(out), "--kind", "0-10", "--size", "1x1"]) == 1
    assert "no hole in 1 x 1 pixels" in capsys.readouterr().err
