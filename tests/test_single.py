"""The strategy "single": the square round the holes, its way to the canvas and back."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from core.backends.eager import TorchBackend
from core.config import PRESETS
from core.contract import Contract, Port
from core.crop import Window, nearest
from core.errors import ConfigError
from core.guides import Guides
from core.pipeline import FillOptions, Inpainter
from core.registry import build_generator
from core.single import (
    Canvas,
    Grid,
    axis_of,
    bounding_box,
    canvas_of,
    fill_on_canvas,
    needed_window,
    place,
)

IMAGE, MASK, FILLED = (
    Port("image", 3, -1, 1),
    Port("mask", 1, binary=True),
    Port("filled", 3, -1, 1),
)
CANVAS = Canvas(size=64, context=0.5, grow=0, feather=0, widest_hole=0.375, enlarge=False)


class Recorder:
    """A backend that keeps what it is given and fills holes with one value of its range."""

    def __init__(self, *guides: Port, value: float = 0.5, refines: bool = True):
        self.contract = Contract((IMAGE, MASK, *guides), FILLED, 8, 64, refines)
        self.value = value
        self.runs: list[dict[str, Tensor]] = []
        self.encoded: list[Tensor] = []

    def run(self, *inputs: Tensor) -> Tensor:
        names = [port.name for port in self.contract.inputs]
        self.runs.append(dict(zip(names, inputs, strict=True)))
        return torch.where(inputs[1] > 0, torch.tensor(self.value), inputs[0])

    def refine(self, first_fill: Tensor, *inputs: Tensor) -> Tensor:
        raise AssertionError("a single pass has no second one")

    def encode(self, picture: Tensor) -> Tensor:
        self.encoded.append(picture)
        return picture.mean((2, 3))


@pytest.fixture(scope="module")
def tiny() -> TorchBackend:
    torch.manual_seed(0)
    backend = TorchBackend(build_generator(PRESETS["deepfillv2-tiny"]))
    backend.contract = replace(backend.contract, native_size=64)
    return backend


def square(box: tuple[int, int, int, int], size: tuple[int, int], canvas: Canvas = CANVAS):
    """Top, left, side."""
    return tuple(int(x) for x in place(torch.tensor([box]).float(), size, canvas))


@pytest.mark.parametrize(
    ("box", "size", "wanted"),
    [
        # b = 100: 100 / 0.375 = 266.67 is more than 100 + 2 * 50.
        ((400, 500, 500, 560), (1000, 1200), (450 - 134, 530 - 134, 267)),
        # b = 10: margins of 64 / 4 give 42, so the side is that of the canvas.
        ((100, 100, 110, 104), (300, 300), (105 - 32, 102 - 32, 64)),
        ((0, 290, 10, 300), (300, 300), (0, 236, 64)),  # moved inside
        ((0, 0, 300, 300), (300, 300), (0, 0, 300)),  # 800 are wanted, 300 there
        ((0, 0, 30, 300), (30, 300), (0, 0, 300)),  # shorter than the square
        ((5, 5, 9, 9), (20, 30), (0, 0, 64)),  # smaller than the canvas
    ],
)
def test_the_square_follows_its_rule(box, size, wanted):
    assert square(box, size) == wanted


def test_a_network_without_second_stage_gets_small_pictures_enlarged():
    canvas = replace(CANVAS, enlarge=True)
    assert square((5, 5, 9, 9), (20, 30), canvas) == (0, 0, 30)
    assert square((5, 5, 9, 9), (200, 300), canvas) == (0, 0, 64)
    contract = build_generator(PRESETS["scfegan-tiny"]).contract
    assert canvas_of(contract, context=0.75).enlarge and not contract.refines


@pytest.mark.parametrize(("context", "b", "side"), [(1.07, 150, 471), (2.15, 90, 477)])
def test_decimal_fractions_do_not_round_up_for_a_last_digit(context, b, side):
    """150 (1 + 2 * 1.07) = 471, though a float of 32 bits says 471.00003."""
    canvas = replace(CANVAS, context=context, widest_hole=1.0)
    assert square((300, 300, 300 + b, 310), (2000, 2000), canvas)[2] == side


def test_the_canvas_is_a_multiple_of_what_the_network_takes():
    contract = Contract((IMAGE, MASK), FILLED, multiple_of=32, native_size=100)
    assert canvas_of(contract, context=0.5).size == 128


def test_the_box_is_that_of_each_picture():
    alpha = torch.zeros(3, 1, 20, 30)
    alpha[0, 0, 3, 4], alpha[0, 0, 7, 20], alpha[2] = 0.01, 1, 1
    boxes = bounding_box(alpha)
    assert boxes[0].tolist() == [3, 4, 8, 21] and boxes[2].tolist() == [0, 0, 20, 30]
    assert boxes[1, 2] <= boxes[1, 0] and boxes[1, 3] <= boxes[1, 1]  # nowhere


def whole(side: int, cells: int) -> Grid:
    """A grid for a square picture that is the square."""
    axis = axis_of(torch.zeros(1, 1), torch.full((1, 1), float(side)), side, cells)
    return Grid(axis, axis)


@pytest.mark.parametrize("side", [16, 17, 24, 50, 131])
def test_going_to_the_canvas_is_what_resizing_is_elsewhere(side):
    """Against PyTorch's own anti-aliased resize, pooling, and our nearest."""
    x, grid = torch.rand(1, 3, side, side), whole(side, 16)
    wanted = F.interpolate(x, (16, 16), mode="bilinear", antialias=True)
    torch.testing.assert_close(grid.mean(x), wanted, atol=1e-5, rtol=0)
    dots = (torch.rand(1, 1, side, side) > 0.97).float()
    assert torch.equal((grid.touched(dots) > 0).float(), F.adaptive_max_pool2d(dots, (16, 16)))
    numbers = torch.randint(0, 1 << 30, (1, 1, side, side))
    assert torch.equal(grid.middle(numbers), nearest(numbers, (16, 16)))


