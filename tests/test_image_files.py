"""What stands beside the pixels is kept, and each bad file is told in one sentence."""

import errno
import os
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageFile, ImageOps, JpegImagePlugin

from core.errors import ImageError, ShapeError
from core.image import read_head, read_picture, save_pixels, write_picture
from core.image.exif import upright

ROOT = Path(__file__).parent.parent

MAKE, ORIENTATION, SHOT, PLACE, TAKEN, LATITUDE = 271, 274, 0x8769, 0x8825, 36867, 2


def noise(size=(12, 10), mode="RGB"):
    samples = np.random.default_rng(0).integers(0, 256, (*size, len(mode)), dtype=np.uint8)
    return Image.frombytes(mode, size[::-1], samples.tobytes())


def exif_with(orientation):
    exif = Image.Exif()
    exif[MAKE] = "Gatefill"
    exif[ORIENTATION] = orientation
    exif[SHOT] = {TAKEN: "2024:02:29 12:00:00"}
    exif[PLACE] = {LATITUDE: (52.0, 31.0, 12.5)}
    return exif.tobytes()


def save_as(path, image, **options):
    lossless = {"lossless": True} if path.suffix == ".webp" else {}
    image.save(path, **lossless, **options)


def copied(tmp_path, source, suffix):
    """The file after reading and writing, opened and loaded by Pillow."""
    picture = read_picture(source)
    write_picture(tmp_path / f"copy{suffix}", picture, picture.pixels)
    with Image.open(tmp_path / f"copy{suffix}") as image:
        image.load()
        return image


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_orientation_is_applied_and_reset(tmp_path, orientation, suffix):
    source = tmp_path / f"in{suffix}"
    save_as(source, noise(), exif=exif_with(orientation))
    with Image.open(source) as image:
        wanted = np.asarray(ImageOps.exif_transpose(image))
    picture = read_picture(source)
    pixels = np.rint(picture.pixels[0].permute(1, 2, 0).numpy() * 255)
    assert np.array_equal(pixels, wanted)
    copy = copied(tmp_path, source, suffix)
    assert copy.size == wanted.shape[1::-1]
    assert copy.getexif().get(ORIENTATION, 1) == 1
    if suffix != ".jpg":
        assert np.array_equal(np.asarray(copy), wanted)


