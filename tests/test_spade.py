"""SPADE's layers, generator and encoder against NVlabs' code, and their own promises."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from vectors import Vectors, from_nvlabs

from core.config import PRESETS, SpadeConfig
from core.errors import ConfigError
from core.layers.spade import InstanceNorm2d, Spade, SpadeBlock
from core.losses import kl_divergence
from core.models.spade import SpadeGenerator, StyleEncoder

NORM = Vectors("spade_norm")
BLOCK = Vectors("spade_resblock")
NET = Vectors("spade_generator")
ENCODER = Vectors("spade_encoder")
LAYERS = ["spadeinstance3x3", "spadesyncbatch3x3", "spadebatch3x3", "spadeinstance5x5"]
BLOCKS = ["6_6_spectralspadesyncbatch3x3", "8_4_spectralspadesyncbatch3x3", "4_8_spadeinstance3x3"]
CASES = {
    "conv_ar1": {},
    "conv_ar2": {"aspect": 2.0},
    "vae_ar1": {"encoder": True},
    "vae_ar2": {"encoder": True, "aspect": 2.0},
    "more_ar1": {"upsampling": "more"},
    "most_ar1": {"upsampling": "most", "native_size": 128},
}


def kind_of(name: str) -> str:
    return next(kind for kind in ("syncbatch", "batch", "instance") if kind in name)


def check_state(module: nn.Module, expected: dict[str, Tensor]) -> None:
    """Running statistics and the vectors of spectral norms, under NVlabs' names."""
    state = module.state_dict()
    assert expected
    for name, value in from_nvlabs(expected).items():
        torch.testing.assert_close(state[name], value, atol=1e-7, rtol=0, msg=name)


def check_single(y: Tensor, vectors: Vectors, key: str) -> None:
    """That single precision stays within ten roundings of the recorded run."""
    limit = 10 * vectors.config["tolerance_f32_vs_f64"][key]["maxabs"]
    torch.testing.assert_close(y.double(), vectors[f"out64/{key}"], atol=limit, rtol=0)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("size", ["16x20", "13x17"])
def test_the_normalisation_is_nvlabs(name, size):
    layer = Spade(6, 4, norm=kind_of(name), kernel=int(name[-1])).double()
    layer.load_state_dict(from_nvlabs(NORM.under(f"{name}/state/")))
    x, semantic = NORM["in/x"], NORM[f"in/seg{size}"]
    y = layer.eval()(x, semantic)
    torch.testing.assert_close(y, NORM[f"out64/{name}/seg{size}/eval"], atol=1e-9, rtol=1e-9)
    single = copy.deepcopy(layer).float()(x.float(), semantic.float())
    check_single(single, NORM, f"{name}/seg{size}/eval")
    trained = f"out64/{name}/seg{size}/train"
    if trained in NORM.tensors:
        torch.testing.assert_close(layer.train()(x, semantic), NORM[trained], atol=1e-9, rtol=1e-9)
        check_state(layer, NORM.under(f"out64/{name}/state_after/"))


@pytest.mark.parametrize("name", BLOCKS)
def test_the_residual_block_is_nvlabs(name):
    before, after = (int(part) for part in name.split("_")[:2])
    spectral = "spectral" in name
    block = SpadeBlock(before, after, 5, norm=kind_of(name), spectral=spectral).double()
    block.load_state_dict(from_nvlabs(BLOCK.under(f"{name}/state/")))
    x, semantic = BLOCK[f"{name}/in/x"], BLOCK[f"{name}/in/seg"]
    y = block.eval()(x, semantic)
    torch.testing.assert_close(y, BLOCK[f"out64/{name}/eval"], atol=1e-7, rtol=0)
    check_single(copy.deepcopy(block).float()(x.float(), semantic.float()), BLOCK, f"{name}/eval")
    y = block.train()(x, semantic)
    torch.testing.assert_close(y, BLOCK[f"out64/{name}/train"], atol=1e-7, rtol=0)
    if spectral:
        check_state(block, BLOCK.under(f"out64/{name}/state_after_train/"))


def published(case: str) -> SpadeGenerator:
    settings = {"native_size": 64} | CASES[case]
    labels = tuple("abcde")
    network = SpadeGenerator(SpadeConfig(labels=labels, width=2, z_dim=16, **settings)).double()
    start = {"conv_": "conv", "vae_ar1": "vae_2x2", "vae_ar2": "vae_1x2"}
    start = next((v for k, v in start.items() if case.startswith(k)), "conv")
    state = NET.under("state/") | NET.under(f"state_fc/{start}/")
    state |= NET.under("state_most/") if case.startswith("most") else {}
    wanted = network.state_dict()
    own = {k: v for k, v in wanted.items() if k.startswith("encoder")}  # the release has it apart
    network.load_state_dict(from_nvlabs(state) | own)
    return network.eval()