@pytest.mark.parametrize("side", [16, 24, 50, 131])
def test_coming_back_is_bilinear(side):
    x = torch.rand(1, 3, 16, 16)
    wanted = F.interpolate(x, (side, side), mode="bilinear")
    torch.testing.assert_close(whole(side, 16).back(x), wanted, atol=1e-5, rtol=0)


def test_small_pictures_are_enlarged_and_shrunk_again():
    x = torch.rand(1, 3, 5, 5)
    large = whole(5, 16).mean(x)
    torch.testing.assert_close(large, F.interpolate(x, (16, 16), mode="bilinear"))
    back = F.interpolate(large, (5, 5), mode="bilinear", antialias=True)
    torch.testing.assert_close(whole(5, 16).back(large), back, atol=1e-5, rtol=0)


def test_a_square_within_the_picture_takes_what_lies_there():
    axis = axis_of(torch.full((1, 1), 7.0), torch.full((1, 1), 16.0), 40, 16)
    assert axis.middle[0].tolist() == list(range(7, 23))
    assert torch.equal(axis.mean[0], torch.eye(40)[7:23])
    assert torch.equal(axis.back[0, 7:23], torch.eye(16))


def test_beyond_a_short_picture_it_is_mirrored():
    """At scale 1, written out."""
    axis = axis_of(torch.zeros(1, 1), torch.full((1, 1), 8.0), 3, 8)
    assert axis.middle[0].tolist() == [0, 1, 2, 2, 1, 0, 0, 1]
    wanted = torch.eye(3)[[0, 1, 2, 2, 1, 0, 0, 1]]
    assert torch.equal(axis.mean[0], wanted) and torch.equal(axis.touch[0], wanted)
    single = axis_of(torch.zeros(1, 1), torch.full((1, 1), 8.0), 1, 8)
    assert torch.equal(single.mean[0], torch.ones(8, 1)) and not single.middle.any()


