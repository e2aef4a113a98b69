"""Masks by seed: the official ones to the pixel, ours without their faults."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors import Vectors

from core.masks import (
    KINDS,
    BrushStyle,
    _bounce,
    box_mask,
    free_form_mask,
    official_box_mask,
    official_brush_mask,
)

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
    for draw in KINDS.values():
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