def published_inputs(case: str) -> list[Tensor]:
    semantic = NET.mask(f"{case}/in/seg")
    nothing = semantic[:, :1] * 0
    style = [NET[f"{case}/in/z"]] if f"{case}/in/z" in NET.tensors else []
    return [nothing.expand(-1, 3, -1, -1), nothing, semantic, *style]


@pytest.mark.parametrize("case", CASES)
def test_the_generator_is_nvlabs(case):
    network, given = published(case), published_inputs(case)
    seen: dict[str, Tensor] = {}
    for name, layer in network.named_children():
        layer.register_forward_hook(lambda _, x, y, name=name: seen.update({name: y}))
    filled = network(*given)
    torch.testing.assert_close(filled, NET[f"out64/{case}/eval"], atol=1e-6, rtol=0)
    for name, expected in NET.under(f"mid/{case}/").items():
        torch.testing.assert_close(seen[name], expected, atol=1e-6, rtol=1e-6)
    check_single(copy.deepcopy(network).float()(*(x.float() for x in given)), NET, f"{case}/eval")
    if f"out64/{case}/train" in NET.tensors:
        filled = network.train()(*given)
        torch.testing.assert_close(filled, NET[f"out64/{case}/train"], atol=1e-6, rtol=0)
        check_state(network, NET.under(f"out64/{case}/state_after_train/"))


def test_intermediate_values_and_a_training_forward_are_among_the_vectors():
    assert len([name for name in NET.tensors if name.startswith("mid/")]) == 6
    assert "out64/conv_ar1/train" in NET.tensors


@pytest.mark.parametrize("size", ["64x64", "96x40"])
def test_the_encoder_and_its_divergence_are_nvlabs(size):
    encoder = StyleEncoder(3, 256).double()
    encoder.load_state_dict(from_nvlabs(ENCODER.under("state/")))
    seen: dict[str, Tensor] = {}
    encoder.eval().layer6.register_forward_hook(lambda _, x, y: seen.update(y=y))
    x = ENCODER[f"{size}/in/x"]
    mean, log_variance = encoder(x)
    torch.testing.assert_close(
        nn.functional.instance_norm(seen["y"]), ENCODER[f"mid/{size}/layer6"], atol=1e-6, rtol=0
    )
    torch.testing.assert_close(mean, ENCODER[f"out64/{size}/mu"], atol=1e-9, rtol=0)
    torch.testing.assert_close(log_variance, ENCODER[f"out64/{size}/logvar"], atol=1e-9, rtol=0)
    divergence = kl_divergence(mean, log_variance)
    torch.testing.assert_close(divergence, ENCODER[f"out64/{size}/kld"], atol=1e-6, rtol=0)
    single = encoder.float()(x.float())
    check_single(single[0], ENCODER, f"{size}/mu")
    check_single(single[1], ENCODER, f"{size}/logvar")


def test_the_release_for_ade20k_has_these_channels():
    """96.6 million values under 234 names, batch normalisation's counters among them."""
    with torch.device("meta"):
        labels = tuple(map(str, range(151)))
        network = SpadeGenerator(SpadeConfig(labels=labels))
    state = network.state_dict()
    assert len(state) == 234
    assert round(sum(t.numel() for t in state.values()) / 1e6, 1) == 96.6


TINY = PRESETS["spade-tiny"]


def tiny(**settings: object) -> SpadeGenerator:
    torch.manual_seed(0)
    return SpadeGenerator(replace(TINY, **settings))


