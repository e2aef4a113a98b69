"""Maps of labels: from files, to channels, to colours, and what is said of wrong ones."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from core.contract import Port
from core.errors import ConfigError, ImageError
from core.palette import made_up, palette_of, read_palette
from core.semantic import (
    UNKNOWN,
    checked,
    instance_edges,
    numbered,
    one_hot,
    paint_labels,
    read_instances,
    read_semantic,
)

NAMES, COLOURS = ("sky", "road", "tree"), ("#80c0ff", "#404040", "#008000")
PORT = Port("semantic", 3, binary=True, kind="labels", labels=NAMES, palette=COLOURS)
WITH_UNKNOWN = Port("semantic", 4, binary=True, kind="labels", labels=NAMES, palette=COLOURS)
PLAIN = Port("semantic", 3, kind="labels", labels=NAMES)
MAP = np.array([[0, 0, 1, 2], [0, 1, 1, 2]])
NUMBERS = torch.from_numpy(MAP)[None, None]
RGB = {0: (0x80, 0xC0, 0xFF), 1: (0x40, 0x40, 0x40), 2: (0x00, 0x80, 0x00)}
PAINTED = np.array([[RGB[int(n)] for n in row] for row in MAP], np.uint8)
DTYPES = (torch.uint8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float64)


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_label_has_its_channel(dtype):
    hot = one_hot(NUMBERS.to(dtype), PORT)
    assert hot.shape == (1, 3, 2, 4) and hot.dtype == torch.float32
    assert hot[0, 0].tolist() == [[1, 1, 0, 0], [1, 0, 0, 0]]
    assert hot[0, 1].tolist() == [[0, 0, 1, 0], [0, 1, 1, 0]]
    assert hot[0, 2].tolist() == [[0, 0, 0, 1], [0, 0, 0, 1]]


def test_255_is_the_last_channel_where_there_is_one_more_than_names():
    labels = torch.tensor([[[[0, 255, 2]]]])
    assert one_hot(labels, WITH_UNKNOWN)[0, :, 0].T.tolist() == [
        [1, 0, 0, 0],
        [0, 0, 0, 1],
        [0, 0, 1, 0],
    ]
    with pytest.raises(ConfigError, match=r"has the label 255.* 0 to 2"):
        one_hot(labels, PORT)


@pytest.mark.parametrize("wrong", [3, -1, 77])
@pytest.mark.parametrize("port", [PORT, WITH_UNKNOWN])
def test_a_label_out_of_range_is_named_with_its_place_and_what_is_right(wrong, port):
    labels = NUMBERS.clone()
    labels[0, 0, 1, 2:] = wrong
    says = rf"label {wrong}, first at row 1, column 2, in 2 pixels, .* 0 to 2 \(0 sky, 1 road, 2 t"
    with pytest.raises(ConfigError, match=says) as caught:
        checked(labels, port)
    assert ("255 for unknown" in str(caught.value)) == (port is WITH_UNKNOWN)


def test_many_names_are_not_listed():
    port = Port("semantic", 30, kind="labels", labels=tuple(f"n{i}" for i in range(30)))
    with pytest.raises(ConfigError, match="knows 0 to 29; number"):
        checked(torch.full((1, 1, 2, 2), 30), port)


@pytest.mark.parametrize("value", [0.5, float("nan"), float("inf")])
def test_floats_must_be_whole(value):
    labels = NUMBERS.float()
    labels[0, 0, 1, 2] = value
    with pytest.raises(ConfigError, match=f"between whole numbers, as {value}"):
        checked(labels, PORT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.bool])
def test_a_one_hot_map_gives_its_numbers_back(dtype):
    assert torch.equal(numbered(one_hot(NUMBERS, PORT).to(dtype), PORT), NUMBERS)


def test_a_soft_map_gives_the_likeliest_and_no_label_is_unknown():
    soft = torch.tensor([[0.2, 0.5, 0.3, 0], [0, 0, 0, 0], [0.1, 0.1, 0.1, 0.7]])
    numbers = numbered(soft.T[None, :, None], WITH_UNKNOWN)
    assert numbers.flatten().tolist() == [1, UNKNOWN, UNKNOWN]


def test_edges_are_where_one_of_four_neighbours_differs():
    numbers = torch.randint(0, 3, (2, 1, 9, 7), generator=torch.Generator().manual_seed(0))
    edges = instance_edges(numbers)
    for n, y, x in np.ndindex(2, 9, 7):
        around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        near = [numbers[n, 0, i, j] for i, j in around if 0 <= i < 9 and 0 <= j < 7]
        assert edges[n, 0, y, x] == any(other != numbers[n, 0, y, x] for other in near)


def test_labels_are_painted_for_people():
    painted = paint_labels(torch.tensor([[[[0, 1, 2, 255]]]]), COLOURS)
    wanted = [*RGB.values(), (0, 0, 0)]
    assert (painted[0, :, 0].T * 255).round().int().tolist() == [list(rgb) for rgb in wanted]
    without = paint_labels(torch.arange(60).view(1, 1, 6, 10))
    assert len({tuple(p) for p in without.flatten(2)[0].T.tolist()}) == 60
    assert len(set(made_up(255))) == 255


def save(path, array):
    Image.fromarray(array).save(path)
    return path


def indexed(path):
    image = Image.new("P", (4, 2))
    image.putpalette([value for rgb in RGB.values() for value in rgb])
    image.putdata(MAP.flatten().tolist())
    image.save(path)
    return path


def with_alpha(array):
    return np.dstack([array, np.full(array.shape[:2], 255, np.uint8)])


FILES = {
    "grey": lambda path: save(path, MAP.astype(np.uint8)),
    "grey with alpha": lambda path: save(path, with_alpha(MAP.astype(np.uint8))),
    "16 bit": lambda path: save(path, MAP.astype(np.uint16)),
    "indexed": indexed,
    "colours": lambda path: save(path, PAINTED),
    "colours with alpha": lambda path: save(path, with_alpha(PAINTED)),
}


@pytest.mark.parametrize("kind", FILES)
def test_every_form_of_a_label_picture_gives_the_numbers(tmp_path, kind):
    path = FILES[kind](tmp_path / "map.png")
    assert torch.equal(read_semantic(path, PORT), NUMBERS)


def test_an_indexed_file_is_looked_up_in_a_palette_that_is_given(tmp_path):
    other = {int(colour[1:], 16): name for colour, name in zip(COLOURS, "201", strict=True)}
    labels = read_semantic(indexed(tmp_path / "map.png"), PORT, palette=other)
    assert torch.equal(labels, torch.tensor([2, 0, 1])[NUMBERS])


ARRAYS = {
    "numbers": MAP.astype(np.uint16),
    "whole floats": MAP.astype(np.float32),
    "channels first": np.moveaxis(np.eye(3, dtype=np.float32)[MAP], -1, 0),
    "channels last": np.eye(3, dtype=np.uint8)[MAP],
    "booleans": np.eye(3, dtype=bool)[MAP],
    "with unknown": np.eye(4, dtype=np.float32)[MAP],
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_hold_numbers_or_are_one_hot(tmp_path, kind):
    np.save(tmp_path / "map.npy", ARRAYS[kind])
    labels = checked(read_semantic(tmp_path / "map.npy", WITH_UNKNOWN), WITH_UNKNOWN)
    assert torch.equal(labels, NUMBERS)


@pytest.mark.parametrize("axis", [0, 2])
def test_the_axis_of_the_labels_is_the_one_that_adds_up_to_one(tmp_path, axis):
    square = np.array([[0, 0, 1], [2, 2, 1], [0, 0, 0]])  # as many rows and columns as labels
    np.save(tmp_path / "map.npy", np.moveaxis(np.eye(3, dtype=np.float32)[square], -1, axis))
    labels = read_semantic(tmp_path / "map.npy", PORT)
    assert torch.equal(labels[0, 0], torch.from_numpy(square))


GIMP = (
    "GIMP Palette\nName: mine\nColumns: 3\n#\n128 192 255\tSky\n 64  64  64 road\n0 128 0\t tree\n"
)
PALETTES = {
    "a.gpl": GIMP,
    "nameless.gpl": "GIMP Palette\n128 192 255\n64 64 64\tUntitled\n0 128 0\n",
    "a.json": json.dumps(dict(zip(NAMES, COLOURS, strict=True))),
    "more.json": json.dumps({"dog": "#ff0000", **dict(zip(NAMES, COLOURS, strict=True))}),
    "numbers.json": json.dumps({"0": COLOURS[0], "1": COLOURS[1], "2": COLOURS[2]}),
}


@pytest.mark.parametrize("name", PALETTES)
def test_a_palette_file_says_which_colour_is_which_label(tmp_path, name):
    (tmp_path / name).write_text(PALETTES[name])
    path = save(tmp_path / "map.png", PAINTED)
    assert torch.equal(read_semantic(path, PLAIN, palette=read_palette(tmp_path / name)), NUMBERS)


def test_a_palette_may_have_a_colour_for_unknown(tmp_path):
    pixels = PAINTED.copy()
    pixels[1, 3] = (1, 2, 3)
    path = save(tmp_path / "map.png", pixels)
    palette = {**palette_of(PORT), 0x010203: "unknown"}
    assert read_semantic(path, WITH_UNKNOWN, palette=palette)[0, 0, 1, 3] == UNKNOWN
    with pytest.raises(ConfigError, match=r"#010203 \(unknown, no label of this network\)"):
        read_semantic(path, PORT, palette=palette)


def test_an_unknown_colour_is_named_with_its_place_and_how_many(tmp_path):
    pixels = PAINTED.copy()
    pixels[1, 1:3] = (255, 16, 0)
    path = save(tmp_path / "map.png", pixels)
    says = r"map.png has the colour #ff1000, first at row 1, column 1, in 2 pixels.*sky #80c0ff"
    with pytest.raises(ConfigError, match=says):
        read_semantic(path, PORT)
    with pytest.raises(ConfigError, match=r"coloured, but .*give a palette \(--palette\)"):
        read_semantic(path, PLAIN)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.gpl", "GIMP Palette\n1 2\n", "not a palette"),
        ("a.gpl", "GIMP Palette\n1 2 256 sky\n", "is no colour"),
        ("a.json", '{"sky": "bluish"}', "not a palette"),
        ("a.json", '["#ffffff"]', "not names with colours"),
        ("a.json", "{", "not a palette"),
        ("a.json", '{"sky": "#010203", "tree": "#010203"}', "#010203 for both sky and tree"),
        ("b.json", None, "not a readable palette"),
    ],
)
def test_a_bad_palette_is_told_in_one_sentence(tmp_path, name, text, says):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=says) as caught:
        read_palette(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_maps_that_cannot_be_read_are_told_with_their_name(tmp_path):
    Image.fromarray(PAINTED).save(tmp_path / "map.jpg")
    Image.fromarray(MAP.astype(np.float32)).save(tmp_path / "map.tif")
    Image.new("CMYK", (4, 2)).save(tmp_path / "ink.tif")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "text.npy").write_text("no array")
    np.save(tmp_path / "odd.npy", np.zeros((5, 2, 7)))
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    for name in ("map.jpg", "map.tif", "ink.tif", "text.png", "text.npy", "odd.npy", "objects.npy",
                 "none.png", "none.npy"):  # fmt: skip
        with pytest.raises(ImageError, match=name):
            read_semantic(tmp_path / name, PORT)


def test_things_are_told_apart_by_numbers_or_by_colours(tmp_path):
    deep = (MAP * 1000).astype(np.uint16)
    save(tmp_path / "deep.png", deep)
    save(tmp_path / "colours.png", PAINTED)
    np.save(tmp_path / "numbers.npy", MAP * 70000)
    wanted = instance_edges(NUMBERS)
    for name in ("deep.png", "colours.png", "numbers.npy"):
        assert torch.equal(instance_edges(read_instances(tmp_path / name)), wanted)
    np.save(tmp_path / "floats.npy", MAP / 2)
    with pytest.raises(ImageError, match="whole numbers"):
        read_instances(tmp_path / "floats.npy")
