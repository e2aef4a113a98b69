"""Import of checkpoints at full size, by names and shapes alone; and what is refused, and how."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from bundles import float32, write_bundle
from safetensors.torch import save_file
from torch import Tensor
from vectors import Vectors

from core.__main__ import main
from core.config import PRESETS
from core.errors import ConfigError, WeightsError
from core.legacy.checkpoint import Checkpoint
from core.legacy.known import import_release, recognise
from core.legacy.release import ImportOptions, check_fit
from core.registry import build_generator
from core.weights import save_weights

KEYS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "data" / "checkpoint_keys.json").read_text()
)
"""Names and shapes of the published files."""
OFFICIAL = Vectors("deepfill_official_net")
PCONV = Vectors("pconv_unet_naoto")


def shapes_of(start: str, *changes: str) -> dict[str, tuple[int, ...]]:
    """Those of the list that begins with `start`, with the differences of others."""
    shapes = {}
    for beginning in (start, *changes):
        title = next(title for title in KEYS if title.startswith(beginning))
        for name, shape in KEYS[title].items():
            # TensorFlow's also say whether they are trained.
            shapes[name] = tuple(shape[0] if shape and isinstance(shape[-1], str) else shape)
    return shapes


def checkpoint_of(shapes: dict[str, tuple[int, ...]], path: str = "file.pth") -> Checkpoint:
    """A file of which only names and shapes may be looked at."""

    def read(name: str) -> Tensor:
        raise AssertionError("a number was read")

    return Checkpoint(Path(path), (Path(path),), "file", shapes, read)


TF, TF_GUIDED = "deepfillv2_official_tf", "deepfillv2_official_tf_guided"
ADE, COCO, CITY = ("spade_latest_net_G " + data for data in ("ade20k", "coco", "cityscapes"))


@pytest.mark.parametrize(
    ("lists", "numbers", "settings"),
    [
        ((TF,), 4_052_478, {"width": 48, "sketch": False, "order": "bgr"}),
        ((TF, TF_GUIDED), 4_053_678, {"width": 48, "sketch": True, "order": "bgr"}),
        (("scfegan",), 92_886_100, {"width": 64, "levels": 7, "order": "bgr", "native_size": 512}),
        (("nipponjo_networks_tf G",), 4_052_478, {"width": 48, "padding": "same"}),
        (("nipponjo_networks_pt G",), 4_052_478, {"width": 48, "padding": "symmetric"}),
        (("naoto0804",), None, {"width": 64, "levels": 7, "native_size": 256}),
        ((ADE,), None, {"unknown": True, "instance_edges": False, "upsampling": "normal"}),
        ((ADE, COCO), None, {"unknown": True, "instance_edges": True, "native_size": 256}),
        ((ADE, CITY), None, {"upsampling": "more", "native_size": 512, "aspect": 2.0}),
    ],
)
def test_names_and_shapes_of_the_published_files_fit(lists, numbers, settings):
    """The counts are those of the papers' code; without one, nothing of the file is left over."""
    shapes = shapes_of(*lists)
    checkpoint = checkpoint_of(shapes)
    release = recognise(checkpoint)
    plan = release.plan(checkpoint, ImportOptions())
    network, left_out = check_fit(checkpoint, release.title, plan)
    assert {name: getattr(plan.config, name) for name in settings} == settings
    count = sum(x.numel() for x in network.state_dict().values())
    if numbers is None:
        unused = [*left_out, *plan.constants]
        numbers = sum(torch.Size(shape).numel() for shape in shapes.values())
        numbers -= sum(torch.Size(shapes[name]).numel() for name in unused)
    assert count == numbers
    labels = {ADE: 150, COCO: 182, CITY: 35}.get(lists[-1])
    assert labels is None or len(plan.config.labels) == labels


def test_a_generator_with_style_fits_at_full_size(tmp_path):
    """COCO with --use_vae; the encoder's file is of full size too, but holds nothing."""
    style = shapes_of(ADE, "spade_latest_net_G use_vae")
    encoder = {name: torch.zeros(shape) for name, shape in shapes_of("spade_net_E").items()}
    torch.save(encoder, tmp_path / "latest_net_E.pth")
    checkpoint = checkpoint_of(style, str(tmp_path / "latest_net_G.pth"))
    release = recognise(checkpoint)
    plan = release.plan(checkpoint, ImportOptions())
    assert plan.config.encoder and plan.config.z_dim == 256
    network, left_out = check_fit(plan.checkpoint, release.title, plan)
    assert not left_out
    assert network.encoder.fc_mu.weight.shape == (256, 8192)