def inputs_of(
    network: SpadeGenerator, height: int = 64, width: int = 96, n: int = 2
) -> list[Tensor]:
    """A picture, a hole, and a map of blocks of 8 pixels."""
    generator = torch.Generator().manual_seed(1)
    mask = torch.zeros(n, 1, height, width)
    mask[..., 10:50, 20:60] = 1
    given = [torch.rand(n, 3, height, width, generator=generator) * 2 - 1, mask]
    for port in network.contract.guides:
        if port.kind == "vector":
            given.append(torch.randn(n, port.channels, generator=generator))
            continue
        blocks = torch.randint(port.channels + 1, (n, height // 8, width // 8), generator=generator)
        wide = blocks.repeat_interleave(8, 1).repeat_interleave(8, 2)
        given.append(torch.stack([wide == i for i in range(port.channels)], dim=1).float())
    return given


def changed(given: list[Tensor], index: int, value: Tensor) -> list[Tensor]:
    return [*given[:index], value, *given[index + 1 :]]


def test_without_context_picture_and_mask_have_no_influence():
    network = tiny(context=False).eval()
    given = inputs_of(network)
    filled = network(*given)
    assert torch.equal(network(*changed(changed(given, 0, -given[0]), 1, 1 - given[1])), filled)
    assert not torch.equal(network(*changed(given, 2, given[2].flip(-1))), filled)


def test_with_context_mask_and_known_picture_have_influence_and_the_hole_has_none():
    network = tiny(context=True).eval()
    given = inputs_of(network)
    image, mask = given[:2]
    filled = network(*given)
    hidden = image * (1 - mask) + 0.3 * mask
    assert torch.equal(network(*changed(given, 0, hidden)), filled)
    assert not torch.equal(network(*changed(given, 0, image * (0.5 + 0.5 * mask))), filled)
    assert not torch.equal(network(*changed(given, 1, mask.flip(-1))), filled)


def test_edges_between_things_and_the_unknown_label_have_channels_of_their_own():
    network = tiny(instance_edges=True, unknown=True, encoder=False).eval()
    names = [(port.name, port.channels) for port in network.contract.inputs]
    assert names == [("image", 3), ("mask", 1), ("semantic", 13), ("instances", 1)]
    given = inputs_of(network)
    filled = network(*given)
    assert not torch.equal(network(*changed(given, 3, 1 - given[3])), filled)


def test_the_style_has_influence_and_is_the_mean_that_the_encoder_finds():
    network = tiny().eval()
    given = inputs_of(network)
    assert not torch.equal(network(*changed(given, 3, -given[3])), network(*given))
    picture = torch.rand(2, 3, 50, 70) * 2 - 1
    assert torch.equal(network.encode(picture), network.encoder(picture)[0])
    with pytest.raises(ConfigError, match="no reference picture"):
        tiny(encoder=False).encode(picture)


def test_learning_draws_the_style_from_what_the_encoder_finds_in_the_true_picture():
    network = tiny().eval()
    given = inputs_of(network)
    true = torch.rand_like(given[0]) * 2 - 1
    (filled,), found = network.learn(true, *given)
    mean, log_variance = network.encoder(true)
    assert torch.equal(found["mean"], mean) and torch.equal(found["log_variance"], log_variance)
    style = mean + given[3] * log_variance.exp().sqrt()
    torch.testing.assert_close(filled, network(*given[:3], style))


def test_a_size_other_than_the_trainings_starts_from_the_style_too():
    network = tiny().eval()
    for size in ((32, 32), (128, 128), (64, 160)):
        assert network(*inputs_of(network, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda network: AveragedModel(network).module])
def test_a_copy_after_a_training_forward_is_the_network(copied):
    network = tiny()
    given = inputs_of(network)
    network(*given).sum().backward()
    other = copied(network).eval()
    assert torch.equal(other(*given), network.eval()(*given))


def test_gradients_reach_every_parameter_and_are_finite():
    network = tiny(norm="syncbatch")
    (filled,), found = network.learn(inputs_of(network)[0], *inputs_of(network))
    (filled.square().sum() + kl_divergence(**found)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def test_one_pixel_normalised_by_itself_is_0():
    """Which is what the formula says; the smallest picture of "more" starts from one pixel."""
    assert not InstanceNorm2d(3)(torch.rand(2, 3, 1, 1)).any()
    x = torch.rand(2, 3, 1, 2)
    expected = torch.sign(x - x.mean(dim=-1, keepdim=True))
    torch.testing.assert_close(InstanceNorm2d(3, eps=0.0)(x), expected)
    network = tiny(norm="instance", upsampling="more", encoder=False)
    assert network(*inputs_of(network, 64, 64, n=1)).isfinite().all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"labels": ()},
        {"labels": ("a", "a"), "palette": ()},
        {"palette": ("#000000",)},
        {"upsampling": "less"},
        {"norm": "group"},
        {"kernel": 2},
        {"width": 0},
        {"aspect": 0.0},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        replace(TINY, **wrong)


def test_the_divergence_by_hand():
    """Of N(0, 1) it is 0; a mean of 2 costs 2; a variance of e^2 costs (e^2 - 3) / 2."""
    zero = torch.zeros(1, 1)
    assert kl_divergence(zero, zero).item() == 0
    assert kl_divergence(zero + 2, zero).item() == pytest.approx(2)
    assert kl_divergence(zero, zero + 2).item() == pytest.approx((math.exp(2) - 3) / 2)
