"""The nodes that make, change and measure masks."""

import numpy as np
import pytest
import torch
from torch import Tensor


def picture(count: int = 1, height: int = 48, width: int = 64, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.rand(count, height, width, channels, generator=generator)


# Free-form


def draw(pack, **inputs) -> Tensor:
    return pack.run("GatefillFreeFormMask", **inputs)[0]


def test_every_kind_is_drawn_by_seed_as_core_draws_it(pack):
    kinds = pack.core("masks.drawn").KINDS
    for kind, drawn in kinds.items():
        mask = draw(pack, kind=kind, seed=5, picture_width=72, picture_height=64)
        assert torch.equal(mask, drawn((64, 72), 5)[:, 0]), kind


def test_masks_of_a_batch_are_those_of_the_next_seeds(pack):
    three = draw(pack, seed=3, count=3, picture_width=64, picture_height=64)
    for number in range(3):
        one = draw(pack, seed=3 + number, picture_width=64, picture_height=64)
        assert torch.equal(three[number : number + 1], one)


def test_after_the_last_seed_comes_the_first(pack):
    last = draw(pack, kind="official-brush", seed=2**32 - 1, count=2)
    assert torch.equal(last[1:], draw(pack, kind="official-brush", seed=0))


def test_a_mask_takes_the_size_of_a_picture(pack):
    assert draw(pack, image=picture(2)).shape == (1, 48, 64)
    assert draw(pack, picture_width=80).shape == (1, 512, 80)


def test_the_share_asked_for_is_kept(pack):
    masks = draw(pack, kind="10-20", count=4, picture_width=96, picture_height=96)
    shares = masks.mean((1, 2))
    assert (shares > 0.1).all() and (shares <= 0.2).all()


# Box


def test_a_box_stands_where_it_is_said(pack):
    mask = pack.run(
        "GatefillBoxMask", x=10, y=4, width=20, height=8, picture_width=64, picture_height=48
    )[0]
    expected = torch.zeros(1, 48, 64)
    expected[:, 4:12, 10:30] = 1
    assert torch.equal(mask, expected)
    like = pack.run("GatefillBoxMask", x=10, y=4, width=20, height=8, image=picture())[0]
    assert torch.equal(like, expected)


def test_a_box_outside_says_where_the_picture_is(pack):
    with pytest.raises(ValueError, match="outside of the picture, which is 64 wide and 48 high"):
        pack.run("GatefillBoxMask", x=64, image=picture())


# Grow and feather


def change(pack, mask: Tensor, **inputs) -> Tensor:
    return pack.run("GatefillGrowFeatherMask", mask=mask, **{"grow": 0, **inputs})[0]


def square() -> Tensor:
    mask = torch.zeros(1, 48, 64)
    mask[:, 16:32, 16:40] = 1
    return mask


def test_a_hole_grows_shrinks_and_fades(pack):
    assert change(pack, square(), grow=3).sum() == 22 * 30
    assert change(pack, square(), grow=-3).sum() == 10 * 18
    soft = change(pack, square(), feather=6)
    assert torch.equal(soft[square() > 0], torch.ones(16 * 24))
    row = soft[0, 24, :17]  # towards the hole
    assert not row[:10].any() and (row[10:].diff() > 0).any() and (row.diff() >= 0).all()


def test_a_mask_is_inverted_first_then_filled_in_then_grown(pack):
    ring = square()
    ring[:, 20:28, 20:36] = 0
    assert torch.equal(change(pack, ring, fill_gaps=True), square())
    assert torch.equal(change(pack, ring, fill_gaps=True, grow=1), change(pack, square(), grow=1))
    inverted = change(pack, ring, invert=True, grow=1)
    assert torch.equal(inverted, change(pack, 1 - ring, grow=1))
    assert change(pack, torch.zeros(1, 8, 8), invert=True).all()


def test_soft_masks_and_empty_ones_and_batches_are_taken(pack):
    half = 0.5 * square()
    assert torch.equal(change(pack, half), half)
    assert not change(pack, torch.zeros(1, 64, 64), grow=9, feather=5).any()
    both = torch.cat([square(), half])
    assert torch.equal(change(pack, both, grow=2)[:1], change(pack, square(), grow=2))
    assert change(pack, square()[0]).shape == (1, 48, 64)


# Colour


def test_the_mask_of_a_colour_is_where_the_picture_has_it(pack):
    image = picture() * 0.5
    image[0, 5:9, 10:20] = torch.tensor([1.0, 0.0, 1.0])
    mask = pack.run("GatefillMaskFromColor", image=image)[0]
    assert mask.sum() == 40 and mask[0, 5:9, 10:20].all()
    image[0, 5:9, 10:20, 1] = 0.1
    assert pack.run("GatefillMaskFromColor", image=image, tolerance=0.09)[0].sum() == 0
    assert pack.run("GatefillMaskFromColor", image=image, tolerance=0.11)[0].sum() == 40
    half = image.half()
    assert pack.run("GatefillMaskFromColor", image=half, tolerance=0.11)[0].sum() == 40


def test_what_is_transparent_has_no_colour(pack):
    image = torch.zeros(1, 4, 4, 4)
    image[..., 0, 3] = 1
    mask = pack.run("GatefillMaskFromColor", image=image, color="black")[0]
    assert torch.equal(mask, image[..., 3])


def test_a_word_that_is_no_colour_is_refused(pack):
    with pytest.raises(ValueError, match="'nocolour' is no colour; give it as '#ff00ff'"):
        pack.run("GatefillMaskFromColor", image=picture(), color="nocolour")


# Statistics


def measure(pack, mask: Tensor, **inputs):
    return pack.run("GatefillMaskStatistics", mask=mask, **inputs)


def test_a_mask_is_measured_and_shown(pack):
    image = picture()
    preview, percent, x, y, width, height, holes, breadth, text = measure(
        pack, square(), image=image
    ).args
    assert percent == pytest.approx(100 * 16 * 24 / (48 * 64))
    assert (x, y, width, height, holes) == (16, 16, 24, 16, 1)
    assert breadth == pytest.approx(16, abs=2)
    assert torch.equal(preview[square() == 0], image[square() == 0])
    assert (preview[0, 20, 20] - image[0, 20, 20])[0] > 0  # magenta
    assert text.startswith("1 hole, 12.50 % of the picture")
    assert pack.comfy.said == [(text, "7")]


def test_picture_and_words_are_shown_on_the_node(pack):
    shown = measure(pack, square(), image=picture(2)).ui
    assert shown["text"][0].startswith("1 hole")
    assert [x.shape for x in shown["images"]] == [(48, 64, 3)] * 2
    assert shown["images"][0].dtype == np.uint8


def test_a_mask_without_a_picture_is_shown_by_itself(pack):
    preview = measure(pack, 0.5 * square())[0]
    assert torch.equal(preview, (0.5 * square())[..., None].expand(-1, -1, -1, 3))


def test_an_empty_mask_has_no_hole(pack):
    found = measure(pack, torch.zeros(1, 64, 64), image=picture())
    assert found.args[1:] == (0.0, 0, 0, 0, 0, 0, 0, "no hole")


def test_several_masks_are_measured_together_and_told_one_by_one(pack):
    small = torch.zeros(1, 48, 64)
    small[:, 2:6, 50:60] = small[:, 40:44, 3:5] = 1
    found = measure(pack, torch.cat([square(), small]))
    share = (16 * 24 + 40 + 8) / 2 / (48 * 64)
    assert found[1] == pytest.approx(100 * share)
    assert found.args[2:7] == (3, 2, 57, 42, 3)
    assert found[8].count("\n") == 1 and "2 holes" in found[8].splitlines()[1]


def test_a_mask_of_another_size_is_measured_at_that_of_the_picture(pack):
    mask = torch.zeros(1, 24, 32)
    mask[:, 2:4, 5:9] = 1
    assert measure(pack, mask, image=picture()).args[2:6] == (10, 4, 8, 4)
    with pytest.raises(ValueError, match="2 of image, 3 of mask"):
        measure(pack, mask.repeat(3, 1, 1), image=picture(2))
