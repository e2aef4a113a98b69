"""Known pixels come back exactly in every mode; what changes is converted as the modes demand."""

import itertools
import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core.errors import ShapeError
from core.image import (
    from_bhwc,
    read_picture,
    save_pixels,
    side_by_side,
    to_bhwc,
    write_picture,
)
from core.image.modes import Coding, decode, encode, extend_palette

SIZE = (6, 9)
HOLE = (slice(2, 4), slice(3, 7))

BANDS = {"L": 1, "LA": 2, "P": 1, "RGB": 3, "RGBA": 4, "CMYK": 4}


def picture_of(mode, size=SIZE, seed=0):
    """A Pillow picture of random samples."""
    random = np.random.default_rng(seed)
    if mode == "1":
        return Image.fromarray(random.random(size) > 0.5)
    if mode == "I;16":
        return Image.fromarray(random.integers(0, 65536, size, dtype=np.uint16))
    if mode == "F":
        return Image.fromarray(random.random(size, dtype=np.float32) * 3 - 0.5)
    samples = random.integers(0, 256, (*size, BANDS[mode]), dtype=np.uint8)
    if mode != "P":
        return Image.frombytes(mode, size[::-1], samples.tobytes())
    image = Image.frombytes("P", size[::-1], (samples % 7).tobytes())
    image.putpalette(random.integers(0, 256, 7 * 3, dtype=np.uint8).tobytes())
    return image


def filled(picture, seed=1):
    """The picture with random colours in the hole."""
    completed = picture.pixels.clone()
    generator = torch.Generator().manual_seed(seed)
    hole = completed[..., HOLE[0], HOLE[1]]
    hole[:] = torch.rand(hole.shape, generator=generator)
    return completed


def known(array):
    """The samples outside of the hole, in a row."""
    outside = np.ones(array.shape[:2], bool)
    outside[HOLE] = False
    return np.asarray(array)[outside]


LOSSLESS = [
    *itertools.product(("1", "L", "LA", "P", "RGB", "RGBA", "I;16"), ("png",)),
    *itertools.product(("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"), ("tif",)),
    *itertools.product(("1", "L", "P", "RGB"), ("bmp",)),
    *itertools.product(("RGB", "RGBA"), ("webp",)),
]


@pytest.mark.parametrize(("mode", "suffix"), LOSSLESS)
def test_known_samples_and_mode_are_those_of_the_file(tmp_path, mode, suffix):
    source, out = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    options = {"lossless": True, "exact": True} if suffix == "webp" else {}
    picture_of(mode).save(source, **options)
    picture = read_picture(source)
    write_picture(out, picture, filled(picture))
    with Image.open(source) as before, Image.open(out) as after:
        assert after.mode == before.mode == mode
        old, new = np.asarray(before), np.asarray(after)
    assert np.array_equal(known(old), known(new))
    assert not np.array_equal(old[HOLE], new[HOLE])


@pytest.mark.parametrize(("mode", "suffix"), LOSSLESS)
def test_changed_pixels_are_as_near_as_the_mode_allows(tmp_path, mode, suffix):
    source, out = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    options = {"lossless": True, "exact": True} if suffix == "webp" else {}
    picture_of(mode).save(source, **options)
    picture = read_picture(source)
    completed = filled(picture)
    write_picture(out, picture, completed)
    back = read_picture(out)
    wanted = completed[..., HOLE[0], HOLE[1]]
    if mode in ("1", "L", "LA", "I;16", "F"):
        weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        wanted = (wanted * weights).sum(1, keepdim=True).expand_as(wanted)
    if mode == "1":
        wanted = (wanted > 0.5).float()
    # 1 / 255 of the range: half a step, and CMYK multiplies two inks
    torch.testing.assert_close(back.pixels[..., HOLE[0], HOLE[1]], wanted, atol=1 / 255, rtol=0)
    if picture.alpha is not None:
        assert torch.equal(back.alpha, picture.alpha)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("target", ["png", "tif"])
