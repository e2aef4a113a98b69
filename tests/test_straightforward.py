"""The baseline of the benchmark gives the numbers of the network that it stands beside."""

import pytest
import torch

from benchmarks.straightforward import PlainAttention, open_baseline, straightforward
from core.config import DeepFillConfig
from core.layers.attention import ContextualAttention
from core.registry import build_generator
from core.weights import DEFAULT_WEIGHTS, load_weights, save_weights
from export.examples import example_inputs


def boxes(size: tuple[int, int]) -> torch.Tensor:
    """Two items with different holes, one of them at the border."""
    mask = torch.zeros(2, 1, *size)
    mask[0, :, size[0] // 4 : size[0] // 2, size[1] // 3 : size[1] // 2] = 1
    mask[1, :, -size[0] // 3 :, : size[1] // 2] = 1
    return mask


@pytest.mark.parametrize(("align_corners", "strength"), [(True, 1.0), (False, 1.0), (True, 0.02)])
def test_the_attention_is_that_of_the_core(align_corners, strength):
    """Strong features show a wrong fusing; weak ones a masked key, whose weight is then no less."""
    torch.manual_seed(0)
    ours = ContextualAttention(align_corners=align_corners)
    ours.memory_budget = 1 << 62
    features, mask = strength * torch.randn(2, 6, 20, 28).relu(), boxes((20, 28))
    torch.testing.assert_close(
        PlainAttention(ours)(features, features, mask), ours(features, features, mask),
        rtol=1e-4, atol=1e-5 * strength,
    )  # fmt: skip
    torch.testing.assert_close(
        PlainAttention(ours)(features, features),
        ours(features, features),
        rtol=1e-4,
        atol=1e-5 * strength,
    )


def test_attention_without_fusing():
    torch.manual_seed(0)
    ours = ContextualAttention(fuse_width=1)
    features, mask = torch.randn(2, 4, 8, 12), boxes((8, 12))
    assert PlainAttention(ours).diagonal.shape == (1, 1, 1, 1)
    torch.testing.assert_close(
        PlainAttention(ours)(features, features, mask), ours(features, features, mask)
    )


def test_trained_weights_fill_alike():
    """The whole network on something like a photograph, an empty and a full mask beside a hole."""
    ours = load_weights(DEFAULT_WEIGHTS)
    mask = torch.zeros(3, 1, 64, 96)
    mask[0, :, 16:48, 24:72], mask[1] = 1, 1
    inputs = example_inputs(ours.contract.inputs, 3, (64, 96), 1, mask)
    with torch.inference_mode():
        apart = (straightforward(ours)(*inputs) - ours(*inputs)).abs().max()
    assert apart < 1e-4  # of a range from -1 to 1


def test_the_given_network_is_left_alone(tmp_path):
    torch.manual_seed(0)
    ours = build_generator(DeepFillConfig(width=8))
    plain = straightforward(ours)
    assert any(isinstance(module, PlainAttention) for module in plain.modules())
    assert not any(isinstance(module, PlainAttention) for module in ours.modules())
    save_weights(tmp_path / "net.safetensors", ours)
    opened = open_baseline(tmp_path / "net.safetensors")
    inputs = example_inputs(opened.contract.inputs, 1, (32, 40), 0)
    assert torch.equal(opened.run(*inputs), plain.eval()(*inputs).detach())
