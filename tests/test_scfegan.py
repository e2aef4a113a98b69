"""SC-FEGAN against the released TensorFlow graph, and its own promises."""

import copy

import pytest
import torch
from torch import Tensor
from vectors import Vectors

from core.config import PRESETS, ScFeganConfig
from core.errors import ConfigError
from core.layers.separate import GatedDeconv2d, SeparateGatedConv2d, response_norm
from core.models.scfegan import ScFegan

OPS = Vectors("scfegan_ops")
NET = Vectors("scfegan_generator")
CASE = "s128_b2"
ALPHA = {torch.float64: 2e-8, torch.float32: 8e-8}
"""What is left, relative, of TensorFlow's LeakyReLU, whose slope is a single-precision 0.2, by the
precision of the stored numbers."""


def oihw(kernel: Tensor) -> Tensor:
    return kernel.permute(3, 2, 0, 1).contiguous()


def gated_state(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    parts = {"conv": name, "gate": f"{name}_g"}
    kernels = {f"{part}.weight": oihw(state[f"{key}/kernel"]) for part, key in parts.items()}
    return kernels | {f"{part}.bias": state[f"{key}/bias"] for part, key in parts.items()}


def deconv_state(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {
        "conv.weight": oihw(state[f"{name}/w"]),
        "conv.bias": state[f"{name}/biases1"],
        "unused_bias": state[f"{name}/biases2"],
    }


@pytest.mark.parametrize("case", OPS.config["cases"])
def test_gated_layers_are_the_released_ones(case):
    settings = OPS.config["cases"][case]
    state = OPS.under(f"{case}/state/")
    if settings["op"] == "gate_deconv":
        layer: torch.nn.Module = GatedDeconv2d(settings["cin"], settings["cnum"]).double()
        layer.load_state_dict(deconv_state(state, "dc"))
    else:
        layer = SeparateGatedConv2d(
            settings["cin"],
            settings["cnum"],
            settings["k"],
            stride=settings["s"],
            dilation=settings.get("rate", 1),
            norm=settings["lrn"],
            activate=settings.get("act", "leaky") is not None,
        ).double()
        layer.load_state_dict(gated_state(state, "gc"))
    gates: list[Tensor] = []
    if isinstance(layer, SeparateGatedConv2d):
        layer.gate.register_forward_hook(lambda _, inputs, logits: gates.append(logits.sigmoid()))
    x = OPS[f"{case}/in/x"]
    y = layer(x)
    for name, mine in zip(("y", "gate"), (y, *gates), strict=False):
        key = f"out64/{case}/{name}"
        relative = ALPHA[OPS.tensors[key].dtype]
        torch.testing.assert_close(mine, OPS[key], atol=1e-10, rtol=relative)
    limit = 10 * OPS.config["tolerance_f32_vs_f64"][f"{case}/y"]["maxabs"]
    torch.testing.assert_close(layer.float()(x.float()).double(), y, atol=limit, rtol=0)


def test_the_response_norm_is_tensorflows():
    y = response_norm(OPS["lrn/in/x"])
    torch.testing.assert_close(y, OPS["out64/lrn/y"], atol=1e-10, rtol=0)


def test_the_response_norm_by_hand():
    """Twelve channels of 1: eleven neighbours at most, six at the first channel."""
    y = response_norm(torch.ones(1, 12, 1, 1).double()).flatten()
    expected = [(5e-5 + n) ** -0.5 for n in (6, 7, 8, 9, 10, 11, 11, 10, 9, 8, 7, 6)]
    assert y.tolist() == pytest.approx(expected)


def layers_of(network: ScFegan) -> dict[str, torch.nn.Module]:
    """The layers by the names of the released code."""
    n = len(network.encoder)
    named = {f"gconv{i + 1}_ds": layer for i, layer in enumerate(network.encoder)}
    named |= {f"co_conv{i + 1}_dlt": layer for i, layer in enumerate(network.context)}
    named |= {f"deconv{i + 1}": layer for i, layer in enumerate(network.up)}
    return named | {f"gconv{n + 1 + i}": layer for i, layer in enumerate(network.join)}


@pytest.fixture(scope="module")
def released() -> ScFegan:
    network = ScFegan(ScFeganConfig(width=4)).double()
    state = NET.under("state/generator/")
    for name, layer in layers_of(network).items():
        convert = deconv_state if name.startswith("deconv") else gated_state
        layer.load_state_dict(convert(state, name))
    return network.eval()


def inputs() -> list[Tensor]:
    return [
        NET[f"{CASE}/in/{name}"].double() for name in ("image", "mask", "sketch", "color", "noise")
    ]


def test_the_whole_net_and_every_recorded_layer_are_the_released_ones(released):
    seen: dict[str, Tensor] = {}
    layers = layers_of(released) | {"gate14": released.join[-1].gate}
    for name, layer in layers.items():
        layer.register_forward_hook(lambda _, x, y, name=name: seen.update({name: y}))
    filled = released(*inputs())
    torch.testing.assert_close(filled, NET[f"out64/{CASE}/generated"], atol=1e-7, rtol=0)
    recorded = NET.under(f"mid/{CASE}/")
    assert len(recorded) == 15
    for name, expected in recorded.items():
        y = seen[name].sigmoid()[:1] if name.startswith("gate") else seen[name]
        torch.testing.assert_close(y, expected, atol=1e-7, rtol=1e-7)


def test_single_precision_stays_within_ten_roundings_of_the_release(released):
    filled = copy.deepcopy(released).float()(*(x.float() for x in inputs()))
    limit = 10 * NET.config["tolerance_f32_vs_f64"][f"{CASE}/generated"]["maxabs"]
    expected = NET[f"out64/{CASE}/generated"]
    torch.testing.assert_close(filled.double(), expected, atol=limit, rtol=0)


def test_every_variable_of_the_release_has_its_place(released):
    """18 gated convolutions with two kernels and biases each, 7 of the other kind with three."""
    assert len(released.state_dict()) == len(NET.under("state/")) == 18 * 4 + 7 * 3
    count = sum(tensor.numel() for tensor in NET.under("state/").values())
    assert sum(tensor.numel() for tensor in released.state_dict().values()) == count


def test_the_unused_bias_is_kept_but_has_no_influence(released):
    before = released(*inputs())
    names = [name for name in released.state_dict() if name.endswith("unused_bias")]
    assert len(names) == 7
    assert not any(name in dict(released.named_parameters()) for name in names)
    old = {name: released.get_buffer(name).clone() for name in names}
    for name in names:
        released.get_buffer(name).add_(5)
    assert torch.equal(released(*inputs()), before)
    for name in names:
        released.get_buffer(name).copy_(old[name])


def random_inputs(height: int, width: int, n: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)

    def values(channels: int) -> Tensor:
        return torch.rand(n, channels, height, width, generator=generator)

    mask = torch.zeros(n, 1, height, width)
    mask[..., height // 4 : height // 2, width // 4 : 3 * width // 4] = 1
    sketch, noise = (values(1) > 0.8).float(), (values(1) > 0.8).float()
    return [values(3) * 2 - 1, mask, sketch, values(3) * 2 - 1, noise]


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (96, 32)])
def test_any_size_that_halves_often_enough_will_do(size):
    torch.manual_seed(0)
    network = ScFegan(PRESETS["scfegan-tiny"])
    assert network.contract.multiple_of == 32
    filled = network(*random_inputs(*size))
    assert filled.shape == (2, 3, *size) and filled.abs().max() <= 1
    filled.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())


