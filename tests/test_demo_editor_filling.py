"""The demo's editor in a real browser: fills at once, what is drawn meanwhile, and cancelling."""

import pytest
from demos import mask_file
from editor_visits import DESKTOP, PHONE, SIZE, Arrived, EditorVisit

pytest_plugins = ("editor_fixtures",)


def runs(here: EditorVisit) -> list[Arrived]:
    """The fills that Python was asked for by this visitor, in their order."""
    came = sorted(map(int, (path.parent.name for path in (here.folder / "came").glob("*/v*"))))
    all_of_them = [Arrived(here.folder / "came" / str(number)) for number in came[here.before :]]
    return [arrived for arrived in all_of_them if arrived.event == "run"]


@pytest.fixture
def at_once(here: EditorVisit) -> EditorVisit:
    """A visitor whose masks are filled at once."""
    here.before = here._count()
    here.brush(30)
    here.press("a")
    here.wait(atonce="true")
    return here


def slowly(here: EditorVisit) -> None:
    """Let fills take a while from now on."""
    here.page.fill("#note textarea", "slow")


def test_a_lifted_brush_fills_and_drawing_on_the_result_makes_it_the_picture(at_once):
    here = at_once
    here.stroke((80, 100))
    here.wait(results=1, showing="true", undo=1)
    here.stroke((220, 100))
    here.wait(results=2, showing="true", undo=3)
    first, second = runs(here)
    assert second.picture() == (first.folder / "my photo-filled.png").read_bytes()
    alpha = second.alpha("mask")
    assert alpha[100, 220] == 255 and alpha[100, 80] == 0
    here.press("Control+z")
    here.wait(undo=2, showing="false")
    here.opening(lambda: here.press("Control+z"))
    back = here.echo()
    assert back.picture() == first.picture()
    assert (back.layer("mask") == first.layer("mask")).all()
    assert len(runs(here)) == 2


def test_every_tool_that_masks_fills_at_once_and_nothing_else_does(at_once):
    here = at_once
    for number, key in enumerate("lro"):
        here.press(key)
        here.stroke((80, 40 + 30 * number), (150, 60 + 30 * number), (200, 30 + 30 * number))
        here.wait(results=number + 1, showing="true")
    here.press("Control+z", "b")
    here.wait(showing="false")
    here.stroke((30, 30), button="right")
    here.press("2")
    here.stroke((40, 40), (200, 100))
    here.press("1", "e")
    here.stroke((30, 30), (90, 90))
    here.press("a", "b")
    here.stroke((60, 60))
    here.echo()
    assert len(runs(here)) == 3


def test_what_is_masked_while_a_fill_runs_is_filled_after_it_with_the_rest(at_once):
    here = at_once
    slowly(here)
    here.stroke((80, 100))
    here.wait(running="fill")
    here.stroke((220, 100))
    here.stroke((150, 40))
    here.wait(results=1)
    assert here.state("showing") == "false"  # it lacks what was masked since
    here.wait(results=2, showing="true", running="")
    first, second = runs(here)
    assert second.picture() == first.picture()
    alpha = second.alpha("mask")
    assert alpha[100, 80] == alpha[100, 220] == alpha[40, 150] == 255
    assert first.alpha("mask")[100, 220] == 0
    assert here.state("undo") == "3"


def test_a_mask_from_a_file_while_a_fill_runs_is_filled_after_it(at_once, tmp_path):
    here = at_once
    mask = mask_file(tmp_path / "mask.png", SIZE, (200, 20, 280, 100))  # left, top, right, bottom
    slowly(here)
    here.stroke((80, 100))
    here.wait(running="fill")
    here.load_layer(mask)
    here.wait(results=2, showing="true", running="")
    first, second = runs(here)
    assert second.picture() == first.picture()
    alpha = second.alpha("mask")
    assert alpha[60, 240] == 255 and alpha[100, 80] == 0


def test_a_sample_that_is_opened_while_a_fill_runs_is_not_filled_unasked(at_once):
    here = at_once
    slowly(here)
    here.stroke((80, 100))
    here.wait(running="fill")
    here.page.click("#sample input")
    here.page.get_by_role("option", name="line").click()
    here.wait(picture="line.jpg", busy="false")
    assert here.state("running") == "fill"
    here.wait(running="")
    here.page.fill("#note textarea", "a note")
    assert here.echo().layer("mask") is not None
    assert len(runs(here)) == 1