def refused(checkpoint: Checkpoint, options: ImportOptions | None = None) -> str:
    """The sentence with which a file is refused."""
    with pytest.raises((WeightsError, ConfigError)) as caught:
        release = recognise(checkpoint)
        plan = release.plan(checkpoint, options or ImportOptions())
        check_fit(plan.checkpoint or checkpoint, release.title, plan)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("shapes", "says"),
    [
        (shapes_of("mmagic"), "mmagic's DeepFillv2, which is another network"),
        (
            {name.removeprefix("generator."): x for name, x in shapes_of("mmagic").items()},
            "mmagic's DeepFillv2, which is another network",
        ),
        (shapes_of("spade_net_D"), "a discriminator"),
        (shapes_of("nipponjo_networks_tf D"), "a discriminator"),
        (shapes_of("spade_net_E"), "the encoder of SPADE.*give the generator"),
        (
            {f"{x}.weight": (1,) for x in ("conv1", "bn1", "layer1.0.conv1", "fc")},
            "classifies pictures.*pdresnet",
        ),
        (
            {f"{x}.weight": (1,) for x in ("features.0", "classifier.0", "classifier.6")},
            "classifies pictures.*pdvgg",
        ),
        ({f"layer{i}": (1,) for i in range(9)}, "holds layer0, layer1, .*; known are the official"),
        ({}, "it holds no tensors"),
    ],
)
def test_other_networks_are_refused_with_the_reason(shapes, says):
    assert re.search(says, refused(checkpoint_of(shapes)))


LISTS = (TF, "scfegan", "nipponjo_networks_tf G", "nipponjo_networks_pt G", "naoto0804", ADE)


