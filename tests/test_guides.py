"""Every network goes through the pipeline by its contract alone, with whatever guides it takes."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from core.backends.eager import TorchBackend
from core.config import PRESETS
from core.contract import Contract, Port
from core.crop import nearest, resize_drawn
from core.errors import ConfigError, ShapeError
from core.pipeline import FillOptions, Inpainter
from core.registry import build_generator
from core.semantic import instance_edges, one_hot

SPADE = replace(PRESETS["spade-tiny"], native_size=64)
CONFIGS = {
    "deepfillv2": PRESETS["deepfillv2-tiny"],
    "pconv": PRESETS["pconv-tiny"],
    "scfegan": PRESETS["scfegan-tiny"],
    "spade": SPADE,
    "spade-plain": replace(SPADE, context=False, encoder=False),
    "spade-edges": replace(SPADE, instance_edges=True, unknown=True, norm="instance"),
}
LABELS = len(SPADE.labels)


@pytest.fixture(scope="module")
def backends() -> dict[str, TorchBackend]:
    torch.manual_seed(0)
    return {name: TorchBackend(build_generator(config)) for name, config in CONFIGS.items()}


def guides_for(contract: Contract, size: tuple[int, int], n: int = 1) -> dict[str, Tensor]:
    """One of each kind that the contract has a port for."""
    random = torch.Generator().manual_seed(1)
    made = {}
    for port in contract.guides:
        shape = (n, port.channels, *size)
        if port.kind == "labels":
            made[port.name] = torch.randint(0, LABELS, (n, 1, 4, 4), generator=random)
            made[port.name] = nearest(made[port.name], size)
        elif port.kind == "instances":
            made[port.name] = torch.randint(0, 9, (n, 1, *size), generator=random)
        elif port.kind == "vector":
            made[port.name] = torch.rand(n, 3, 30, 20, generator=random)
        elif port.kind == "map":
            made[port.name] = torch.rand(shape, generator=random)
    return made


def needed(contract: Contract, guides: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: x for name, x in guides.items() if not contract.port(name).optional}


def picture(*size: int, seed: int = 0) -> Tensor:
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed))


def box(height: int, width: int) -> Tensor:
    mask = torch.zeros(1, 1, height, width)
    mask[..., height // 4 : height // 2, width // 4 : width // 2] = 1
    return mask


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("size", [(37, 52), (90, 100)])
@pytest.mark.parametrize("strategy", ["full", "crop"])
def test_known_pixels_are_returned_bit_for_bit(backends, name, size, strategy):
    inpainter = Inpainter(backends[name], FillOptions(strategy=strategy))
    image, mask = picture(*size), box(*size)
    guides = guides_for(inpainter.backend.contract, size)
    for given in (guides, needed(inpainter.backend.contract, guides)):
        completed = inpainter(image, mask, **given)
        known = (mask == 0).expand_as(image)
        assert torch.equal(completed[known], image[known])
        assert not torch.equal(completed[~known], image[~known])
        assert completed.min() >= 0 and completed.max() <= 1


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("size", [(50, 40), (90, 100)])
def test_what_the_hole_holds_has_no_influence(backends, name, size):
    inpainter, image, mask = Inpainter(backends[name]), picture(*size), box(*size)
    guides = guides_for(inpainter.backend.contract, size)
    black, white = (
        inpainter(torch.where(mask > 0, value, image), mask, **guides) for value in (0.0, 1.0)
    )
    assert torch.equal(black, white)


@pytest.mark.parametrize("name", ["scfegan", "spade", "spade-edges"])
def test_chance_depends_on_the_seed_alone(backends, name):
    image, mask = picture(40, 40), box(40, 40)
    guides = needed(backends[name].contract, guides_for(backends[name].contract, (40, 40)))
    results = []
    for global_seed, seed in ((1, 5), (2, 5), (1, 6)):
        torch.manual_seed(global_seed)
        results.append(Inpainter(backends[name], FillOptions(seed=seed))(image, mask, **guides))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    both = Inpainter(backends[name], FillOptions(seed=5))(
        image.expand(2, -1, -1, -1), mask, **guides
    )
    assert torch.allclose(both[0], results[0][0], atol=1e-6)
    assert not torch.allclose(both[0], both[1], atol=1e-6)  # each picture has its own


class Turned:
    """A network of the other order of channels: an RGB one whose pictures are turned."""

    def __init__(self, backend: TorchBackend):
        self.backend, self.contract = backend, replace(backend.contract, order="bgr")

    def run(self, *inputs: Tensor) -> Tensor:
        return self.backend.run(*self._turned(inputs)).flip(1)

    def refine(self, first_fill: Tensor, *inputs: Tensor) -> Tensor:
        return self.backend.refine(first_fill.flip(1), *self._turned(inputs)).flip(1)

    def encode(self, picture: Tensor) -> Tensor:
        return self.backend.encode(picture.flip(1))

    def _turned(self, inputs: tuple[Tensor, ...]) -> list[Tensor]:
        pictures = ("image", "color")
        pairs = zip(inputs, self.contract.inputs, strict=True)
        return [x.flip(1) if port.name in pictures else x for x, port in pairs]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_bgr_network_gives_the_same_as_its_rgb_twin(backends, name):
    image, mask = picture(150, 140), box(150, 140)
    mask[..., :120, 20:130] = 1  # wide: DeepFillv2 takes a first fill too
    guides = guides_for(backends[name].contract, (150, 140))
    rgb, bgr = (
        Inpainter(backend)(image, mask, **guides)
        for backend in (backends[name], Turned(backends[name]))
    )
    assert torch.equal(rgb, bgr)


def test_sc_fegan_with_its_channels_exchanged_is_the_bgr_network(backends):
    config = CONFIGS["scfegan"]
    exchanged = build_generator(replace(config, order="bgr")).eval()
    state = {k: v.clone() for k, v in backends["scfegan"].generator.state_dict().items()}
    inputs = torch.tensor([2, 1, 0, 3, 6, 5, 4, 7, 8])  # picture, sketch, colour, mask, noise
    last = f"join.{config.levels - 1}."
    for key, value in state.items():
        if key.startswith("encoder.0.") and value.dim() == 4:
            state[key] = value[:, inputs]
        elif key.startswith(last):
            value = value[[2, 1, 0]]
            state[key] = value if value.dim() == 1 else value[:, [*inputs.tolist(), 9, 10, 11]]
    exchanged.load_state_dict(state)
    image, mask = picture(96, 96), box(96, 96)
    guides = guides_for(exchanged.contract, (96, 96))
    rgb = Inpainter(backends["scfegan"])(image, mask, **guides)
    torch.testing.assert_close(
        Inpainter(TorchBackend(exchanged))(image, mask, **guides), rgb, atol=1e-5, rtol=0
    )


IMAGE, MASK = Port("image", 3, -1, 1), Port("mask", 1, binary=True)
SEMANTIC = Port("semantic", 184, binary=True, kind="labels")
INSTANCES = Port("instances", 1, binary=True, optional=True, kind="instances")
COLOR = Port("color", 3, -1, 1, optional=True)
NOISE = Port("noise", 1, binary=True, kind="noise", density=0.159)
STYLE = Port("style", 7, -4, 4, optional=True, kind="vector", encoded=True)


class Recorder:
    """A backend that keeps what it is given and fills with grey."""

    def __init__(self, *guides: Port, native_size: int = 64, widest_hole: float = 0.375,
                 multiple_of: int = 8):  # fmt: skip
        self.contract = Contract(
            (IMAGE, MASK, *guides), Port("filled", 3, -1, 1), multiple_of, native_size,
            widest_hole=widest_hole,
        )  # fmt: skip
        self.runs: list[dict[str, Tensor]] = []
        self.encoded: list[Tensor] = []

    def run(self, *inputs: Tensor) -> Tensor:
        names = [port.name for port in self.contract.inputs]
        self.runs.append(dict(zip(names, inputs, strict=True)))
        return torch.zeros_like(inputs[0])

    def refine(self, first_fill: Tensor, *inputs: Tensor) -> Tensor:
        raise AssertionError("the contract does not say that this refines")

    def encode(self, picture: Tensor) -> Tensor:
        self.encoded.append(picture)
        return picture.mean((1, 2, 3))[:, None].expand(-1, 7)

    @property
    def sides(self) -> list[tuple[int, int]]:
        return [tuple(run["image"].shape[-2:]) for run in self.runs]


def test_noise_is_ones_in_the_share_of_the_port_all_over_the_network_size():
    backend = Recorder(NOISE, native_size=256)
    Inpainter(backend)(picture(250, 250), box(250, 250))
    noise = backend.runs[0]["noise"]
    assert noise.shape == (1, 1, 256, 256) and set(noise.unique().tolist()) == {0.0, 1.0}
    assert noise.mean().item() == pytest.approx(0.159, abs=0.005)  # 3.5 standard deviations
    assert noise[..., :60].mean() > 0.1


def test_a_style_is_drawn_from_the_normal_distribution():
    backend = Recorder(replace(STYLE, channels=4000))
    seeded = Inpainter(backend, FillOptions(seed=0))
    seeded(picture(8, 8).expand(2, -1, -1, -1), box(8, 8))
    first, second = (run["style"] for run in backend.runs)
    assert first.shape == (1, 4000) and abs(first.mean()) < 0.06 and abs(first.std() - 1) < 0.05
    assert abs((first * second).mean()) < 0.06  # those of two pictures have nothing in common


def test_a_hole_is_filled_in_the_style_of_what_is_known():
    backend, mask = Recorder(STYLE), torch.zeros(1, 1, 8, 8)
    mask[..., :4, :] = 1
    image = torch.cat([picture(4, 8), torch.full((1, 3, 4, 8), 0.75)], dim=2)
    Inpainter(backend)(image, mask)
    assert torch.equal(backend.encoded[0], torch.full((1, 3, 8, 8), 0.5))  # 0.75 from -1 to 1
    assert backend.runs[0]["style"].tolist() == [[0.5] * 7]
    Inpainter(backend, FillOptions(seed=0))(image, mask)
    Inpainter(backend)(image, torch.ones_like(mask))  # of nothing known there is no style
    assert len(backend.encoded) == 1
    assert torch.equal(backend.runs[1]["style"], backend.runs[2]["style"])


def test_a_style_is_looked_up_of_a_picture_or_taken_as_it_is():
    backend, vector = Recorder(STYLE), torch.arange(7.0)[None]
    Inpainter(backend)(picture(8, 8), box(8, 8), style=vector)
    assert torch.equal(backend.runs[0]["style"], vector) and not backend.encoded
    backend.contract = replace(backend.contract, order="bgr")
    reference = torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1).expand(1, 3, 5, 9)
    Inpainter(backend)(picture(8, 8), box(8, 8), style=reference)
    assert backend.encoded[0].shape == (1, 3, 5, 9)
    assert backend.encoded[0][0, :, 0, 0].tolist() == [1, 0, -1]  # its range, its order
    assert backend.runs[1]["style"].tolist() == [[0.0] * 7]


def test_a_map_of_many_labels_is_never_one_hot_at_the_size_of_the_picture():
    resource = pytest.importorskip("resource")  # not on Windows
    backend = Recorder(SEMANTIC)
    labels = torch.randint(0, 184, (1, 1, 1500, 2000), dtype=torch.uint8)
    mask = torch.zeros(1, 1, 1500, 2000)
    mask[..., 700:716, 900:916] = 1
    image = picture(1500, 2000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    Inpainter(backend)(image, mask, semantic=labels)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * (1 if sys.platform == "darwin" else 1024) < 5e8  # bytes; one-hot it is 2.2e9
    seen = backend.runs[0]["semantic"]
    assert seen.shape == (1, 184, 64, 64)
    cut = labels[..., 708 - 32 : 708 + 32, 908 - 32 : 908 + 32]
    assert torch.equal(seen.argmax(1), cut[0].long()) and (seen.sum(1) == 1).all()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64, torch.float32])
def test_labels_shrink_by_nearest_and_are_mirrored_whole(dtype):
    backend = Recorder(replace(SEMANTIC, channels=4))
    labels = torch.randint(0, 4, (1, 1, 120, 90), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(1, 1, 120, 90)
    Inpainter(backend)(picture(120, 90), mask, semantic=labels.to(dtype))
    side = 0.375 * 64 * 120 / 240  # a full mask counts as a hole of twice its side
    assert backend.sides == [(16, 16)] and side == 12
    # The middle of each new pixel: 12 of 120, 9 of 90, then mirrored without the edge.
    rows = [10 * i + 5 for i in (*range(12), 10, 9, 8, 7)]
    columns = [10 * i + 5 for i in (*range(9), 7, 6, 5, 4, 3, 2, 1)]
    wanted = labels[0][:, rows][:, :, columns]
    assert torch.equal(backend.runs[0]["semantic"].argmax(1), wanted)


def test_a_one_hot_guide_is_the_same_as_its_numbers(backends):
    port = backends["spade-plain"].contract.port("semantic")
    labels = guides_for(backends["spade-plain"].contract, (40, 40))["semantic"]
    inpainter, image, mask = Inpainter(backends["spade-plain"]), picture(40, 40), box(40, 40)
    numbers = inpainter(image, mask, semantic=labels)
    assert torch.equal(inpainter(image, mask, semantic=one_hot(labels, port)), numbers)


def test_things_become_edges_at_the_size_of_the_network():
    backend = Recorder(replace(SEMANTIC, channels=4), INSTANCES)
    labels, things = (torch.randint(0, 4, (1, 1, 240, 240)) for _ in range(2))
    mask = torch.ones(1, 1, 240, 240)  # run at 12 x 12, see above
    for given, wanted in ((things, things), (None, labels)):
        Inpainter(backend)(picture(240, 240), mask, semantic=labels, instances=given)
        small = wanted[..., 10::20, 10::20]
        assert torch.equal(backend.runs[-1]["instances"][..., :12, :12], instance_edges(small))


def test_thin_strokes_keep_their_colour_when_they_shrink():
    color = torch.zeros(1, 3, 240, 240)
    color[..., 101, :] = torch.tensor([0.8, 0.2, 0.4]).view(3, 1)
    backend = Recorder(COLOR)
    Inpainter(backend)(picture(240, 240), torch.ones(1, 1, 240, 240), color=color)
    seen = (backend.runs[0]["color"][..., :12, :12] + 1) / 2
    drawn = torch.tensor([0.8, 0.2, 0.4]).view(1, 3, 1)
    torch.testing.assert_close(seen[..., 5, :], drawn.expand(1, 3, 12))
    assert seen.sum() == pytest.approx(1.4 * 12, rel=1e-5)  # and black stays black


def test_colours_are_weighted_by_their_light():
    """By hand: red of light 1 and blue of light 0.5 in one pixel, beside black."""
    color = torch.tensor([[1.0, 0, 0], [0, 0, 0.5], [0, 0, 0], [0, 0, 0]]).T.view(1, 3, 2, 2)
    small = resize_drawn(color, (1, 1)).flatten().tolist()
    assert small == pytest.approx([2 / 3, 0, 0.5 / 3])
    assert resize_drawn(color, (2, 2)) is color


@pytest.mark.parametrize(("widest", "size", "wanted"), [
    (2.0, (64, 64), 64), (2.0, (48, 64), 64), (2.0, (20, 30), 64), (2.0, (1, 1), 64),
    (2.0, (1, 200), 64), (2.0, (700, 900), 64), (0.5, (64, 64), 16), (0.5, (900, 900), 16),
])  # fmt: skip
def test_a_picture_that_is_all_hole_is_brought_to_the_size_of_the_training(widest, size, wanted):
    backend = Recorder(widest_hole=widest)
    Inpainter(backend)(picture(*size), torch.ones(1, 1, *size))
    assert max(backend.sides[0]) == wanted


@pytest.mark.parametrize("native", [64, 128, 256, 264, 328, 512])
def test_at_the_native_size_a_full_mask_runs_as_it_is(native):
    backend = Recorder(native_size=native, widest_hole=2.0, multiple_of=1)
    Inpainter(backend)(picture(native, native), torch.ones(1, 1, native, native))
    assert backend.sides == [(native, native)]


@pytest.mark.parametrize("side", [20, 200, 900])
def test_a_hole_is_at_most_as_wide_as_in_the_training(side):
    backend = Recorder(widest_hole=0.5)
    mask = torch.zeros(1, 1, 1200, 1500)
    mask[..., 100 : 100 + side, 200 : 200 + side] = 1
    Inpainter(backend)(picture(1200, 1500), mask)
    across = backend.runs[0]["mask"].amax((0, 1, 2)).sum()
    assert min(side, 28) <= across <= 36  # half of 64, and a pixel or two at the rim


def test_a_picture_is_made_of_a_map_alone(backends):
    for name in ("spade", "spade-plain", "spade-edges"):
        inpainter = Inpainter(backends[name], FillOptions(seed=3))
        labels = guides_for(inpainter.backend.contract, (48, 64))["semantic"]
        made = inpainter.synthesize((48, 64), semantic=labels)
        assert made.shape == (1, 3, 48, 64) and made.std() > 0
        full = inpainter(torch.zeros(1, 3, 48, 64), torch.ones(1, 1, 48, 64), semantic=labels)
        assert torch.equal(made, full)
        twice = labels.repeat_interleave(2, -1).repeat_interleave(2, -2)
        assert torch.equal(inpainter.synthesize((48, 64), semantic=twice), made)
        two = inpainter.synthesize((48, 64), semantic=labels.expand(2, -1, -1, -1))
        assert torch.allclose(two[:1], made, atol=1e-6)


def test_the_whole_result_of_a_map_alone_is_the_network_s(backends):
    """Nothing is known, so nothing may be matched to it."""
    backend = backends["spade-plain"]
    labels = guides_for(backend.contract, (64, 64))["semantic"]
    hot = one_hot(labels, backend.contract.port("semantic"))
    raw = backend.run(torch.zeros(1, 3, 64, 64) - 1, torch.ones(1, 1, 64, 64), hot)
    made = Inpainter(backend).synthesize((64, 64), semantic=labels)
    torch.testing.assert_close(made, (raw + 1) / 2)


def test_networks_without_maps_make_no_pictures_of_them(backends):
    with pytest.raises(ConfigError, match="takes no 'semantic'; it takes image, mask, sketch"):
        Inpainter(backends["deepfillv2"]).synthesize((8, 8), semantic=torch.zeros(1, 1, 8, 8))
    with pytest.raises(ConfigError, match="no pictures of a map"):
        Inpainter(backends["pconv"]).synthesize((8, 8))
    with pytest.raises(ConfigError, match="at least 1 x 1"):
        Inpainter(backends["spade"]).synthesize((0, 8), semantic=torch.zeros(1, 1, 8, 8))


ZEROS = torch.zeros(1, 1, 16, 16, dtype=torch.long)
WRONG = [
    ("spade", {}, ConfigError, "needs 'semantic' beside image and mask; its guides are semantic"),
    ("spade", {"semantic": ZEROS + 12}, ConfigError, r"label 12, .* 0 to 11 \(0 sky, .*11 unlab"),
    ("spade", {"semantic": ZEROS + 255}, ConfigError, "label 255"),
    ("spade", {"semantic": ZEROS[..., :9]}, ShapeError, r"semantic has the shape \(1, 1, 16, 9\)"),
    ("spade", {"semantic": torch.zeros(1, 5, 16, 16)}, ShapeError, r"must be \(1, 1, 16, 16\)"),
    ("spade", {"semantic": ZEROS, "style": torch.zeros(1, 9)}, ShapeError, r"\(1, 256\), or a pic"),
    ("spade", {"semantic": ZEROS, "style": torch.zeros(1, 256) / 0}, ConfigError, "finite"),
    ("spade", {"semantic": ZEROS, "style": torch.ones(1, 3, 4, 4) + 1}, ConfigError, "style has"),
    ("spade-plain", {"semantic": ZEROS, "style": torch.zeros(1, 256)}, ConfigError, "no 'style'"),
    ("spade-edges", {"semantic": ZEROS, "instances": ZEROS[0]}, ShapeError, "instances has"),
    ("scfegan", {"noise": torch.zeros(1, 1, 16, 16)}, ConfigError, "'noise' is drawn by seed"),
    ("scfegan", {"color": torch.zeros(1, 1, 16, 16)}, ShapeError, "color has the shape"),
    ("pconv", {"sketch": torch.zeros(1, 1, 16, 16)}, ConfigError, "takes no 'sketch'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "guides", "error", "says"), WRONG)
def test_guides_that_do_not_fit_are_told_in_one_sentence(backends, name, guides, error, says):
    with pytest.raises(error, match=says) as caught:
        Inpainter(backends[name])(picture(16, 16), box(16, 16), **guides)
    assert "\n" not in str(caught.value)


def test_a_seed_below_0_is_refused():
    with pytest.raises(ConfigError, match=r"seed is -1; it must be 0 or more$"):
        FillOptions(seed=-1)


def test_nearest_picks_the_pixel_in_the_middle():
    """As Pillow's nearest neighbours, by which label maps are usually prepared.

    Odd sides, so that no middle lies between two pixels.
    """
    random = np.random.default_rng(0)
    for old, new in (((7, 5), (3, 4)), ((7, 9), (13, 3)), ((5, 5), (5, 10)), ((65, 49), (8, 9))):
        values = random.integers(0, 255, old, dtype=np.uint8)
        wanted = Image.fromarray(values).resize(new[::-1], Image.Resampling.NEAREST)
        assert np.array_equal(nearest(torch.from_numpy(values), new), np.asarray(wanted))