def test_undo_while_a_fill_runs_at_once_ends_it(at_once):
    here = at_once
    slowly(here)
    here.stroke((80, 100))
    here.wait(running="fill")
    here.press("Control+z")
    here.wait(running="", undo=0, redo=1)
    here.page.fill("#note textarea", "a note")
    assert here.echo().layer("mask") is None and here.state("results") == "0"


def test_two_fingers_on_a_result_only_move_it(visit, photo):
    here = visit(**PHONE)
    here.choose(photo, SIZE)
    here.page.tap("[data-act=atOnce]")
    here.fingers([here.spot(150, 100)])
    here.wait(results=1, showing="true", undo=1, busy="false")
    scale, (x, y) = float(here.state("scale")), here.spot(150, 100)
    here.fingers([(x - 40, y)], [(x - 40, y), (x + 40, y)], [(x - 80, y), (x + 80, y)])
    here.wait(showing="true", undo=1, busy="false")
    assert float(here.state("scale")) == pytest.approx(2 * scale)
    assert here.echo().picture() == photo.read_bytes()
    assert here.state("results") == "1"


NO_STORAGE = """Object.defineProperty(window, 'localStorage', {
    get() { throw new DOMException('denied', 'SecurityError'); },
});"""


def test_whether_to_fill_at_once_is_remembered_where_the_browser_can(here):
    button = here.page.locator("[data-act=atOnce]")
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    here.load()
    assert button.get_attribute("aria-pressed") == "true"
    here.page.add_init_script(NO_STORAGE)
    here.load()
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    assert button.get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("focus", ["canvas", "button"])
def test_escape_cancels_the_fill_that_runs(here, focus):
    here.brush(30)
    here.stroke((150, 100))
    slowly(here)
    cancel, line = here.page.locator("#cancel"), here.page.locator(".gf-progress")
    assert cancel.is_disabled() and line.is_hidden()
    if focus == "canvas":
        here.press("Enter")
    else:
        here.page.click("#fill")
    here.wait(running="fill")
    assert cancel.is_enabled() and line.is_visible()
    here.page.mouse.move(*here.spot(80, 100))
    here.page.mouse.down()
    here.page.keyboard.press("Escape")  # takes back the stroke alone
    here.page.mouse.up()
    assert here.said() == "Stroke taken back" and here.state("running") == "fill"
    if focus == "button":
        here.page.locator("#fill").focus()
    here.page.keyboard.press("Escape")
    here.wait(running="", results=0, undo=1)
    assert cancel.is_disabled() and line.is_hidden()
    here.page.fill("#note textarea", "a note")
    here.fill()


LATE = """const send = window.fetch;
window.fetch = async (...asked) => {
    if (String(asked[0]).endsWith('/cancel')) await new Promise((go) => setTimeout(go, 500));
    return send(...asked);
};"""


def test_what_a_fill_says_after_it_was_cancelled_is_not_the_last_word(visit, photo):
    here = visit(**DESKTOP)
    here.page.add_init_script(LATE)
    here.load()
    here.choose(photo, SIZE)
    here.brush(30)
    here.stroke((150, 100))
    slowly(here)
    here.page.click("#fill")
    line = here.page.locator("#status")
    line.locator("progress").wait_for()
    here.page.click("#cancel")
    line.locator("[data-cancelled]:not([data-job])").wait_for()  # what was a job's, and is over
    assert line.text_content().strip() == "Cancelled"
    here.wait(running="", results=0)
    assert line.text_content().strip() == "Cancelled" and line.locator("progress").count() == 0


def test_a_fill_that_fails_is_over_and_is_not_tried_again(at_once):
    here = at_once
    here.page.fill("#note textarea", "broken")
    here.stroke((80, 100))
    line = here.page.locator("#status")
    line.locator("progress").wait_for()
    here.page.get_by_test_id("toast-body").wait_for()
    line.locator("progress").wait_for(state="detached")
    here.wait(running="", results=0, undo=1)
    assert line.get_by_role("status").text_content() == ""
    here.page.fill("#note textarea", "a note")
    here.echo()
    assert len(runs(here)) == 1


@pytest.mark.parametrize(
    ("motion", "animation"), [("no-preference", "gf-passes"), ("reduce", "none")]
)
def test_the_line_of_progress_moves_only_for_those_who_do_not_mind(visit, motion, animation):
    here = visit(**DESKTOP, reduced_motion=motion)
    name = "line => getComputedStyle(line, '::before').animationName"
    found = here.page.locator(".gf-progress").evaluate(name)
    assert found.rpartition("-gf-")[-1] in (animation, animation.removeprefix("gf-"))
