"""The demo's editor in a real browser: results, before and after, and going on from them."""

from editor_visits import SIZE, alike, exif_photo
from photos import smooth
from PIL import Image

pytest_plugins = ("editor_fixtures",)


def test_the_result_is_compared_in_the_canvas_and_downloaded_as_python_wrote_it(visit, tmp_path):
    here = visit()
    exif_photo(tmp_path / "photo.jpg")
    here.choose(tmp_path / "photo.jpg", SIZE)
    plain = here.seen()
    here.brush(80)
    here.stroke((150, 100))
    drawn = here.seen()
    arrived = here.fill()
    after = here.seen()
    assert not alike(after, plain) and not alike(after, drawn)
    middle = after.shape[1] // 2

    box = here.page.locator(".gf-border").bounding_box()
    view = here.page.locator(".gf-view").bounding_box()
    here.page.mouse.move(box["x"] + box["width"] - 4, box["y"] + 50)
    here.page.mouse.down()
    here.page.mouse.move(view["x"] + view["width"] / 2, box["y"] + 80)
    here.page.mouse.up()
    both = here.seen()
    assert alike(both[:, : middle - 2], drawn[:, : middle - 2])
    assert alike(both[:, middle + 2 :], after[:, middle + 2 :])
    here.page.keyboard.press("Home")
    assert alike(here.seen(), after)

    compare = here.page.locator("[data-act=compare]")
    compare.hover()
    here.page.mouse.down()
    assert alike(here.seen(), plain)
    here.page.mouse.up()
    here.page.locator(".gf-view").focus()
    here.page.keyboard.down("Tab")
    assert alike(here.seen(), plain)
    here.page.keyboard.up("Tab")
    assert alike(here.seen(), after)

    saved = here.download(".gf-download", tmp_path / "saved")
    made = arrived.folder / "photo-filled.jpg"
    assert saved.name == "photo-filled.jpg" and saved.read_bytes() == made.read_bytes()
    with Image.open(saved) as image:
        assert image.getexif()[0x0132] == "2026:11:27 10:00:00"
    here.page.click("[data-act=showResult]")
    assert alike(here.seen(), drawn)
    here.page.click("[data-act=showResult]")
    here.stroke((30, 30))  # whoever draws sees the drawing
    here.wait(showing="false", undo=2)


def test_results_are_gone_back_to_and_used_and_undo_brings_all_back(here):
    here.brush(60)
    here.stroke((80, 100))
    first = here.fill()
    here.stroke((220, 100))
    second = here.fill()
    drawn = here.echo().layers()
    strip = here.page.locator(".gf-strip button")
    assert strip.count() == 3
    widths = strip.locator("canvas").evaluate_all("all => all.map((canvas) => canvas.width)")
    assert widths == [96, 96, 96]  # of small copies: an empty canvas has 300
    last = here.seen()
    strip.nth(1).click()
    assert not alike(here.seen(), last)
    strip.nth(2).click()
    assert alike(here.seen(), last)

    here.opening(lambda: here.page.click("[data-act=use]"))
    here.wait(showing="false", undo=3)
    assert here.said() == "The result is the picture now"
    assert alike(here.seen(), last)
    used = here.echo()
    assert used.picture() == (second.folder / "my photo-filled.png").read_bytes()
    assert used.layers() == {}
    here.stroke((150, 50))
    third = here.fill()
    assert third.picture() == used.picture()
    here.opening(lambda: here.press("Control+z", "Control+z"))
    here.wait(undo=2, redo=2)
    back = here.echo()
    assert back.picture() == first.picture() and back.layers() == drawn
    here.opening(lambda: here.press("Control+y"))
    assert here.echo().picture() == used.picture()
    strip.nth(0).click()
    here.opening(lambda: here.page.click("[data-act=use]"))
    assert here.echo().picture() == first.picture()


def test_a_result_that_comes_too_late_does_not_cover_another_picture(here, tmp_path):
    here.brush(60)
    here.stroke((80, 100))
    here.page.fill("#note textarea", "slow")
    here.page.click("#fill")
    smooth(8, (120, 90)).save(tmp_path / "other.png")
    here.page.set_input_files(".gf-open-file", tmp_path / "other.png")
    here.wait(size="90x120")
    here.page.wait_for_function(
        "() => document.querySelector('.gf-status').textContent.startsWith('A result for')"
    )
    assert (here.state("showing"), here.state("results")) == ("false", "0")
    here.press("Control+z")
    here.wait(size="300x200", results=1)


def test_what_is_drawn_while_a_fill_runs_is_not_taken_back_by_its_result(here):
    here.brush(30)
    here.stroke((80, 100))
    here.page.fill("#note textarea", "slow")
    here.page.click("#fill")
    here.stroke((220, 100))
    here.wait(undo=2)
    here.wait(results=1, showing="true")  # hands back the layer as it was sent
    here.page.fill("#note textarea", "a note")
    alpha = here.echo().alpha("mask")
    assert alpha[100, 80] == alpha[100, 220] == 255
    assert here.state("undo") == "2"
