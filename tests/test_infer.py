"""The infer.py of a bundle stands alone, fills as the graph says, and refuses in one sentence."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

from handmade import LABELS, SKETCH, contract_with, write_graphs
from photos import smooth

DEPLOY = Path(__file__).resolve().parent.parent / "export" / "deploy"
SIZE = (40, 56)
"""(height, width)."""


@pytest.fixture(scope="module")
def infer(tmp_path_factory):
    """infer.py with its graph, loaded from a folder where nothing else of ours is."""
    folder = tmp_path_factory.mktemp("net with lines")
    for name in ("infer.py", "pictures.py"):
        (folder / name).write_bytes((DEPLOY / name).read_bytes())
    write_graphs(folder, contract_with(SKETCH))
    yield from loaded(folder)


def loaded(folder):
    writes = sys.dont_write_bytecode
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        spec = importlib.util.spec_from_file_location("infer", folder / "infer.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    sys.dont_write_bytecode = writes
    sys.modules.pop("pictures", None)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with photo.png and mask.png, in which commands run."""
    monkeypatch.chdir(tmp_path)
    smooth(0, SIZE).save("photo.png")
    hole = np.zeros(SIZE, np.uint8)
    hole[10:20, 30:45] = 255
    Image.fromarray(hole).save("mask.png")
    return tmp_path


def pixels(name):
    with Image.open(name) as file:
        return np.asarray(file.convert("RGB"))


def expected(photo, mask, value=None):
    """Inverted in the hole, or `value`."""
    hole = mask[..., None] > 127
    return np.where(hole, 255 - photo if value is None else value, photo)


def refused(infer, capsys, *argv):
    """The one sentence of a refusal."""
    assert infer.main(list(argv)) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1, said
    return said


