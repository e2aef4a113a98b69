"""The demo's editor in a real browser: what is drawn there, and what of it arrives in Python."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from editor_visits import PHONE, SIZE, EditorVisit, alike, inside
from PIL import Image

pytest_plugins = ("editor_fixtures",)

WAY = [(60, 50), (210, 80), (120, 150), (125, 40)]


def check_brush(alpha: np.ndarray, points: list[tuple[float, float]], radius: float) -> None:
    surely, perhaps = inside(points, radius, SIZE)
    assert surely.sum() > 100
    assert set(np.unique(alpha)) == {0, 255}
    assert (alpha[surely] == 255).all() and (alpha[~perhaps] == 0).all()


def test_a_stroke_of_the_mouse_arrives_to_the_pixel(here):
    here.brush(31)
    points = here.stroke(*WAY)
    mask = here.echo().layer("mask")
    check_brush(mask[..., 3], points, 15.5)
    assert (mask[..., :3] == mask[..., 3:]).all()  # white: what core.image.read_mask takes


def test_a_finger_draws_what_the_mouse_draws_and_two_move_the_view(visit, photo):
    here = visit(**PHONE)
    here.choose(photo, SIZE)
    here.brush(25)
    here.page.locator(".gf-view").scroll_into_view_if_needed()
    spots = [here.spot(*point) for point in WAY]
    here.fingers(*([spot] for spot in spots))
    points = [here.place(spot) for spot in spots]
    check_brush(here.echo().alpha("mask"), points, 12.5)

    before = here.echo().layers()
    scale, here_at = float(here.state("scale")), here.spot(150, 100)
    near = [(here_at[0] - 40, here_at[1]), (here_at[0] + 40, here_at[1])]
    far = [(here_at[0] - 80, here_at[1] + 30), (here_at[0] + 80, here_at[1] + 30)]
    here.fingers(near[:1], near, far)
    assert float(here.state("scale")) == pytest.approx(2 * scale)
    assert here.spot(150, 100) == pytest.approx((here_at[0], here_at[1] + 30), abs=2)
    assert here.state("undo") == "1"
    assert here.echo().layers() == before


def test_a_pen_presses_and_its_other_end_erases(here):
    here.brush(60)
    pen = """(canvas, [x, y, pressure, button, buttons]) => {
        const at = { pointerId: 9, pointerType: 'pen', clientX: x, clientY: y, bubbles: true };
        for (const type of ['pointerdown', 'pointerup']) {
            canvas.dispatchEvent(new PointerEvent(type, { ...at, pressure, button, buttons }));
        }
    }"""
    view = here.page.locator(".gf-view")
    spot = here.spot(150, 100)
    view.evaluate(pen, [*spot, 0.5, 0, 1])
    place = here.place(spot)
    check_brush(here.echo().alpha("mask"), [place], 30 * (0.2 + 0.8 * 0.5))
    view.evaluate(pen, [*spot, 0.25, 5, 32])
    alpha = here.echo().alpha("mask")
    surely, perhaps = inside([place], 30 * (0.2 + 0.8 * 0.25), SIZE)
    outer, _ = inside([place], 30 * (0.2 + 0.8 * 0.5), SIZE)
    assert (alpha[surely] == 0).all() and (alpha[outer & ~perhaps] == 255).all()


def test_a_soft_brush_falls_off_smoothly_and_passing_twice_makes_it_no_harder(here):
    here.brush(80, softness=50)
    (place,) = here.stroke((150, 100))
    alpha = here.echo().alpha("mask").astype(int)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    distance = np.hypot(columns - place[0], rows - place[1])
    assert (alpha[distance < 20] == 255).all() and (alpha[distance > 40] == 0).all()
    assert abs(np.median(alpha[abs(distance - 30) < 0.25]) - 127.5) < 4  # half-way is half
    order = np.argsort(distance, axis=None, kind="stable")
    assert (np.diff(alpha.ravel()[order]) <= 1).all()
    ways = [(100, 100), (200, 100)], [(200, 100), (110, 130)]
    parts = []
    for way in ways:
        here.press("Control+z")
        here.stroke(*way)
        parts.append(here.echo().alpha("mask"))
    here.press("Control+z")
    here.stroke(*ways[0], *ways[0], *ways[1])
    assert (here.echo().alpha("mask") == np.maximum(*parts)).all()


def test_line_box_and_lasso_cover_what_they_outline(here):
    here.brush(9)
    here.press("l")
    points = here.stroke((40, 30), (140, 60), (250, 170))  # only its ends count
    check_brush(here.echo().alpha("mask"), [points[0], points[-1]], 4.5)
    here.press("Control+z", "r")
    (left, top), _, (right, bottom) = here.stroke((41, 30), (240, 20), (210, 171))
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    box = (columns > left) & (columns < right) & (rows > top) & (rows < bottom)
    assert (here.echo().alpha("mask") == 255 * box).all()
    here.press("Control+z", "o")
    # Five corners joined so that the middle is circled twice.
    turns = np.arange(5) * 4 * np.pi / 5
    star = here.stroke(*((150 + 80 * np.sin(t), 100 - 80 * np.cos(t)) for t in turns))
    corners = np.array(star)[:, :, None, None] - np.stack([columns, rows])
    angles = np.arctan2(corners[:, 1], corners[:, 0])
    around = np.diff(angles, axis=0, append=angles[:1])
    winding = ((around + np.pi) % (2 * np.pi) - np.pi).sum(0).round(3)
    assert winding[100, 150] == pytest.approx(4 * np.pi, abs=0.01)
    assert (here.echo().alpha("mask") == 255 * (winding != 0)).all()


def test_after_zooming_and_moving_the_pixel_under_the_pointer_is_drawn(here, tmp_path):
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[22, 37] = 255, 0, 0
    Image.fromarray(pixels).save(tmp_path / "dot.png")
    here.choose(tmp_path / "dot.png", (48, 64))

    def dot() -> tuple[float, float]:
        """Where the red pixel is seen on the page."""
        red, green, _ = here.seen().transpose(2, 0, 1)
        rows, columns = np.nonzero((red > 200) & (green < 100))
        box = here.page.locator(".gf-view").bounding_box()
        return box["x"] + columns.mean() + 0.5, box["y"] + rows.mean() + 0.5

    before = dot()
    here.page.mouse.move(*before)
    here.page.mouse.wheel(0, -137)
    assert dot() == pytest.approx(before, abs=2)  # the wheel zooms round the pointer
    here.page.mouse.down(button="middle")
    here.page.mouse.move(before[0] - 83, before[1] + 41)
    here.page.mouse.up(button="middle")
    assert dot() == pytest.approx((before[0] - 83, before[1] + 41), abs=2)
    here.page.keyboard.down("Space")
    here.page.mouse.down()
    here.page.mouse.move(*before)
    here.page.mouse.up()
    here.page.keyboard.up("Space")
    here.brush(1)
    here.page.mouse.click(*dot())
    assert np.argwhere(here.echo().alpha("mask")).tolist() == [[22, 37]]
    here.press("f")
    here.page.mouse.wheel(0, 5000)
    here.press("9")
    assert float(here.state("scale")) == 1


def draw_on_all(here: EditorVisit) -> None:
    """Something on each layer, overlapping."""
    for key in "1234":
        here.press(key, "b")
        here.brush(10 + 5 * int(key))
        here.stroke((80, 60 + 10 * int(key)), (200, 100))


def test_undo_and_redo_go_over_all_layers_in_the_order_of_drawing(here):
    draw_on_all(here)
    drawn = here.echo().layers()
    assert set(drawn) == {"mask", "sketch", "color", "semantic"}
    names = ["semantic", "color", "sketch", "mask"]
    for number, name in enumerate(names):
        here.press("Control+z")
        here.wait(undo=3 - number, redo=number + 1)
        assert here.said() == f"Undone: {name.capitalize()}"
    assert here.echo().layers() == {}
    here.press("Control+Shift+z", "Control+y", "Control+y", "Control+Shift+z")
    here.wait(redo=0)
    assert here.echo().layers() == drawn
    here.press("Control+z", "Control+z")
    here.stroke((10, 10))
    here.wait(undo=3, redo=0)


def test_sixty_steps_can_be_undone_and_cost_little(here):
    here.brush(40)
    for number in range(60):
        here.stroke((10 + 4.7 * number, 10 + 3 * number))
    here.wait(undo=60)
    assert int(here.state("undoBytes")) < 2_000_000
    for _ in range(60):
        here.press("Control+z")
    here.wait(undo=0, redo=60)
    assert here.echo().layers() == {}


def test_switching_tools_layers_tabs_and_networks_loses_nothing(here):
    draw_on_all(here)
    drawn = here.echo().layers()
    for tool in ("brush", "eraser", "line", "box", "lasso", "pipette"):
        here.page.click(f"button[data-tool={tool}]")
        here.wait(tool=tool)
    for layer in ("mask", "sketch", "color", "semantic"):
        here.page.click(f"[data-choose={layer}]")
        here.wait(layer=layer)
    here.page.get_by_role("tab", name="Other").click()
    here.page.get_by_role("tab", name="Edit").click()
    assert here.echo().layers() == drawn
    here.page.click("#only-mask")
    here.wait(layers="mask")
    assert here.page.locator("[data-choose=sketch]").is_hidden()
    assert here.echo().layers() == {"mask": drawn["mask"]}
    here.press("2")
    assert here.said() == "This network takes no Sketch layer"
    here.page.click("#all-layers")
    here.wait(layers="mask sketch color semantic")
    assert here.echo().layers() == drawn
    assert here.state("undo") == "4"


def test_a_hidden_layer_is_not_seen_but_sent_and_comes_to_sight_when_drawn_on(here):
    plain = here.seen()
    here.brush(60)
    here.stroke((150, 100))
    drawn = here.seen()
    assert not alike(drawn, plain)
    here.press("h")
    here.wait(hidden="mask")
    assert alike(here.seen(), plain)
    assert here.echo().alpha("mask").any()
    here.press("h")
    here.wait(hidden="")
    assert alike(here.seen(), drawn)
    here.page.locator(".gf-opacity").fill("0")
    assert alike(here.seen(), plain)
    here.press("h")
    here.stroke((150, 100))
    here.wait(hidden="")


def test_the_eraser_takes_away_exactly_and_an_empty_layer_does_not_arrive(here):
    here.brush(50)
    here.stroke((150, 100))
    here.press("e")
    here.brush(20)
    (place,) = here.stroke((140, 100))
    alpha = here.echo().alpha("mask")
    surely, _ = inside([place], 10, SIZE)
    assert (alpha[surely] == 0).all() and alpha[100, 165] == 255
    here.press("Control+z")
    here.press("r")
    here.stroke((100, 50), (200, 150), button="right")  # erases with any tool
    assert here.echo().layer("mask") is None
    here.press("Control+z")
    here.page.click("[data-act=clear]")
    assert here.echo().layer("mask") is None
    here.press("Control+z")
    assert here.echo().alpha("mask")[100, 150] == 255


EDITOR = Path(__file__).resolve().parents[1] / "gradio_demo" / "editor"


def in_page(here: EditorVisit, code: str) -> Any:
    """Run code with the editor's own classes for tiles and undo."""
    parts = [(EDITOR / f"{name}.js").read_text() for name in ("shapes", "tiles", "history")]
    return here.page.evaluate("() => {" + "\n".join(parts) + code + "}")


def test_tiles_are_packed_without_loss(here):
    unequal = in_page(
        here,
        """
        const images = [1, 3, 40, 300].map((side) => {
            const image = new ImageData(side, 2 * side);
            const pixels = asNumbers(image);
            for (const i of pixels.keys()) pixels[i] = side === 40 ? i * 2654435761 : i >> 7;
            return image;
        });
        return images.filter((image) => !sameInk(unpack(pack(image)), image)).length;
        """,
    )
    assert unequal == 0


def test_undo_forgets_the_oldest_steps_once_they_are_too_many_bytes(here):
    kept = in_page(
        here,
        """
        const history = new History(1000);
        for (let n = 0; n < 30; n++) {
            history.push({ what: n, tiles: [{ packed: { bytes: 90 } }], sheet: null });
        }
        return history.done.map(({ what }) => what);
        """,
    )
    assert kept == list(range(19, 30))
