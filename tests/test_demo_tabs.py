"""The tabs beside the editor's, in a real browser: comparing, batches, terms, new networks."""

import re
import shutil
import zipfile

import numpy as np
import pytest
from demos import ROOT, layer_file, mask_file, picture_file, pixels
from editor_visits import PHONE, SIZE
from PIL import Image

pytest_plugins = ("editor_fixtures", "page_fixtures")
pytest.importorskip("gradio", reason="Gradio is not installed")
api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
expect = api.expect

DESKTOP = {"viewport": {"width": 1280, "height": 900}}
WAIT = 60_000


@pytest.fixture
def visit(page_visit):
    return lambda **screen: page_visit(**(screen or DESKTOP))


@pytest.fixture
def here(visit, photo, tmp_path):
    """A visitor with a photo and a hole in the editor, who looks at the tab Compare."""
    return compared(visit(), photo, tmp_path)


def compared(one, photo, folder, layers=None):
    one.open(photo)
    layers = layers or {"mask": layer_file(folder / "hole.png", (255, 255, 255), size=SIZE)}
    for number, (layer, path) in enumerate(layers.items()):
        one.page.click(f"[data-choose={layer}]")
        one.load_layer(path)
        one.wait(undo=number + 1, busy="false")
    one.tab("Compare")
    return one


def compare(here, first, second):
    for side, network in (("first", first), ("second", second)):
        here.pick(f"{side}-network", network)
    here.page.click("#compare")
    here.status("compare-status", "Ready")


def facts(here, side):
    return here.page.locator(f"#{side}-facts").inner_text()


def sources(here, selector):
    """The addresses of the pictures there, once they are decoded."""
    images = here.page.locator(f"{selector} img")
    expect(images.first).to_be_visible(timeout=WAIT)
    here.page.wait_for_function(
        "at => [...document.querySelectorAll(at)].every((one) => one.naturalWidth)",
        arg=f"{selector} img",
    )
    sizes = images.evaluate_all("all => all.map((one) => [one.naturalHeight, one.naturalWidth])")
    assert sizes == [[*SIZE]] * len(sizes)
    return images.evaluate_all("all => all.map((one) => one.src)")


# ---- compare ----


def test_what_to_do_first_is_said_until_the_editor_has_a_picture(visit, photo):
    here = visit()
    here.tab("Compare")
    hint = here.page.locator("#compare-empty")
    expect(hint).to_be_visible()
    expect(hint).to_contain_text("There is no picture in the editor yet")
    button, picture = (here.page.locator(x).bounding_box() for x in ("#compare", "#first-result"))
    assert button["y"] + button["height"] < picture["y"]
    here.tab("Edit")
    here.open(photo)
    here.tab("Compare")
    expect(here.page.locator("#compare-status")).to_be_attached()
    expect(hint).to_be_hidden()
    sides = [here.page.locator(f"#{side}-result").bounding_box() for side in ("first", "second")]
    assert sides[0]["y"] == sides[1]["y"] and sides[0]["width"] > 500  # of a window of 1280


def results(here, folder):
    """What is downloaded of either side."""
    return [
        pixels(here.download(f"#{side}-download", folder / side)) for side in ("first", "second")
    ]


def test_two_results_are_seen_with_a_border_between_and_downloaded(here, photo, tmp_path):
    compare(here, "tiny.safetensors", "deepfillv2-photos")
    first, second = sources(here, "#first-result") + sources(here, "#second-result")
    assert first != second and sorted(sources(here, "#compare-both")) == sorted([first, second])
    found = results(here, tmp_path)
    known = np.ones(SIZE, bool)
    known[20:50, 30:60] = False
    assert all(np.array_equal(one[known], pixels(photo)[known]) for one in found)
    assert (found[0] != found[1]).any()
    here.pick("second-network", "tiny.safetensors")  # the same choice twice
    here.page.click("#compare")
    here.status("second-facts", "by tiny.safetensors")
    same = results(here, tmp_path / "same")
    assert np.array_equal(same[0], found[0]) and np.array_equal(same[1], found[0])


def test_one_that_cannot_is_said_beside_the_other(here):
    here.page.fill("#second-network input", "nothing")
    here.page.press("#second-network input", "Enter")
    here.complaint("There is no network 'nothing' here")
    here.page.click("#compare")
    here.status("compare-status", "Ready")
    assert len(sources(here, "#first-result")) == 1
    assert "There is no network 'nothing' here; choose one of" in facts(here, "second")
    expect(here.page.locator("#second-result img")).to_have_count(0)
    expect(here.page.locator("#second-download")).to_have_count(0)
    expect(here.page.locator("#compare-both")).to_have_count(0)


def test_strokes_that_a_network_does_not_take_are_named(visit, photo, tmp_path):
    here = visit()
    here.pick("edit-network", "scfegan-faces-small")
    here.wait(layers="mask sketch color")
    layers = {
        "mask": layer_file(tmp_path / "hole.png", (255, 255, 255), size=SIZE),
        "color": layer_file(tmp_path / "color.png", (200, 30, 30), size=SIZE),
    }
    compared(here, photo, tmp_path, layers)
    compare(here, "scfegan-faces-small", "tiny.safetensors")
    assert "Without" not in facts(here, "first")
    assert "Without the colors that you drew: this network takes none" in facts(here, "second")


