"""Masks wider, narrower, filled in and measured."""

import pytest
import torch
from torch import Tensor

from core.crop import Window
from core.errors import ConfigError
from core.masks.components import components
from core.masks.shape import (
    MaskFacts,
    facts_of,
    facts_of_all,
    filled_in,
    over_picture,
    rectangle,
    widened,
)


def mask_of(*rows: str) -> Tensor:
    """One mask of a picture in signs: # is hole."""
    return torch.tensor([[[[float(sign == "#") for sign in row] for row in rows]]])


def test_a_hole_grows_and_shrinks_by_squares():
    dot = mask_of(".....", ".....", "..#..", ".....", ".....")
    square = mask_of(".....", ".###.", ".###.", ".###.", ".....")
    assert torch.equal(widened(dot, 1), square)
    assert torch.equal(widened(square, -1), dot)
    assert torch.equal(widened(square, 0), square)
    assert not widened(square, -2).any()


def test_the_border_of_the_picture_does_not_eat():
    corner = mask_of("##..", "##..", "....")
    assert torch.equal(widened(corner, -1), mask_of("#...", "....", "...."))
    assert widened(torch.ones(1, 1, 4, 4), -3).all()


def test_soft_masks_stay_soft():
    soft = 0.5 * mask_of(".....", "..#..", ".....")
    assert torch.equal(widened(soft, 1), 0.5 * mask_of(".###.", ".###.", ".###."))


def test_what_a_hole_encloses_is_filled_in():
    ring = mask_of(".......", ".####..", ".#..#..", ".####.#", "....#.#", "....###")
    expected = mask_of(".......", ".####..", ".####..", ".####.#", "....#.#", "....###")
    assert torch.equal(filled_in(ring), expected)  # the bay at the right is open above


def test_a_line_of_pixels_that_touch_at_corners_encloses():
    diamond = mask_of(".....", "..#..", ".#.#.", "..#..", ".....")
    assert torch.equal(filled_in(diamond)[0, 0, 2], torch.tensor([0.0, 1, 1, 1, 0]))


def test_what_is_open_to_the_border_of_the_picture_is_not_enclosed():
    half = mask_of("..#..", "..#..", "###..")
    assert torch.equal(filled_in(half), half)
    assert not filled_in(torch.zeros(1, 1, 3, 3)).any()


def test_each_mask_of_a_batch_is_filled_in_by_itself():
    ring = mask_of("###", "#.#", "###")
    both = torch.cat([ring, torch.zeros_like(ring)])
    assert torch.equal(filled_in(both), torch.cat([torch.ones_like(ring), torch.zeros_like(ring)]))


def test_soft_edges_are_left_as_they_are_beside_what_is_filled_in():
    ring = mask_of("#####", "#...#", "#...#", "#####")
    ring[0, 0, 0, 0], ring[0, 0, 1, 1] = 0.7, 0.2
    filled = filled_in(ring)
    assert filled[0, 0, 0, 0] == 0.7 and filled[0, 0, 1, 1] == 1 and filled.sum() > 19


def test_groups_may_be_told_to_touch_by_sides_alone():
    stairs = mask_of("#..", ".#.", ".##")
    assert len(components(stairs)[1].unique()) == 1
    assert len(components(stairs, corners=False)[1].unique()) == 2


def test_a_rectangle_is_cut_off_at_the_borders():
    assert torch.equal(
        rectangle((3, 4), x=1, y=0, width=2, height=2), mask_of(".##.", ".##.", "....")
    )
    assert torch.equal(
        rectangle((3, 4), x=-3, y=2, width=5, height=9), mask_of("....", "....", "##..")
    )


@pytest.mark.parametrize(("x", "y"), [(4, 0), (0, 3), (-2, 0), (0, -2)])
def test_a_rectangle_outside_of_the_picture_is_refused(x, y):
    with pytest.raises(ConfigError, match="outside of the picture, which is 4 wide and 3 high"):
        rectangle((3, 4), x=x, y=y, width=2, height=2)


def test_the_facts_of_a_mask():
    mask = mask_of("........", ".##...#.", ".###....", "......#.")
    facts = facts_of(mask)
    assert facts.share == pytest.approx(7 / 32)
    assert facts.box == Window(1, 1, 4, 7) and facts.holes == 3
    wide = torch.zeros(1, 1, 100, 100)
    wide[..., 20:60, 10:90] = 1
    assert facts_of(wide).breadth == pytest.approx(40, abs=2)
    assert str(facts_of(wide)) == (
        "1 hole, 32.00 % of the picture, about 40 pixels across at the widest; "
        "x 10, y 20, 80 wide, 40 high"
    )


def test_a_soft_pixel_is_hole_above_half():
    assert facts_of(torch.full((1, 1, 2, 2), 0.5)) == facts_of(torch.zeros(1, 1, 2, 2))
    assert facts_of(torch.full((1, 1, 2, 2), 0.6)).share == 1
    assert str(facts_of(torch.zeros(1, 1, 2, 2))) == "no hole"


def test_the_facts_of_several_masks_are_taken_together():
    one = MaskFacts(0.5, Window(2, 3, 5, 9), 1, 4)
    other = MaskFacts(0.1, Window(0, 5, 4, 6), 2, 7)
    empty = facts_of(torch.zeros(1, 1, 4, 4))
    together = facts_of_all([one, empty, other])
    assert together == MaskFacts(pytest.approx(0.2), Window(0, 3, 5, 9), 3, 7)
    assert facts_of_all([empty, empty]) == facts_of_all([]) == empty


def test_a_hole_is_shown_in_a_colour_over_the_picture():
    image = torch.full((2, 3, 1, 2), 0.4)
    shown = over_picture(image, torch.tensor([[[[1.0, 0.0]]]]))
    assert torch.equal(shown[..., 1], image[..., 1])
    # 45 % of the picture, 55 % of a magenta of 1, 0.1, 0.8
    expected = torch.tensor([0.18 + 0.55, 0.18 + 0.55 * 0.1, 0.18 + 0.55 * 0.8])
    torch.testing.assert_close(shown[0, :, 0, 0], expected)
