"""Painting on a picture inside ComfyUI: the painter's file taken apart, and nodes in a chain."""

import numpy as np
import pytest
import torch
from exports import tiny
from PIL import Image
from torch import Tensor

from core.weights import save_weights

RED = (200, 30, 30)


def picture(count: int = 1, height: int = 48, width: int = 64) -> Tensor:
    return torch.rand(count, height, width, 3, generator=torch.Generator().manual_seed(7))


def canvas(height: int = 48, width: int = 64) -> np.ndarray:
    """What the painter saves: white for the hole, a black line, a red spot."""
    painted = np.zeros((height, width, 4), np.uint8)
    painted[10:40, 10:50] = (255, 255, 255, 255)
    painted[20:22, 15:45, :3] = 0
    painted[28:36, 20:30, :3] = RED
    return painted


def saved(pack, painted: np.ndarray, name: str = "painter-7-1700000000.png [input]") -> str:
    """A painting where the page puts it; the value of the widget."""
    file, _, kind = name.partition(" [")
    path = pack.comfy.folder / (kind.rstrip("]") or "input") / file
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(painted).save(path)
    return name


def draw(pack, image: Tensor | None = None, **inputs):
    return pack.run("GatefillDraw", image=picture() if image is None else image, **inputs)


def channel(painted: np.ndarray, rows: slice, columns: slice) -> Tensor:
    mask = torch.zeros(1, *painted.shape[:2])
    mask[:, rows, columns] = 1
    return mask


@pytest.mark.parametrize(
    "name", ["painter-7-1700000000.png [input]", "painter/painter-7-1700000000.png [temp]"]
)
def test_hole_lines_and_colours_are_drawn_in_one_go(pack, name):
    """The second name is that of older versions."""
    image, painted = picture(), canvas()
    same, mask, sketch, color = draw(pack, image, mask=saved(pack, painted, name))
    assert same is image
    assert torch.equal(mask, channel(painted, slice(10, 40), slice(10, 50)))
    assert torch.equal(sketch, channel(painted, slice(20, 22), slice(15, 45)))
    spot = channel(painted, slice(28, 36), slice(20, 30))
    assert torch.equal(color[..., 3], spot)
    expected = spot[..., None] * torch.tensor(RED) / 255
    torch.testing.assert_close(color[..., :3], expected)


@pytest.mark.parametrize("nothing", ["", "  ", "blank"])
def test_without_any_painting_everything_is_empty(pack, nothing):
    """A page that was not painted on may send a blank picture, too."""
    if nothing == "blank":
        nothing = saved(pack, np.zeros((48, 64, 4), np.uint8))
    image = picture()
    same, mask, sketch, color = draw(pack, image, mask=nothing)
    assert same is image and color.shape == (1, 48, 64, 4)
    assert not any(x.any() for x in (mask, sketch, color))


@pytest.mark.parametrize("layer", ["mask", "sketch", "color"])
def test_a_layer_takes_all_of_the_painting(pack, layer):
    painted = canvas()
    _, mask, sketch, color = draw(pack, mask=saved(pack, painted), layer=layer)
    whole = channel(painted, slice(10, 40), slice(10, 50))
    found = {"mask": mask, "sketch": sketch, "color": color}
    if layer == "color":
        assert torch.equal(color, torch.from_numpy(painted)[None].float() / 255)
    else:
        assert torch.equal(found[layer], whole)
    assert not any(found[other].any() for other in set(found) - {layer})


def test_nodes_in_a_chain_add_up(pack):
    first, second, third = canvas(), np.zeros((48, 64, 4), np.uint8), canvas()
    second[2:4, 5:60] = (0, 200, 0, 255)
    third[..., :3] = (0, 0, 255)
    third[30:, :, 3] = 0
    image, mask, sketch, color = draw(pack, mask=saved(pack, first))
    more = {"more_mask": mask, "more_sketch": sketch, "more_color": color}
    image, mask, sketch, color = draw(
        pack, image, mask=saved(pack, second, "b.png"), layer="sketch", **more
    )
    expected = channel(first, slice(20, 22), slice(15, 45))
    assert torch.equal(sketch, expected + channel(first, slice(2, 4), slice(5, 60)))
    more = {"more_mask": mask, "more_sketch": sketch, "more_color": color}
    over = draw(pack, image, mask=saved(pack, third, "c.png [input]"), layer="color", **more)
    assert torch.equal(over[1], mask) and torch.equal(over[2], sketch)
    assert torch.equal(over[3][0, 29, 25], torch.tensor([0.0, 0.0, 1.0, 1.0]))  # over the red
    torch.testing.assert_close(over[3][0, 32, 25, 0], torch.tensor(200 / 255))  # still red


def test_what_other_nodes_give_is_added_to(pack):
    """A mask of another size, lines as a picture, strokes on black, and no mask at all."""
    lines, strokes = torch.zeros(1, 48, 64, 3), torch.zeros(1, 48, 64, 3)
    lines[:, 5, 5:40] = 1
    strokes[:, 30:40, 5:20] = torch.tensor([0.1, 0.5, 0.9])
    small = torch.zeros(1, 24, 32)
    small[:, 2:8, 3:9] = 1
    _, mask, sketch, color = draw(pack, more_mask=small, more_sketch=lines, more_color=strokes)
    assert mask.sum() == 4 * small.sum() and mask[0, 4:16, 6:18].all()
    assert torch.equal(sketch, lines[..., 0])
    assert torch.equal(color[..., 3], (strokes > 0).any(-1).float())
    torch.testing.assert_close(color[..., :3], strokes)
    painted = saved(pack, canvas())
    assert torch.equal(
        draw(pack, mask=painted, more_mask=torch.zeros(1, 64, 64))[1], draw(pack, mask=painted)[1]
    )


