"""The demo's editor in a real browser: keys, labels, languages, phones, going without a mouse."""

from pathlib import Path

import numpy as np
import pytest
from editor_visits import DESKTOP, PHONE, SIZE, EditorVisit, inside
from PIL import Image

pytest_plugins = ("editor_fixtures",)


def focused(here: EditorVisit) -> str:
    """The classes of what has the focus."""
    return str(here.page.evaluate("document.activeElement.className"))


def test_every_key_of_the_list_does_what_it_says(here):
    tools = {"b": "brush", "e": "eraser", "l": "line", "r": "box", "o": "lasso", "i": "pipette"}
    for key, tool in tools.items():
        here.press(key)
        assert here.state("tool") == tool
    here.press("b")
    for key, layer in zip("4321", ("semantic", "color", "sketch", "mask"), strict=True):
        here.press(key)
        assert here.state("layer") == layer
    here.brush(40)
    here.press("]")
    assert here.state("brush") == "50"
    here.press("[", "[")
    assert here.state("brush") == "32"
    here.brush(1)
    here.press("[", "]")
    assert here.state("brush") == "2"
    here.press("}", "}")
    assert float(here.state("softness")) == pytest.approx(0.2)
    here.press("{", "2", "}")
    assert float(here.state("softness")) == 0  # lines are hard
    before = float(here.state("scale"))
    here.press("+", "+", "-")
    assert float(here.state("scale")) == pytest.approx(1.25 * before)
    here.press("9")
    assert float(here.state("scale")) == 1
    here.press("f")
    assert float(here.state("scale")) == pytest.approx(before)
    here.press("?")
    rows = here.page.locator(".gf-keys tr")
    assert rows.first.is_visible() and rows.count() > 15
    here.page.keyboard.press("Escape")
    assert rows.first.is_hidden()


@pytest.mark.parametrize("key", ["Enter", "Control+Enter"])
def test_enter_fills(here, key):
    here.brush(30)
    here.stroke((150, 100))
    here.press(key)
    here.wait(showing="true", results=1)


def test_text_boxes_keep_their_keys(here):
    note = here.page.locator("#note textarea")
    note.fill("")
    note.type("e2[]hz?")
    note.press("Control+z")
    assert note.input_value() != "a note"
    here.page.locator(".gf-exact").fill("")
    here.page.locator(".gf-exact").type("12")
    here.page.keyboard.press("Enter")
    assert (here.state("tool"), here.state("layer"), here.state("brush")) == ("brush", "mask", "12")
    assert here.page.locator(".gf-help").is_hidden() and here.state("undo") == "0"


def test_tab_leaves_the_picture_and_after_a_result_escape_and_tab_do(here):
    view = here.page.locator(".gf-view")
    view.focus()
    here.page.keyboard.press("Tab")
    assert focused(here) != "gf-view"
    here.brush(30)
    here.stroke((150, 100))
    here.fill()
    view.focus()
    here.page.keyboard.down("Tab")
    here.wait(holding="true")
    here.page.keyboard.up("Tab")
    here.wait(holding="false")
    assert focused(here) == "gf-view"
    here.page.keyboard.press("Escape")
    assert here.said() == "Tab leaves the picture now"
    here.page.keyboard.press("Tab")
    assert focused(here) == "gf-border"
    here.page.keyboard.press("Shift+Tab")
    assert focused(here) == "gf-view"
    here.page.keyboard.press("Shift+Tab")
    assert focused(here) != "gf-view"


def test_escape_takes_back_the_stroke_that_is_being_drawn(here):
    here.brush(30)
    here.page.mouse.move(*here.spot(50, 50))
    here.page.mouse.down()
    here.page.mouse.move(*here.spot(150, 100))
    here.page.keyboard.press("Escape")
    here.page.mouse.move(*here.spot(150, 150))
    here.page.mouse.up()
    assert here.said() == "Stroke taken back"
    assert here.echo().layer("mask") is None and here.state("undo") == "0"


def test_a_hole_can_be_drawn_and_filled_without_a_mouse(here):
    here.brush(20)
    here.press("ArrowLeft", "ArrowLeft")
    here.page.keyboard.down("Space")
    for key in ("ArrowUp", "ArrowUp", "ArrowRight"):
        here.page.keyboard.press(key)
    here.page.keyboard.up("Space")
    surely, perhaps = inside([(130, 100), (130, 80), (140, 80)], 10, SIZE)
    mask = here.echo().alpha("mask")
    assert (mask[surely] == 255).all() and (mask[~perhaps] == 0).all()
    here.press("Enter")
    here.wait(showing="true")


def test_the_circle_shows_where_the_brush_would_draw(here):
    here.brush(60)
    spot = here.spot(150, 100)
    here.page.mouse.move(*spot)
    box = here.page.locator(".gf-view").bounding_box()
    middle = spot[0] - box["x"], spot[1] - box["y"]
    ring = here.page.locator(".gf-over").evaluate(
        """over => {
            const { width, height } = over;
            const { data } = over.getContext('2d').getImageData(0, 0, width, height);
            return { width, alpha: [...data].filter((_, i) => i % 4 === 3) };
        }"""
    )
    rows, columns = np.nonzero(np.array(ring["alpha"]).reshape(-1, ring["width"]))
    distance = np.hypot(columns + 0.5 - middle[0], rows + 0.5 - middle[1])
    radius = 30 * float(here.state("scale"))
    assert len(rows) > 3 * radius and (abs(distance - radius) < 3).all()


