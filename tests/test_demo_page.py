"""The demo's page in a real browser, on the real server: what its tabs do, file to download."""

import json
import re
import zipfile

import numpy as np
import pytest
from demos import layer_file, mask_file, picture_file, pixels
from editor_visits import DESKTOP, PHONE, SIZE, inside
from PIL import Image

pytest_plugins = ("editor_fixtures", "page_fixtures")
pytest.importorskip("gradio", reason="Gradio is not installed")
api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
expect = api.expect

WAY = [(90, 60), (200, 100), (120, 140)]
RADIUS = 16
WAIT = 60_000
WORDS = {
    "en-US": ("Batch", "Fill", "Network", "Filled in"),
    "zh-CN": ("批量", "填充", "网络", "完成填充"),
    "ko-KR": ("일괄", "채우기", "네트워크", "만에 채움"),
    "ja-JP": ("一括", "補完", "ネットワーク", "秒で補完"),
}


@pytest.fixture
def demo(page_demo):
    return page_demo


@pytest.fixture
def visit(page_visit):
    return page_visit


@pytest.fixture
def here(visit, photo):
    """A visitor who has opened the photo and brushed over a place of it."""
    one = visit()
    one.open(photo)
    one.brush(2 * RADIUS)
    one.points = one.stroke(*WAY)
    return one


def test_a_photo_is_filled_by_mouse_and_all_else_is_downloaded_bit_for_bit(here, photo, tmp_path):
    here.fill_now()
    here.status("status", "by tiny.safetensors, PyTorch on cpu; the hole is")
    saved = here.download(".gf-download", tmp_path)
    assert saved.name == "my photo-filled.png"
    before, after = pixels(photo), pixels(saved)
    surely, perhaps = inside(here.points, RADIUS, SIZE)
    assert np.array_equal(after[~perhaps], before[~perhaps])
    assert (after != before).any(axis=-1)[surely].mean() > 0.9

    here.page.click("[data-act=use]")
    here.wait(showing="false", busy="false")
    here.stroke((40, 160), (60, 170))
    here.fill_now()
    again = pixels(here.download(".gf-download", tmp_path))
    assert np.array_equal(again[:100], after[:100]) and (again != after).any()


def test_within_ten_seconds_of_arriving_a_sample_is_filled(visit, tmp_path):
    here = visit()
    here.sample("object")
    here.status("status", "Remove an object: press Fill")
    here.fill_now()
    assert pixels(here.download(".gf-download", tmp_path)).shape == (342, 512, 3)


@pytest.mark.parametrize(
    ("sample", "layers", "network"),
    [
        ("scratch", "mask sketch", "tiny.safetensors"),
        ("line", "mask sketch", "tiny.safetensors"),
        ("face", "mask sketch color", "scfegan-faces-small"),
        ("street", "mask semantic", "spade-streets-small"),
    ],
)
def test_a_sample_brings_its_layers_and_a_network_that_takes_them(visit, sample, layers, network):
    here = visit()
    here.sample(sample)
    here.wait(layers=layers, busy="false")
    expect(here.page.locator("#edit-network input")).to_have_value(network)
    here.fill_now()
    here.status("status", f"by {network}")


def test_another_network_shows_its_layers_and_keeps_the_drawing(here, tmp_path):
    here.pick("edit-network", "scfegan-faces-small")
    here.wait(layers="mask sketch color")
    here.pick("edit-network", "streets.safetensors")
    here.wait(layers="mask semantic")
    here.page.click("[data-choose=semantic]")
    assert here.page.locator(".gf-labels").inner_text().split()[:3] == ["sky", "building", "pole"]
    expect(here.page.locator("#style")).to_be_visible()
    here.pick("edit-network", "tiny.safetensors")
    here.wait(layers="mask sketch")
    expect(here.page.locator("#style")).to_have_count(0)
    here.fill_now()