def test_a_painting_goes_on_every_picture_of_a_batch(pack):
    image = picture(3)
    same, mask, sketch, color = draw(pack, image, mask=saved(pack, canvas()))
    assert same is image and len(mask) == len(sketch) == len(color) == 1
    masks = torch.zeros(3, 48, 64)
    masks[2, 0, 0] = 1
    both = draw(pack, image, mask=saved(pack, canvas()), more_mask=masks)[1]
    assert torch.equal(both, torch.maximum(masks, mask))
    with pytest.raises(ValueError, match="3 of image, 2 of mask"):
        draw(pack, image, more_mask=masks[:2])


def test_a_painting_of_another_size_is_scaled_to_the_picture(pack):
    painted = canvas().repeat(2, 0).repeat(2, 1)
    found = draw(pack, mask=saved(pack, painted))
    expected = draw(pack, mask=saved(pack, canvas(), "small.png"))
    inside = expected[1] > 0
    assert torch.equal(found[1][:, 12:38, 12:48], expected[1][:, 12:38, 12:48])
    assert found[1][~inside].mean() < 0.02
    assert found[2].shape == expected[2].shape and found[3].shape == expected[3].shape


def test_pictures_smaller_than_the_painter_s_least_size_are_painted_on(pack):
    painted = np.zeros((7, 5, 4), np.uint8)
    painted[2:5, 1:4] = 255
    image = picture(height=7, width=5)
    _, mask, _, _ = draw(pack, image, mask=saved(pack, painted), width=5, height=7)
    assert torch.equal(mask, channel(painted, slice(2, 5), slice(1, 4)))


def test_white_and_black_can_be_painted_with_once_others_stand_for_hole_and_lines(pack):
    painted = canvas()
    found = draw(pack, mask=saved(pack, painted), hole_color="#c81e1e", line_color="#00ff00")
    assert not found[2].any()
    assert torch.equal(found[3][0, 12, 12], torch.ones(4))
    assert torch.equal(found[3][0, 21, 20], torch.tensor([0.0, 0.0, 0.0, 1.0]))
    assert not found[3][0, 31, 25].any()


def test_a_painting_that_is_gone_is_told_in_one_sentence(pack):
    """Older versions of ComfyUI keep it in a folder that they empty at the end."""
    with pytest.raises(ValueError, match=r"painter/gone\.png \[temp\]' is no longer there.*Clear"):
        draw(pack, mask="painter/gone.png [temp]")
    (pack.comfy.folder / "input" / "bad.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"bad\.png"):
        draw(pack, mask="bad.png")


@pytest.mark.parametrize("name", ["../secret.png", "../../x.png [temp]", "/etc/hostname"])
def test_no_file_outside_of_comfyui_s_folders_is_read(pack, name):
    Image.fromarray(canvas()).save(pack.comfy.folder / "secret.png")
    with pytest.raises(ValueError, match="is not in a folder of ComfyUI"):
        draw(pack, mask=name)


def test_the_fingerprint_is_that_of_the_file(pack):
    fingerprint = pack.nodes["GatefillDraw"].fingerprint_inputs
    name, painted = saved(pack, canvas()), canvas()
    first = fingerprint(mask=name, layer="mask")
    saved(pack, painted, "copy.png")
    assert fingerprint(mask="copy.png") == first
    painted[0, 0] = 255
    saved(pack, painted)
    assert fingerprint(mask=name) != first
    assert fingerprint(mask="") == fingerprint(mask="gone.png") == fingerprint(mask=None) == ""


def test_the_node_shows_what_is_painted_for_the_next_one_to_paint_on(pack):
    image = picture(2)
    (shown,) = draw(pack, image, mask=saved(pack, canvas())).ui.as_dict()["images"]
    plain = (image[0] * 255).to(torch.uint8).numpy()
    assert shown.shape == plain.shape
    assert np.array_equal(shown[:10], plain[:10])
    assert not shown[20:22, 15:45].any()
    assert np.abs(shown[28:36, 20:30].astype(int) - RED).max() <= 1
    assert (shown[12:18, 12:48, 0] > plain[12:18, 12:48, 0]).mean() > 0.9  # the hole is magenta


def test_the_page_finds_the_painter_by_its_names(pack):
    """The page looks for widgets called mask, width and height, and shows the first socket."""
    inputs = {slot.id: slot for slot in pack.schema("GatefillDraw").inputs}
    assert next(iter(inputs)) == "image" and not inputs["image"].optional
    assert inputs["mask"].extra_dict == {"widgetType": "PAINTER", "image_upload": True}
    assert inputs["mask"].socketless and inputs["mask"].default == ""
    for name in ("width", "height"):
        assert inputs[name].extra_dict == {"hidden": True} and inputs[name].min == 1


def test_what_is_drawn_is_filled_by_it(pack):
    save_weights(pack.models() / "face.safetensors", tiny("scfegan-tiny"))
    model = pack.run("GatefillLoadModel", model_name="face.safetensors")[0]
    image, mask, sketch, color = draw(pack, mask=saved(pack, canvas()))
    given = {"model": model, "image": image, "mask": mask}
    fills = [
        pack.run("GatefillInpaint", **given, **guides)[0]
        for guides in ({}, {"sketch": sketch}, {"color": color}, {"sketch": sketch, "color": color})
    ]
    for i, filled in enumerate(fills):
        assert torch.equal(filled[mask == 0], image[mask == 0])
        assert not any(torch.equal(filled, other) for other in fills[:i])