def some_of(shapes: dict[str, tuple[int, ...]]) -> list[str]:
    """Names of a generator's tensors, from all parts of the list."""
    beside = ("fuse_weight", "mask_conv.weight", "num_batches_tracked", "weight_v")
    own = [x for x in shapes if not x.startswith("discriminator/") and not x.endswith(beside)]
    return own[:: len(own) // 7]


@pytest.mark.parametrize("start", LISTS)
def test_whatever_is_missing_is_named(start):
    shapes = shapes_of(start)
    for name in some_of(shapes):
        rest = {other: shape for other, shape in shapes.items() if other != name}
        assert f"lacks {name}" in refused(checkpoint_of(rest))


@pytest.mark.parametrize("start", LISTS)
def test_whatever_has_another_shape_is_named(start):
    """The first one says the width: another is then told of a later one."""
    shapes = shapes_of(start)
    for name in some_of(shapes)[1:]:
        wrong = (*shapes[name][:-1], shapes[name][-1] + 1)
        said = refused(checkpoint_of(shapes | {name: wrong}))
        assert name in said and str(wrong) in said
    refused(checkpoint_of(shapes | {next(iter(shapes)): (2, 2)}))


@pytest.mark.parametrize("start", [*LISTS[2:], "scfegan"])
def test_a_name_too_many_is_told(start):
    extra = "generator/gconv15/kernel" if start == "scfegan" else "conv99.weight"
    said = refused(checkpoint_of(shapes_of(start) | {extra: (1,)}))
    assert f"also holds {extra}" in said


def official(tmp_path: Path, **changes: Tensor) -> Path:
    state = OFFICIAL.under("state/")
    state |= {f"inpaint_net/{layer}/kernel": value for layer, value in changes.items()}
    return write_bundle(tmp_path / "snap-0", float32(state))


def naoto(tmp_path: Path, change: dict[str, Any]) -> Path:
    state = {name: x.float() for name, x in PCONV.under("state/").items()}
    state |= {n: x.long() for n, x in state.items() if n.endswith("num_batches_tracked")}
    torch.save({"n_iter": 1, "model": state | change}, tmp_path / "1000000.pth")
    return tmp_path / "1000000.pth"


def test_numbers_that_are_none_are_refused_with_their_name(tmp_path):
    shape = OFFICIAL["state/inpaint_net/xconv5/kernel"].shape
    file = official(tmp_path, xconv5=torch.full(shape, float("nan")))
    with pytest.raises(WeightsError, match=r"inpaint_net/xconv5/kernel holds infinite numbers or"):
        import_release(file)
    half = torch.full((2,), 60000.0).half() * 2
    with pytest.raises(WeightsError, match=r"dec_2\.bn\.bias holds infinite"):
        import_release(naoto(tmp_path, {"dec_2.bn.bias": half}))
    with pytest.raises(WeightsError, match=r"dec_2\.bn\.bias holds int64"):
        import_release(naoto(tmp_path, {"dec_2.bn.bias": torch.ones(2).long()}))


def test_a_built_in_constant_that_is_another_is_refused(tmp_path):
    masks = {"enc_1.conv.mask_conv.weight": torch.full((2, 3, 7, 7), 0.5)}
    with pytest.raises(
        WeightsError, match=r"enc_1\.conv\.mask_conv\.weight is not what that network"
    ):
        import_release(naoto(tmp_path, masks))
    vectors = Vectors("nipponjo_networks_pt")
    fuse = "stage2.contextual_attention.fuse_weight"
    state = vectors.under("state/")
    assert torch.equal(state[fuse][0, 0], torch.eye(3).double())
    torch.save({"G": state | {fuse: state[fuse] + 1}}, tmp_path / "states_pt.pth")
    with pytest.raises(WeightsError, match=f"{fuse} is not what"):
        import_release(tmp_path / "states_pt.pth")


class Harmful:
    """What unpickling would run."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (print, ("this must not run",))


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_never_runs_code(tmp_path, capsys, legacy):
    content = {"model": {"enc_1.conv.weight": torch.ones(1)}, "options": Harmful()}
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(WeightsError, match=r"to load those could run any code.*a state dict"):
        import_release(tmp_path / "x.pth")
    assert "must not run" not in capsys.readouterr().out


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.3, 0.7, 0.999])
def test_a_cut_pytorch_file_is_damaged(tmp_path, legacy, share):
    file = tmp_path / "x.pth"
    state = {f"layer{i}.weight": torch.rand(50) for i in range(40)}
    torch.save(state, file, _use_new_zipfile_serialization=not legacy)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(WeightsError, match=r"damaged|neither a PyTorch file") as caught:
        import_release(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"<!DOCTYPE html><html>Google Drive", "is a web page"),
        (b"\x1f\x8b\x08\x00data", "is a gzip archive; unpack it"),
        (b"\x89HDF\r\n", "is an HDF5 file"),
        (b"just a text", "neither a PyTorch file, a safetensors file nor"),
    ],
)
def test_what_is_no_file_of_weights_is_told(tmp_path, content, says):
    (tmp_path / "latest_net_G.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=says):
        import_release(tmp_path / "latest_net_G.pth")


def test_safetensors_are_read_too_but_not_those_of_this_project(tmp_path):
    state = {f"module.{name}": x.float() for name, x in PCONV.under("state/").items()}
    state |= {n: x.long() for n, x in state.items() if n.endswith("num_batches_tracked")}
    save_file(state, tmp_path / "unet.safetensors")
    assert import_release(tmp_path / "unet.safetensors").network.config.levels == 7
    (tmp_path / "cut.safetensors").write_bytes(b"\x08\0\0\0")
    with pytest.raises(WeightsError, match="damaged or not a safetensors"):
        import_release(tmp_path / "cut.safetensors")
    save_weights(tmp_path / "ours.safetensors", build_generator(PRESETS["pconv-tiny"]))
    with pytest.raises(WeightsError, match="is a file of this project already"):
        import_release(tmp_path / "ours.safetensors")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, r"has 20 channels, and no release has so many \(184 of COCO-Stuff.*--no-unknown"),
        ({"unknown": True}, "--no-instance-edges"),
        ({"unknown": False, "instance_edges": False, "upsampling": "most"}, "not of the kind"),
        ({"encoder": Path("E.pth"), "unknown": False, "instance_edges": False}, "takes no style"),
        ({"labels": Path("no.txt"), "unknown": False, "instance_edges": False}, "cannot read"),
    ],
)
def test_what_a_file_of_spade_does_not_say_is_asked_for(options, says):
    shapes = {name: tuple(20 if x == 151 else x for x in s) for name, s in shapes_of(ADE).items()}
    checkpoint = checkpoint_of(shapes)
    with pytest.raises(ConfigError, match=says):
        recognise(checkpoint).plan(checkpoint, ImportOptions(**options))


def test_labels_must_be_as_many_as_the_file_has(tmp_path):
    (tmp_path / "labels.txt").write_text("sky\nsea\n")
    checkpoint = checkpoint_of(shapes_of(ADE))
    options = ImportOptions(labels=tmp_path / "labels.txt")
    with pytest.raises(ConfigError, match=r"names 2 labels, but .* has 150; a line for each"):
        recognise(checkpoint).plan(checkpoint, options)
    (tmp_path / "labels.txt").write_text("sky #000000\nsea\n")
    with pytest.raises(ConfigError, match="colours to 1 of 2 labels"):
        recognise(checkpoint).plan(checkpoint, options)


def test_style_needs_the_encoder_and_the_size_of_training(tmp_path):
    shapes = shapes_of(ADE, "spade_latest_net_G use_vae")
    checkpoint = checkpoint_of(shapes, str(tmp_path / "latest_net_G.pth"))
    plan = recognise(checkpoint).plan
    with pytest.raises(WeightsError, match=r"takes a style.*not at .*latest_net_E\.pth.*--encoder"):
        plan(checkpoint, ImportOptions())
    torch.save({"a": torch.ones(1)}, tmp_path / "latest_net_E.pth")
    with pytest.raises(WeightsError, match="is no encoder of SPADE"):
        plan(checkpoint, ImportOptions())
    with pytest.raises(ConfigError, match="makes 65536 numbers, but pictures of width 512"):
        plan(checkpoint, ImportOptions(native_size=512))


def test_a_flag_that_means_nothing_for_a_release_is_refused(tmp_path, capsys):
    file = naoto(tmp_path, {})
    output = tmp_path / "out.safetensors"
    assert main(["import", str(file), "-o", str(output), "--order", "bgr"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: --order means nothing for naoto0804's")
    assert said.count("\n") == 1 and not output.exists()


@pytest.mark.parametrize("output", ["out.pth", "x.safetensors"])
def test_the_result_is_a_safetensors_file_of_its_own(tmp_path, capsys, output):
    arguments = ["import", str(tmp_path / "x.safetensors"), "-o", str(tmp_path / output)]
    assert main(arguments) == 1
    assert "error: -o is " in capsys.readouterr().err
