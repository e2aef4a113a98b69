"""Windows, growing, softening and scaling, each at points that can be counted."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.crop import (
    Window,
    box_blur,
    breadth,
    feather,
    grow,
    hole_groups,
    mirror_to_multiple,
    resize,
    resize_hole,
    resize_known,
    with_context,
)


def square(size: int, at: tuple[int, int], side: int) -> torch.Tensor:
    mask = torch.zeros(1, 1, size, size)
    mask[..., at[0] : at[0] + side, at[1] : at[1] + side] = 1
    return mask


def test_growing_by_3_makes_a_square_of_5_one_of_11():
    assert torch.equal(grow(square(30, (10, 10), 5), 3), square(30, (7, 7), 11))


def test_the_blur_is_the_mean_over_the_window_and_ignores_the_outside():
    x = torch.zeros(1, 1, 7, 7)
    x[..., 3, 3] = 1
    assert box_blur(x, 1)[0, 0, 2:5, 2:5].flatten().tolist() == pytest.approx([1 / 9] * 9)
    assert torch.allclose(box_blur(torch.ones(1, 1, 4, 4), 3), torch.ones(1, 1, 4, 4))


@pytest.mark.parametrize("pixels", [1, 16, 17, 18, 49, 50, 60, 148, 149, 200])
def test_growing_far_in_few_steps_is_growing_at_once(pixels):
    """The slow way: the largest of all pixels of the square, one offset after the other."""
    random = torch.Generator().manual_seed(pixels)
    mask = (torch.rand(1, 1, 40, 230, generator=random) > 0.999).float() * 0.7
    wide = torch.nn.functional.pad(mask, (pixels, pixels, pixels, pixels))
    rows = wide.unfold(2, 40, 1).amax(dim=2).movedim(-1, 2)
    expected = rows.unfold(3, 230, 1).amax(dim=3)
    assert torch.equal(grow(mask, pixels), expected)


@pytest.mark.parametrize("pixels", [1, 2, 5, 8])
def test_feathering_keeps_the_hole_and_ends_after_so_many_pixels(pixels):
    mask = square(60, (20, 20), 20)
    soft = feather(mask, pixels)
    assert torch.equal(soft[mask == 1], mask[mask == 1])
    assert not soft[grow(mask, pixels) == 0].any()
    falling = soft[0, 0, 30, 39 : 40 + pixels + 1]
    assert (falling.diff() <= 0).all() and falling[-1] == 0 and falling[1] > 0


def test_holes_far_apart_are_groups_of_their_own_with_tight_boxes():
    mask = torch.maximum(square(400, (30, 41), 25), square(400, (300, 310), 50))
    assert set(hole_groups(mask, gap=32)) == {Window(30, 41, 55, 66), Window(300, 310, 350, 360)}


def test_holes_close_together_are_one_group():
    mask = torch.maximum(square(400, (30, 41), 25), square(400, (70, 60), 20))
    assert hole_groups(mask, gap=32) == [Window(30, 41, 90, 80)]


def test_a_hole_in_the_bend_of_another_joins_it():
    """Their boxes overlap, and each pixel is to be filled once."""
    mask = torch.maximum(square(400, (20, 20), 10), square(400, (60, 200), 10))
    mask[..., 20:300, 20:26] = mask[..., 294:300, 20:300] = 1
    assert hole_groups(mask, gap=16) == [Window(20, 20, 300, 300)]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 150), gap=st.integers(1, 80))
def test_groups_cover_every_hole_pixel_once(seed, size, gap):
    mask = (torch.rand(1, 1, size, size, generator=torch.manual_seed(seed)) > 0.97).float()
    if not mask.any():
        return
    covered = torch.zeros_like(mask)
    for box in hole_groups(mask, gap=gap):
        box.of(covered).add_(1)
    assert covered.max() == 1 and (covered[mask == 1] == 1).all()


def test_context_is_cut_at_the_border_but_keeps_the_least_size():
    assert with_context(Window(0, 50, 10, 60), (100, 100), margin=8, least=40) == (0, 35, 40, 75)
    assert with_context(Window(5, 5, 9, 9), (20, 30), margin=100, least=64) == (0, 0, 20, 30)
    assert with_context(Window(90, 90, 100, 100), (100, 100), margin=4, least=1) == (
        82,
        82,
        100,
        100,
    )


def test_breadth_is_that_of_the_widest_place():
    mask = torch.maximum(square(256, (20, 20), 60), square(256, (100, 150), 20))
    assert breadth(mask) == pytest.approx(60, abs=8)
    line = torch.zeros(1, 1, 256, 256)
    line[..., 100:110, :] = 1
    assert breadth(line) == pytest.approx(10, abs=4)
    assert breadth(torch.zeros(1, 1, 9, 9)) == 0
    assert breadth(torch.ones(1, 1, 64, 64)) >= 64  # an all-hole mask never ends the search


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (7, 8), (3, 17), (8, 16)])
def test_mirroring_reaches_the_next_multiple_and_keeps_the_picture(height, width):
    x = torch.rand(2, 3, height, width)
    padded = mirror_to_multiple(x, 8)
    assert padded.shape[-2] % 8 == padded.shape[-1] % 8 == 0
    assert padded.shape[-2] - height < 8 and padded.shape[-1] - width < 8
    assert torch.equal(padded[..., :height, :width], x)


def test_mirroring_reflects_without_the_edge_again_and_again():
    x = torch.arange(3.0).reshape(1, 1, 1, 3)
    assert mirror_to_multiple(x, 8)[0, 0, 0].tolist() == [0, 1, 2, 1, 0, 1, 2, 1]


def test_a_shrunk_hole_loses_no_pixel():
    mask = square(64, (13, 29), 1)
    small = resize_hole(mask, (7, 9))
    assert small.sum() == 1 and small[0, 0, int(13 / 64 * 7), int(29 / 64 * 9)] == 1


def test_scaling_what_is_known_ignores_what_is_not():
    image, hole = torch.full((1, 3, 32, 32), 0.4), square(32, (8, 8), 12)
    painted = torch.where(hole > 0, 1.0, image)
    small, small_hole = resize_known(painted, hole, (11, 9)), resize_hole(hole, (11, 9))
    known = (small_hole == 0).expand_as(small)
    assert torch.allclose(small[known], torch.tensor(0.4))
    assert not torch.allclose(resize(painted, (11, 9))[known], torch.tensor(0.4))


def test_scaling_keeps_a_flat_picture_flat_and_in_range():
    for size in ((5, 9), (40, 31)):
        assert torch.allclose(resize(torch.full((1, 3, 20, 20), 0.3), size), torch.tensor(0.3))
        scaled = resize((torch.rand(1, 3, 20, 20) > 0.5).float(), size)
        assert scaled.shape[-2:] == size and scaled.min() >= 0 and scaled.max() <= 1