def test_the_pipette_takes_colours_and_labels_and_hands_the_brush_back(here, tmp_path):
    pixels = np.zeros((*SIZE, 3), np.uint8)
    pixels[:, 150:] = 18, 200, 70
    Image.fromarray(pixels).save(tmp_path / "two.png")
    here.choose(tmp_path / "two.png", SIZE)
    here.press("3", "i")
    here.stroke((200, 100))
    assert here.page.locator(".gf-color").input_value() == "#12c846"
    assert here.state("tool") == "brush"
    here.brush(20)
    here.stroke((50, 100))
    assert here.echo().layer("color")[100, 50].tolist() == [18, 200, 70, 255]
    here.page.locator(".gf-color").fill("#ff8000")
    here.stroke((50, 150))
    assert here.echo().layer("color")[150, 50].tolist() == [255, 128, 0, 255]
    here.press("4")
    here.page.get_by_role("radio", name="sky").click()
    here.stroke((50, 50))
    here.page.get_by_role("radio", name="sky").press("ArrowRight")
    here.stroke((250, 50))
    came = here.echo().layer("semantic")
    assert came[50, 50].tolist() == [60, 40, 222, 255]
    assert came[50, 250].tolist() == [64, 0, 128, 255]
    here.press("i")
    here.stroke((50, 50))
    assert here.page.get_by_role("radio", name="sky").get_attribute("aria-checked") == "true"
    assert set(map(tuple, came.reshape(-1, 4)[came[..., 3].ravel() > 0].tolist())) == {
        (60, 40, 222, 255),
        (64, 0, 128, 255),
    }


def test_shift_keeps_lines_and_boxes_to_simple_proportions(here):
    here.brush(3)
    here.press("r")
    here.page.keyboard.down("Shift")
    here.stroke((100, 50), (180, 80))
    here.page.keyboard.up("Shift")
    rows, columns = np.nonzero(here.echo().alpha("mask"))
    assert abs(int(np.ptp(rows)) - int(np.ptp(columns))) <= 1 and np.ptp(rows) > 70
    here.press("Control+z", "l")
    here.page.keyboard.down("Shift")
    here.stroke((100, 50), (180, 60))
    here.page.keyboard.up("Shift")
    rows, _ = np.nonzero(here.echo().alpha("mask"))
    assert np.ptp(rows) <= 3


@pytest.mark.parametrize(
    ("locale", "language", "opens"),
    [
        ("en-GB", "en", "Open"),
        ("zh-CN", "zh", "打开"),
        ("ko-KR", "ko", "열기"),
        ("ja-JP", "ja", "開く"),
    ],
)
def test_it_speaks_the_language_of_the_browser_and_names_every_control(
    visit, locale, language, opens
):
    here = visit(**DESKTOP, locale=locale)
    assert here.root.get_attribute("lang") == language
    assert here.page.get_by_role("button", name=opens, exact=True).first.is_visible()
    nameless = """root => [...root.querySelectorAll('button, input, a, [tabindex]')]
        .filter((part) => !(part.getAttribute('aria-label') ?? part.textContent).trim()
            && !part.closest('[hidden]')).length"""
    assert here.root.evaluate(nameless) == 0
    text = here.root.evaluate("root => root.textContent + root.innerHTML")
    assert "undefined" not in text
    wordless = "parts => parts.filter((part) => !part.textContent).length"
    assert here.page.locator(".gf-editor [data-word]").evaluate_all(wordless) == 0


def test_a_phone_shows_all_of_it_in_sizes_for_fingers(visit, photo):
    here = visit(**PHONE)
    here.choose(photo, SIZE)
    here.press("4")
    assert here.page.evaluate("document.documentElement.scrollWidth") == 390
    parts = here.page.locator(".gf-editor button, .gf-editor input:not([hidden])")
    seen = [box for box in (parts.nth(i).bounding_box() for i in range(parts.count())) if box]
    assert len(seen) > 20
    assert min(min(box["width"], box["height"]) for box in seen) >= 40
    layers = here.page.locator(".gf-layers")
    assert layers.bounding_box()["height"] < 60  # all four in one row
    assert layers.evaluate("bar => bar.scrollWidth <= bar.clientWidth")
    view = here.page.locator(".gf-view").bounding_box()
    assert view["width"] > 320 and view["height"] > 300
    assert view["y"] + view["height"] <= 844  # all of the canvas without scrolling
    for selector in ("[data-choose=semantic]", "[data-tool=pipette]", "[data-act=help]"):
        here.page.locator(f"button{selector}").scroll_into_view_if_needed()
        box = here.page.locator(f"button{selector}").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    here.page.locator("[data-act=help]").tap()
    assert here.page.locator(".gf-keys tr").first.is_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_both_themes_are_legible(visit, theme):
    """Contrast of text, after WCAG 2: 4.5 to 1 at least."""
    here = visit()
    here.load(f"?__theme={theme}")
    colours = here.root.evaluate(
        """root => ['.gf-status', '.gf-field', '[data-choose]', '.gf-welcome p'].map((part) => {
            const canvas = new OffscreenCanvas(1, 1);
            const context = canvas.getContext('2d', { willReadFrequently: true });
            const put = (color) => { context.fillStyle = color; context.fillRect(0, 0, 1, 1); };
            const get = () => [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
            put(getComputedStyle(document.body).backgroundColor);
            put(getComputedStyle(root).backgroundColor);
            const ground = get();
            put(getComputedStyle(root.querySelector(part)).color);
            return [ground, get()];
        })"""
    )
    for ground, text in colours:
        light, dark = sorted(map(luminance, (ground, text)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def luminance(rgb: list[int]) -> float:
    """After WCAG 2."""
    linear = [
        c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in np.divide(rgb, 255)
    ]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_gradio_writes_no_stub_beside_the_component(harness):
    assert not (Path(__file__).parents[1] / "gradio_demo" / "canvas.pyi").exists()
