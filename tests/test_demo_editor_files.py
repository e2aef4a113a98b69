"""The demo's editor in a real browser: pictures, layers and results, from and to files."""

import io
import re
import time
from pathlib import Path

import numpy as np
import pytest
from editor_visits import DESKTOP, SIZE, EditorVisit, exif_photo, inside
from photos import smooth
from PIL import Image

pytest_plugins = ("editor_fixtures",)

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
NAMES = ("mask", "sketch", "color", "semantic")


def pixels(path: Path, mode: str = "RGBA") -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image.convert(mode))


def said(here: EditorVisit, text: str) -> bool:
    """Whether the editor says it, with x for the sign of multiplication."""
    return text in here.said().replace(chr(0xD7), "x")


def test_the_file_of_the_picture_arrives_byte_for_byte_and_python_is_told(here, tmp_path):
    path = tmp_path / "from a phone.jpg"
    data = exif_photo(path)
    told = here.opening(lambda: here.page.set_input_files(".gf-open-file", path))
    assert said(here, "from a phone.jpg: 300 x 200 pixels")
    assert told.event == "opened" and told.picture() == data
    here.brush(20)
    here.stroke((150, 100))
    arrived = here.echo()
    assert arrived.picture() == data
    assert arrived.value["picture"]["orig_name"] == "from a phone.jpg"
    assert arrived.alpha("mask").shape == SIZE


def test_another_picture_takes_nothing_away_for_good(here, tmp_path):
    here.brush(30)
    here.stroke((150, 100))
    drawn = here.echo().layers()
    smooth(8, (120, 90)).save(tmp_path / "other.webp", lossless=True)
    here.choose(tmp_path / "other.webp", (120, 90))
    assert here.echo().layers() == {}
    here.stroke((40, 60))
    assert here.echo().alpha("mask").shape == (120, 90)
    here.opening(lambda: here.press("Control+z", "Control+z"))
    here.wait(size="300x200", redo=2)
    assert here.echo().layers() == drawn
    here.opening(lambda: here.press("Control+y"))
    here.wait(size="90x120")
    assert here.echo().layers() == {}


GIVE = """({ kind, name, bytes, type }) => {
    const files = new DataTransfer();
    files.items.add(new File([Uint8Array.from(bytes)], name, { type }));
    const how = { bubbles: true, cancelable: true };
    const event = kind === 'drop'
        ? new DragEvent('drop', { ...how, dataTransfer: files })
        : new ClipboardEvent('paste', { ...how, clipboardData: files });
    document.querySelector(kind === 'drop' ? '.gf-stage' : 'body').dispatchEvent(event);
}"""


def test_a_picture_can_be_dropped_and_pasted_but_not_into_a_text_box(visit, tmp_path):
    here = visit()
    out = io.BytesIO()
    smooth(1, (40, 50)).save(out, "PNG")
    file = {"name": "dropped.png", "bytes": list(out.getvalue()), "type": "image/png"}
    told = here.opening(lambda: here.page.evaluate(GIVE, {"kind": "drop", **file}))
    assert told.picture() == out.getvalue() and here.state("picture") == "dropped.png"
    pasted = {"kind": "paste", **file, "name": "pasted.png"}
    here.opening(lambda: here.page.evaluate(GIVE, pasted))
    assert here.state("picture") == "pasted.png"
    here.page.evaluate(GIVE.replace("'body'", "'#note textarea'"), {"kind": "paste", **file})
    assert here.state("picture") == "pasted.png"
    camera = here.page.locator(".gf-camera-file")
    assert camera.get_attribute("capture") == "environment"


def test_layers_are_saved_and_loaded_bit_for_bit(here, tmp_path):
    for key in "1234":
        here.press(key)
        here.brush(30 + int(key), softness=70 if key in "13" else 0)
        here.stroke((70, 40 + 20 * int(key)), (190, 160))
    drawn = here.echo()
    ends = {"mask": "mask", "sketch": "sketch", "color": "color", "semantic": "seg"}
    for name, end in ends.items():
        here.page.click(f"[data-choose={name}]")
        path = here.download("[data-act=save]", tmp_path)
        assert path.name == f"my photo.{end}.png"
        if name in ("mask", "sketch"):  # light on black, as `python -m core fill` reads it
            assert pixels(path, "RGBA")[..., 3].min() == 255
            assert (pixels(path, "L") == drawn.alpha(name)).all()
        here.page.click("[data-act=clear]")
        here.load_layer(path)
        here.page.locator(".gf-status", has_text=f"{name.capitalize()} loaded").wait_for()
    assert here.echo().layers() == drawn.layers()
    here.wait(undo=12)


