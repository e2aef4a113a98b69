"""Gated convolution, padding, reductions and the discriminator's layers."""

import numpy as np
import pytest
import torch
from vectors import Vectors, from_tensorflow

from core.layers.gated import GatedConv2d, GatedUpsample2d
from core.layers.padding import mirror, pad, same_padding
from core.layers.resize import nearest_indices, nearest_reduce
from core.models.discriminators import SNConv2d, SNPatchDiscriminator

OPS = Vectors("deepfill_official_conv_ops")
GENERATOR_OPS = [c for c, s in OPS.config["cases"].items() if s["op"] != "dis_conv"]
DISCRIMINATOR_OPS = [c for c, s in OPS.config["cases"].items() if s["op"] == "dis_conv"]


@pytest.mark.parametrize("case", GENERATOR_OPS)
def test_generator_layers_are_the_official_ones(case):
    settings = OPS.config["cases"][case]
    kind = GatedUpsample2d if settings["op"] == "gen_deconv" else GatedConv2d
    layer = kind(
        settings["cin"],
        settings["cnum"],
        settings.get("k", 3),
        stride=settings.get("s", 1),
        dilation=settings.get("rate", 1),
        activation=settings.get("act", "elu"),
        padding={"SYMMETRIC": "mirror"}.get(settings.get("padding", "SAME"), "same"),
    ).double()
    state = OPS.under(f"{case}/state/")
    kernel = next(v for k, v in state.items() if k.endswith("kernel"))
    bias = next(v for k, v in state.items() if k.endswith("bias"))
    layer.conv.load_state_dict({"weight": kernel.permute(3, 2, 0, 1), "bias": bias})
    output = layer(OPS[f"{case}/in/x"])
    assert output.shape[1] == layer.out_channels
    torch.testing.assert_close(output, OPS[f"out64/{case}/y"], atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("case", DISCRIMINATOR_OPS)
def test_discriminator_layers_are_the_official_ones(case):
    settings = OPS.config["cases"][case]
    layer = SNConv2d(settings["cin"], settings["cnum"]).double().train()
    state = OPS.under(f"{case}/state/")
    by_kind = {key.rpartition("/")[2]: value for key, value in state.items()}
    weight = by_kind["kernel"].permute(3, 2, 0, 1)
    layer.load_state_dict(
        {"conv.weight": weight, "conv.bias": by_kind["bias"], "u": by_kind["u"].flatten()}
    )
    torch.testing.assert_close(
        layer(OPS[f"{case}/in/x"]), OPS[f"out64/{case}/y"], atol=1e-7, rtol=1e-6
    )


@pytest.mark.parametrize("channels", [4, 5])
def test_sn_patchgan_is_the_official_one_over_two_runs(channels):
    official = Vectors("sn_patchgan_official")
    case = f"c{channels}"
    network = SNPatchDiscriminator(channels, width=8).double().train()
    network.load_state_dict(
        from_tensorflow(
            official.under(f"{case}/state/discriminator/", keep="discriminator/"), network
        )
    )
    image, mask, *guides = official[f"{case}/in/x"].split([3, 1] + [1] * (channels - 4), dim=1)
    for step in ("step1", "step2"):
        scores = network(image, mask, *guides)
        flat = scores.permute(0, 2, 3, 1).flatten(1)
        torch.testing.assert_close(flat, official[f"out64/{case}/{step}/out"], atol=1e-7, rtol=0)
        for i in range(1, 7):
            key = f"out64/{case}/{step}/u_after/discriminator/sn_patch_gan/conv{i}/kernel_sn/u"
            u = network.layers.get_submodule(f"conv{i}").u
            torch.testing.assert_close(u, official[key].flatten(), atol=1e-7, rtol=0)


def test_evaluation_leaves_the_power_iteration_where_it_was():
    network = SNPatchDiscriminator(4, width=8)
    x = torch.randn(1, 3, 64, 64), torch.zeros(1, 1, 64, 64)
    network(*x)
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    network.eval()(*x)
    assert all(torch.equal(buffer, before[name]) for name, buffer in network.named_buffers())


def test_golden_value_of_a_gate():
    """Computed by hand: weight 1, bias 0, so features = gate = x; elu(2) * sigmoid(2)."""
    layer = GatedConv2d(1, 2, kernel=1)
    torch.nn.init.ones_(layer.conv.weight)
    torch.nn.init.zeros_(layer.conv.bias)
    torch.testing.assert_close(layer(torch.full((1, 1, 1, 1), 2.0)).item(), 2 * 0.8807970779778823)


def test_a_shut_gate_lets_nothing_through():
    layer = GatedConv2d(3, 8)
    torch.nn.init.constant_(layer.conv.bias[4:], -1e4)
    assert not layer(torch.rand(1, 3, 9, 9)).any()


@pytest.mark.parametrize("padding", ["same", "symmetric", "mirror", "reflect"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 15), (6, 33)])
def test_stride_divides_the_size_rounding_up(padding, stride, height, width):
    layer = GatedConv2d(3, 8, 5, stride=stride, padding=padding)
    expected = (1, 4, -(-height // stride), -(-width // stride))
    assert layer(torch.rand(1, 3, height, width)).shape == expected


def test_same_pads_more_after_than_before():
    """The figures of TensorFlow's documentation: even sizes, stride 2, kernels 3, 5 and 7."""
    assert [same_padding(256, kernel, 2, 1) for kernel in (3, 5, 7)] == [(0, 1), (1, 2), (2, 3)]
    assert same_padding(15, 3, 2, 1) == (1, 1)
    assert same_padding(16, 3, 1, 4) == (4, 4)


@pytest.mark.parametrize("border", [0, 1, 4, 9])
def test_mirror_is_numpys_symmetric_padding(border):
    x = torch.rand(1, 2, 3, 4)
    expected = np.pad(x.numpy(), ((0, 0), (0, 0), (border,) * 2, (border,) * 2), mode="symmetric")
    assert np.array_equal(mirror(x, border).numpy(), expected)


def test_symmetric_zeros_are_the_convolutions_own_padding():
    x = torch.rand(1, 2, 8, 10)
    layer = GatedConv2d(2, 8, 3, stride=2, dilation=2, padding="symmetric")
    inside = layer(x)
    padded = pad(x, "symmetric", kernel=3, stride=2, dilation=2)
    layer.conv.padding = (0, 0)
    torch.testing.assert_close(layer(padded), inside)


def test_nearest_indices_are_those_of_tensorflow():
    vectors = Vectors("tf_resize_nearest_align_corners")
    assert len(vectors.tensors) > 20
    for key, expected in vectors.tensors.items():
        size, out = map(int, key.rpartition("/")[2].split("_"))
        assert torch.equal(nearest_indices(size, out), expected.long()), key


def test_reductions_keep_first_and_last_pixel_or_every_other_one():
    x = torch.arange(8.0).reshape(1, 1, 1, 8).expand(1, 1, 8, 8)
    assert nearest_reduce(x, 4, align_corners=True)[0, 0, 0].tolist() == [0, 7]
    assert nearest_reduce(x, 4, align_corners=False)[0, 0, 0].tolist() == [0, 4]
