"""Filling and painting by maps of labels inside ComfyUI."""

import json

import pytest
import torch
from exports import tiny
from torch import Tensor

from core.config import CAMVID
from core.weights import save_weights

SKY, ROAD, TREE = 0, 3, 5
NUMBERS = "label numbers (grey)"


def load(pack, preset: str = "spade-tiny"):
    save_weights(pack.models() / "tiny.safetensors", tiny(preset))
    return pack.run("GatefillLoadModel", model_name="tiny.safetensors")[0]


def numbers(height: int = 40, width: int = 48) -> Tensor:
    """Sky above, a road below: (H, W)."""
    labels = torch.full((height, width), SKY)
    labels[height // 2 :] = ROAD
    return labels


def painted(labels: Tensor, colours: dict[int, str]) -> Tensor:
    """Labels -> IMAGE in these colours."""
    image = torch.zeros(1, *labels.shape, 3)
    for number, colour in colours.items():
        rgb = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        image[0][labels == number] = torch.tensor(rgb)
    return image


STREETS = dict(enumerate(CAMVID.values()))


def picture(height: int = 40, width: int = 48) -> Tensor:
    return torch.rand(1, height, width, 3, generator=torch.Generator().manual_seed(7))


def hole(height: int = 40, width: int = 48) -> Tensor:
    mask = torch.zeros(1, height, width)
    mask[:, 10:30, 12:36] = 1
    return mask


def fill(pack, model, semantic: Tensor, **inputs) -> Tensor:
    given = {"image": picture(), "mask": hole(), **inputs}
    return pack.run("GatefillSemanticFill", model=model, semantic=semantic, **given)[0]


def paint(pack, model, semantic: Tensor, **inputs) -> Tensor:
    return pack.run("GatefillSemanticToImage", model=model, semantic=semantic, **inputs)[0]


def test_what_the_map_says_fills_the_hole_and_nothing_else(pack):
    model = load(pack)
    image, mask = picture(), hole()
    road = fill(pack, model, painted(torch.full((40, 48), ROAD), STREETS))
    tree = fill(pack, model, painted(torch.full((40, 48), TREE), STREETS))
    assert not torch.equal(road, tree)
    for filled in (road, tree):
        assert torch.equal(filled[mask == 0], image[mask == 0])


def test_a_map_means_the_same_in_colours_grey_values_and_as_mask(pack):
    model, labels = load(pack), numbers()
    grey = (labels / 255)[None, ..., None].expand(-1, -1, -1, 3)
    fills = [
        fill(pack, model, painted(labels, STREETS)),
        fill(pack, model, painted(labels, STREETS), palette="camvid (streets)"),
        fill(pack, model, grey, palette=NUMBERS),
        fill(pack, model, (labels / 255)[None]),
        fill(pack, model, painted(labels, STREETS).half()),
    ]
    assert all(torch.equal(fills[0], other) for other in fills[1:])


def test_a_palette_of_one_s_own_goes_by_the_name_of_its_file(pack):
    folder = pack.models() / "palettes" / "mine"
    folder.mkdir(parents=True)
    (folder / "two.json").write_text(json.dumps({"sky": "#0000ff", "road": "#ff0000"}))
    (folder / "notes.txt").write_text("no palette")
    choices = next(
        x.options for x in pack.schema("GatefillSemanticFill").inputs if x.id == "palette"
    )
    assert choices[-1] == "mine/two.json" and len(choices) == 4
    model, labels = load(pack), numbers()
    found = fill(
        pack, model, painted(labels, {SKY: "#0000ff", ROAD: "#ff0000"}), palette="mine/two.json"
    )
    assert torch.equal(found, fill(pack, model, painted(labels, STREETS)))


def test_what_is_wrong_with_a_palette_is_told_in_one_sentence(pack):
    model, labels = load(pack), painted(numbers(), STREETS)
    folder = pack.models() / "palettes"
    folder.mkdir()
    (folder / "bad.json").write_text("[1, 2]")
    with pytest.raises(ValueError, match=r"bad\.json is not a palette"):
        fill(pack, model, labels, palette="bad.json")
    execute = pack.nodes["GatefillSemanticFill"].execute
    options = {"model": model, "image": picture(), "mask": hole(), "semantic": labels}
    with pytest.raises(ValueError, match=r"no palette 'gone\.json' in models/inpaint/palettes"):
        execute(**options, palette="gone.json")
    with pytest.raises(ValueError, match="semantic is coloured, but grey values are to be"):
        fill(pack, model, labels, palette=NUMBERS)


def test_a_colour_and_a_number_of_no_label_are_told(pack):
    model = load(pack)
    with pytest.raises(ValueError, match="#123456"):
        fill(pack, model, painted(numbers(), {SKY: "#123456", ROAD: STREETS[ROAD]}))
    with pytest.raises(ValueError, match="semantic has the label 77, first at row 0, column 0"):
        fill(pack, model, torch.full((1, 40, 48), 77 / 255))


def test_a_map_of_another_size_is_scaled_without_new_labels(pack):
    model = load(pack)
    twice = numbers().repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.equal(
        fill(pack, model, painted(twice, STREETS)), fill(pack, model, painted(numbers(), STREETS))
    )


def test_the_look_comes_from_the_style_else_the_seed_else_what_is_round_the_hole(pack):
    model, labels = load(pack), painted(numbers(), STREETS)
    fills = {
        "round it": fill(pack, model, labels),
        "seed 1": fill(pack, model, labels, seed=1),
        "seed 2": fill(pack, model, labels, seed=2),
        "style": fill(pack, model, labels, style=picture(20, 30) ** 3),
    }
    values = list(fills.values())
    for i, one in enumerate(values):
        assert not any(torch.equal(one, other) for other in values[i + 1 :])
    assert torch.equal(fill(pack, model, labels, seed=1), fills["seed 1"])
    styled = fill(pack, model, labels, style=picture(20, 30) ** 3, seed=9)
    assert torch.equal(styled, fills["style"])


def test_the_whole_picture_may_be_hole(pack):
    """A map says enough."""
    filled = fill(pack, load(pack), painted(numbers(), STREETS), mask=torch.ones(1, 40, 48))
    assert filled.shape == (1, 40, 48, 3)


def test_a_network_that_takes_no_map_says_which_does(pack):
    model = load(pack, "deepfillv2-tiny")
    for run in (fill, paint):
        with pytest.raises(ValueError, match="takes no map of labels; load a network that does"):
            run(pack, model, painted(numbers(), STREETS))


def test_things_where_the_network_tells_none_apart_are_refused(pack):
    with pytest.raises(ValueError, match="instances"):
        fill(pack, load(pack), painted(numbers(), STREETS), instances=torch.zeros(1, 40, 48))


def test_a_picture_is_made_of_a_map_alone(pack):
    model, labels = load(pack), painted(numbers(), STREETS)
    first = paint(pack, model, labels)
    assert first.shape == (1, 40, 48, 3) and first.std() > 0
    assert torch.equal(first, paint(pack, model, labels))
    assert not torch.equal(first, paint(pack, model, labels, seed=1))
    assert not torch.equal(first, paint(pack, model, painted(numbers().flip(0), STREETS)))
    assert pack.comfy.bars[-1][-1] == (1000, 1000)


@pytest.mark.parametrize(
    ("size", "expected"),
    [({"width": 96}, (40, 96)), ({"height": 80}, (80, 48)), ({"width": 7, "height": 5}, (5, 7))],
)
def test_a_picture_has_the_size_asked_for(pack, size, expected):
    made = paint(pack, load(pack), painted(numbers(), STREETS), **size)
    assert made.shape == (1, *expected, 3)


def test_maps_of_a_batch_give_a_picture_each(pack):
    model = load(pack)
    both = torch.cat([painted(numbers(), STREETS), painted(numbers().flip(0), STREETS)])
    made = paint(pack, model, both, style=picture())
    assert len(made) == 2 and not torch.equal(made[0], made[1])
    torch.testing.assert_close(made[:1], paint(pack, model, both[:1], style=picture()))
    with pytest.raises(ValueError, match="2 of semantic, 3 of style"):
        paint(pack, model, both, style=picture().repeat(3, 1, 1, 1))