def test_lines_are_taken_from_the_picture_into_the_layer(visit, tmp_path):
    image = np.zeros((200, 300, 3), np.uint8)
    image[:, 150:] = 255
    Image.fromarray(image).save(tmp_path / "edge.png")
    here = visit()
    here.open(tmp_path / "edge.png")
    here.page.get_by_role("button", name="Lines from the picture").click()
    here.page.click("#sketch")
    here.status("status", "Lines drawn")
    here.wait(busy="false")
    here.page.click("[data-choose=sketch]")
    lines = pixels(here.download("[data-act=save]", tmp_path))[..., 0]  # white on black
    rows = (lines[20:180, 145:155] == 255).any(axis=1)
    assert rows.mean() > 0.9 and not lines[:, :140].any() and not lines[:, 160:].any()


def test_what_the_network_looks_at_is_shown(here):
    here.page.get_by_role("button", name="What the network looks at").click()
    for view in ("attention", "gates"):
        here.page.click(f"#{view}")
        picture = here.page.locator(f"#view img[src$='{view}.png']")
        expect(picture).to_be_visible(timeout=WAIT)
        assert picture.evaluate("image => image.naturalWidth") > 100


def test_what_is_missing_is_said(visit, photo):
    here = visit()
    here.page.click("#fill")
    here.complaint("Open a picture first")
    here.open(photo)
    here.page.click("#fill")
    here.complaint("Nothing is masked; brush over what shall be filled first")


def test_a_fill_that_is_cancelled_can_be_followed_by_another(visit, tmp_path):
    size = (1500, 1500)
    photo = picture_file(tmp_path / "large.jpg", size)
    here = visit()
    here.pick("edit-network", "deepfillv2-photos")
    here.open(photo, size)
    here.load_layer(mask_file(tmp_path / "mask.png", size, (50, 50, 1450, 1450)))
    here.wait(undo="1", busy="false")
    here.page.get_by_role("button", name="How to fill").first.click()
    here.pick("edit-strategy", "full")
    here.page.click("#fill")
    here.status("status", "Filling")
    here.page.click("#cancel")
    here.status("status", "Cancelled")
    assert here.state("results") == "0"
    here.pick("edit-network", "tiny.safetensors")
    here.pick("edit-strategy", "auto")
    here.page.locator("[data-act=undo]").click()
    here.brush(40)
    here.stroke((700, 700), (800, 800))
    here.fill_now()


def test_a_batch_goes_in_as_a_zip_and_comes_out_as_one(visit, tmp_path):
    files = [picture_file(tmp_path / "in" / f"{name}.png", seed=n) for n, name in enumerate("ab")]
    files += [mask_file(tmp_path / "in" / f"{name}.mask.png") for name in "ab"]
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for file in [*files, picture_file(tmp_path / "in" / "alone.png")]:
            archive.write(file, file.name)
    here = visit()
    here.tab("Batch")
    here.page.set_input_files("#batch-pictures input[type=file]", tmp_path / "in.zip")
    expect(here.page.locator("#batch-pictures")).to_contain_text("in.zip")
    here.page.click("#batch-fill")
    here.status("batch-status", "2 filled, 1 failed, by tiny.safetensors")
    here.status("batch-report", "no picture file at alone.mask.png")
    with zipfile.ZipFile(here.download("#batch-results a[download]", tmp_path)) as archive:
        assert sorted(archive.namelist()) == ["a.png", "b.png", "report.jsonl"]
        lines = [json.loads(line) for line in archive.read("report.jsonl").splitlines()]
        archive.extract("a.png", tmp_path / "out")
    assert sorted(line["status"] for line in lines) == ["done", "done", "failed"]
    known = pixels(files[2]) == 0
    after, before = pixels(tmp_path / "out" / "a.png"), pixels(files[0])
    assert np.array_equal(after[known], before[known]) and (after != before).any()


