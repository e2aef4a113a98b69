"""One painting taken apart: hole, lines and colours."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from core.errors import ConfigError
from core.sketch.painting import LAYERS, Painted, by_color, fitted, over

RED = (0.8, 0.1, 0.1)


def painting(height: int = 20, width: int = 24) -> Tensor:
    """Nothing painted."""
    return torch.zeros(1, 4, height, width)


def paint(target: Tensor, rows: slice, columns: slice, colour: tuple[float, ...], alpha: float = 1):
    target[0, :, rows, columns] = torch.tensor([*colour, alpha]).view(4, 1, 1)


WHITE, BLACK = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)


def test_all_that_is_painted_is_hole_and_its_colour_says_what_else():
    drawn = painting()
    paint(drawn, slice(2, 18), slice(2, 22), WHITE)
    paint(drawn, slice(10, 11), slice(4, 20), BLACK)
    paint(drawn, slice(4, 9), slice(5, 12), RED)
    found = by_color(drawn)
    assert torch.equal(found.mask, drawn[:, 3:])
    lines, red = torch.zeros(1, 1, 20, 24), torch.zeros(1, 1, 20, 24)
    lines[..., 10:11, 4:20] = 1
    red[..., 4:9, 5:12] = 1
    assert torch.equal(found.sketch, lines)
    assert torch.equal(found.color[:, 3:], red)
    assert torch.equal(found.color[:, :3], drawn[:, :3] * red)


def test_other_colours_may_stand_for_hole_and_lines():
    drawn = painting()
    paint(drawn, slice(0, 20), slice(0, 24), (1.0, 0.0, 0.0))
    paint(drawn, slice(3, 9), slice(3, 9), WHITE)
    paint(drawn, slice(12, 13), slice(2, 20), (0.0, 0.0, 1.0))
    found = by_color(drawn, hole="red", line="#00f")
    assert found.color[:, 3:].sum() == 36 and found.sketch.sum() == 18
    assert torch.equal(found.color[0, :3, 4, 4], torch.ones(3))
    with pytest.raises(ConfigError, match="'rot' is no colour"):
        by_color(drawn, hole="rot")


def by_hand(scale: int) -> Tensor:
    """White ground, a thin black line and a broad red one with smooth edges, as a browser draws."""
    size = 64 * scale
    image = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(image)
    draw.line([(5 * scale, 8 * scale), (58 * scale, 25 * scale)], fill="black", width=2 * scale)
    draw.line([(5 * scale, 55 * scale), (58 * scale, 40 * scale)], fill="red", width=9 * scale)
    smooth = image.resize((64, 64), Image.Resampling.BOX)
    pixels = torch.from_numpy(np.array(smooth)).float() / 255
    return torch.cat([pixels.movedim(-1, 0), torch.ones(1, 64, 64)])[None]


def test_the_smooth_edge_of_a_line_is_no_colour():
    found = by_color(by_hand(8))
    upper, lower = found.color[..., :32, :], found.sketch[..., 32:, :]
    assert not upper.any()
    assert 90 < found.sketch[..., :32, :].sum() < 140  # 53 columns, about two pixels each
    assert not lower.any()
    assert 400 < found.color[:, 3].sum() < 600  # 55 long, 9 wide


def test_a_pale_stroke_keeps_how_opaque_it_is():
    drawn = painting()
    paint(drawn, slice(2, 10), slice(2, 10), WHITE, 0.4)
    paint(drawn, slice(12, 18), slice(2, 10), RED, 0.5)
    found = by_color(drawn)
    assert found.mask[0, 0, 5, 5] == pytest.approx(0.4)
    assert found.color[0, 3, 14, 5] == 0.5 and found.color[0, 0, 14, 5] == pytest.approx(0.8)


@pytest.mark.parametrize("layer", ["mask", "sketch", "color"])
def test_a_layer_takes_all_of_it_in_whatever_colour(layer):
    drawn = painting()
    paint(drawn, slice(2, 10), slice(2, 10), RED, 0.5)
    found = LAYERS[layer](drawn, hole="#ffffff", line="#000000")
    assert torch.equal(getattr(found, layer), drawn if layer == "color" else drawn[:, 3:])
    assert not any(getattr(found, other).any() for other in {"mask", "sketch", "color"} - {layer})


def test_a_painting_is_laid_over_another():
    """Half red over opaque blue: half of each; over nothing: itself; by Porter and Duff."""
    above, below = painting(1, 3), painting(1, 3)
    paint(above, slice(0, 1), slice(0, 2), (1.0, 0.0, 0.0), 0.5)
    paint(below, slice(0, 1), slice(1, 2), (0.0, 0.0, 1.0), 1.0)
    paint(below, slice(0, 1), slice(2, 3), (0.0, 1.0, 0.0), 0.3)
    found = over(above, below)
    expected = torch.tensor([[1.0, 0, 0, 0.5], [0.5, 0, 0.5, 1.0], [0, 1.0, 0, 0.3]])
    torch.testing.assert_close(found[0, :, 0].T, expected)
    assert not over(painting(), painting()).any()


def test_at_another_size_what_is_transparent_lends_no_colour():
    drawn = painting(4, 4)
    paint(drawn, slice(0, 4), slice(0, 2), RED)
    small = fitted(drawn, (2, 1))
    torch.testing.assert_close(small[0, :3, 0, 0], torch.tensor(RED))
    assert small[0, 3, 0, 0] == pytest.approx(0.5)
    assert fitted(drawn, (4, 4)) is drawn


def test_one_painting_goes_on_every_picture_of_a_batch():
    one = Painted(torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), torch.zeros(1, 4, 2, 2))
    masks = torch.zeros(3, 1, 2, 2)
    masks[1] = 0.5
    others = Painted(masks, masks, torch.zeros(1, 4, 2, 2))
    found = one.onto(others)
    assert found.mask.shape == (3, 1, 2, 2) and found.mask.all()
    assert torch.equal(found.sketch, masks)


def test_the_picture_shows_colours_and_black_lines():
    image = torch.full((1, 3, 2, 2), 0.5)
    color = torch.zeros(1, 4, 2, 2)
    color[0, :, 0, 1] = torch.tensor([0.1, 0.9, 0.2, 1.0])
    sketch = torch.zeros(1, 1, 2, 2)
    sketch[..., 1, 0] = 1
    shown = Painted(torch.zeros(1, 1, 2, 2), sketch, color).shown(image)
    assert torch.equal(shown[0, :, 0, 0], image[0, :, 0, 0])
    torch.testing.assert_close(shown[0, :, 0, 1], torch.tensor([0.1, 0.9, 0.2]))
    assert not shown[0, :, 1, 0].any()