def test_colour_of_16_bits_keeps_its_low_bits(tmp_path, channels, suffix, target):
    """OpenCV, which knows 16-bit colour, writes the file and reads the result."""
    cv2 = pytest.importorskip("cv2")
    random = np.random.default_rng(0)
    samples = random.integers(0, 65536, (*SIZE, channels), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / f"in.{suffix}"), samples)
    picture = read_picture(tmp_path / f"in.{suffix}")
    red = torch.from_numpy(samples[..., 2].astype(np.float32) / np.float32(65535))
    assert torch.equal(picture.pixels[0, 0], red)
    completed = filled(picture)
    write_picture(tmp_path / f"out.{target}", picture, completed)
    written = cv2.imread(str(tmp_path / f"out.{target}"), cv2.IMREAD_UNCHANGED)
    assert written.dtype == np.uint16
    assert np.array_equal(known(written), known(samples))
    wanted = np.rint(completed[0].numpy()[::-1].transpose(1, 2, 0) * np.float32(65535))
    assert np.array_equal(written[..., :3][HOLE], wanted[HOLE])


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize(
    "options",
    [
        {"byteorder": ">"},
        {"byteorder": ">", "compression": "zlib"},
        {"compression": "zlib", "predictor": True},
        {"tile": (16, 16)},
    ],
    ids=str,
)
def test_tiff_layouts_of_16_bits_are_read_whole(tmp_path, channels, options):
    tifffile = pytest.importorskip("tifffile")
    samples = np.random.default_rng(0).integers(0, 65536, (20, 30, channels), dtype=np.uint16)
    extra = ["unassalpha"] if channels == 4 else []
    tifffile.imwrite(tmp_path / "t.tif", samples, photometric="rgb", extrasamples=extra, **options)
    picture = read_picture(tmp_path / "t.tif")
    assert np.array_equal(picture.native.samples, samples)
    write_picture(tmp_path / "out.tif", picture, picture.pixels)
    assert np.array_equal(tifffile.imread(tmp_path / "out.tif"), samples)