def test_positions_are_exact_in_large_pictures():
    """Against whole numbers: cell r's middle lies at (2 r + 1) side / (2 cells) from the start."""
    start, side, cells, length = 9001, 6827, 256, 16384
    axis = axis_of(torch.full((1, 1), float(start)), torch.full((1, 1), float(side)), length, cells)
    middles = [start + (2 * r + 1) * side // (2 * cells) for r in range(cells)]
    assert axis.middle[0].tolist() == middles
    touched = axis.touch[0].nonzero()
    for r in (0, 1, 100, 255):
        own = touched[touched[:, 0] == r, 1]
        assert own[0] == start + r * side // cells
        assert own[-1] == start + math.ceil((r + 1) * side / cells) - 1


def test_the_rows_of_every_mean_add_up_to_one():
    axis = axis_of(torch.tensor([[0.0], [37.0]]), torch.tensor([[90.0], [64.0]]), 101, 64)
    torch.testing.assert_close(axis.mean.sum(-1), torch.ones(2, 64))
    torch.testing.assert_close(axis.back.sum(-1), torch.ones(2, 101))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_square_is_the_same_within_the_needed_window(data):
    draw = data.draw
    height, width = draw(st.integers(1, 900)), draw(st.integers(1, 900))
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    bottom, right = draw(st.integers(top + 1, height)), draw(st.integers(left + 1, width))
    canvas = replace(
        CANVAS,
        context=draw(st.sampled_from([0.0, 0.3, 0.75, 2.0])),
        feather=draw(st.sampled_from([0, 4, 30])),
        enlarge=draw(st.booleans()),
    )
    window = needed_window(Window(top, left, bottom, right), (height, width), canvas)
    rim = canvas.rim
    box = (
        max(top - rim, 0),
        max(left - rim, 0),
        min(bottom + rim, height),
        min(right + rim, width),
    )
    there = square(box, (height, width), canvas)
    moved = tuple(box[i] - window[i % 2] for i in range(4))
    here = square(moved, (window.height, window.width), canvas)
    assert (here[0] + window.top, here[1] + window.left, here[2]) == there
    # All that is changed lies inside the square, and the square, where it can, in the window.
    assert there[0] <= box[0] and there[1] <= box[1]
    assert box[2] <= there[0] + there[2] and box[3] <= there[1] + there[2]


def no_guides(contract: Contract) -> Guides:
    return Guides(contract, {}, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((300, 400), (140, 200, 180, 230)),
        ((300, 400), (0, 380, 9, 400)),
        ((400, 90), (300, 10, 380, 80)),
        ((320, 500), (50, 100, 190, 260)),
        ((40, 30), (3, 3, 9, 9)),
    ],
)
@pytest.mark.parametrize("feather", [0, 5])
def test_a_window_gives_the_bytes_of_the_whole_picture(tiny, size, box, feather):
    from core.crop import feather as softened

    canvas = canvas_of(tiny.contract, context=0.75, feather=feather)
    torch.manual_seed(1)
    image = F.interpolate(torch.rand(1, 3, 9, 9), size, mode="bicubic").clamp(0, 1)
    hole = torch.zeros(1, 1, *size)
    hole[..., box[0] : box[2], box[1] : box[3]] = 1
    window = needed_window(Window(*box), size, canvas)

    def completed(image: Tensor, hole: Tensor) -> Tensor:
        alpha = softened(hole, feather)
        filled = fill_on_canvas(tiny, canvas, image, alpha, no_guides(tiny.contract))
        return (torch.lerp(image, filled, alpha) * 255).round()

    expected = completed(image, hole)
    inside = completed(window.of(image), window.of(hole))
    assert (inside - window.of(expected)).abs().max() <= 1
    assert (inside != window.of(expected)).float().mean() <= 1e-3
    untouched = expected.clone()
    window.of(untouched)[:] = window.of((image * 255).round())
    assert torch.equal(untouched, (image * 255).round())


