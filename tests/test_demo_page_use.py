"""The demo's page in a real browser: arriving, windows and phones, going without a mouse."""

import base64
import io

import pytest
from demos import pixels
from editor_visits import DESKTOP, PHONE
from PIL import Image

from core.commands.demo import SAMPLES
from core.errors import ConfigError
from gradio_demo.samples import CAPTIONS, previews, sample_of
from gradio_demo.words import LANGUAGES

pytest_plugins = ("editor_fixtures", "page_fixtures")
pytest.importorskip("gradio", reason="Gradio is not installed")
api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
expect = api.expect

WINDOW = {"viewport": {"width": 1280, "height": 900}}
TABLET = {"viewport": {"width": 820, "height": 1180}, "has_touch": True, "is_mobile": True}
TABS = ("Batch", "Compare", "API", "About", "Edit")


def box(here, selector):
    """Where something is in the window: left, top, right, bottom."""
    found = here.page.locator(selector).bounding_box()
    left, top = found["x"], found["y"]
    return left, top, left + found["width"], top + found["height"]


# ---- samples ----


def test_every_sample_has_a_caption_in_each_language_and_a_small_picture():
    assert set(CAPTIONS) == {path.stem for path in SAMPLES.glob("*.jpg")}
    shown = previews()
    assert [sample["name"] for sample in shown] == ["object", "line", "face", "street", "scratch"]
    for sample in shown:
        assert len(sample["captions"]) == len(set(sample["captions"])) == len(LANGUAGES)
        kind, _, data = sample["picture"].partition(",")
        jpeg = base64.b64decode(data)
        assert kind == "data:image/jpeg;base64" and len(jpeg) < 8192
        with Image.open(io.BytesIO(jpeg)) as image:
            assert (image.format, image.size) == ("JPEG", (208, 156))


def test_an_unknown_sample_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="there is no sample 'cat'; take object, line, "):
        sample_of("cat", tmp_path, None)


def test_two_clicks_lead_from_arriving_to_a_filled_hole(page_visit, tmp_path):
    here = page_visit()
    pictures = here.page.locator(".gf-welcome [data-sample] img")
    assert pictures.evaluate_all("all => all.map((image) => image.naturalWidth)") == [208] * 5
    here.page.get_by_role("button", name="Remove an object").click()
    here.status("status", "Remove an object: press Fill")
    here.wait(busy="false")
    here.page.click("#fill")
    here.wait(results=1, showing="true")
    assert pixels(here.download(".gf-download", tmp_path)).shape == (342, 512, 3)


def test_once_a_picture_is_open_a_button_leads_back_to_the_samples(page_visit):
    here = page_visit(**DESKTOP, locale="ja-JP")
    here.sample("scratch")
    here.wait(undo=1)
    assert here.page.locator(".gf-welcome").is_hidden()
    here.page.get_by_role("button", name="サンプル").click()
    here.page.keyboard.press("Escape")
    expect(here.page.locator(".gf-pick")).to_be_hidden()
    here.page.get_by_role("button", name="サンプル").click()
    here.page.mouse.click(5, 5)  # beside it
    expect(here.page.locator(".gf-pick")).to_be_hidden()
    here.sample("object")
    here.status("status", "物を消す")
    here.wait(undo=3)  # of the other sample; its picture and mask are there again by undo
    here.press("Control+z", "Control+z")
    here.wait(picture="scratch.jpg", undo=1)


def test_what_programs_send_as_a_sample_is_checked(page_demo):
    config = page_demo.ask("config").json
    (canvas,) = (x for x in config["components"] if x["props"].get("elem_id") == "editor")
    (event,) = (x for x in config["dependencies"] if [canvas["id"], "sample"] in x["targets"])
    for number, sent in enumerate((None, 7, ["name"], "name", {}, {"name": ["x"]}, {"name": "x"})):
        session = f"junk{number}"
        body = {"data": [], "fn_index": event["id"], "session_hash": session, "event_data": sent}
        assert page_demo.ask("gradio_api/queue/join", body).status == 200
        said = page_demo.ask(f"gradio_api/queue/data?session_hash={session}").text
        assert '"success":false' in said and "sample" in said, sent


# ---- windows and phones ----