def test_gray_with_alpha_of_16_bits_comes_back(tmp_path):
    """The writer's own file is the only one at hand; OpenCV checks it, widened to BGRA."""
    cv2 = pytest.importorskip("cv2")
    samples = np.random.default_rng(0).integers(0, 65536, SIZE, dtype=np.uint16)
    Image.fromarray(samples).save(tmp_path / "gray.png")
    gray = read_picture(tmp_path / "gray.png")
    alpha = torch.rand(1, 1, *SIZE, generator=torch.Generator().manual_seed(0))
    write_picture(tmp_path / "la.png", gray, gray.pixels, alpha=alpha)
    written = cv2.imread(str(tmp_path / "la.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(written[..., 0], samples)
    assert np.array_equal(written[..., 3], np.rint(alpha[0, 0].numpy() * np.float32(65535)))
    picture = read_picture(tmp_path / "la.png")
    assert np.array_equal(picture.native.samples, written[..., 2:])
    assert picture.native.coding.mode == "LA;16"


def test_a_tiff_palette_reaches_full_white(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    image = Image.new("P", (2, 1), 1)
    image.putpalette([0, 0, 0, 255, 128, 1])
    image.save(tmp_path / "in.png")
    picture = read_picture(tmp_path / "in.png")
    write_picture(tmp_path / "out.tif", picture, picture.pixels)
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert file.pages[0].colormap[:, 1].tolist() == [65535, 128 * 257, 257]


def test_inverted_gray_of_16_bits_is_read_upright(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    samples = np.array([[0, 1, 65535]], np.uint16)
    tifffile.imwrite(tmp_path / "t.tif", samples, photometric="miniswhite")
    picture = read_picture(tmp_path / "t.tif")
    assert picture.native.samples.tolist() == [[65535, 65534, 0]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_sample_survives_the_way_through_float(dtype):
    mode, top = {np.uint8: ("L", 255), np.uint16: ("I;16", 65535)}[dtype]
    samples = np.arange(top + 1, dtype=dtype)[None]
    rgb, alpha = decode(samples, Coding(mode))
    assert np.array_equal(rgb[0, 0], np.arange(top + 1, dtype=np.float32) / np.float32(top))
    assert alpha is None
    assert np.array_equal(encode(rgb, None, Coding(mode)), samples)


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_ink_gives_back_every_colour(rgb):
    colour = np.array(rgb, np.float32).reshape(3, 1, 1) / 255
    inks = encode(colour, None, Coding("CMYK"))
    back, _ = decode(inks, Coding("CMYK"))
    assert np.abs(back - colour).max() <= 1 / 255
    assert inks.min(axis=-1).max() == 0  # what all inks share is in black


def test_cmyk_is_read_as_pillow_reads_it(tmp_path):
    image = picture_of("CMYK")
    image.save(tmp_path / "c.jpg", quality=100, subsampling=0)  # Adobe's inverted inks
    with Image.open(tmp_path / "c.jpg") as stored:
        wanted = np.asarray(stored.convert("RGB")).astype(np.float32) / 255
    pixels = read_picture(tmp_path / "c.jpg").pixels[0].permute(1, 2, 0).numpy()
    assert np.abs(pixels - wanted).max() <= 1.01 / 255


def test_float_above_one_is_shown_as_its_share_of_the_largest(tmp_path):
    samples = np.array([[0.0, 50.0, 200.0, -3.0, np.nan, np.inf]], np.float32)
    Image.fromarray(samples).save(tmp_path / "f.tif")
    picture = read_picture(tmp_path / "f.tif")
    assert picture.pixels[0, 1, 0].tolist() == [0, 0.25, 1, 0, 0, 1]
    completed = picture.pixels.clone()
    completed[..., 0] = 0.5
    write_picture(tmp_path / "out.tif", picture, completed)
    with Image.open(tmp_path / "out.tif") as after:
        expected = [[100.0, 50.0, 200.0, -3.0, np.nan, np.inf]]
        assert np.array_equal(np.asarray(after), expected, equal_nan=True)


@pytest.mark.parametrize("transparency", [2, bytes([255, 0, 128])])
def test_a_palette_with_transparency_keeps_both(tmp_path, transparency):
    picture_of("P").save(tmp_path / "in.png", transparency=transparency)
    picture = read_picture(tmp_path / "in.png")
    with Image.open(tmp_path / "in.png") as image:
        rgba = np.asarray(image.convert("RGBA"))
        indices = np.asarray(image)
    assert torch.equal(picture.alpha[0, 0], torch.from_numpy(rgba[..., 3] / np.float32(255)))
    write_picture(tmp_path / "out.png", picture, filled(picture))
    with Image.open(tmp_path / "out.png") as image:
        assert image.mode == "P"
        assert np.array_equal(known(np.asarray(image)), known(indices))
        assert np.array_equal(np.asarray(image.convert("RGBA"))[..., 3], rgba[..., 3])


def test_new_colours_enter_a_palette_only_as_far_as_there_is_room():
    random = np.random.default_rng(0)
    palette = random.integers(0, 256, (250, 3), dtype=np.uint8)
    new = random.integers(0, 256, (1000, 3), dtype=np.uint8)
    few = extend_palette(palette, np.concatenate([new[:5], new[:5], palette[:9]]))
    assert np.array_equal(few[:250], palette)
    assert {tuple(c) for c in few[250:]} == {tuple(c) for c in new[:5]}
    many = extend_palette(palette, new)
    assert np.array_equal(many[:250], palette)
    assert len(many) == 256
    assert np.array_equal(extend_palette(many, new), many)


def test_a_full_palette_gives_the_nearest_colour():
    palette = np.array([[0, 0, 0], [255, 255, 255], [250, 10, 10], [10, 10, 250]], np.uint8)
    rgb = np.array([[0.9, 0.1, 0.2], [0.4, 0.4, 0.45], [0.6, 0.6, 0.55]], np.float32).T[:, None]
    assert encode(rgb, None, Coding("P", palette)).tolist() == [[2, 0, 1]]


@pytest.mark.parametrize(
    ("mode", "key", "kept"),
    [("RGB", (1, 2, 3), "RGBA"), ("L", 7, "LA"), ("1", 1, "LA"), ("I;16", 513, "LA;16")],
)
def test_a_transparent_colour_becomes_alpha(tmp_path, mode, key, kept):
    image = Image.new(mode, (3, 2))
    image.putpixel((1, 0), key)
    image.save(tmp_path / "in.png", transparency=key)
    picture = read_picture(tmp_path / "in.png")
    assert picture.alpha[0, 0].tolist() == [[1, 0, 1], [1, 1, 1]]
    assert picture.native.coding.mode == kept
    write_picture(tmp_path / "out.png", picture, picture.pixels)
    assert torch.equal(read_picture(tmp_path / "out.png").alpha, picture.alpha)


def test_a_transparent_gray_of_four_bits_is_found(tmp_path):
    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 4, 0, 0, 0, 0))
    body = chunk(b"tRNS", b"\0\x05") + chunk(b"IDAT", zlib.compress(b"\0\x54"))
    path = tmp_path / "in.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + body + chunk(b"IEND", b""))
    picture = read_picture(path)
    assert picture.native.samples.tolist() == [[[85, 0], [68, 255]]]


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "I;16"])
def test_new_alpha_replaces_the_old(tmp_path, mode):
    picture_of(mode).save(tmp_path / "in.png")
    picture = read_picture(tmp_path / "in.png")
    alpha = torch.ones(1, 1, *SIZE)
    write_picture(tmp_path / "opaque.png", picture, picture.pixels, alpha=alpha)
    opaque = read_picture(tmp_path / "opaque.png")
    assert opaque.native.coding.mode == picture.native.coding.mode
    assert opaque.alpha is None or torch.equal(opaque.alpha, alpha)
    alpha[..., 0] = 0
    write_picture(tmp_path / "out.png", picture, picture.pixels, alpha=alpha)
    back = read_picture(tmp_path / "out.png")
    assert torch.equal(back.alpha, alpha)
    assert torch.equal(back.pixels, picture.pixels)


WARNED = {("LA", "jpg"), ("RGBA", "jpg"), ("LA", "bmp"), ("RGBA", "bmp")}
WARNED |= set(itertools.product(("I;16", "F"), ("jpg", "webp", "bmp"))) | {("F", "png")}


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff", "bmp"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_any_mode_can_go_into_any_format(tmp_path, mode, suffix, caplog):
    image = picture_of(mode, (1, 1))
    image.save(tmp_path / "in.tif")
    picture = read_picture(tmp_path / "in.tif")
    write_picture(tmp_path / f"out.{suffix}", picture, picture.pixels)
    back = read_picture(tmp_path / f"out.{suffix}")
    assert back.size == (1, 1)
    # JPEG rounds the pixel to and from YCbCr
    torch.testing.assert_close(back.pixels, picture.pixels, atol=3 / 255, rtol=0)
    assert bool(caplog.records) == ((mode, suffix) in WARNED)


def test_blocks_meet_without_seams(tmp_path, monkeypatch):
    monkeypatch.setattr("core.image.modes.BLOCK_PIXELS", 20)
    for mode, suffix in [("RGB", "png"), ("RGB", "tif"), ("1", "tif"), ("P", "png")]:
        image = picture_of(mode, (7, 9))
        image.save(tmp_path / f"in.{suffix}")
        picture = read_picture(tmp_path / f"in.{suffix}")
        write_picture(tmp_path / f"out.{suffix}", picture, picture.pixels)
        with Image.open(tmp_path / f"out.{suffix}") as after:
            assert np.array_equal(np.asarray(after), np.asarray(image))
    deep = np.random.default_rng(0).integers(0, 65536, (7, 9, 3), dtype=np.uint16)
    cv2 = pytest.importorskip("cv2")
    cv2.imwrite(str(tmp_path / "in.png"), deep)
    picture = read_picture(tmp_path / "in.png")
    write_picture(tmp_path / "out.png", picture, picture.pixels)
    assert np.array_equal(cv2.imread(str(tmp_path / "out.png"), cv2.IMREAD_UNCHANGED), deep)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp"])
def test_pixels_are_saved_plainly(tmp_path, channels, suffix):
    pixels = torch.linspace(0, 1, 16 * 16).view(1, 1, 16, 16).repeat(1, channels, 1, 1)
    save_pixels(tmp_path / f"new/p.{suffix}", pixels)
    with Image.open(tmp_path / f"new/p.{suffix}") as image:
        assert image.mode == ("L" if channels == 1 and suffix != "webp" else "RGB")
        array = np.asarray(image.convert("L")).astype(np.float32)
    wanted = np.rint(pixels[0, 0].numpy() * np.float32(255))
    assert np.abs(array - wanted).max() <= (4 if suffix == "jpg" else 0)


@pytest.mark.parametrize("shape", [(3, 4, 4), (2, 3, 4, 4), (1, 2, 4, 4)])
def test_other_shapes_are_not_saved(tmp_path, shape):
    with pytest.raises(ShapeError, match=r"\(1, 3 or 1, H, W\)"):
        save_pixels(tmp_path / "p.png", torch.zeros(shape))


def test_a_result_of_another_size_is_refused(tmp_path):
    picture_of("RGB").save(tmp_path / "in.png")
    picture = read_picture(tmp_path / "in.png")
    with pytest.raises(ShapeError, match=r"\(1, 3, 6, 8\).*\(1, 3, 6, 9\)"):
        write_picture(tmp_path / "out.png", picture, picture.pixels[..., :-1])
    with pytest.raises(ShapeError, match="alpha"):
        write_picture(tmp_path / "out.png", picture, picture.pixels, alpha=torch.ones(1, 1, 2, 2))


def test_comfyui_tensors_only_change_their_order():
    image = torch.rand(2, 4, 5, 3)
    assert torch.equal(from_bhwc(image)[1, 2], image[1, :, :, 2])
    assert torch.equal(to_bhwc(from_bhwc(image)), image)
    assert torch.equal(from_bhwc(torch.cat([image, image[..., :1]], -1)), from_bhwc(image))
    for wrong in (image[0], image[..., :2]):
        with pytest.raises(ShapeError):
            from_bhwc(wrong)
    with pytest.raises(ShapeError):
        to_bhwc(image[0])


def test_pictures_stand_in_a_row():
    row = side_by_side([torch.zeros(1, 3, 2, 3), torch.full((1, 3, 4, 1), 0.5)], gap=2)
    assert row[0, 0].tolist() == [
        [0, 0, 0, 1, 1, 0.5],
        [0, 0, 0, 1, 1, 0.5],
        [1, 1, 1, 1, 1, 0.5],
        [1, 1, 1, 1, 1, 0.5],
    ]
    for wrong in ([], [torch.zeros(3, 2, 2)]):
        with pytest.raises(ShapeError):
            side_by_side(wrong)
