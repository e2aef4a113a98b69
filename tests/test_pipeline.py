"""The pipeline's promises, with backends that can be predicted and with the real network."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from core.backends import choose_device, open_backend
from core.backends.eager import TorchBackend
from core.config import PRESETS
from core.contract import TRUSTED, Contract, Port
from core.errors import BackendError, ConfigError, ShapeError, WeightsError
from core.masks.drawn import free_form_mask
from core.pipeline import FillOptions, Inpainter
from core.registry import build_generator
from core.weights import DEFAULT_WEIGHTS, save_weights

IMAGE, MASK, FILLED = (
    Port("image", 3, -1, 1),
    Port("mask", 1, binary=True),
    Port("filled", 3, -1, 1),
)
SKETCH = Port("sketch", 1, binary=True, optional=True)


class Recorder:
    """A backend that keeps what it is given and fills holes with one value of its range."""

    def __init__(self, value: float = 0.5, *, refines: bool = True, native_size: int = 64):
        self.contract = Contract((IMAGE, MASK, SKETCH), FILLED, 8, native_size, refines)
        self.value = value
        self.runs: list[tuple[Tensor, ...]] = []
        self.first_fills: list[Tensor] = []

    def run(self, *inputs: Tensor) -> Tensor:
        self.runs.append(inputs)
        return torch.where(inputs[1] > 0, torch.tensor(self.value), inputs[0])

    def refine(self, first_fill: Tensor, *inputs: Tensor) -> Tensor:
        self.first_fills.append(first_fill)
        return self.run(*inputs)


@pytest.fixture(scope="module")
def tiny() -> TorchBackend:
    torch.manual_seed(0)
    return TorchBackend(build_generator(PRESETS["deepfillv2-tiny"]))


def hole_in(height: int, width: int, n: int = 1) -> Tensor:
    mask = torch.zeros(n, 1, height, width)
    mask[..., height // 3 : height // 2 + 1, width // 3 : width // 2 + 1] = 1
    return mask


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    strategy=st.sampled_from(["auto", "full", "crop"]),
    feather=st.sampled_from([0, 0, 3]),
    seed=st.integers(0, 10**6),
)
def test_known_pixels_are_returned_bit_for_bit(tiny, height, width, strategy, feather, seed):
    generator = torch.manual_seed(seed)
    image = torch.rand(1, 3, height, width, generator=generator)
    mask = (torch.rand(1, 1, height, width, generator=generator) > 0.9).float()
    options = FillOptions(strategy=strategy, feather=feather)
    completed = Inpainter(tiny, options)(image, mask)
    assert completed.shape == image.shape and completed.isfinite().all()
    assert completed.min() >= 0 and completed.max() <= 1
    near = torch.nn.functional.max_pool2d(mask, 2 * feather + 1, stride=1, padding=feather)
    known = (near == 0).expand_as(image)
    assert torch.equal(completed[known], image[known])


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 50), (9, 15), (64, 33), (200, 70)])
@pytest.mark.parametrize("strategy", ["full", "crop"])
def test_every_hole_pixel_is_filled_by_the_backend(height, width, strategy):
    mask = hole_in(height, width)
    mask[..., 0, -1] = 1
    backend = Recorder(0.5, native_size=64)
    filled = Inpainter(backend, FillOptions(strategy=strategy))(
        torch.full((1, 3, height, width), 0.75), mask
    )
    assert torch.allclose(filled, torch.tensor(0.75))  # 0.5 in [-1, 1] is 0.75 in [0, 1]
    for inputs in backend.runs:
        assert all(n % 8 == 0 for n in inputs[0].shape[-2:])
        assert inputs[0].min() >= -1 and set(inputs[1].unique().tolist()) <= {0.0, 1.0}


def test_an_empty_mask_returns_the_image_without_running():
    backend, image = Recorder(), torch.rand(2, 3, 40, 30)
    assert torch.equal(Inpainter(backend)(image, torch.zeros(2, 1, 40, 30)), image)
    assert not backend.runs


def test_items_of_a_batch_have_their_own_masks(tiny):
    image, masks = torch.rand(3, 3, 40, 48), hole_in(40, 48, 3)
    masks[1], masks[2] = masks[1].flip(-1), 0
    together = Inpainter(tiny)(image, masks)
    for i in range(3):
        one = slice(i, i + 1)
        torch.testing.assert_close(together[one], Inpainter(tiny)(image[one], masks[one]))
    assert torch.equal(together[2], image[2])


def test_one_image_goes_with_many_masks_and_one_mask_with_many_images(tiny):
    image, masks = torch.rand(1, 3, 16, 16), hole_in(16, 16, 2)
    assert Inpainter(tiny)(image, masks).shape == (2, 3, 16, 16)
    assert Inpainter(tiny)(image.expand(2, -1, -1, -1), masks[:1]).shape == (2, 3, 16, 16)


def test_a_soft_mask_is_thresholded_for_the_network_and_blends_the_result():
    backend, image = Recorder(1.0), torch.zeros(1, 3, 8, 8)
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 2], mask[..., 3:5], mask[..., 5] = 0.25, 1, 0.75
    completed = Inpainter(backend)(image, mask)
    assert backend.runs[0][1][0, 0, 0].tolist() == [0, 0, 0, 1, 1, 1, 0, 0]
    row = completed[0, 0, 0].tolist()
    assert row[:2] == [0, 0] == row[6:]  # bit for bit
    assert row[2] == 0  # known to the network, which gave it back
    assert 0 < row[5] == pytest.approx(0.75 * row[3])  # both are at the edge of the hole


def test_grow_widens_the_hole_and_feather_softens_round_it():
    image, mask = torch.zeros(1, 3, 32, 32), torch.zeros(1, 1, 32, 32)
    mask[..., 16, 16] = 1
    grown = Inpainter(Recorder(1.0), FillOptions(grow=2))(image, mask)
    assert (grown[0, 0] > 0).sum() == 25
    soft = Inpainter(Recorder(1.0), FillOptions(grow=2, feather=4))(image, mask)
    assert 25 < (soft[0, 0] > 0).sum() <= 13 * 13


def test_guides_reach_their_port_thresholded_and_missing_ones_are_low():
    backend, mask = Recorder(), hole_in(16, 16)
    Inpainter(backend)(torch.rand(1, 3, 16, 16), mask)
    assert not backend.runs[0][2].any()
    Inpainter(backend)(torch.rand(1, 3, 16, 16), mask, sketch=mask * 0.7)
    assert torch.equal(backend.runs[1][2], mask)
    Inpainter(backend)(torch.rand(1, 3, 16, 16), mask, sketch=None)
    assert not backend.runs[2][2].any()


def test_a_guide_that_the_network_cannot_do_without_is_asked_for():
    backend = Recorder()
    labels = Port("segmentation", 1)
    backend.contract = Contract((IMAGE, MASK, labels), FILLED, 8, 64, True)
    with pytest.raises(ConfigError, match="needs 'segmentation' beside image and mask"):
        Inpainter(backend)(torch.rand(1, 3, 16, 16), hole_in(16, 16))


def test_holes_far_apart_in_a_large_picture_become_crops_of_native_size():
    image, mask = torch.rand(1, 3, 900, 700), torch.zeros(1, 1, 900, 700)
    mask[..., 40:60, 40:50] = mask[..., 800:820, 600:620] = 1
    backend = Recorder(native_size=64)
    Inpainter(backend)(image, mask)
    assert [tuple(inputs[0].shape[-2:]) for inputs in backend.runs] == [(64, 64), (64, 64)]
    seen = {inputs[0][0, 0, 5, 5].item() for inputs in backend.runs}
    assert len(seen) == 2  # two places, at full resolution
    whole = Recorder(native_size=64)
    Inpainter(whole, FillOptions(strategy="full"))(image, mask)
    assert [tuple(inputs[0].shape[-2:]) for inputs in whole.runs] == [(904, 704)]


def test_a_hole_in_the_crop_of_another_is_hidden_from_the_network():
    image, mask = torch.rand(1, 3, 400, 400), torch.zeros(1, 1, 400, 400)
    mask[..., 100:110, 100:110] = mask[..., 100:110, 140:150] = 1
    backend = Recorder(native_size=64)
    Inpainter(backend, FillOptions(strategy="crop", context=5))(image, mask)
    assert len(backend.runs) == 2
    assert all(inputs[1].sum() > 100 for inputs in backend.runs)


def test_a_wide_hole_is_filled_coarse_to_fine_from_its_own_first_fill():
    backend = Recorder(0.25, native_size=64)
    mask = torch.zeros(1, 1, 240, 240)
    mask[..., 60:180, 60:180] = 1
    Inpainter(backend, FillOptions(strategy="full"))(torch.rand(1, 3, 240, 240), mask)
    sides = [inputs[0].shape[-1] for inputs in backend.runs]
    assert sides[0] <= 64 and sides[-1] == 240 and sides == sorted(sides)
    assert len(backend.first_fills) == len(sides) - 1
    centre = backend.first_fills[0][..., 40:50, 40:50]
    assert torch.allclose(centre, torch.tensor(0.25), atol=1e-5)


@pytest.mark.parametrize("strategy", ["full", "crop"])
@pytest.mark.parametrize("side", [20, 150])
def test_what_the_hole_holds_has_no_influence_on_the_fill(tiny, strategy, side):
    """Nothing of what shall vanish may shine through, at any scale."""
    image, mask = torch.rand(1, 3, 260, 300), torch.zeros(1, 1, 260, 300)
    mask[..., 50 : 50 + side, 60 : 60 + side] = 1
    inpainter = Inpainter(tiny, FillOptions(strategy=strategy))
    black, white = (inpainter(torch.where(mask > 0, value, image), mask) for value in (0.0, 1.0))
    assert torch.equal(black, white)


def test_a_network_without_refinement_fills_a_wide_hole_small():
    backend = Recorder(refines=False, native_size=64)
    mask = torch.zeros(1, 1, 240, 240)
    mask[..., 60:180, 60:180] = 1
    Inpainter(backend)(torch.rand(1, 3, 240, 240), mask)
    assert len(backend.runs) == 1 and backend.runs[0][0].shape[-1] <= 64


@pytest.mark.parametrize(
    ("image", "mask", "guides", "error", "says"),
    [
        ((1, 3, 8, 8), (1, 1, 8, 9), {}, ShapeError, r"mask has the shape \(1, 1, 8, 9\)"),
        ((1, 4, 8, 8), (1, 1, 8, 8), {}, ShapeError, "image has the shape"),
        ((3, 8, 8), (1, 1, 8, 8), {}, ShapeError, "image has the shape"),
        ((2, 3, 8, 8), (3, 1, 8, 8), {}, ShapeError, "image has the shape"),
        ((1, 3, 0, 8), (1, 1, 0, 8), {}, ShapeError, "at least one pixel"),
        ((1, 3, 8, 8), (1, 1, 8, 8), {"sketch": (1, 3, 8, 8)}, ShapeError, "sketch has the shape"),
        ((1, 3, 8, 8), (1, 1, 8, 8), {"colour": (1, 3, 8, 8)}, ConfigError, "takes no 'colour'"),
    ],
)
def test_tensors_that_do_not_fit_are_named(image, mask, guides, error, says):
    guides = {name: torch.zeros(shape) for name, shape in guides.items()}
    with pytest.raises(error, match=says):
        Inpainter(Recorder())(torch.zeros(image), torch.zeros(mask), **guides)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.1, 255.0])
def test_values_out_of_range_are_named(value):
    image = torch.zeros(1, 3, 8, 8)
    image[0, 1, 2, 3] = value
    with pytest.raises(ConfigError, match="image has values from"):
        Inpainter(Recorder())(image, hole_in(8, 8))
    with pytest.raises(ConfigError, match="mask has values from"):
        Inpainter(Recorder())(torch.zeros(1, 3, 8, 8), image[:, 1:2])


def test_bytes_are_refused_with_what_is_needed():
    with pytest.raises(ShapeError, match=r"torch\.uint8; it must hold floats from 0 to 1"):
        Inpainter(Recorder())(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), hole_in(8, 8))


@pytest.mark.parametrize(
    "wrong",
    [{"grow": -1}, {"feather": -2}, {"strategy": "tile"}, {"context": 9.5}, {"work_size": 32}],
)
def test_options_that_cannot_work_are_refused(wrong):
    with pytest.raises(ConfigError, match=str(next(iter(wrong.values())))):
        FillOptions(**wrong)


def test_half_precision_pictures_keep_their_type_and_known_pixels(tiny):
    image, mask = torch.rand(1, 3, 24, 24).half(), hole_in(24, 24)
    completed = Inpainter(tiny)(image, mask)
    known = (mask == 0).expand_as(image)
    assert completed.dtype == torch.float16 and torch.equal(completed[known], image[known])


def test_pruned_attention_is_exact_as_far_as_the_pipeline_looks():
    torch.manual_seed(0)
    generator = build_generator(PRESETS["deepfillv2-tiny"]).double()
    for parameter in generator.parameters():
        parameter.data *= 2  # so that every layer is felt
    image, mask = torch.rand(1, 3, 360, 64).double() * 2 - 1, torch.zeros(1, 1, 360, 64).double()
    mask[..., 160:200, 20:40] = 1
    with torch.inference_mode():
        whole = generator.eval()(image, mask, torch.zeros_like(mask))
    backend = TorchBackend(generator)
    generator.attention.memory_budget = 0  # chunks, of which pruning leaves some out
    pruned = backend.run(image, mask, torch.zeros_like(mask))
    near = slice(160 - TRUSTED, 200 + TRUSTED)
    torch.testing.assert_close(pruned[..., near, :], whole[..., near, :], atol=1e-12, rtol=0)
    assert not torch.equal(pruned, whole)  # further away, what was left out shows


def test_backends_are_chosen_by_suffix(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, build_generator(PRESETS["deepfillv2-tiny"]))
    assert open_backend(path, "cpu").contract.native_size == 256
    with pytest.raises(BackendError, match=r"ending in \.safetensors"):
        open_backend(tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="no weights file"):
        open_backend(tmp_path / "other.safetensors")
    with pytest.raises(BackendError, match="is not here; this machine has"):
        choose_device("tpu")


def test_the_bundled_weights_fill_a_flat_picture_flat():
    """The easiest fill there is: any sound inpainting network continues a plain colour."""
    inpainter = Inpainter(open_backend(DEFAULT_WEIGHTS, "cpu"))
    image = torch.tensor([0.3, 0.5, 0.6]).reshape(1, 3, 1, 1).expand(1, 3, 128, 128).clone()
    mask = free_form_mask((128, 128), np.random.default_rng(0))
    assert (inpainter(image, mask) - image).abs().mean() < 0.02