def test_a_batch_equals_single_runs():
    torch.manual_seed(0)
    network = ScFegan(PRESETS["scfegan-tiny"]).double()
    given = [x.double() for x in random_inputs(32, 64)]
    given[1][1] = given[1][1].flip(-1).roll(9, -2)
    together = network(*given)
    for i in range(2):
        torch.testing.assert_close(together[i : i + 1], network(*(x[i : i + 1] for x in given)))


def test_only_guides_in_the_hole_and_the_picture_outside_it_have_influence():
    torch.manual_seed(0)
    network = ScFegan(PRESETS["scfegan-tiny"]).double()
    given = [x.double() for x in random_inputs(64, 96)]
    mask = given[1]
    filled = network(*given)
    for i, name in enumerate(("image", "mask", "sketch", "color", "noise")):
        if name == "mask":
            continue
        free = mask if name == "image" else 1 - mask
        changed = [*given[:i], given[i] * (1 - free) + 0.7 * free, *given[i + 1 :]]
        assert torch.equal(network(*changed), filled), name
        changed = [*given[:i], given[i] * free + (1 - given[i]) * (1 - free), *given[i + 1 :]]
        assert not torch.equal(network(*changed), filled), name


def test_the_default_has_as_many_values_as_the_release():
    with torch.device("meta"):
        network = ScFegan(ScFeganConfig())
    assert sum(tensor.numel() for tensor in network.state_dict().values()) == 92_886_100
    assert network.contract.multiple_of == 128


def test_the_middle_layers_reach_as_far_as_the_releases():
    """Rates of `co_conv1_dlt` to `co_conv4_dlt`, which the vectors' single pixel does not show."""
    context = ScFegan(PRESETS["scfegan-tiny"]).context
    for part in ("conv", "gate"):
        assert [getattr(layer, part).dilation[0] for layer in context] == [2, 4, 8, 16]


@pytest.mark.parametrize("wrong", [{"width": 1}, {"levels": 2}, {"order": "gbr"}])
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ConfigError, match=str(next(iter(wrong.values())))):
        ScFeganConfig(**wrong)