@pytest.mark.parametrize("target", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_the_rest_of_the_exif_is_kept(tmp_path, suffix, target):
    save_as(tmp_path / f"in{suffix}", noise(), exif=exif_with(6))
    exif = copied(tmp_path, tmp_path / f"in{suffix}", target).getexif()
    assert exif[MAKE] == "Gatefill"
    assert exif.get_ifd(SHOT)[TAKEN] == "2024:02:29 12:00:00"
    assert tuple(float(part) for part in exif.get_ifd(PLACE)[LATITUDE]) == (52.0, 31.0, 12.5)


@pytest.mark.parametrize("order", ["<", ">"])
def test_every_other_byte_of_the_exif_stays_and_the_thumbnail_goes(order):
    """A block by hand: orientation, a foreign tag, then a directory with a thumbnail."""
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    first = struct.pack(order + "H", 2)
    first += struct.pack(order + "HHIHH", 274, 3, 1, 8, 0)
    first += struct.pack(order + "HHII", 37500, 7, 4, 0xABCDEF01)
    second = struct.pack(order + "H", 2)
    second += struct.pack(order + "HHII", 0x0201, 4, 1, 68)
    second += struct.pack(order + "HHII", 0x0202, 4, 1, 5)
    link, end = struct.pack(order + "I", 38), bytes(4)
    block = start + first + link + second + end + b"thumbrest"
    assert block.index(b"thumb") == 68
    new, orientation = upright(b"Exif\0\0" + block)
    assert orientation == 8
    expected = bytearray(start + first + bytes(4) + second + end + bytes(5) + b"rest")
    struct.pack_into(order + "H", expected, 18, 1)
    assert new == b"Exif\0\0" + expected


@pytest.mark.parametrize("block", [b"", b"Exif\0\0", b"II*\0", b"II*\0\xff\xff\0\0", b"no EXIF"])
def test_damaged_exif_is_dropped(tmp_path, block):
    assert upright(block) == (b"", 1)


@pytest.mark.parametrize("target", [".png", ".tif"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_exif_with_a_damaged_entry_does_no_harm(tmp_path, suffix, target):
    """Text where the place should be: Pillow reads it, but cannot write it."""
    block = exif_with(1)
    entry = struct.pack(">HH", LATITUDE, 5)  # fractions
    assert block.count(entry) == 1
    noise().save(tmp_path / f"in{suffix}", exif=block)
    data = (tmp_path / f"in{suffix}").read_bytes()
    for order in "<>":
        entry = struct.pack(order + "HH", LATITUDE, 5)
        data = data.replace(entry, struct.pack(order + "HH", LATITUDE, 2))
    if suffix == ".png":
        start = data.index(b"eXIf")
        end = start + 4 + struct.unpack(">I", data[start - 4 : start])[0]
        checksum = struct.pack(">I", zlib.crc32(data[start:end]))
        data = data[:end] + checksum + data[end + 4 :]
    (tmp_path / f"in{suffix}").write_bytes(data)
    picture = read_picture(tmp_path / f"in{suffix}")
    write_picture(tmp_path / f"out{target}", picture, picture.pixels)
    assert torch.equal(read_picture(tmp_path / f"out{target}").pixels, picture.pixels)


PROFILES = [(".png", "RGB"), (".jpg", "RGB"), (".webp", "RGB"), (".tif", "RGB"), (".tif", "CMYK")]


@pytest.mark.parametrize(("suffix", "mode"), PROFILES)
@pytest.mark.parametrize("target", [".png", ".jpg", ".webp", ".tif"])
def test_the_colour_profile_is_kept_where_it_still_fits(tmp_path, suffix, mode, target):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    save_as(tmp_path / f"in{suffix}", noise(mode=mode), icc_profile=profile)
    copy = copied(tmp_path, tmp_path / f"in{suffix}", target)
    kept = copy.mode == mode
    assert copy.info.get("icc_profile") == (profile if kept else None)
    assert kept or mode == "CMYK"


@pytest.mark.parametrize("target", [".png", ".jpg", ".tif", ".bmp"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp"])
def test_the_resolution_is_kept(tmp_path, suffix, target):
    save_as(tmp_path / f"in{suffix}", noise(), dpi=(300, 150))
    copy = copied(tmp_path, tmp_path / f"in{suffix}", target)
    assert [round(float(value)) for value in copy.info["dpi"]] == [300, 150]


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_the_resolution_turns_with_the_picture(tmp_path, suffix):
    save_as(tmp_path / f"in{suffix}", noise(), dpi=(300, 150), exif=exif_with(6))
    copy = copied(tmp_path, tmp_path / f"in{suffix}", ".png")
    assert [round(value) for value in copy.info["dpi"]] == [150, 300]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_colour_keeps_what_stands_beside_it(tmp_path, suffix):
    cv2 = pytest.importorskip("cv2")
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((4, 5, 3), 513, np.uint16))
    save_as(tmp_path / "in.tif", noise((4, 5)), exif=exif_with(1), dpi=(300, 150), icc_profile=b"p")
    deep, other = read_picture(tmp_path / "deep.png"), read_picture(tmp_path / "in.tif")
    object.__setattr__(deep.native, "metadata", other.native.metadata)
    write_picture(tmp_path / f"mixed{suffix}", deep, deep.pixels)
    copy = copied(tmp_path, tmp_path / f"mixed{suffix}", suffix)
    assert copy.getexif()[MAKE] == "Gatefill"
    assert copy.getexif().get_ifd(SHOT)[TAKEN] == "2024:02:29 12:00:00"
    assert copy.info["icc_profile"] == b"p"
    assert [round(float(value)) for value in copy.info["dpi"]] == [300, 150]


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_repeats_tables_subsampling_and_scans_of_its_source(tmp_path, mode):
    source = tmp_path / "in.jpg"
    noise((32, 32), mode).save(source, quality=61, subsampling="4:2:2", progressive=True)
    with Image.open(source) as image:
        tables, sampling = image.quantization, JpegImagePlugin.get_sampling(image)
    copy = copied(tmp_path, source, ".jpeg")
    assert copy.mode == mode
    assert copy.quantization == tables
    assert JpegImagePlugin.get_sampling(copy) == sampling
    assert sampling == (1 if mode == "RGB" else -1)
    assert copy.info["progressive"]


def test_jpeg_of_another_source_is_of_quality_95_without_subsampling(tmp_path):
    noise().save(tmp_path / "in.png")
    noise().save(tmp_path / "wanted.jpg", quality=95)
    copy = copied(tmp_path, tmp_path / "in.png", ".jpg")
    with Image.open(tmp_path / "wanted.jpg") as wanted:
        assert copy.quantization == wanted.quantization
    assert JpegImagePlugin.get_sampling(copy) == 0


@pytest.mark.parametrize(
    ("suffix", "options", "lossless"),
    [
        (".png", {}, True),
        (".jpg", {}, False),
        (".webp", {"lossless": True}, True),
        (".webp", {"quality": 80}, False),
        (".webp", {"quality": 80, "icc_profile": b"odd"}, False),
    ],
)
def test_webp_is_lossless_unless_its_source_was_not(tmp_path, suffix, options, lossless):
    noise().save(tmp_path / f"in{suffix}", **options)
    picture = read_picture(tmp_path / f"in{suffix}")
    write_picture(tmp_path / "out.webp", picture, picture.pixels)
    assert torch.equal(read_picture(tmp_path / "out.webp").pixels, picture.pixels) == lossless


def test_exif_too_long_for_jpeg_is_left_out_with_a_note(tmp_path, caplog):
    exif = Image.Exif()
    exif[270] = "x" * 70_000
    noise().save(tmp_path / "in.png", exif=exif)
    assert not copied(tmp_path, tmp_path / "in.png", ".jpg").getexif()
    assert "too long for JPEG" in caplog.text


def test_a_phone_jpeg_with_further_pictures_is_read(tmp_path):
    noise().save(tmp_path / "in.jpg", "MPO", save_all=True, append_images=[noise((6, 5))])
    assert read_picture(tmp_path / "in.jpg").size == (12, 10)


# Each bad file, how it is made and what is said of it.


def make_missing(path): ...


def make_folder(path):
    path.mkdir()


def make_text(path):
    path.write_text("no picture")


def make_empty_file(path):
    path.touch()


def make_cut_off(path):
    noise((64, 64)).save(path)
    path.write_bytes(path.read_bytes()[:3000])


def make_pages(path):
    noise().save(path, "TIFF", save_all=True, append_images=[noise()])


def make_animation(path):
    noise().save(path, "WEBP", save_all=True, append_images=[noise((12, 10)).rotate(90)])


def make_moving_png(path):
    noise().save(path, "PNG", save_all=True, append_images=[noise((12, 10)).rotate(180)])


def make_gif(path):
    noise().save(path, "GIF")


def make_lab(path):
    Image.new("LAB", (2, 2)).save(path, "TIFF")


def make_deep_integers(path):
    Image.fromarray(np.array([[0, 70000]], np.int32)).save(path, "TIFF")


def make_deep_planes(path):
    tifffile = pytest.importorskip("tifffile")
    planes = np.zeros((3, 4, 5), np.uint16)
    tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate")


def make_bomb(path):
    """A header of 40,000 x 40,000 pixels, far beyond Pillow's own limit too."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    chunks = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    data = b"IDAT" + zlib.compress(bytes(100))
    chunks += struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def make_zero_width(path):
    make_bomb(path)
    header = b"IHDR" + struct.pack(">IIBBBBB", 0, 5, 8, 2, 0, 0, 0)
    data = bytearray(path.read_bytes())
    data[12:33] = header + struct.pack(">I", zlib.crc32(header))
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("make", "name", "said"),
    [
        (make_missing, "a.png", "there is no picture file at .*a.png; check the name"),
        (make_folder, "a.png", "a.png is a folder; name a picture file in it"),
        (make_text, "a.jpg", "a.jpg is not a picture that can be read; needed is .* PNG, JPEG"),
        (make_empty_file, "a.png", "is not a picture that can be read"),
        (make_cut_off, "a.jpg", "is damaged or cut off .*; get it anew"),
        (make_cut_off, "a.png", "is damaged or cut off .*; get it anew"),
        (make_cut_off, "a.tif", "is damaged or cut off .*; get it anew"),
        (make_cut_off, "a.bmp", "is damaged or cut off .*; get it anew"),
        (make_cut_off, "a.webp", "a.webp is "),
        (make_pages, "a.tif", "holds 2 pictures .*; save the one to be filled"),
        (make_animation, "a.webp", "holds 2 pictures"),
        (make_moving_png, "a.png", "holds 2 pictures"),
        (make_gif, "a.png", "is not a picture that can be read"),
        (make_lab, "a.tif", "pictures of kind LAB cannot be filled; save it as RGB"),
        (make_deep_integers, "a.tif", "gray samples beyond 0 to 65535; save it as 16 bit"),
        (make_deep_planes, "a.tif", "would lose bits; save it as plain 16-bit RGB"),
        (make_bomb, "a.png", "40000 x 40000 pixels, more than the 200000000 allowed; make it"),
        (make_zero_width, "a.png", "5 x 0 pixels|not a picture that can be read"),
    ],
)
def test_a_bad_file_is_told_in_one_sentence(tmp_path, make, name, said):
    make(tmp_path / name)
    with pytest.raises(ImageError, match=said) as caught:
        read_picture(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_file_that_may_not_be_read_is_told(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Image, "open", refuse)  # the tests may run as root, who may read all
    with pytest.raises(ImageError, match=r"a\.png may not be read; change its permissions"):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_max_pixels_alone_decides_and_pillows_limit_stays(tmp_path, monkeypatch, suffix):
    noise().save(tmp_path / f"a.{suffix}")
    monkeypatch.setattr("core.image.modes.BLOCK_PIXELS", 10)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)  # Pillow refuses 41 pixels
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_picture(tmp_path / f"a.{suffix}", max_pixels=120).size == (12, 10)
        with pytest.raises(ImageError, match="12 x 10 pixels, more than the 119 allowed"):
            read_picture(tmp_path / f"a.{suffix}", max_pixels=119)
    assert Image.MAX_IMAGE_PIXELS == 20


def test_cut_off_files_are_refused_by_default_settings():
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def whole_picture(tmp_path):
    noise().save(tmp_path / "whole.png")
    return read_picture(tmp_path / "whole.png")


@pytest.mark.parametrize("name", ["out.gif", "out", "out.png.txt"])
def test_an_unknown_suffix_names_the_known_ones(tmp_path, name):
    picture = whole_picture(tmp_path)
    with pytest.raises(ImageError, match=r"\.png, \.jpg, \.jpeg, \.webp, \.tif, \.tiff, \.bmp"):
        write_picture(tmp_path / name, picture, picture.pixels)
    with pytest.raises(ImageError, match="cannot tell a picture format"):
        save_pixels(tmp_path / name, picture.pixels)


def test_suffixes_may_be_in_capitals(tmp_path):
    save_pixels(tmp_path / "OUT.PNG", torch.zeros(1, 3, 2, 2))
    assert read_picture(tmp_path / "OUT.PNG").size == (2, 2)


def test_unwritable_places_are_told(tmp_path):
    picture = whole_picture(tmp_path)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match=r"folder\.png is a folder; name a file in it"):
        write_picture(tmp_path / "folder.png", picture, picture.pixels)
    with pytest.raises(ImageError, match=r"cannot write .*a\.png \(.*\); choose another place"):
        write_picture(tmp_path / "file" / "a.png", picture, picture.pixels)


@pytest.mark.parametrize(("suffix", "limit"), [(".webp", 16383), (".jpg", 65500)])
def test_a_picture_too_long_for_its_format_is_refused(tmp_path, suffix, limit):
    save_pixels(tmp_path / f"fits{suffix}", torch.zeros(1, 1, 1, limit))
    with pytest.raises(ImageError, match=f"1 x {limit + 1} pixels .* at most {limit} a side"):
        save_pixels(tmp_path / f"a{suffix}", torch.zeros(1, 1, 1, limit + 1))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, suffix):
    picture = whole_picture(tmp_path)
    out = tmp_path / "folder" / f"out{suffix}"
    write_picture(out, picture, picture.pixels)
    old = out.read_bytes()

    def full(self, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(ImageError, match="No space left on device"):
        write_picture(out, picture, 1 - picture.pixels)
    assert os.listdir(out.parent) == [out.name]
    assert out.read_bytes() == old


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    picture = whole_picture(tmp_path)
    out = tmp_path / "folder" / "out.tif"
    write_picture(out, picture, picture.pixels)
    old = out.read_bytes()

    def interrupt(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr("core.image.tiff._strip_bytes", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_picture(out, picture, 1 - picture.pixels)
    assert os.listdir(out.parent) == [out.name]
    assert out.read_bytes() == old


GROWTH = """
import resource, sys
from pathlib import Path
import torch
from PIL import Image
from core.image import read_picture, write_picture

Image.preinit()
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
start = peak()
picture = read_picture(Path(sys.argv[1]))
read = peak()
write_picture(Path(sys.argv[2]), picture, picture.pixels)
print(read - start, peak() - start)
"""


def test_memory_stays_near_that_of_the_result(tmp_path):
    """Of 8 megapixels: 92 MB of floats, 23 of samples, 31 of Pillow's copy while writing."""
    pytest.importorskip("resource")  # not on Windows
    Image.effect_mandelbrot((4096, 2048), (-2, -1.5, 1, 1.5), 9).convert("RGB").save(
        tmp_path / "in.jpg"
    )
    code = [sys.executable, "-c", GROWTH, str(tmp_path / "in.jpg"), str(tmp_path / "out.jpg")]
    done = subprocess.run(code, capture_output=True, text=True, check=True, cwd=ROOT)
    read, total = map(float, done.stdout.split())
    assert read < 96 + 24 + 40
    assert total < 96 + 24 + 32 + 40


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp"])
def test_the_head_tells_format_and_size_whatever_the_name_says(tmp_path, suffix):
    save_as(tmp_path / f"in{suffix}", noise())
    (tmp_path / f"in{suffix}").rename(tmp_path / "in.xyz")
    form = {".jpg": "JPEG", ".tif": "TIFF"}.get(suffix, suffix[1:].upper())
    assert read_head(tmp_path / "in.xyz") == (form, 12, 10)


def test_a_head_is_refused_as_the_picture_would_be(tmp_path):
    save_as(tmp_path / "in.png", noise())
    with pytest.raises(ImageError, match="12 x 10 pixels, more than the 119 allowed"):
        read_head(tmp_path / "in.png", max_pixels=119)
    (tmp_path / "in.png").write_text("no picture")
    with pytest.raises(ImageError, match=r"is not a picture that can be read"):
        read_head(tmp_path / "in.png")


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_plain_pixels_may_have_alpha(tmp_path, suffix):
    levels = torch.arange(12 * 10 * 4).reshape(1, 4, 12, 10) % 256 / 255
    path = tmp_path / f"drawn{suffix}"
    save_pixels(path, levels[:, :3], alpha=levels[:, 3:])
    found = read_picture(path)
    assert found.alpha is not None
    assert torch.equal(torch.cat([found.pixels, found.alpha], dim=1), levels)


def test_alpha_that_a_format_does_not_hold_is_refused(tmp_path):
    with pytest.raises(ImageError, match="cannot write"):
        save_pixels(tmp_path / "a.jpg", torch.zeros(1, 3, 4, 4), alpha=torch.zeros(1, 1, 4, 4))
    with pytest.raises(ShapeError, match="alpha is"):
        save_pixels(tmp_path / "a.png", torch.zeros(1, 3, 4, 4), alpha=torch.zeros(1, 1, 4, 5))