@settings(max_examples=15, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    feather=st.sampled_from([0, 3]),
    seed=st.integers(0, 10**6),
)
def test_known_pixels_are_returned_bit_for_bit(tiny, height, width, feather, seed):
    generator = torch.manual_seed(seed)
    image = torch.rand(1, 3, height, width, generator=generator)
    mask = (torch.rand(1, 1, height, width, generator=generator) > 0.9).float()
    completed = Inpainter(tiny, FillOptions(strategy="single", feather=feather))(image, mask)
    assert completed.isfinite().all() and completed.min() >= 0 and completed.max() <= 1
    near = F.max_pool2d(mask, 2 * feather + 1, stride=1, padding=feather)
    known = (near == 0).expand_as(image)
    assert torch.equal(completed[known], image[known])


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 64), (300, 170)])
def test_all_holes_are_filled_in_one_run_on_the_canvas(size):
    backend, mask = Recorder(), torch.zeros(1, 1, *size)
    mask[..., : max(size[0] // 4, 1), : max(size[1] // 4, 1)] = 1
    mask[..., -1, -1] = 1
    image = torch.full((1, 3, *size), 0.75)  # as the backend fills: 0.5 in [-1, 1]
    completed = Inpainter(backend, FillOptions(strategy="single"))(image, mask)
    torch.testing.assert_close(completed, image)
    assert [tuple(run["mask"].shape) for run in backend.runs] == [(1, 1, 64, 64)]
    assert set(backend.runs[0]["mask"].unique().tolist()) <= {0.0, 1.0}


def test_a_full_mask_is_filled_and_an_empty_one_is_not_run():
    backend, image = Recorder(), torch.rand(1, 3, 100, 70)
    inpainter = Inpainter(backend, FillOptions(strategy="single"))
    full = inpainter(image, torch.ones(1, 1, 100, 70))
    torch.testing.assert_close(full, torch.full_like(image, 0.75))
    assert torch.equal(inpainter(image, torch.zeros(1, 1, 100, 70)), image)
    assert len(backend.runs) == 1


def test_what_the_hole_holds_has_no_influence(tiny):
    image, mask = torch.rand(1, 3, 150, 130), torch.zeros(1, 1, 150, 130)
    mask[..., 40:120, 30:100] = 1
    inpainter = Inpainter(tiny, FillOptions(strategy="single"))
    other = torch.where(mask > 0, 1 - image, image)
    assert torch.equal(inpainter(image, mask)[..., 40:120, 30:100],
                       inpainter(other, mask)[..., 40:120, 30:100])  # fmt: skip


def test_known_pixels_round_a_hole_are_not_mixed_with_the_networks_echo():
    """A network that is right on average, but gives a checkerboard: the seam keeps its colour."""
    backend = Recorder()
    squares = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 1.0 - 1  # -1 and 0, mean -0.5
    backend.run = lambda *inputs: squares.expand_as(inputs[0])  # type: ignore[method-assign]
    image, mask = torch.full((1, 3, 200, 200), 0.25), torch.zeros(1, 1, 200, 200)
    mask[..., 80:120, 80:120] = 1
    completed = Inpainter(backend, FillOptions(strategy="single", feather=10))(image, mask)
    # Under half of the seam's 10 pixels is hole for the network; a cell has less than 2.
    ring = completed[..., 70:73, 70:130]
    torch.testing.assert_close(ring, image[..., 70:73, 70:130], atol=1e-4, rtol=0)
    assert (completed[..., 95:105, 95:105] - 0.25).abs().max() > 0.1  # the board, in the hole


def test_the_networks_tint_is_taken_off():
    backend = Recorder()
    backend.run = lambda *inputs: torch.full_like(inputs[0], 1.0)  # type: ignore[method-assign]
    image, mask = torch.full((1, 3, 200, 200), 0.25), torch.zeros(1, 1, 200, 200)
    mask[..., 80:120, 80:120] = 1
    completed = Inpainter(backend, FillOptions(strategy="single"))(image, mask)
    torch.testing.assert_close(completed, image, atol=0.02, rtol=0)


def guided(port: Port, guide: Tensor) -> Tensor:
    """What a network gets at `port`, of a picture of 256 with a hole over most of it."""
    backend, mask = Recorder(port), torch.zeros(1, 1, 256, 256)
    mask[..., 8:248, 8:248] = 1
    image = torch.zeros(1, 3, 256, 256)
    Inpainter(backend, FillOptions(strategy="single"))(image, mask, **{port.name: guide})
    return backend.runs[0][port.name]


def test_thin_lines_and_strokes_stay_as_bright_on_the_canvas():
    line = torch.zeros(1, 1, 256, 256)
    line[..., 101] = 1
    got = guided(Port("sketch", 1, binary=True, optional=True), line)
    assert torch.equal(got[0, 0], (torch.arange(64) == 101 // 4).float().expand(64, 64))
    stroke = torch.zeros(1, 3, 256, 256)
    stroke[:, 0, :, 101], stroke[:, 1, :, 101] = 0.8, 0.4
    got = guided(Port("color", 3, optional=True), stroke)
    torch.testing.assert_close(got[0, :, 5, 25], torch.tensor([0.8, 0.4, 0.0]))
    assert not got[..., 24].any() and not got[..., 26].any()


def test_labels_and_things_go_by_the_nearest_pixel():
    labels = torch.zeros(1, 1, 256, 256, dtype=torch.uint8)
    labels[..., 128:] = 1
    port = Port("semantic", 3, binary=True, kind="labels", labels=("a", "b"))
    unknown = labels.clone()
    unknown[..., 200:, :] = 255
    got = guided(port, unknown)
    assert torch.equal(got.sum(1), torch.ones(1, 64, 64))
    assert got[0, 1, 10, 31:33].tolist() == [0, 1] and got[0, 2, 50].all()
    edges = guided(Port("instances", 1, binary=True, optional=True, kind="instances"), labels)
    assert torch.equal(edges[0, 0, 7], ((torch.arange(64) - 31.5).abs() < 1).float())


STYLE = Port("style", 3, -4, 4, optional=True, kind="vector", encoded=True)


def test_a_style_is_that_of_what_the_canvas_shows():
    backend, image = Recorder(STYLE), torch.full((1, 3, 100, 100), 0.25)
    mask = torch.zeros(1, 1, 100, 100)
    mask[..., 20:50, 20:50] = 1
    Inpainter(backend, FillOptions(strategy="single"))(image, mask)
    assert backend.encoded[0].shape == (1, 3, 64, 64)
    torch.testing.assert_close(backend.runs[0]["style"], torch.full((1, 3), -0.5))
    Inpainter(backend, FillOptions(strategy="single", seed=3))(image, mask)
    assert len(backend.encoded) == 1  # drawn instead


def test_without_a_known_pixel_a_style_is_drawn():
    backend, image = Recorder(STYLE), torch.rand(1, 3, 40, 40)
    Inpainter(backend, FillOptions(strategy="single"))(image, torch.ones(1, 1, 40, 40))
    drawn = np.random.default_rng((0, 0)).standard_normal(3, dtype=np.float32)
    assert backend.runs[0]["style"][0].tolist() == drawn.tolist()


def test_an_unknown_strategy_is_refused():
    with pytest.raises(ConfigError, match="it must be one of auto, full, crop, single"):
        FillOptions(strategy="once")  # type: ignore[arg-type]
