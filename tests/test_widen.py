"""Fine-tuning with a sketch from weights without one: the function is the same at the start."""

from dataclasses import replace

import pytest
import torch

from core.config import PRESETS, DeepFillConfig
from core.errors import WeightsError
from core.registry import build_generator
from core.weights import save_weights
from trainer.widen import initial_config, initial_generator, widen_inputs

TINY = PRESETS["deepfillv2-tiny"]
NARROW = replace(TINY, sketch=False)


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(3)
    image = torch.rand(2, 3, 64, 72, generator=random) * 2 - 1
    mask = torch.zeros(2, 1, 64, 72)
    mask[0, :, 10:40, 20:50] = mask[1, :, 30:60, 5:30] = 1
    return image, mask, (torch.rand(mask.shape, generator=random) < 0.2).float()


@pytest.fixture
def narrow(tmp_path):
    torch.manual_seed(0)
    generator = build_generator(NARROW).eval()
    save_weights(tmp_path / "narrow.safetensors", generator)
    return generator, tmp_path / "narrow.safetensors"


@torch.inference_mode()
@pytest.mark.parametrize("lines", ["none", "empty", "drawn"])
def test_the_widened_network_fills_as_the_narrow_one(narrow, lines):
    source, path = narrow
    image, mask, sketch = inputs()
    wide = initial_generator(path, TINY).eval()
    drawn = {"none": (), "empty": (torch.zeros_like(mask),), "drawn": (sketch,)}[lines]
    for found, expected in zip(
        wide.stages(image, mask, *drawn), source.stages(image, mask), strict=True
    ):
        assert torch.equal(found, expected)


def test_the_columns_of_the_sketch_are_zero_and_all_others_keep_their_input(narrow):
    """Order of the input channels: picture 0 to 2, sketch 3, ones 4, mask 5."""
    source, path = narrow
    wide = initial_generator(path, TINY).state_dict()
    before = source.state_dict()["coarse.conv1.conv.weight"]
    after = wide["coarse.conv1.conv.weight"]
    assert before.shape[1] == 5 and after.shape[1] == 6
    assert torch.equal(after[:, [0, 1, 2, 4, 5]], before)
    assert not after[:, 3].any()
    changed = [
        name for name, value in source.state_dict().items() if value.shape != wide[name].shape
    ]
    assert changed == ["coarse.conv1.conv.weight"]


def test_the_widened_network_learns_from_the_sketch(narrow):
    image, mask, sketch = inputs()
    wide = initial_generator(narrow[1], TINY)
    wide(image, mask, sketch).square().mean().backward()
    gradient = wide.state_dict(keep_vars=True)["coarse.conv1.conv.weight"].grad
    assert gradient is not None and gradient[:, 3].abs().max() > 0


@pytest.mark.parametrize(
    ("preset", "sketch"),
    [(TINY, True), (NARROW, False), (DeepFillConfig(sketch=True), True), (DeepFillConfig(), False)],
)
def test_the_network_of_the_file_is_taken_and_only_the_sketch_is_added(narrow, preset, sketch):
    assert initial_generator(narrow[1], preset).config == replace(TINY, sketch=sketch)
    assert initial_config(narrow[1], preset) == replace(TINY, sketch=sketch)


def test_a_network_that_takes_a_sketch_already_stays_as_it_is(tmp_path):
    generator = build_generator(TINY)
    save_weights(tmp_path / "wide.safetensors", generator)
    for preset in (TINY, NARROW):
        found = initial_generator(tmp_path / "wide.safetensors", preset)
        assert found.config == TINY
        for name, value in generator.state_dict().items():
            assert torch.equal(found.state_dict()[name], value)


def test_weights_of_another_width_are_refused(narrow):
    wider = build_generator(replace(TINY, width=12))
    with pytest.raises(WeightsError, match=r"has the shape .* and the network needs"):
        widen_inputs(narrow[0].state_dict(), wider)
