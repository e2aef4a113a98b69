"""Training masks: kinds by shares, the user's own, segments of label maps."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.errors import ConfigError, ImageError, TrainingError
from core.masks.drawn import BrushStyle, free_form_mask
from core.masks.found import cut_mask, found_kinds, open_labels, own_mask, segment_mask
from trainer.config import TrainConfig
from trainer.data.holes import Holes, brush_style, parse_shares

SIZE = (64, 64)


@pytest.fixture
def config(tmp_path) -> TrainConfig:
    return TrainConfig(data=("photos",), out=tmp_path / "run", crop=64)


def save(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def drawn(config: TrainConfig, count: int = 60, labels: torch.Tensor | None = None) -> torch.Tensor:
    holes, told = Holes(config), []
    masks = [
        holes.draw(np.random.default_rng((1, k)), lambda: labels, lambda *said: told.append(said))
        for k in range(count)
    ]
    assert not told
    return torch.stack(masks)


def is_box(mask: torch.Tensor) -> bool:
    rows, columns = mask[0].nonzero(as_tuple=True)
    area = (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
    return int(mask.sum()) == int(area)


@pytest.mark.parametrize(
    "holes",
    [
        ("brush",),
        ("brush=0.7", "box=0.15", "brush+box=0.15"),
        ("official-brush", "official-box"),
        ("bins",),
        ("0-10", "50-60"),
    ],
)
def test_masks_always_have_a_hole_and_something_known(config, holes):
    masks = drawn(replace(config, holes=holes))
    assert masks.shape == (60, 1, *SIZE) and masks.dtype == torch.uint8
    assert set(masks.unique().tolist()) == {0, 1}
    shares = masks.float().mean((1, 2, 3))
    assert shares.min() > 0 and shares.max() <= 0.95


def test_even_the_thickest_brush_leaves_something(config):
    thick = replace(
        config, holes=("brush",), brush_strokes=(1, 3), brush_width=(0.3, 0.6),
        brush_length=(0.2, 0.5),
    )  # fmt: skip
    assert drawn(thick, 30).float().mean((1, 2, 3)).max() <= 0.95
    with pytest.raises(TrainingError, match="gave no mask"):
        drawn(replace(thick, brush_strokes=(60, 60)), 1)


def test_kinds_come_in_their_shares(config):
    """Of 300 masks 3 in 4 are boxes; 225, give or take 5 standard deviations of 7.5."""
    masks = drawn(replace(config, holes=("box=3", "50-60=1")), 300)
    large = sum(float(mask.float().mean()) > 0.5 for mask in masks)
    assert sum(map(is_box, masks)) == 300 - large and 187 <= 300 - large <= 263


def test_joined_kinds_are_in_one_mask(config):
    joined = drawn(replace(config, holes=("box+official-box",)), 100).float().mean()
    alone = drawn(replace(config, holes=("box",)), 100).float().mean()
    assert joined > alone + 0.03


def test_the_brush_is_that_of_the_settings(config):
    own = replace(
        config, brush=2.0, brush_strokes=(2, 3), brush_vertices=(5, 6), brush_length=(0.1, 0.2),
        brush_width=(0.02, 0.03), brush_angle=(0.1, 0.2),
    )  # fmt: skip
    expected = BrushStyle(
        strokes=(2, 3), vertices=(5, 6), length=(0.1, 0.2), width=(0.04, 0.06), angle=(0.1, 0.2)
    )
    assert brush_style(own) == expected
    straight = BrushStyle(
        strokes=(1, 1), vertices=(1, 1), length=(0.5, 0.5), width=(0.01, 0.01), angle=(0, 0)
    )
    # One step of half a side, one pixel wide: 32 pixels on an axis, 23 on a diagonal.
    for seed in range(20):
        count = free_form_mask(SIZE, np.random.default_rng(seed), straight).sum()
        assert count <= 80


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"brush_width": (0.3, 0.2)}, "the brush's width is 0.3 0.2; it must be two values"),
        ({"brush_strokes": (0, 2)}, "strokes is 0 2"),
        ({"brush_length": (0.1,)}, "length is 0.1; it must be two values"),
        ({"holes": ("brush", "oval=1")}, "no kind is called 'oval'; the kinds are brush"),
        ({"holes": ("brush=x",)}, "'brush=x'; it must be KIND=SHARE"),
        ({"holes": ("brush=-1",)}, "must be KIND=SHARE"),
        ({"holes": ()}, "--holes is empty"),
    ],
)
def test_settings_that_cannot_work_are_refused(config, wrong, says):
    with pytest.raises(ConfigError, match=says):
        replace(config, **wrong)


def test_shares_are_numbers_beside_kinds():
    assert parse_shares(["brush=0.7", "segments+box=0.2", "10-20"]) == [
        (("brush",), 0.7), (("segments", "box"), 0.2), (("10-20",), 1.0)
    ]  # fmt: skip


def stripes(width: int = 8) -> np.ndarray:
    """A quarter of the columns is white; so is a quarter of any large piece."""
    return np.where(np.arange(96) // width % 4 == 0, 255, 0).astype(np.uint8)[None].repeat(80, 0)


def test_own_masks_are_turned_and_cut_to_size_and_white_is_the_hole(config, tmp_path):
    for i in range(2):
        save(tmp_path / "masks" / f"{i}.png", stripes())
    (tmp_path / "masks" / "notes.md").write_text("no mask")
    masks = drawn(replace(config, holes=("folder",), mask_folder=tmp_path / "masks"))
    assert 0.2 < masks.float().mean() < 0.3
    upright = [bool((mask[0] == mask[0, :1]).all()) for mask in masks]
    lying = [bool((mask[0] == mask[0, :, :1]).all()) for mask in masks]
    assert 10 < sum(upright) < 50 and sum(upright) + sum(lying) == 60
    assert len({mask.numpy().tobytes() for mask in masks}) > 30


def test_a_damaged_own_mask_is_reported_and_the_next_one_taken(config, tmp_path):
    folder = tmp_path / "masks"
    save(folder / "good.png", stripes())
    save(folder / "black.png", np.zeros((50, 50), np.uint8))
    (folder / "bad.png").write_bytes(b"damaged")
    holes, told = Holes(replace(config, holes=("folder",), mask_folder=folder)), {}
    for seed in range(20):
        random = np.random.default_rng(seed)
        assert holes.draw(random, lambda: None, told.__setitem__).any()
    assert told.keys() == {str(folder / "bad.png"), str(folder / "black.png")}
    (folder / "good.png").unlink()
    holes = Holes(replace(config, holes=("folder",), mask_folder=folder))
    with pytest.raises(TrainingError, match=r"no mask in .* can be used"):
        holes.draw(np.random.default_rng(0), lambda: None, told.__setitem__)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"holes": ("folder",)}, "name their folder by --mask-folder"),
        ({"holes": ("folder",), "mask_folder": Path("none")}, "--mask-folder is none, where no"),
        ({"holes": ("segments",), "labels": Path("none")}, "--labels is none, where no picture"),
    ],
)
def test_folders_that_are_wanting_are_named(config, settings, says):
    with pytest.raises(ConfigError, match=says):
        Holes(replace(config, **settings))


def two_discs() -> torch.Tensor:
    """Label 5 twice, apart, on label 0."""
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    one = (rows - 16) ** 2 + (columns - 16) ** 2 < 100
    two = (rows - 44) ** 2 + (columns - 46) ** 2 < 144
    return torch.where(one | two, 5, 0)


def test_a_segment_where_it_stands_is_one_connected_label_grown_a_little():
    labels, seen = two_discs(), set()
    for seed in range(30):
        mask = segment_mask(labels, SIZE, np.random.default_rng(seed), moved=False)
        inside = [bool(mask[0, 0, 16, 16]), bool(mask[0, 0, 44, 46])]
        assert sum(inside) == 1  # the ground covers more than 60 % and is no hole
        seen.add(inside[0])
        own = (labels == 5) & (torch.arange(64)[:, None] < 30 if inside[0] else True)
        own = own if inside[0] else own & (torch.arange(64)[:, None] > 30)
        assert (mask[0, 0] >= own.float()).all()
        # One pixel all round, and the corners that a square neighbourhood adds.
        assert own.sum() < mask.sum() < 1.6 * own.sum()
    assert seen == {True, False}


@settings(max_examples=40, deadline=None)
@given(height=st.integers(8, 120), width=st.integers(8, 120), seed=st.integers(0, 10**6))
def test_a_moved_segment_lies_inside_every_picture(height, width, seed):
    mask = segment_mask(two_discs(), (height, width), np.random.default_rng(seed), moved=True)
    if mask is not None:
        assert mask.shape == (1, 1, height, width)
        assert 0.002 <= mask.mean() <= 0.6 and set(mask.unique().tolist()) == {0.0, 1.0}


def test_segments_come_from_the_picture_or_from_a_folder_of_label_maps(config, tmp_path):
    own = drawn(replace(config, holes=("segments",)), labels=two_discs())
    # Discs cover 8 and 11 %; moved ones are scaled by 0.5 to 1.5, and all are grown.
    assert 0.02 < own.float().mean() < 0.25
    for i in range(2):
        save(tmp_path / "labels" / f"{i}.png", two_discs().numpy().astype(np.uint8))
    others = drawn(replace(config, holes=("segments",), labels=tmp_path / "labels"))
    assert 0.02 < others.float().mean() < 0.25
    places = others.float().mean((0, 1))
    assert (places > 0).float().mean() > 0.6  # anywhere, not only where they stood


def test_a_picture_without_a_segment_gets_strokes(config):
    flat = replace(config, holes=("segments",))
    assert torch.equal(
        drawn(flat, 5, labels=torch.zeros(64, 64, dtype=torch.long)).float().mean() > 0.02,
        torch.tensor(True),
    )
    assert drawn(flat, 5).any()


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 90), width=st.integers(1, 90), seed=st.integers(0, 10**6),
    shape=st.tuples(st.integers(2, 60), st.integers(2, 60)),
)  # fmt: skip
def test_a_piece_of_a_mask_is_never_empty_or_full(height, width, seed, shape):
    mask = torch.zeros(1, 1, *shape)
    mask[..., : shape[1] // 2] = 1
    piece = cut_mask(mask, (height, width), np.random.default_rng(seed))
    if piece is not None:
        assert piece.shape == (1, 1, height, width)
        assert piece.min() == 0 and piece.max() == 1


def test_label_maps_are_indices_or_colours_and_lossless(tmp_path):
    palette = Image.fromarray(np.array([[3, 3], [9, 0]], np.uint8))
    palette.putpalette([7] * 768)  # all of one colour: the indices count
    palette.save(tmp_path / "p.png")
    assert open_labels(tmp_path / "p.png").tolist() == [[3, 3], [9, 0]]
    save(tmp_path / "c.png", np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 1]]], np.uint8))
    assert open_labels(tmp_path / "c.png").tolist() == [[65536, 256, 1]]
    save(tmp_path / "w.png", np.array([[1000, 40000]], np.uint16))
    assert open_labels(tmp_path / "w.png").tolist() == [[1000, 40000]]
    save(tmp_path / "l.jpg", np.zeros((8, 8), np.uint8))
    with pytest.raises(ImageError, match="must be lossless"):
        open_labels(tmp_path / "l.jpg")
    (tmp_path / "x.png").write_bytes(b"damaged")
    with pytest.raises(ImageError, match=r"x\.png is not a readable label map"):
        open_labels(tmp_path / "x.png")


def test_masks_by_seed_come_from_folders_too(tmp_path):
    save(tmp_path / "masks" / "0.png", stripes())
    save(tmp_path / "labels" / "0.png", two_discs().numpy().astype(np.uint8))
    kinds = found_kinds(tmp_path / "masks", tmp_path / "labels")
    assert list(kinds) == ["folder", "segments"]
    for draw in kinds.values():
        assert torch.equal(draw((50, 70), 3), draw((50, 70), 3))
        assert not torch.equal(draw((50, 70), 3), draw((50, 70), 4))
    save(tmp_path / "masks" / "0.png", np.full((9, 9), 255, np.uint8))
    with pytest.raises(ImageError, match="is of one colour"):
        own_mask(tmp_path / "masks" / "0.png")