def test_a_result_with_all_that_belongs_to_it_fits_the_window(page_visit):
    here = page_visit(**WINDOW)
    here.sample("object")
    before, network = box(here, ".gf-stage"), box(here, "#edit-network")
    here.fill_now()
    expect(here.page.locator(".gf-strip")).to_be_visible()
    for part in (".gf-stage", ".gf-result", ".gf-strip", "#fill", "#status"):
        left, top, right, bottom = box(here, part)
        assert 0 <= left < right <= 1280 and 0 <= top < bottom <= 900, part
    assert box(here, ".gf-stage") == before and box(here, "#edit-network") == network
    assert before[3] - before[1] > 600
    height = "document.documentElement.scrollHeight"
    assert here.page.evaluate(height) == 900
    here.page.set_viewport_size({"width": 1920, "height": 1080})
    here.page.wait_for_function("document.querySelector('.gf-view').width > 1300")
    left, top, right, bottom = box(here, ".gf-stage")
    assert (right - left) * (bottom - top) > 0.5 * 1920 * 1080
    assert here.page.evaluate(height) == 1080


@pytest.mark.parametrize("screen", [PHONE, TABLET], ids=["phone", "tablet"])
def test_fill_and_what_it_says_stay_in_sight_where_there_is_one_column(page_visit, screen):
    here = page_visit(**screen)
    width, height = screen["viewport"].values()
    here.sample("face")
    here.fill_now()
    for part in (".gf-bars", ".gf-rail", ".gf-stage", ".gf-result", ".gf-strip"):
        left, top, right, bottom = box(here, part)
        assert 0 <= left < right <= width and 0 <= top < bottom <= box(here, "#act")[1], part
    here.page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    for part in ("#fill", "#cancel", "#status"):
        left, top, right, bottom = box(here, part)
        assert 0 <= left < right <= width and 0 <= top < bottom <= height, part
    last = here.page.get_by_role("button", name="What the network looks at").bounding_box()
    assert last["y"] + last["height"] <= box(here, "#act")[1]
    for name in TABS:
        here.tab(name)
        expect(here.page.locator("#act")).to_be_visible(visible=name == "Edit")
        assert here.page.evaluate("document.documentElement.scrollWidth") <= width, name


# ---- without a mouse, and with little sight ----


def test_from_arriving_to_the_download_by_the_keyboard_alone(page_visit, tmp_path):
    here = page_visit()
    keys = here.page.keyboard

    def go(to):
        for _ in range(40):
            keys.press("Tab")
            if here.page.evaluate("what => document.activeElement.matches(what)", to):
                return
        raise AssertionError(f"{to} is not reached")

    go("[data-act=samples]")
    keys.press("Enter")
    keys.press("Enter")  # the first sample has the focus
    here.status("status", "Remove an object: press Fill")
    here.wait(undo=1, busy="false")
    for key in ("ArrowLeft", "ArrowUp"):
        keys.press(key)
    keys.press("Space")
    here.wait(undo=2)
    keys.press("Enter")
    here.wait(results=1, showing="true")
    keys.press("Escape")
    go(".gf-download")
    with here.page.expect_download() as waiting:
        keys.press("Enter")
    assert waiting.value.suggested_filename == "object-filled.jpg"


CONTRAST = """selectors => selectors.map((selector) => {
    const part = document.querySelector(selector);
    const context = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const lights = [];
    const put = (color) => { context.fillStyle = color; context.fillRect(0, 0, 1, 1); };
    const read = () => {
        const linear = (c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        const rgb = [...context.getImageData(0, 0, 1, 1).data].map((value) => linear(value / 255));
        lights.push(0.05 + 0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2]);
    };
    const above = [];
    for (let one = part; one; one = one.parentElement) above.unshift(one);
    for (const one of above) put(getComputedStyle(one).backgroundColor);
    read();
    put(getComputedStyle(part).color);
    read();
    return Math.max(...lights) / Math.min(...lights);
})"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_the_contrast_that_wcag_asks_for(page_visit, theme):
    here = page_visit(**DESKTOP, color_scheme=theme)
    dark = here.page.evaluate("document.body.classList.contains('dark')")
    assert dark == (theme == "dark")
    here.page.get_by_role("button", name="How to fill").first.click()
    expect(here.page.locator("#edit-strategy .info-text")).to_be_visible()
    parts = ["#fill", "[role=tab].selected", "#edit-strategy .info-text", ".gf-or"]
    parts += [".gf-samples button", "#edit-network input"]
    found = dict(zip(parts, here.page.evaluate(CONTRAST, parts), strict=True))
    assert min(found.values()) >= 4.5, found
