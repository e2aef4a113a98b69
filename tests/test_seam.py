"""Matching colours: the network's own error is taken off, and nothing else."""

import pytest
import torch

from core.contract import TRUSTED
from core.seam import blend, match_colours, match_seam, match_tint, spread


def hole_of(size: int, side: int) -> torch.Tensor:
    hole = torch.zeros(1, 1, size, size)
    start = (size - side) // 2
    hole[..., start : start + side, start : start + side] = 1
    return hole


def test_the_seam_takes_the_colour_round_the_hole():
    image, hole = torch.full((1, 3, 40, 40), 0.5), torch.zeros(1, 1, 40, 40)
    hole[..., 10:30, 10:30] = 1
    matched = match_seam(torch.full_like(image, 0.3), image, hole)
    assert matched[0, 0, 20, 10] == pytest.approx(0.5, abs=0.04)
    assert matched[0, 0, 20, 20] == pytest.approx(0.3)
    assert (matched[0, 0, 20, 10:20].diff() <= 1e-6).all()


def test_a_network_that_makes_no_error_is_not_changed():
    image, hole = torch.rand(1, 3, 70, 50), torch.zeros(1, 1, 70, 50)
    hole[..., 20:40, 10:30] = 1
    filled = torch.where(hole > 0, 0.3, image)
    torch.testing.assert_close(match_colours(filled, image, hole), filled)


@pytest.mark.parametrize("side", [1, 10, 60, 118])
def test_a_tint_over_the_whole_output_is_taken_off_in_the_whole_hole(side):
    truth, hole = 0.2 + 0.6 * torch.rand(1, 3, 120, 120), hole_of(120, side)
    tint = torch.tensor([0.1, -0.05, -0.15]).reshape(1, 3, 1, 1)
    matched = match_tint(truth + tint, truth * (1 - hole), hole)
    inside = hole.bool().expand_as(truth)
    torch.testing.assert_close(matched[inside], truth[inside], atol=1e-5, rtol=0)


def test_an_error_that_changes_across_the_picture_is_followed():
    ramp = torch.linspace(-0.2, 0.2, 128).expand(1, 3, 128, 128)
    image, hole = torch.full((1, 3, 128, 128), 0.5), hole_of(128, 40)
    matched = match_tint(image - ramp, image, hole)
    inside = hole.bool().expand_as(image)
    before = (ramp[inside]).abs().mean()
    assert (matched - image)[inside].abs().mean() < 0.25 * before


def test_what_lies_beyond_the_trusted_distance_does_not_matter():
    image, hole = torch.full((1, 3, 300, 64), 0.5), torch.zeros(1, 1, 300, 64)
    hole[..., 140:160, 20:40] = 1
    filled = image.clone()
    filled[..., : 140 - TRUSTED - 8, :] = 1.0
    filled[..., 160 + TRUSTED + 8 :, :] = 0.0
    torch.testing.assert_close(match_tint(filled, image, hole)[hole.bool().expand_as(image)],
                               image[hole.bool().expand_as(image)])  # fmt: skip


def test_without_any_known_pixel_the_fill_is_returned():
    filled = torch.rand(1, 3, 9, 17)
    hole = torch.ones(1, 1, 9, 17)
    assert torch.equal(match_tint(filled, torch.zeros_like(filled), hole), filled)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (7, 5), (16, 16)])
def test_spreading_keeps_known_values_and_carries_them_everywhere(height, width):
    weight = torch.zeros(1, 1, height, width)
    weight[..., 0, 0] = 1
    values = torch.full((1, 2, height, width), 0.7) * weight
    torch.testing.assert_close(spread(values, weight), torch.full((1, 2, height, width), 0.7))
    full = torch.rand(1, 2, height, width)
    torch.testing.assert_close(spread(full, torch.ones_like(weight)), full)


def test_blending_writes_where_alpha_says_and_nowhere_else():
    image, filled = torch.rand(1, 3, 1, 3), torch.rand(1, 3, 1, 3)
    before, alpha = image.clone(), torch.tensor([0.0, 0.5, 1.0]).reshape(1, 1, 1, 3)
    blend(image, filled, alpha)
    assert torch.equal(image[..., 0], before[..., 0])
    torch.testing.assert_close(image[..., 1], (before + filled)[..., 1] / 2)
    assert torch.equal(image[..., 2], filled[..., 2])