def test_the_mask_is_inverted_by_key_and_by_button_and_undone(visit, photo):
    here = visit(**DESKTOP)
    here.press("Control+i")
    assert here.said() == "Open a picture first"
    here.choose(photo, SIZE)
    here.brush(60, softness=80)
    here.stroke((150, 100), (190, 120))
    before = here.echo()
    soft = before.alpha("mask")
    assert ((soft > 0) & (soft < 255)).any()
    here.press("2", "Control+i")  # the mask, whichever layer is chosen
    after = here.echo()
    assert (after.alpha("mask") == 255 - soft).all() and list(after.layers()) == ["mask"]
    button = here.page.locator("[data-act=invert]")
    assert here.said() == "Mask inverted" and button.is_hidden()
    here.press("1")
    button.click()
    assert here.echo().layers() == before.layers()
    here.press("Control+z", "Control+z")
    here.wait(undo=1, redo=2)
    assert here.echo().layers() == before.layers()
    here.page.click("[data-act=clear]")
    button.click()
    assert (here.echo().alpha("mask") == 255).all()  # nothing masked: all of it


def test_a_layer_of_another_size_or_of_no_labels_is_refused_in_words(here, tmp_path):
    here.brush(30)
    here.stroke((150, 100))
    before = here.echo().layers()
    Image.new("L", (30, 20), 255).save(tmp_path / "small.png")
    here.load_layer(tmp_path / "small.png")
    here.wait(error="otherSize")
    assert said(here, "small.png is 30 x 20 pixels but the picture is 300 x 200")
    (tmp_path / "notes.png").write_text("no picture")
    here.load_layer(tmp_path / "notes.png")
    here.wait(error="notPicture")
    labels = np.full((*SIZE, 3), (128, 64, 128), np.uint8)
    labels[17, 5] = labels[17, 6] = 1, 2, 3
    Image.fromarray(labels).save(tmp_path / "labels.png")
    here.press("4")
    here.load_layer(tmp_path / "labels.png")
    here.wait(error="otherLabels")
    assert "2 pixels of no label, the first #010203 at x = 5, y = 17" in here.said()
    assert here.echo().layers() == before and here.state("undo") == "1"


def test_a_map_of_numbers_becomes_the_colours_of_its_labels(here, tmp_path):
    numbers = np.random.default_rng(0).choice([0, 1, 2, 255], SIZE).astype(np.uint8)
    Image.fromarray(numbers).save(tmp_path / "numbers.png")
    here.press("4")
    here.load_layer(tmp_path / "numbers.png")
    here.wait(undo=1)
    colours = {0: (128, 64, 128, 255), 1: (60, 40, 222, 255), 2: (64, 0, 128, 255)}
    came = here.echo().layer("semantic")
    for number, colour in colours.items():
        assert (came[numbers == number] == colour).all()
    assert (came[numbers == 255] == 0).all()


@pytest.mark.parametrize("name", ["line", "face"])
def test_a_sample_that_python_sets_comes_with_its_layers(visit, name):
    here = visit()
    here.page.click("#sample input")
    here.page.get_by_role("option", name=name).click()
    here.wait(picture=f"{name}.jpg", busy="false")
    arrived = here.echo()
    assert arrived.picture() == (SAMPLES / f"{name}.jpg").read_bytes()
    mask, sketch = (pixels(SAMPLES / f"{name}.{part}.png", "L") for part in ("mask", "sketch"))
    assert (arrived.alpha("mask") == mask).all() and (arrived.alpha("sketch") == sketch).all()
    if name == "face":
        assert (arrived.layer("color") == pixels(SAMPLES / "face.color.png")).all()


