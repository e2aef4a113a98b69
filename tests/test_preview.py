"""Previews: any picture file that is read, as a plain PNG of 8 bits."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from core.errors import FormatError, ImageError
from core.image import read_picture, write_picture
from core.image.preview import write_preview

SIZE = (6, 4)


def some(shape, dtype):
    top = 65535 if dtype == np.uint16 else 255
    return np.random.default_rng(3).integers(0, top + 1, shape).astype(dtype)


def shown(path, folder):
    write_preview(path, folder / "shown.png")
    with Image.open(folder / "shown.png") as image:
        assert image.format == "PNG"
        return image.mode, np.asarray(image), image.info


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_eight_bits_are_shown_as_they_are(tmp_path, mode):
    samples = some((*SIZE, len(mode)) if len(mode) > 1 else SIZE, np.uint8)
    Image.fromarray(samples, mode).save(tmp_path / "a.tif", compression="tiff_lzw")
    found, values, _ = shown(tmp_path / "a.tif", tmp_path)
    assert found == mode and np.array_equal(values, samples)


def test_a_palette_and_black_and_white_are_shown_in_their_colours(tmp_path):
    source = Image.fromarray(some(SIZE, np.uint8) % 4, "P")
    source.putpalette([9, 8, 7, 255, 0, 0, 0, 255, 0, 1, 2, 3])
    source.save(tmp_path / "p.tif")
    assert np.array_equal(shown(tmp_path / "p.tif", tmp_path)[1], np.asarray(source.convert("RGB")))
    bits = some(SIZE, np.uint8) > 127
    Image.fromarray(bits).save(tmp_path / "b.tif")
    assert np.array_equal(shown(tmp_path / "b.tif", tmp_path)[1], bits * 255)


def test_sixteen_bits_are_rounded(tmp_path):
    gray = some(SIZE, np.uint16)
    Image.fromarray(gray).save(tmp_path / "gray.tif")
    mode, values, _ = shown(tmp_path / "gray.tif", tmp_path)
    assert mode == "L" and np.array_equal(values, np.rint(gray / 257))

    deep = some((1, 4, *SIZE), np.uint16)
    picture = read_picture(tmp_path / "gray.tif")
    pixels = torch.from_numpy(deep / 65535).float()
    write_picture(tmp_path / "deep.tif", picture, pixels[:, :3], alpha=pixels[:, 3:])
    with Image.open(tmp_path / "deep.tif") as image:
        assert set(image.tag_v2[258]) == {16}
    mode, values, _ = shown(tmp_path / "deep.tif", tmp_path)
    again = read_picture(tmp_path / "deep.tif")
    both = torch.cat([again.pixels, again.alpha], dim=1)[0].movedim(0, -1).numpy()
    assert mode == "RGBA" and np.array_equal(values, np.rint(both * 255))


def test_inks_become_light(tmp_path):
    inks = some((*SIZE, 4), np.uint8)
    Image.fromarray(inks, "CMYK").save(tmp_path / "a.tif")
    light = 1 - inks / 255
    expected = np.rint(light[..., :3] * light[..., 3:] * 255)
    assert np.array_equal(shown(tmp_path / "a.tif", tmp_path)[1], expected)


def test_a_turned_picture_is_shown_upright_with_its_profile_and_nothing_else(tmp_path):
    samples = some((*SIZE, 3), np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tags = {0x0112: 6, 271: "Gatefill"}
    Image.fromarray(samples).save(tmp_path / "a.tif", tiffinfo=tags, icc_profile=profile)
    _, values, info = shown(tmp_path / "a.tif", tmp_path)
    assert np.array_equal(values, np.rot90(samples, -1))
    assert info["icc_profile"] == profile and "exif" not in info


def test_what_is_no_picture_or_too_large_has_no_preview(tmp_path):
    (tmp_path / "a.tif").write_text("no picture")
    with pytest.raises(FormatError, match="is not a picture that can be read"):
        write_preview(tmp_path / "a.tif", tmp_path / "shown.png")
    Image.new("L", (5, 5)).save(tmp_path / "b.tif")
    with pytest.raises(ImageError, match="more than the 24 allowed") as problem:
        write_preview(tmp_path / "b.tif", tmp_path / "shown.png", max_pixels=24)
    assert not isinstance(problem.value, FormatError)
    assert not (tmp_path / "shown.png").exists()