def test_a_bad_zip_is_said(visit, tmp_path):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("../a.png", b"1")
    here = visit()
    here.tab("Batch")
    here.page.click("#batch-fill")
    here.complaint("There are no pictures yet")
    here.page.set_input_files("#batch-pictures input[type=file]", tmp_path / "bad.zip")
    expect(here.page.locator("#batch-pictures")).to_contain_text("bad.zip")
    here.page.click("#batch-fill")
    here.complaint("which leads out of it")


def test_two_networks_fill_the_hole_of_the_editor_side_by_side(here):
    here.tab("Compare")
    here.pick("first-network", "deepfillv2-photos")
    here.pick("second-network", "tiny.safetensors")
    here.page.click("#compare")
    here.status("compare-status", "Ready")
    sources = []
    for side, network in (("first", "deepfillv2-photos"), ("second", "tiny.safetensors")):
        picture = here.page.locator(f"#{side}-result img")
        expect(picture).to_be_visible()
        assert picture.evaluate("image => [image.naturalHeight, image.naturalWidth]") == [*SIZE]
        sources.append(picture.get_attribute("src"))
        text = here.page.locator(f"#{side}-facts").inner_text()
        assert re.search(rf"Filled in \d+\.\d\d s by {re.escape(network)}, PyTorch on cpu", text)
    assert sources[0] != sources[1]
    here.tab("Edit")
    assert here.state("undo") == "1"  # the drawing is as it was


@pytest.mark.parametrize("locale", WORDS)
def test_the_page_speaks_the_language_of_the_browser(visit, photo, locale):
    batch, fill, network, filled = WORDS[locale]
    here = visit(locale=locale, **DESKTOP)
    expect(here.page.get_by_role("tab", name=batch, exact=True)).to_be_visible()
    expect(here.page.locator("#fill")).to_have_text(fill)
    expect(here.page.locator("#edit-network")).to_contain_text(network)
    assert "__i18n__" not in here.page.locator("body").inner_text()
    here.open(photo)
    here.stroke(*WAY)
    here.fill_now()
    here.status("status", filled)


def test_a_phone_has_room_for_all_and_fills(visit):
    here = visit(**PHONE)
    here.sample("line")
    here.fill_now()
    for name in ("Batch", "Compare", "API", "About", "Edit"):
        here.tab(name)
        here.page.wait_for_timeout(200)
        assert here.page.evaluate("document.documentElement.scrollWidth") <= 390, name


def test_every_control_has_a_name_and_can_be_reached_by_the_keyboard(visit):
    here = visit()
    nameless = here.page.evaluate("""() => [...document.querySelectorAll('button, input, a[href]')]
        .filter((x) => x.offsetParent && !x.closest('.gf-editor'))
        .filter((x) => !(x.innerText.trim() || x.getAttribute('aria-label') || x.title
            || x.labels?.length || x.getAttribute('aria-labelledby')))
        .map((x) => x.outerHTML.slice(0, 200))""")
    assert nameless == []
    here.page.locator("#fill").focus()
    here.page.keyboard.press("Enter")
    here.complaint("Open a picture first")


def test_the_tabs_for_programs_and_terms_say_what_there_is(visit, demo):
    here = visit()
    here.tab("API")
    expect(here.page.locator("#api-guide")).to_contain_text(f'Client("{demo.url}")')
    here.tab("About")
    expect(here.page.locator("#networks")).to_contain_text("research and demonstration only")
    here.page.locator("summary", has_text="scfegan-faces-small").click()
    expect(here.page.get_by_role("heading", name="Model card: scfegan-faces-small")).to_be_visible()


def test_a_layer_from_a_file_is_filled_as_the_service_does(visit, photo, tmp_path):
    here = visit()
    here.open(photo)
    here.load_layer(layer_file(tmp_path / "hole.png", (255, 255, 255), size=SIZE))
    here.wait(undo="1", busy="false")
    here.fill_now()
    after, before = pixels(here.download(".gf-download", tmp_path)), pixels(photo)
    changed = (after != before).any(axis=-1)
    assert changed[20:50, 30:60].mean() > 0.9
    changed[20:50, 30:60] = False
    assert not changed.any()