def test_it_imports_only_what_is_installed_with_it():
    allowed = {"numpy", "onnxruntime", "PIL", "pictures", *sys.stdlib_module_names}
    for name in ("infer.py", "pictures.py"):
        for node in ast.walk(ast.parse((DEPLOY / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert {alias.name.partition(".")[0] for alias in node.names} <= allowed
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0 and node.module.partition(".")[0] in allowed


def test_it_fills_in_a_process_of_its_own_and_adds_nothing_beside_it(infer, place):
    folder = Path(infer.__file__).parent
    plain = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = [sys.executable, infer.__file__, "photo.png", "mask.png", "-o", "out/filled.png"]
    done = subprocess.run(command, capture_output=True, text=True, env=plain)
    assert done.returncode == 0, done.stderr
    assert "filled in" in done.stderr and "CPUExecutionProvider" in done.stderr
    mask = np.asarray(Image.open("mask.png"))
    np.testing.assert_array_equal(pixels("out/filled.png"), expected(pixels("photo.png"), mask))
    graphs = {"generator.onnx", "pipeline.onnx"}
    assert {path.name for path in folder.iterdir()} == {"infer.py", "pictures.py", *graphs}
    assert list(Path("out").iterdir()) == [Path("out/filled.png")]


def test_help_names_the_guides_of_the_graph(infer, capsys):
    with pytest.raises(SystemExit) as end:
        infer.main(["--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert "--sketch" in said and "--color" not in said and "--seed" not in said


def test_a_sketch_reaches_the_graph_and_is_light_or_opaque(infer, place):
    lines = np.zeros(SIZE, np.uint8)
    lines[15] = 255
    Image.fromarray(lines).save("light.png")
    black = Image.new("RGB", SIZE[::-1])
    black.putalpha(Image.fromarray(lines))
    black.save("opaque.png")
    photo, mask = pixels("photo.png"), np.asarray(Image.open("mask.png"))
    wanted = expected(photo, mask)
    wanted[15, 30:45] = 200
    for name in ("light.png", "opaque.png"):
        assert infer.main(["photo.png", "mask.png", "-o", "a.png", "--sketch", name]) == 0
        np.testing.assert_array_equal(pixels("a.png"), wanted)


def test_orientation_is_applied_and_gone(infer, place):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    with Image.open("photo.png") as file:
        file.save("turned.png", exif=exif)
    turned = np.rot90(pixels("photo.png"), -1)
    mask = np.zeros(turned.shape[:2], np.uint8)
    mask[:5] = 255
    Image.fromarray(mask).save("m.png")
    assert infer.main(["turned.png", "m.png", "-o", "a.png"]) == 0
    np.testing.assert_array_equal(pixels("a.png"), expected(turned, mask))
    assert 0x0112 not in Image.open("a.png").getexif()


def test_alpha_and_profile_are_kept(infer, place):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    alpha = np.full(SIZE, 255, np.uint8)
    alpha[:, :9] = 77
    with Image.open("photo.png") as file:
        file.putalpha(Image.fromarray(alpha))
        file.save("alpha.png", icc_profile=profile)
    assert infer.main(["alpha.png", "mask.png", "-o", "a.png"]) == 0
    with Image.open("a.png") as filled:
        assert filled.info["icc_profile"] == profile
        np.testing.assert_array_equal(np.asarray(filled.getchannel("A")), alpha)


def test_without_a_mask_what_is_transparent_is_filled_and_opaque_then(infer, place):
    alpha = np.full(SIZE, 255, np.uint8)
    alpha[10:20, 30:45] = 0
    with Image.open("photo.png") as file:
        file.putalpha(Image.fromarray(alpha))
        file.save("alpha.png")
    assert infer.main(["alpha.png", "-o", "a.jpg"]) == 0  # nothing is transparent any more
    assert infer.main(["alpha.png", "-o", "a.png"]) == 0
    with Image.open("a.png") as filled:
        assert filled.mode == "RGB"
    np.testing.assert_array_equal(pixels("a.png"), expected(pixels("photo.png"), 255 - alpha))


def test_grey_stays_grey(infer, place):
    with Image.open("photo.png") as file:
        grey = file.convert("L")
    grey.save("grey.png")
    assert infer.main(["grey.png", "mask.png", "-o", "a.png"]) == 0
    hole = np.asarray(Image.open("mask.png")) > 127
    with Image.open("a.png") as filled:
        assert filled.mode == "L"
        np.testing.assert_array_equal(
            np.asarray(filled), np.where(hole, 255 - np.asarray(grey), np.asarray(grey))
        )


def test_an_empty_mask_is_said(infer, place, capsys):
    Image.new("L", SIZE[::-1]).save("empty.png")
    assert infer.main(["photo.png", "empty.png", "-o", "a.png"]) == 0
    assert "white is the hole" in capsys.readouterr().err
    np.testing.assert_array_equal(pixels("a.png"), pixels("photo.png"))


def test_what_cannot_be_filled_is_refused_in_one_sentence(infer, place, capsys):
    Image.new("L", (20, 30)).save("small.png")
    Image.fromarray(np.zeros(SIZE, np.uint16)).save("deep.png")
    Image.new("CMYK", SIZE[::-1]).save("cmyk.tif")
    Path("text.png").write_text("no picture")
    with Image.open("photo.png") as file:
        file.putalpha(9)
        file.save("alpha.png")
    out = ("-o", "a.png")
    for argv, said in [
        (("photo.png", "small.png", *out), "small.png is 30 x 20 pixels"),
        (("photo.png", "mask.png", *out, "--sketch", "small.png"), "but the photo is 40 x 56"),
        (("none.png", "mask.png", *out), "there is no picture at none.png"),
        (("text.png", "mask.png", *out), "not a readable picture"),
        (("deep.png", "mask.png", *out), "16 bits per sample"),
        (("cmyk.tif", "mask.png", *out), "CMYK"),
        (("photo.png", *out), "has no transparency"),
        (("alpha.png", "mask.png", "-o", "a.jpg"), "cannot hold the transparency"),
        (("photo.png", "mask.png", "-o", "a.txt"), "names no picture format"),
        (("photo.png", "mask.png", "-o", "mask.png/a.png"), "cannot be written"),
        (("photo.png", "mask.png", *out, "--provider", "coreml"), "built without CoreML"),
        (("photo.png", "mask.png", *out, "--model", "none.onnx"), "there is no graph at none.onnx"),
        (("photo.png", "mask.png", *out, "--model", "text.png"), "text.png cannot be run"),
    ]:
        assert said in refused(infer, capsys, *argv)
    assert not Path("a.png").exists()


def test_colour_of_16_bits_is_refused_and_not_cut_down(infer, place, capsys):
    """A PNG of 16-bit RGB, which Pillow cannot write: by hand."""
    import struct
    import zlib

    def chunk(kind, data):
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    head = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    body = zlib.compress(b"\0" + bytes(12))
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    Path("deep.png").write_bytes(png)
    said = refused(infer, capsys, "deep.png", "mask.png", "-o", "a.png")
    assert "16 bits per sample" in said


def test_the_graph_of_the_network_alone_is_refused(infer, place, capsys):
    model = str(Path(infer.__file__).with_name("generator.onnx"))
    said = refused(infer, capsys, "photo.png", "mask.png", "-o", "a.png", "--model", model)
    assert "give pipeline.onnx" in said


def test_a_folder_is_filled_and_a_bad_photo_does_not_stop_it(infer, place, capsys):
    for folder in ("photos/inner", "masks/inner"):
        Path(folder).mkdir(parents=True)
    for name, mask in (("a", "a.mask"), ("inner/b", "inner/b_mask"), ("c", "c")):
        smooth(1, SIZE).save(f"photos/{name}.png")
        Path(f"masks/{mask}.png").write_bytes(Path("mask.png").read_bytes())
    Path("photos/bad.png").write_text("no picture")
    Path("masks/bad.png").write_bytes(Path("mask.png").read_bytes())
    smooth(2, SIZE).save("photos/lost.png")
    assert infer.main(["photos", "masks", "-o", "out"]) == 1
    said = capsys.readouterr().err
    assert "3 filled, 2 failed" in said
    assert "lost.png has no mask in masks" in said
    done = {p.relative_to("out").as_posix() for p in Path("out").rglob("*.png")}
    assert done == {"a.png", "inner/b.png", "c.png"}
    wanted = expected(pixels("photos/a.png"), np.asarray(Image.open("mask.png")))
    for name in done:
        np.testing.assert_array_equal(pixels(f"out/{name}"), wanted)


def test_masks_beside_the_photos_are_no_photos(infer, place, capsys):
    Path("photos").mkdir()
    smooth(1, SIZE).save("photos/a.png")
    Path("photos/a.mask.png").write_bytes(Path("mask.png").read_bytes())
    Image.new("L", SIZE[::-1], 255).save("photos/a.sketch.png")
    argv = ["photos", "photos", "-o", "photos/out", "--sketch", "photos"]
    for _ in range(2):  # the second time there are results below the folder
        assert infer.main(argv) == 0
        assert "1 filled, 0 failed" in capsys.readouterr().err
    wanted = expected(pixels("photos/a.png"), np.asarray(Image.open("mask.png")), 200)
    np.testing.assert_array_equal(pixels("photos/out/a.png"), wanted)


def test_the_folder_of_the_photos_is_not_written_over(infer, place, capsys):
    assert "name another" in refused(infer, capsys, ".", ".", "-o", ".")
    Path("empty").mkdir()
    assert "no photos in empty" in refused(infer, capsys, "empty", ".", "-o", "out")


@pytest.fixture(scope="module")
def painter(tmp_path_factory):
    """infer.py with a network of labels."""
    folder = tmp_path_factory.mktemp("labels")
    for name in ("infer.py", "pictures.py"):
        (folder / name).write_bytes((DEPLOY / name).read_bytes())
    write_graphs(folder, contract_with(LABELS))
    yield from loaded(folder)


def test_labels_are_grey_numbers_palette_indices_or_colours(painter, place):
    numbers = np.zeros(SIZE, np.uint8)
    numbers[:, 40:] = 1
    Image.fromarray(numbers).save("grey.png")
    indexed = Image.fromarray(numbers)
    indexed.putpalette([9, 9, 9, 200, 0, 0])  # its colours mean nothing
    indexed.save("indexed.png")
    colours = np.array([[128, 128, 128], [0, 0, 255]], np.uint8)  # those of the contract
    Image.fromarray(colours[numbers]).save("colours.png")
    wanted = pixels("photo.png").copy()
    wanted[10:20, 30:40], wanted[10:20, 40:45] = 0, 10
    for name in ("grey.png", "indexed.png", "colours.png"):
        assert painter.main(["photo.png", "mask.png", "-o", "a.png", "--semantic", name]) == 0
        np.testing.assert_array_equal(pixels("a.png"), wanted, err_msg=name)


def test_unknown_is_255_and_other_labels_are_refused(painter, place, capsys):
    argv = ["photo.png", "mask.png", "-o", "a.png"]
    Image.new("L", SIZE[::-1], 255).save("unknown.png")
    assert painter.main([*argv, "--semantic", "unknown.png"]) == 0
    capsys.readouterr()
    Image.new("L", SIZE[::-1], 2).save("two.png")
    assert "has the label 2, but the network knows 0 to 1" in refused(
        painter, capsys, *argv, "--semantic", "two.png"
    )
    Image.new("RGB", SIZE[::-1], "red").save("red.png")
    assert "the colour #ff0000" in refused(painter, capsys, *argv, "--semantic", "red.png")
    assert "needs --semantic" in refused(painter, capsys, *argv)