def test_a_sketch_that_python_draws_can_be_undone_and_comes_once(here):
    here.brush(30)
    here.stroke((150, 100))
    here.page.click("#sketch")
    here.wait(undo=2)
    arrived = here.echo()
    cross = np.zeros(SIZE, np.uint8)
    cross[100] = cross[:, 150] = 255
    assert (arrived.alpha("sketch") == cross).all() and arrived.alpha("mask").any()
    here.press("2", "e")
    here.brush(60)
    here.stroke((150, 100))
    erased = here.echo().layers()
    here.fill()  # hands all layers back: those of the browser count
    assert here.echo().layers() == erased
    here.press("Control+z", "Control+z")
    assert here.echo().layer("sketch") is None


def test_what_goes_wrong_is_said_and_nothing_is_lost(here, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    here.page.set_input_files(".gf-open-file", tmp_path / "notes.txt")
    here.wait(error="notPicture")
    assert here.said().startswith("notes.txt is no picture that can be read here")
    Image.new("1", (70_000, 2)).save(tmp_path / "wide.png")
    here.page.set_input_files(".gf-open-file", tmp_path / "wide.png")
    here.wait(error="tooLarge")
    assert said(here, "wide.png is 70000 x 2 pixels")
    assert here.state("size") == "300x200"

    path = tmp_path / "heavy.jpg"
    path.write_bytes(exif_photo(path) + bytes(26_000_000))  # the page allows 24 MiB
    here.page.set_input_files(".gf-open-file", path)
    here.wait(error="notSent")
    assert here.said().startswith("heavy.jpg could not be sent: ")
    here.press("Control+z")
    here.wait(picture="my photo.png")

    here.brush(30)
    here.stroke((150, 100))
    here.page.route(re.compile("/upload"), lambda route: route.abort())
    here.page.click("#echo")
    here.wait(error="notSent")
    assert here.said().startswith("mask.png could not be sent")
    here.page.unroute(re.compile("/upload"))
    here.complaints.clear()  # the browser's own, of the request that failed
    assert here.echo().alpha("mask").any()


def test_files_that_the_server_has_deleted_meanwhile_are_sent_again(here):
    here.brush(30)
    here.stroke((150, 100))
    first = here.echo()
    for file in (here.folder / "cache").rglob("*.png"):
        file.unlink()
    here.page.evaluate("() => { const { now } = Date; Date.now = () => now() + 3_600_000; }")
    again = here.echo()
    assert again.picture() == first.picture() and again.layers() == first.layers()
    here.complaints.clear()  # the browser's own: asked for the files, the server said 404


def test_a_drawing_outlives_a_reload(here):
    here.brush(30)
    here.stroke((150, 100))
    here.press("3")
    here.stroke((50, 100))
    drawn = here.echo()
    here.wait(kept="mask color")
    here.load()
    offer = here.page.get_by_role("button", name="Go on with my photo.png")
    here.opening(offer.click)
    again = here.echo()
    assert again.picture() == drawn.picture() and again.layers() == drawn.layers()
    here.load()
    here.page.click("[data-act=forget]")
    here.page.locator(".gf-draft").wait_for(state="hidden")
    here.load()
    here.page.wait_for_timeout(300)
    assert here.page.locator(".gf-draft").is_hidden()


def test_a_photo_of_12_megapixels_is_drawn_on_and_sent(here, tmp_path):
    smooth(2, (300, 400)).resize((4000, 3000)).save(tmp_path / "large.jpg", quality=80)
    here.choose(tmp_path / "large.jpg", (3000, 4000))
    here.brush(300)
    before = time.monotonic()
    points = here.stroke(*((500 + 100 * n, 700 + 60 * n) for n in range(30)))
    assert time.monotonic() - before < 15  # 1 s where nothing else runs
    slack = 1.6 / float(here.state("scale"))  # a pixel of the screen, and a half
    surely, _ = inside([points[0], points[-1]], 150 - slack, (3000, 4000))
    mask = here.echo().alpha("mask")
    assert (mask[surely] == 255).all()
    _, perhaps = inside([points[0], points[-1]], 150 + slack, (3000, 4000))
    assert (mask[~perhaps] == 0).all()
