"""Masks and guides: white and opaque is 1, whatever the file's mode."""

import numpy as np
import pytest
import torch
from PIL import Image

from core.errors import ConfigError, ImageError, ShapeError
from core.image import alpha_mask, colour_mask, read_guide, read_mask, read_picture

HOLE = torch.tensor([[[[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]]])

BLACK_AND_WHITE = {
    "1": (0, 1),
    "L": (0, 255),
    "LA": ((0, 255), (255, 255)),
    "P": (0, 1),
    "RGB": ((0, 0, 0), (255, 255, 255)),
    "RGBA": ((0, 0, 0, 255), (255, 255, 255, 255)),
    "I;16": (0, 65535),
    "F": (0.0, 1.0),
}


def drawn(mode, dark, light):
    image = Image.new(mode, (3, 2))
    if mode == "P":
        image.putpalette([0, 0, 0, 255, 255, 255])
    for y, x in np.ndindex(2, 3):
        image.putpixel((x, y), light if HOLE[0, 0, y, x] else dark)
    return image


@pytest.mark.parametrize("mode", BLACK_AND_WHITE)
@pytest.mark.parametrize("invert", [False, True])
def test_white_is_the_hole_in_every_mode(tmp_path, mode, invert):
    path = tmp_path / "mask.tif"
    drawn(mode, *BLACK_AND_WHITE[mode]).save(path)
    mask = read_mask(path, (2, 3), invert=invert)
    assert mask.dtype == torch.float32
    assert torch.equal(mask, 1 - HOLE if invert else HOLE)


def test_a_mask_painted_on_a_transparent_layer_is_the_hole(tmp_path):
    drawn("RGBA", (255, 255, 255, 0), (255, 255, 255, 255)).save(tmp_path / "mask.png")
    assert torch.equal(read_mask(tmp_path / "mask.png", (2, 3)), HOLE)


def test_soft_masks_stay_soft(tmp_path):
    Image.new("L", (1, 1), 51).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png", (1, 1)).item() == pytest.approx(0.2)


def test_a_mask_of_another_size_is_refused_or_rescaled(tmp_path):
    drawn("L", 0, 255).save(tmp_path / "mask.png")
    with pytest.raises(ShapeError, match=r"mask.png is 2 x 3 pixels .* the picture is 4 x 6"):
        read_mask(tmp_path / "mask.png", (4, 6))
    mask = read_mask(tmp_path / "mask.png", (4, 6), rescale=True)
    assert torch.equal(mask, HOLE.repeat_interleave(2, -1).repeat_interleave(2, -2))


def test_a_missing_mask_is_told(tmp_path):
    with pytest.raises(ImageError, match=r"there is no picture file at .*mask\.png"):
        read_mask(tmp_path / "mask.png", (2, 3))


def test_transparent_pixels_are_the_hole(tmp_path):
    drawn("RGBA", (9, 9, 9, 255), (9, 9, 9, 0)).save(tmp_path / "a.png")
    assert torch.equal(alpha_mask(read_picture(tmp_path / "a.png")), HOLE)
    Image.new("RGB", (3, 2)).save(tmp_path / "b.png")
    with pytest.raises(ImageError, match=r"no transparency .*; give a mask file"):
        alpha_mask(read_picture(tmp_path / "b.png"))


@pytest.mark.parametrize("colour", ["#ff00ff", "magenta", "rgb(255, 0, 255)"])
def test_pixels_of_a_colour_are_the_hole(tmp_path, colour):
    drawn("RGB", (255, 1, 255), (255, 0, 255)).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert torch.equal(colour_mask(picture.pixels, colour), HOLE)
    assert torch.equal(
        colour_mask(picture.pixels, colour, tolerance=1 / 255), torch.ones(1, 1, 2, 3)
    )


def test_an_unknown_colour_is_told(tmp_path):
    Image.new("RGB", (3, 2)).save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="'pinkish' is no colour; give it as '#ff00ff'"):
        colour_mask(read_picture(tmp_path / "a.png").pixels, "pinkish")


def test_a_sketch_is_light_on_dark_or_opaque_on_transparent(tmp_path):
    drawn("L", 0, 255).save(tmp_path / "light.png")
    drawn("RGBA", (0, 0, 0, 0), (0, 0, 0, 255)).save(tmp_path / "ink.png")
    drawn("LA", (0, 255), (255, 255)).save(tmp_path / "opaque.png")
    for name in ("light.png", "ink.png", "opaque.png"):
        assert torch.equal(read_guide(tmp_path / name, (2, 3), channels=1), HOLE)


def test_colour_is_dimmed_by_transparency(tmp_path):
    drawn("RGBA", (255, 255, 255, 0), (255, 0, 51, 255)).save(tmp_path / "colour.png")
    colour = read_guide(tmp_path / "colour.png", (2, 3), channels=3)
    wanted = HOLE * torch.tensor([1.0, 0.0, 0.2]).view(1, 3, 1, 1)
    torch.testing.assert_close(colour, wanted)


def test_a_guide_of_another_size_is_refused_or_rescaled(tmp_path):
    drawn("L", 0, 255).save(tmp_path / "sketch.png")
    with pytest.raises(ShapeError, match=r"2 x 3 pixels .* 4 x 6"):
        read_guide(tmp_path / "sketch.png", (4, 6), channels=1)
    guide = read_guide(tmp_path / "sketch.png", (4, 6), channels=1, rescale=True)
    assert guide.shape == (1, 1, 4, 6)
    assert guide.min() == 0 < guide.mean() < guide.max() == 1
    with pytest.raises(ShapeError, match="1 or 3 channels, but 2"):
        read_guide(tmp_path / "sketch.png", (2, 3), channels=2)


def test_a_thin_stroke_stays_as_bright_when_it_is_scaled_to_the_picture(tmp_path):
    strokes = np.zeros((8, 12, 4), np.uint8)
    strokes[3] = (255, 0, 51, 255)
    Image.fromarray(strokes).save(tmp_path / "colour.png")
    colour = read_guide(tmp_path / "colour.png", (2, 3), channels=3, rescale=True)
    torch.testing.assert_close(
        colour[..., 0, :], torch.tensor([[[1.0], [0], [0.2]]]).expand(1, 3, 3)
    )
    assert not colour[..., 1, :].any()