def test_a_tiff_is_compared_by_previews_and_downloaded_as_it_is(visit, tmp_path):
    photo = picture_file(tmp_path / "scan.tif", SIZE)
    here = compared(visit(), photo, tmp_path)
    compare(here, "tiny.safetensors", "deepfillv2-photos")
    assert all(x.endswith(".png") for x in sources(here, "#compare-both"))
    saved = here.download("#first-download", tmp_path / "out")
    assert saved.name == "scan-filled.tif"
    with Image.open(saved) as image:
        assert image.format == "TIFF"


# ---- batch ----


def batch(folder, count):
    """A zip of pictures with masks, the second of them broken."""
    files = []
    for number in range(count):
        files.append(picture_file(folder / f"{number:02}.png", seed=number))
        if number == 1:
            files[-1].write_bytes(b"\x89PNG no more")
        files.append(mask_file(folder / f"{number:02}.mask.png"))
    with zipfile.ZipFile(folder / "in.zip", "w") as archive:
        for file in files:
            archive.write(file, file.name)
    return folder / "in.zip"


def test_a_batch_is_in_sight_tells_how_far_it_is_and_its_report_scrolls(visit, tmp_path):
    here = visit()
    here.tab("Batch")
    expect(here.page.locator("#batch-hint")).to_contain_text("A zip of the filled pictures comes")
    here.page.set_input_files("#batch-pictures input[type=file]", batch(tmp_path, 30))
    expect(here.page.locator("#batch-pictures")).to_contain_text("in.zip")
    button = here.page.locator("#batch-fill").bounding_box()
    assert button["y"] + button["height"] < 900
    here.page.evaluate("""() => {
        const line = document.querySelector('#batch-status');
        window.heard = [];
        new MutationObserver(() => heard.push(line.innerText)).observe(line,
            { childList: true, subtree: true, characterData: true });
    }""")
    here.page.click("#batch-fill")
    here.status("batch-status", "29 filled, 1 failed, by tiny.safetensors")
    told = re.findall(r"Filling, (\d+) of 30", "\n".join(here.page.evaluate("heard")))
    assert told and [*map(int, told)] == sorted(map(int, told))
    expect(here.page.locator("#batch-hint")).to_have_count(0)
    rows = here.page.locator(".job-report tbody tr").all_inner_texts()
    assert len(rows) == 30 and rows[0].startswith("01.png") and "picture" in rows[0]
    report = here.page.locator(".job-report")
    assert report.evaluate("one => one.scrollHeight > one.clientHeight + 100")
    assert report.evaluate("one => one.getBoundingClientRect().bottom") <= 900
    report.evaluate("one => { one.scrollTop = one.scrollHeight }")
    head = here.page.locator(".job-report thead th").first.bounding_box()
    assert head["y"] >= report.bounding_box()["y"] - 1  # it stays in sight


# ---- about, and networks that come later ----


def test_terms_can_be_read_on_a_phone(visit):
    here = visit(**PHONE)
    here.tab("About")
    expect(here.page.locator("#networks td").first).to_be_visible()
    lines = """cells => cells.map((cell) => {
        const range = document.createRange();
        range.selectNodeContents(cell);
        return [cell.innerText, range.getClientRects().length];
    })"""
    names = here.page.locator("#networks td:first-child").evaluate_all(lines)
    assert ["scfegan-faces-small", 1] in names and all(count == 1 for _, count in names)
    here.page.locator("#cards summary", has_text="scfegan-faces-small").click()
    cells = here.page.locator("#cards details[open] :is(th, td)")
    expect(cells.first).to_be_visible()
    words = [(text, count) for text, count in cells.evaluate_all(lines) if text.isalpha()]
    assert len(words) > 8 and all(count == 1 for _, count in words), words
    assert here.page.evaluate("document.documentElement.scrollWidth") <= 390
    tabs = here.page.locator("#tabs").bounding_box()
    assert abs(390 - tabs["width"] - 2 * tabs["x"]) <= 1  # in the middle


def test_tables_have_the_colours_of_the_theme(visit):
    here = visit(**DESKTOP, color_scheme="dark")
    here.tab("About")
    cell = here.page.locator("#networks td").first
    expect(cell).to_be_visible()
    border, wanted = cell.evaluate("""one => {
        const probe = document.body.appendChild(document.createElement('p'));
        probe.style.color = 'var(--border-color-primary)';
        return [getComputedStyle(one).borderTopColor, getComputedStyle(probe).color];
    }""")
    assert border == wanted


def test_networks_that_come_later_are_offered_and_broken_ones_named(visit, page_demo):
    here = visit()
    folder = page_demo.models
    later, broken = folder / "later.safetensors", folder / "broken.safetensors"
    try:
        shutil.copy(ROOT / "weights" / "scfegan-faces-small.safetensors", later)
        (folder / "later.md").write_text("# A card of its own")
        broken.write_bytes(b"nothing")
        here.page.locator("#edit-network input").click()
        option = here.page.locator("#edit-network").get_by_role("option", name=later.name)
        option.click()
        here.wait(layers="mask sketch color")
        here.page.reload()
        here.tab("About")
        expect(here.page.locator("#networks")).to_contain_text(later.name)
        expect(here.page.locator("#cards summary", has_text=later.name)).to_be_visible()
        for where in ("edit-network", "batch-network", "first-network", "second-network"):
            here.tab({"edit": "Edit", "batch": "Batch"}.get(where.split("-")[0], "Compare"))
            offered = here.options(where)
            assert later.name in "\n".join(offered) and "broken" not in "\n".join(offered)
            here.page.keyboard.press("Escape")
    finally:
        for path in (later, broken, folder / "later.md"):
            path.unlink(missing_ok=True)
    said = [line for line in page_demo.log().splitlines() if "broken.safetensors" in line]
    assert len(said) == 1 and "is not offered" in said[0]
