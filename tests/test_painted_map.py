"""Maps of labels painted by hand."""

import pytest
import torch

from core.contract import Port
from core.errors import ConfigError
from core.painted_map import brush_colours, painted_labels, spread
from core.semantic import UNKNOWN

SKY, ROAD, CAR = (0x80, 0x80, 0x80), (0x80, 0x40, 0x80), (0x40, 0x00, 0x80)
STREET = Port(
    "semantic", 3, kind="labels",
    labels=("sky", "road", "car"), palette=("#808080", "#804080", "#400080"),
)  # fmt: skip


def painting(rows):
    """Letters: colours, and . for transparent -> (1, 4, H, W)."""
    paints = {"s": (*SKY, 255), "r": (*ROAD, 255), "c": (*CAR, 255), ".": (1, 2, 3, 0)}
    levels = [[paints[sign] for sign in row] for row in rows]
    return torch.tensor(levels).movedim(-1, 0)[None] / 255


def numbers(rows):
    return torch.tensor([[int(sign) for sign in row] for row in rows])[None, None]


def test_each_colour_is_the_number_of_its_label():
    assert torch.equal(painted_labels(painting(["sr", "cr"]), STREET), numbers(["01", "21"]))


def test_what_is_not_painted_is_as_the_paint_near_to_it():
    """By hand: the left square of two knows car, the right one road; below, the square of four."""
    found = painted_labels(painting(["c..r", "....", "....", "...."]), STREET)
    assert torch.equal(found, numbers(["2211", "2211", "2222", "2222"]))


def test_what_is_not_painted_is_unknown_where_the_network_knows_that():
    port = Port("semantic", 4, kind="labels", labels=STREET.labels, palette=STREET.palette)
    found = painted_labels(painting(["c.", ".r"]), port)
    assert torch.equal(found, torch.tensor([[2, UNKNOWN], [UNKNOWN, 1]])[None, None])


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (5, 1), (6, 9), (33, 18)])
def test_known_numbers_stay_and_every_other_is_one_of_them(height, width):
    random = torch.Generator().manual_seed(height * width)
    labels = torch.randint(0, 9, (2, 1, height, width), generator=random)
    known = torch.rand(labels.shape, generator=random) < 0.1
    known[:, 0, height // 2, width // 2] = True
    found = spread(labels, known)
    assert torch.equal(found[known], labels[known])
    for item in range(2):
        assert set(found[item].unique().tolist()) <= set(labels[item][known[item]].tolist())


def test_a_colour_of_no_label_and_no_paint_at_all_are_refused():
    with pytest.raises(ConfigError, match="has the colour #010203"):
        wrong = torch.tensor([1, 2, 3, 255]).view(1, 4, 1, 1) / 255
        painted_labels(wrong, STREET)
    with pytest.raises(ConfigError, match=r"nothing is painted .* with sky, road, car"):
        painted_labels(painting(["..", ".."]), STREET)


def test_a_network_without_colours_gets_some_that_can_be_told_apart():
    port = Port("semantic", 3, kind="labels", labels=("a", "b", "c"))
    names, colours = zip(*brush_colours(port), strict=True)
    assert names == port.labels and len(set(colours)) == 3
    nameless = brush_colours(Port("semantic", 2, kind="labels"))
    assert [name for name, _ in nameless] == ["0", "1"]
