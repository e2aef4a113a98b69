"""Checkpoints of other projects: imported by the command, they compute what they computed there."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from bundles import float32, write_bundle
from torch import Tensor
from vectors import Vectors

from core.__main__ import main
from core.layers import attention
from core.layers.resize import nearest_reduce
from core.models.base import Generator
from core.weights import load_weights, read_info

OFFICIAL = Vectors("deepfill_official_net")
SCFEGAN = Vectors("scfegan_generator")
PCONV = Vectors("pconv_unet_naoto")
SPADE = Vectors("spade_generator")
STORED = 1e-6  # the vectors are rounded to single precision


def import_file(file: Path, *flags: str) -> Generator:
    """The file through the command, and back as float64."""
    output = file.parent / "imported.safetensors"
    assert main(["import", str(file), "-o", str(output), *flags]) == 0
    return load_weights(output).double()


def single(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """As in a file: floats in single precision. The vectors lose nothing by it."""
    return {name: x.float() if x.is_floating_point() else x for name, x in state.items()}


def saved(path: Path, content: Any, *, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def official_state(guided: bool = False) -> dict[str, Tensor]:
    state = OFFICIAL.under("state/")
    return state | (OFFICIAL.under("guided_64x64/state_override/") if guided else {})


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = STORED) -> None:
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("case", ["per_item_64x64", "shared_64x96"])
@torch.no_grad()
def test_the_official_deepfillv2_is_imported(tmp_path, case, capsys):
    state = official_state()
    beside = {"inpaint_net/conv1/kernel/Adam": torch.zeros(3), "beta1_power": torch.ones(())}
    beside |= {"discriminator/sn_patch_gan/conv1/bias": torch.ones(8), "lr": torch.ones(())}
    beside |= {"global_step": torch.ones(()), "inpaint_net/conv1/bias/Adam_1": torch.ones(2)}
    file = write_bundle(tmp_path / "release_places2_256" / "snap-0", float32(state | beside))
    network = import_file(file.parent)
    assert network.contract.order == "bgr"
    said = capsys.readouterr().err
    assert "this is the official DeepFillv2" in said
    assert "left out: state of the optimiser (5: beta1_power, " in said
    assert "left out: the discriminator (1: " in said
    image, mask = OFFICIAL[f"{case}/in/image_masked"], OFFICIAL.mask(f"{case}/in/mask")
    coarse, refined = network.stages(image, mask.expand(len(image), -1, -1, -1))
    assert_close(coarse, OFFICIAL[f"out64/{case}/coarse"])
    assert_close(refined, OFFICIAL[f"out64/{case}/refined"])


@torch.no_grad()
def test_six_inputs_mean_that_a_sketch_guides(tmp_path):
    file = write_bundle(tmp_path / "snap-0", float32(official_state(guided=True)))
    network = import_file(file)
    assert network.config.sketch
    mask = OFFICIAL.mask("guided_64x64/in/mask").expand(2, -1, -1, -1)
    both = OFFICIAL["guided_64x64/in/image_masked_and_edge"]
    refined = network(both[:, :3], mask, both[:, 3:])
    assert_close(refined, OFFICIAL["out64/guided_64x64/refined"])


@torch.no_grad()
def test_the_official_scfegan_is_imported(tmp_path):
    file = write_bundle(tmp_path / "SC-FEGAN.ckpt", float32(SCFEGAN.under("state/")), shards=2)
    network = import_file(file)
    assert network.contract.order == "bgr"
    assert (network.config.width, network.config.levels) == (4, 7)
    inputs = (SCFEGAN[f"s128_b2/in/{name}"].double()
              for name in ("image", "mask", "sketch", "color", "noise"))  # fmt: skip
    # TensorFlow's slope is 0.2 in single precision, whatever the rest is.
    assert_close(network(*inputs), SCFEGAN["out64/s128_b2/generated"])
    state = network.state_dict()
    for i in range(7):
        name = f"state/generator/deconv{i + 1}/biases2"
        assert torch.equal(state[f"up.{i}.unused_bias"], SCFEGAN[name])


def nipponjo(form: str, tmp_path: Path, *flags: str) -> tuple[Vectors, Generator]:
    vectors = Vectors(f"nipponjo_networks_{form}")
    content = {"G": single(vectors.under("state/")), "D": {}, "G_optim": {}, "n_iter": 7}
    return vectors, import_file(saved(tmp_path / f"states_{form}_places2.pth", content), *flags)


@torch.no_grad()
def test_nipponjos_form_of_equal_paddings_is_imported_exactly(tmp_path):
    vectors, network = nipponjo("pt", tmp_path)
    assert network.config.padding == "symmetric" and network.contract.order == "rgb"
    image, mask = vectors["64x64/in/image"], vectors.mask("64x64/in/mask")
    coarse, refined = network.stages(image, mask)
    assert_close(coarse, vectors["out64/64x64/batch/coarse"])
    assert_close(refined, vectors["out64/64x64/per_item/refined"])


@torch.no_grad()
def test_nipponjos_form_of_tensorflow_is_imported_but_for_its_attention(tmp_path, monkeypatch):
    """With its attention (no fusing, the mask shrunk at once) put in, the rest agrees too."""
    vectors, network = nipponjo("tf", tmp_path)
    assert network.config.padding == "same" and network.contract.order == "rgb"
    image, mask = vectors["64x64/in/image"], vectors.mask("64x64/in/mask")
    coarse, refined = network.stages(image, mask)
    assert_close(coarse, vectors["out64/64x64/batch/coarse"])
    expected = vectors["out64/64x64/per_item/refined"]
    assert (refined - expected).abs().max() > 0.1

    def at_once(x: Tensor, factor: int, *, align_corners: bool) -> Tensor:
        is_mask = x.shape[-1] == 64
        return nearest_reduce(x, 8 if is_mask else factor, align_corners=align_corners)

    network.attention.reach = 0
    monkeypatch.setattr(attention, "nearest_reduce", at_once)
    monkeypatch.setattr(network, "_feature_mask", lambda mask: mask)
    assert_close(network(image, mask), expected)


def test_the_order_of_channels_can_be_said(tmp_path):
    assert nipponjo("tf", tmp_path, "--order", "bgr")[1].contract.order == "bgr"


@pytest.mark.parametrize("legacy", [False, True])
@torch.no_grad()
def test_naoto0804s_unet_is_imported_with_its_scaling(tmp_path, legacy):
    state = single(PCONV.under("state/"))
    kernels = [name for name in state if name.endswith("input_conv.weight")]
    for name in kernels:  # they lie in released files, and must be ones
        state[name.replace("input_conv", "mask_conv")] = torch.ones_like(state[name])
    content = {"n_iter": 1000000, "model": state, "optimizer": {"state": {}, "param_groups": []}}
    network = import_file(saved(tmp_path / "1000000.pth", content, legacy=legacy))
    assert (network.config.width, network.config.levels) == (2, 7)
    case = "L7_128x128_nearest"
    filled, _ = network.fill(PCONV[f"{case}/in/x"], PCONV.mask(f"{case}/in/mask"))
    # The quotients are rounded to single precision, as all in that run was.
    tolerance = 10 * PCONV.config["tolerance_f32_vs_f64"][f"{case}/eval/y"]["maxabs"]
    assert_close(filled, PCONV[f"out64/{case}/eval/y"], tolerance)


@torch.no_grad()
def test_nvidias_layer_needs_no_scaling(tmp_path):
    """NVIDIA's result over the window is naoto0804's (the note on these vectors)."""
    state = {}
    for name, tensor in single(PCONV.under("state/")).items():
        if name.endswith("input_conv.weight"):
            tensor = tensor / tensor.shape[1:].numel()
        state["module." + name.replace("input_conv.", "")] = tensor
    network = import_file(saved(tmp_path / "unet.pth", {"state_dict": state}))
    case = "L7_128x128_nearest"
    filled, _ = network.fill(PCONV[f"{case}/in/x"], PCONV.mask(f"{case}/in/mask"))
    tolerance = 10 * PCONV.config["tolerance_f32_vs_f64"][f"{case}/eval/y"]["maxabs"]
    assert_close(filled, PCONV[f"out64/{case}/eval/y"], tolerance)


PLAIN = ("--no-unknown", "--no-instance-edges")


def spade_state(case: str) -> dict[str, Tensor]:
    """The file of one case."""
    first = {"vae_ar1": "vae_2x2", "vae_ar2": "vae_1x2"}.get(case, "conv")
    state = SPADE.under("state/") | SPADE.under(f"state_fc/{first}/")
    return single(state | (SPADE.under("state_most/") if case == "most_ar1" else {}))


def run_spade(network: Generator, case: str) -> Tensor:
    semantic = SPADE.mask(f"{case}/in/seg")
    nothing = torch.zeros_like(semantic)
    style = [SPADE[f"{case}/in/z"]] if f"{case}/in/z" in SPADE.tensors else []
    return network(nothing[:, :3], nothing[:, :1], semantic, *style)


@pytest.mark.parametrize(
    ("case", "flags"),
    [
        ("conv_ar1", ()),
        ("conv_ar2", ("--aspect", "2")),
        ("more_ar1", ("--upsampling", "more")),
        ("most_ar1", ()),
    ],
)
@torch.no_grad()
def test_nvlabs_spade_is_imported(tmp_path, case, flags):
    file = saved(tmp_path / "latest_net_G.pth", spade_state(case))
    network = import_file(file, *PLAIN, *flags)
    assert network.config.width == 2 and network.config.spectral
    assert network.config.norm == "syncbatch"
    assert network.config.labels == tuple(f"label {i}" for i in range(5))
    assert_close(run_spade(network, case), SPADE[f"out64/{case}/eval"])


def spade_encoder(width: int = 2, numbers: int = 16) -> dict[str, Tensor]:
    """A file of the encoder, names and shapes as in the release, at this width."""
    widths = [3, *(width * i for i in (1, 2, 4, 8, 8, 8))]
    random = torch.Generator().manual_seed(0)
    state = {}
    for i in range(6):
        kernel = torch.randn(widths[i + 1], widths[i], 3, 3, generator=random)
        state[f"layer{i + 1}.0.weight_orig"] = kernel
        u, _, v = torch.linalg.svd(kernel.flatten(1), full_matrices=False)
        state |= {f"layer{i + 1}.0.weight_u": u[:, 0], f"layer{i + 1}.0.weight_v": v[0]}
    for name in ("fc_mu", "fc_var"):
        state[f"{name}.weight"] = torch.randn(numbers, 16 * widths[-1], generator=random) / 30
        state[f"{name}.bias"] = torch.randn(numbers, generator=random)
    return state


def encoded(state: dict[str, Tensor], picture: Tensor) -> Tensor:
    """The mean of the style of a picture of 256x256, layer by layer."""
    x = picture
    for i in range(1, 7):
        kernel, u, v = (state[f"layer{i}.0.weight_{part}"].double() for part in ("orig", "u", "v"))
        kernel = kernel / (u @ kernel.flatten(1) @ v)
        x = F.conv2d(x if i == 1 else F.leaky_relu(x, 0.2), kernel, None, 2, 1)
        x = F.instance_norm(x)
    x = F.leaky_relu(x, 0.2).flatten(1)
    return F.linear(x, state["fc_mu.weight"].double(), state["fc_mu.bias"].double())


@pytest.mark.parametrize(
    ("case", "flags", "named"),
    [
        ("vae_ar1", ("--native-size", "64"), False),
        ("vae_ar2", ("--native-size", "64", "--aspect", "2"), True),
    ],
)
@torch.no_grad()
def test_a_generator_with_style_takes_its_encoder_along(tmp_path, case, flags, named):
    file = saved(tmp_path / "latest_net_G.pth", spade_state(case))
    encoder = saved(tmp_path / ("e.pth" if named else "latest_net_E.pth"), spade_encoder())
    more = ("--encoder", str(encoder)) if named else ()
    network = import_file(file, *PLAIN, *flags, *more)
    assert network.config.encoder and network.config.z_dim == 16
    assert_close(run_spade(network, case), SPADE[f"out64/{case}/eval"])
    picture = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(1)).double()
    assert_close(network.encode(picture), encoded(spade_encoder(), picture), 1e-9)
    original = read_info(tmp_path / "imported.safetensors").about["original"]
    assert original.keys() == {file.name, encoder.name}


@torch.no_grad()
def test_vectors_that_old_files_lack_are_solved(tmp_path):
    """Old PyTorch stored the divided kernel beside u, and no v: u W v is their quotient."""
    state = spade_state("conv_ar1")
    for name in [name for name in state if name.endswith("weight_v")]:
        kernel, u, v = (state[name[:-1] + part] for part in ("orig", "u", "v"))
        state[name.removesuffix("_v")] = kernel / (u @ kernel.flatten(1) @ v)
        del state[name]
    network = import_file(saved(tmp_path / "old_net_G.pth", state), *PLAIN)
    # Solved in single precision.
    tolerance = SPADE.config["tolerance_f32_vs_f64"]["conv_ar1/eval"]["maxabs"]
    assert_close(run_spade(network, "conv_ar1"), SPADE["out64/conv_ar1/eval"], 10 * tolerance)
    for name in [name for name in state if name.endswith(".weight_u")]:
        del state[name.removesuffix("_u")]
    network = import_file(saved(tmp_path / "older_net_G.pth", state), *PLAIN)
    layer = network.up_0.conv_0
    v = layer.u @ layer.weight.flatten(1)
    assert_close(layer.v, v / v.norm())


@torch.no_grad()
def test_other_kinds_of_spade_are_seen_in_the_names(tmp_path):
    """norm_G spadeinstance3x3: no spectral normalisation, no running means."""
    state = {}
    for name, tensor in spade_state("conv_ar1").items():
        if not name.endswith(("weight_u", "weight_v")) and "param_free_norm" not in name:
            state[name.replace("weight_orig", "weight")] = tensor
    network = import_file(saved(tmp_path / "G.pth", state), *PLAIN)
    assert (network.config.spectral, network.config.norm) == (False, "instance")


def test_a_file_names_the_labels_and_gives_them_colours(tmp_path):
    file = saved(tmp_path / "latest_net_G.pth", spade_state("conv_ar1"))
    labels = tmp_path / "labels.txt"
    labels.write_text("# of some streets\nsky #808080\n\ntraffic light #AA0000\nroad  #804080\n")
    network = import_file(file, "--labels", str(labels), "--unknown", "--instance-edges")
    assert network.config.labels == ("sky", "traffic light", "road")
    assert network.config.palette == ("#808080", "#aa0000", "#804080")
    assert [port.name for port in network.contract.guides] == ["semantic", "instances"]
    assert network.contract.port("semantic").channels == 4
    palette = tmp_path / "labels.json"
    palette.write_text('{"sky": "#808080", "traffic light": "#AA0000", "road": "#804080"}')
    again = import_file(file, "--labels", str(palette), "--unknown", "--instance-edges")
    assert again.config == network.config


def test_the_result_says_where_it_came_from_and_under_which_terms(tmp_path, capsys):
    file = saved(tmp_path / "latest_net_G.pth", spade_state("conv_ar1"))
    import_file(file, *PLAIN)
    about = read_info(tmp_path / "imported.safetensors").about
    assert "NVlabs/SPADE" in about["source"] and "Park et al. 2019" in about["paper"]
    assert about["terms"].startswith("CC BY-NC-SA 4.0")
    assert about["original"] == {file.name: hashlib.sha256(file.read_bytes()).hexdigest()}
    assert "CC BY-NC-SA 4.0" in capsys.readouterr().err
    assert main(["info", str(tmp_path / "imported.safetensors"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["about"] == about
