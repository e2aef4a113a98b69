"""The comparison of kinds of convolution: alike in all else, resumable, measured together."""

import json

import pytest
import torch

from core.image import read_picture, save_pixels
from core.models.pconv import PConvUNet
from core.weights import load_weights
from trainer import ablate
from trainer.config import TrainConfig

NAMES = [variant.name for variant in ablate.VARIANTS.values()]


@pytest.fixture
def pictures(tmp_path):
    random = torch.Generator().manual_seed(0)
    for i in range(3):
        save_pixels(tmp_path / "pictures" / f"{i}.png", torch.rand(1, 3, 80, 80, generator=random))
    return tmp_path / "pictures"


def run(pictures, out, *flags: object) -> int:
    common = ["--data", pictures, "--val", pictures, "--out", out, "--width", 8, "--crop", 64]
    common += ["--batch", 2, "--workers", 0, "--gan-weight", 0, "--device", "cpu"]
    common += ["--val-limit", 1, "--val-seeds", 1, "--no-report"]
    return ablate.main([str(flag) for flag in [*common, *flags]])


def test_an_interrupted_comparison_goes_on_to_the_same_end(tmp_path, pictures, capsys):
    """Stopped after the first update of the first kind, against one that was not stopped."""
    first = ["--variants", "vanilla", "--steps", 1]
    assert run(pictures, tmp_path / "a", *first) == 0
    capsys.readouterr()
    assert run(pictures, tmp_path / "a", "--steps", 2) == 0
    out = capsys.readouterr().out
    assert run(pictures, tmp_path / "b", "--steps", 2) == 0
    assert capsys.readouterr().out == out.replace(str(tmp_path / "a"), str(tmp_path / "b"))
    for name in NAMES:
        a, b = (load_weights(tmp_path / x / name / "weights.safetensors") for x in "ab")
        assert all(map(torch.equal, a.state_dict().values(), b.state_dict().values()))

    brush, box, *_ = out.split("\n\n")
    for text, kind in ((brush, "brush"), (box, "box")):
        assert text.startswith(f"| 1 pictures, {kind} masks |")
        assert all(f"\n| {name} | " in text for name in NAMES)
    content = json.loads((tmp_path / "a" / "ablation.json").read_text())
    assert list(content["notes"]) == ["partial-unet"]
    assert "\npartial-unet: the U-Net of Liu et al. 2018, another topology" in out
    for name in NAMES:
        count = content["networks"][name]["parameters"]
        assert f"{name}: {count:,} parameters, 2 updates of 2 pictures" in out
    columns = 4 + len(NAMES)  # masked, two of OpenCV, true
    assert read_picture(tmp_path / "a" / "ablation.png").size[1] == columns * 80 + 8 * (columns - 1)


def test_runs_differ_in_the_network_alone(tmp_path, pictures):
    assert run(pictures, tmp_path / "a", "--steps", 1, "--l1-weight", 3) == 0
    configs = [json.loads((tmp_path / "a" / name / "config.json").read_text()) for name in NAMES]
    differ = {key for key in configs[0] if len({json.dumps(c[key]) for c in configs}) > 1}
    assert differ == {"preset", "out", "l1_weight"}
    # Pictures of the U-Net count from 0 to 1, those of the others from -1 to 1.
    assert [config["l1_weight"] for config in configs] == [3, 6, 3]
    networks = [load_weights(tmp_path / "a" / name / "weights.safetensors") for name in NAMES]
    assert {network.config.width for network in networks} == {8}
    vanilla, partial, gated = networks
    assert type(partial) is PConvUNet
    assert (vanilla.config.gate, gated.config.gate) == (False, True)


@pytest.mark.parametrize(
    ("crop", "preset"),
    [
        (64, "pconv-small"),  # five halvings
        (256, "pconv"),  # seven, as for the pictures of 256 of its ports
        (320, "pconv-small"),  # 320 = 10 x 32
        (512, "pconv-512"),  # eight, as in the paper
        (640, "pconv"),  # 640 = 5 x 128
    ],
)
def test_the_unet_is_as_deep_as_the_crop_allows(crop, preset):
    assert ablate.suited(ablate.VARIANTS["partial"], crop) == preset
    assert ablate.suited(ablate.VARIANTS["gated"], crop) == "deepfillv2"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--variants", "star"], "--variants has 'star'; it must be of vanilla, partial, gated"),
        (["--width", "7"], "width is 7; it must be a multiple of 4, at least 8"),
        (["--crop", "72"], "--crop is 72; partial-unet needs a multiple of 32, or leave it out"),
        (["--val-size", "64"], "--size is 64; it must be at least 80"),
        (["--data", "nowhere"], "nowhere is neither a folder"),
        (["--val", "nowhere"], "nowhere is neither a folder"),
    ],
)
def test_what_a_user_can_mend_is_one_line_before_anything_is_trained(
    tmp_path, pictures, capsys, monkeypatch, flags, message
):
    monkeypatch.chdir(tmp_path)
    assert run(pictures, tmp_path / "a", "--steps", 1, *flags) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") and message in last
    assert not list(tmp_path.glob("a/*/checkpoints/*"))


def test_a_width_replaces_that_of_the_preset():
    config = TrainConfig(data=(), out=ablate.Path("a"), preset="deepfillv2-vanilla", width=16)
    assert config.network() == ablate.PRESETS["deepfillv2-vanilla"].__class__(width=16, gate=False)
    with pytest.raises(ablate.ConfigError, match="--width does nothing with --init"):
        TrainConfig(data=(), out=ablate.Path("a"), width=16, init=ablate.Path("b"))
