"""What a network looks at: the numbers against the network itself, the pictures pixel by pixel."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from core.backends.eager import TorchBackend
from core.config import DeepFillConfig
from core.crop import Window
from core.errors import ConfigError
from core.image.sheet import GROUND, Sheet, stacked
from core.layers.flow import flow_to_image
from core.layers.recorded import gated_layers, recorded_gates
from core.layers.separate import SeparateGatedConv2d
from core.models.deepfill import DeepFill
from core.options import FillOptions
from core.pipeline import Inpainter, Task
from core.views import (
    CAPTION,
    GAP,
    HEAT,
    MARGIN,
    PANEL,
    THUMB,
    attention_picture,
    attention_sheet,
    gates_sheet,
    heat,
    panel_size,
    wheel,
)
from core.watched import CHANNELS, Sources, gates, sources, unlike
from tests.exports import tiny

FULL = FillOptions(strategy="full")


def network() -> DeepFill:
    """Of fresh weights, whose gates and scores differ from place to place."""
    found = tiny("deepfillv2-tiny")
    assert isinstance(found, DeepFill)
    return found


def inpainter(options: FillOptions = FULL) -> Inpainter:
    return Inpainter(TorchBackend(network()), options)


def picture(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed))


def hole(*size: int, rows: slice, columns: slice) -> torch.Tensor:
    mask = torch.zeros(1, 1, *size)
    mask[..., rows, columns] = 1
    return mask


# ---- where attention copies from


def test_sources_are_those_that_the_network_tells():
    image, mask = picture(64, 48), hole(64, 48, rows=slice(16, 40), columns=slice(8, 24))
    ((found,),) = sources(inpainter(), image, mask)
    flow, weight = network().attention_flow(image * 2 - 1, mask)
    torch.testing.assert_close(found.taken - found.centres, 8.0 * flow[0])
    torch.testing.assert_close(found.weight, weight[0, 0])
    assert found.cell == (8, 8) and found.centres[:, 1, 2].tolist() == [12, 20]
    assert (found.taken - found.centres).any() and found.weight.unique().numel() > 9


def test_a_sketch_reaches_what_is_looked_at():
    image, mask = picture(64, 64), hole(64, 64, rows=slice(16, 40), columns=slice(8, 40))
    lines = hole(64, 64, rows=slice(24, 28), columns=slice(0, 64))
    ((plain,),), ((drawn,),) = (sources(inpainter(), image, mask, sketch=x) for x in (None, lines))
    _, weight = network().attention_flow(image * 2 - 1, mask, lines)
    torch.testing.assert_close(drawn.weight, weight[0, 0])
    assert not torch.equal(plain.weight, drawn.weight)


def test_sources_of_a_scaled_picture_are_in_its_own_pixels():
    image, mask = picture(256, 128), hole(256, 128, rows=slice(40, 60), columns=slice(40, 60))
    ((found,),) = sources(inpainter(replace(FULL, work_size=128)), image, mask)
    assert found.weight.shape == (16, 8) and found.cell == (16, 16)
    assert found.task.sizes[-1] == (128, 64)


@pytest.mark.parametrize("size", [(37, 53), (1, 40), (3, 5)])
def test_sources_in_the_padding_are_what_was_mirrored_there(size):
    image, mask = picture(*size), hole(*size, rows=slice(0, 1), columns=slice(0, 2))
    ((found,),) = sources(inpainter(), image, mask)
    assert found.weight.shape == tuple(-(-side // 8) for side in size)
    for axis, side in enumerate(size):
        assert found.taken[axis].min() >= 0 and found.taken[axis].max() <= side
    assert attention_sheet(inpainter(), image, mask).isfinite().all()


def test_every_window_of_a_large_picture_has_its_own_sources():
    mask = hole(600, 560, rows=slice(20, 40), columns=slice(30, 50))
    mask[..., 500:530, 400:420] = 1
    options = FillOptions(strategy="crop")
    (found,) = sources(inpainter(options), picture(600, 560), mask)
    first, second = sorted(found, key=lambda one: one.task.inner)
    assert first.task.inner == Window(20, 30, 40, 50)
    assert second.task.outer.top > 0 and second.task.inner == Window(500, 400, 530, 420)


def test_from_coarse_to_fine_the_last_pass_is_shown():
    """A hole as wide as the picture is filled at half the size first."""
    image, mask = picture(256, 256), hole(256, 256, rows=slice(32, 224), columns=slice(32, 224))
    tell: list[float] = []
    backend = TorchBackend(network())
    ((found,),) = sources(Inpainter(backend, FULL, tell.append), image, mask)
    assert len(found.task.sizes) > 1 and found.weight.shape == (32, 32)
    assert len(tell) == len(found.task.sizes) and tell[-1] == 1


def sheet_of_one_copy() -> torch.Tensor:
    """16 cells of 8 pixels; the first is hole and copies the last, with a weight of 0.75."""
    centres = torch.stack(torch.meshgrid(*2 * (torch.arange(4) * 8 + 4.0,), indexing="ij"))
    taken = centres.clone()
    taken[:, 0, 0] = 28
    weight = torch.ones(4, 4)
    weight[0, 0] = 0.75
    whole = Window(0, 0, 32, 32)
    found = Sources(Task(whole, whole, ((32, 32),)), centres, taken, weight)
    image = torch.full((1, 3, 32, 32), 0.4)
    mask = hole(32, 32, rows=slice(0, 8), columns=slice(0, 8))
    return attention_picture(image, mask, [found])[0]


def test_the_hole_and_what_it_copies_have_the_colour_of_the_wheel():
    sheet = sheet_of_one_copy()
    cell = PANEL // 4
    top, left, across = MARGIN + CAPTION, MARGIN, PANEL + 2 * GAP
    colour = sheet[:, top + cell // 2, left + across + cell // 2]
    # 24 pixels down and as many to the right: at the rim of the wheel, down and right.
    side = 1001
    at_rim = side // 2 + int(0.99 * side / 2 / 2**0.5)
    torch.testing.assert_close(colour, wheel(side)[:, at_rim, at_rim], atol=0.02, rtol=0)
    assert colour.max() - colour.min() > 0.9
    last = sheet[:, top + 3 * cell + 5 : top + PANEL - 5, left + 3 * cell + 5 : left + PANEL - 5]
    torch.testing.assert_close(last, colour[:, None, None].expand_as(last))
    other = sheet[:, top + 2 * cell + 5, left + 2 * cell + 5]
    torch.testing.assert_close(other, torch.full((3,), 102 / 255))  # the picture as it is
    below = sheet[:, top + PANEL + GAP + CAPTION + cell // 2, left + cell // 2]
    torch.testing.assert_close(below, heat(torch.full((1, 1, 1), 0.75))[:, 0, 0], atol=2e-3, rtol=0)


def test_cells_that_copy_nothing_have_no_colour():
    """With nothing but hole every weight is 0."""
    image, mask = picture(64, 64), torch.ones(1, 1, 64, 64)
    sheet = attention_sheet(inpainter(), image, mask)[0]
    middle = sheet[:, MARGIN + CAPTION + 100, MARGIN + PANEL + 2 * GAP + 100]
    assert middle.max() == middle.min() < 0.36


def test_the_wheel_is_the_key_to_the_colours_of_offsets():
    offsets = torch.zeros(1, 2, 1, 4)
    offsets[0, :, 0] = torch.tensor([[-1.0, 0, 1, 0], [0, 1, 0, -1]])  # up, right, down, left
    colours = (flow_to_image(offsets)[0, :, 0] + 1) / 2
    key = wheel(401)
    places = ((0, 200), (200, 400), (400, 200), (200, 0))
    rims = torch.stack([key[:, row, column] for row, column in places], dim=1)
    torch.testing.assert_close(rims, colours, atol=0.02, rtol=0)
    torch.testing.assert_close(key[:, 200, 200], torch.ones(3))
    torch.testing.assert_close(key[:, 0, 0], torch.tensor(GROUND) / 255)


def test_the_scale_runs_from_dark_to_light_through_its_stops():
    shown = heat(torch.linspace(0, 1, 11)[None, None])[:, 0]
    assert (255 * shown[:, 2]).round().int().tolist() == [
        int(HEAT[1][i : i + 2], 16) for i in (1, 3, 5)
    ]
    torch.testing.assert_close(shown[:, 1], (shown[:, 0] + shown[:, 2]) / 2)
    assert (shown.mean(dim=0).diff() > 0).all()


# ---- gates


def test_gates_are_those_of_the_network():
    image, mask = picture(64, 48), hole(64, 48, rows=slice(16, 40), columns=slice(8, 24))
    ((task, rows),) = gates(inpainter(), image, mask, ["conv1", "decoder.*upsample"])
    assert [row.layer for row in rows] == [
        "coarse.conv1", "decoder.allconv13_upsample", "decoder.allconv15_upsample"
    ]  # fmt: skip
    expected = network().gates(image * 2 - 1, mask)
    for row in rows:
        assert row.total == expected[row.layer].shape[1] >= len(row.channels)
        torch.testing.assert_close(row.maps, expected[row.layer][0, list(row.channels)])
    assert task.outer == Window(0, 0, 64, 48)


def test_gates_of_the_padding_are_left_out():
    image, mask = picture(37, 53), hole(37, 53, rows=slice(16, 30), columns=slice(8, 24))
    ((_, rows),) = gates(inpainter(), image, mask, ["conv1", "conv2_downsample", "conv5"])
    assert [tuple(row.maps.shape[-2:]) for row in rows] == [(37, 53), (19, 27), (10, 14)]


def test_without_names_some_layers_of_all_stages_are_shown():
    image, mask = picture(64, 64), hole(64, 64, rows=slice(16, 30), columns=slice(8, 24))
    ((_, rows),) = gates(inpainter(), image, mask)
    names = gated_layers(network())
    assert len(rows) == 6 and rows[0].layer == names[0] and rows[-1].layer == names[-1]


def test_layers_of_the_first_stage_are_seen_in_the_coarse_pass():
    image, mask = picture(256, 256), hole(256, 256, rows=slice(32, 224), columns=slice(32, 224))
    ((task, rows),) = gates(inpainter(), image, mask, ["coarse.conv1", "xconv1"])
    assert tuple(rows[0].maps.shape[-2:]) == task.sizes[0] < task.sizes[-1]
    assert tuple(rows[1].maps.shape[-2:]) == task.sizes[-1]


def test_channels_are_taken_that_differ_most():
    """Halves: 0.9 | 0.1 has the most variance, 0.1 | 0.9 is furthest from it, then 0.5 | 0.5."""
    maps = torch.tensor([[0.5, 0.5], [0.1, 0.9], [0.12, 0.88], [0.9, 0.1], [0.85, 0.15]])
    maps = maps[:, None, :].repeat_interleave(40, dim=2).expand(-1, 50, -1)
    assert unlike(maps, 1) in ([1], [3])
    assert unlike(maps, 2) == [1, 3] and unlike(maps, 3) == [0, 1, 3]
    assert unlike(maps, 99) == [0, 1, 2, 3, 4]
    assert unlike(torch.zeros(3, 2, 2), 2) == [0, 1]  # all alike: the first ones


def test_a_gate_of_a_convolution_of_its_own_is_recorded():
    layer = SeparateGatedConv2d(3, 4, activate=False)
    nn.init.zeros_(layer.conv.weight)
    nn.init.ones_(layer.conv.bias)  # the features are 1, so that the output is the gate
    outer = nn.Sequential(layer)
    with recorded_gates(outer) as found:
        output = outer(picture(9, 7))
    torch.testing.assert_close(found["0"], output)
    assert not layer.gate._forward_hooks and gated_layers(outer) == ["0"]


def test_a_gate_is_drawn_as_light_as_it_is_open():
    """The first thumb of the first layer, enlarged cell by cell."""
    image, mask = picture(64, 64), hole(64, 64, rows=slice(16, 30), columns=slice(8, 24))
    sheet = gates_sheet(inpainter(), image, mask, ["coarse.conv4_downsample"])[0]
    ((_, (row,)),) = gates(inpainter(), image, mask, ["coarse.conv4_downsample"])
    top = MARGIN + 2 * CAPTION + THUMB + GAP + CAPTION
    thumb = sheet[:, top : top + THUMB, MARGIN : MARGIN + THUMB]
    cell = THUMB // 16
    expected = row.maps[0].repeat_interleave(cell, 0).repeat_interleave(cell, 1)
    torch.testing.assert_close(thumb, expected.expand(3, -1, -1), atol=0.5 / 255 + 1e-6, rtol=0)
    assert row.maps[0].shape == (16, 16) and len(row.channels) == CHANNELS


# ---- refusals, batches, sheets


def test_every_picture_of_a_batch_has_its_sheet():
    image = torch.cat([picture(64, 48, seed=seed) for seed in (0, 1)])
    mask = hole(64, 48, rows=slice(16, 40), columns=slice(8, 24))
    for draw in (attention_sheet, gates_sheet):
        both = draw(inpainter(), image, mask)
        torch.testing.assert_close(both[1:], draw(inpainter(), image[1:], mask))
        assert both.shape[0] == 2 and not torch.equal(both[0], both[1])
        assert both.min() >= 0 and both.max() <= 1
    masks = torch.cat([mask, mask.flip(-2)])
    both = attention_sheet(inpainter(), image[:1], masks)
    torch.testing.assert_close(both[1:], attention_sheet(inpainter(), image[:1], masks[1:]))


def test_sheets_of_several_sizes_are_filled_up():
    batch = stacked([torch.ones(1, 3, 4, 9), torch.zeros(1, 3, 6, 2)])
    assert batch.shape == (2, 3, 6, 9)
    ground = torch.tensor(GROUND) / 255
    torch.testing.assert_close(batch[0, :, 5, 8], ground)
    torch.testing.assert_close(batch[1, :, 5, 2], ground)
    assert batch[0, :, :4].eq(1).all() and batch[1, :, :, :2].eq(0).all()


def test_words_are_drawn_where_they_are_put():
    sheet = Sheet((60, 200))
    sheet.write("gate", (30, 100))
    ink = (sheet.picture()[0] != torch.tensor(GROUND).view(3, 1, 1) / 255).any(dim=0)
    rows, columns = ink.nonzero(as_tuple=True)
    assert rows.min() >= 30 and rows.max() < 52
    assert columns.min() >= 100 and columns.max() < 150


@pytest.mark.parametrize(
    ("size", "expected"), [((100, 50), (480, 240)), ((1, 2000), (1, 480)), ((960, 960), (480, 480))]
)
def test_a_panel_keeps_the_proportions(size, expected):
    assert panel_size(size, 480) == expected


def test_a_graph_or_an_engine_says_that_weights_are_needed():
    class Graph:
        contract = network().contract

    image, mask = picture(16, 16), hole(16, 16, rows=slice(0, 8), columns=slice(0, 8))
    for look in (attention_sheet, gates_sheet):
        with pytest.raises(ConfigError, match="load the weights"):
            look(Inpainter(Graph(), FULL), image, mask)


@pytest.mark.parametrize(
    ("look", "preset", "words"),
    [
        (attention_sheet, "scfegan-tiny", "no attention"),
        (attention_sheet, "pconv-tiny", "no attention"),
        (gates_sheet, "pconv-tiny", "no gates"),
    ],
)
def test_networks_without_them_say_so(look, preset, words):
    other = Inpainter(TorchBackend(tiny(preset)), FULL)
    with pytest.raises(ConfigError, match=words):
        look(other, picture(64, 64), hole(64, 64, rows=slice(0, 8), columns=slice(0, 8)))


def test_a_network_of_vanilla_convolutions_has_no_gates():
    plain = Inpainter(TorchBackend(DeepFill(DeepFillConfig(width=8, gate=False))), FULL)
    image, mask = picture(16, 16), hole(16, 16, rows=slice(0, 8), columns=slice(0, 8))
    with pytest.raises(ConfigError, match="no gates"):
        gates_sheet(plain, image, mask)


def test_what_cannot_be_shown_is_refused():
    image, mask = picture(16, 16), hole(16, 16, rows=slice(0, 8), columns=slice(0, 8))
    with pytest.raises(ConfigError, match=r"'conv99'; there are coarse\.conv1, "):
        gates_sheet(inpainter(), image, mask, ["conv99"])
    with pytest.raises(ConfigError, match="single"):
        attention_sheet(inpainter(FillOptions(strategy="single")), image, mask)
    with pytest.raises(ConfigError, match="picture 2 has no hole"):
        gates_sheet(inpainter(), image, torch.cat([mask, torch.zeros_like(mask)]))
