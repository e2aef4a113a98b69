"""The comparison of kinds of convolution: alike in all else, resumable, measured together."""

import json

import pytest
import torch

from core.config import PRESETS
from core.image import read_picture, save_pixels
from core.weights import load_weights
from trainer import ablate
from trainer.config import TrainConfig

PRESENT = [name for name, preset in ablate.VARIANTS.items() if preset in PRESETS]


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
    first = ["--variants", PRESENT[0], "--steps", 1]
    assert run(pictures, tmp_path / "a", *first) == 0
    capsys.readouterr()
    assert run(pictures, tmp_path / "a", "--steps", 2) == 0
    out = capsys.readouterr().out
    assert run(pictures, tmp_path / "b", "--steps", 2) == 0
    assert capsys.readouterr().out == out.replace(str(tmp_path / "a"), str(tmp_path / "b"))
    for name in PRESENT:
        a, b = (load_weights(tmp_path / x / name / "weights.safetensors") for x in "ab")
        assert all(map(torch.equal, a.state_dict().values(), b.state_dict().values()))

    brush, box, *_ = out.split("\n\n")
    for text, kind in ((brush, "brush"), (box, "box")):
        assert text.startswith(f"| 1 pictures, {kind} masks |")
        assert all(f"\n| {name} | " in text for name in PRESENT)
    content = json.loads((tmp_path / "a" / "ablation.json").read_text())
    missing = [name for name in ablate.VARIANTS if name not in PRESENT]
    assert content["missing"] == missing
    for name in missing:
        assert f"{name}: not present (there is no preset {ablate.VARIANTS[name]})" in out
    for name in PRESENT:
        count = content["networks"][name]["parameters"]
        assert f"{name}: {count:,} parameters, 2 updates of 2 pictures" in out
    columns = 4 + len(PRESENT)  # masked, two of OpenCV, true
    assert read_picture(tmp_path / "a" / "ablation.png").size[1] == columns * 80 + 8 * (columns - 1)


def test_runs_differ_in_the_convolution_alone(tmp_path, pictures):
    assert run(pictures, tmp_path / "a", "--steps", 1) == 0
    configs = [json.loads((tmp_path / "a" / name / "config.json").read_text()) for name in PRESENT]
    differ = {key for key in configs[0] if len({json.dumps(c[key]) for c in configs}) > 1}
    assert differ == {"preset", "out"}
    networks = [load_weights(tmp_path / "a" / name / "weights.safetensors") for name in PRESENT]
    assert {network.config.width for network in networks} == {8}
    assert len({type(n.config) for n in networks} | {n.config.gate for n in networks}) > 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--variants", "star"], "--variants has 'star'; it must be of vanilla, partial, gated"),
        (["--width", "7"], "width is 7; it must be a multiple of 4, at least 8"),
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


def test_kinds_without_a_network_are_named(tmp_path, pictures, capsys, monkeypatch):
    monkeypatch.setitem(ablate.VARIANTS, "star", "deepfillv2-star")
    assert run(pictures, tmp_path / "a", "--steps", 1, "--variants", "star") == 1
    assert "no network for star; name other --variants" in capsys.readouterr().err


def test_a_width_replaces_that_of_the_preset():
    config = TrainConfig(data=(), out=ablate.Path("a"), preset="deepfillv2-vanilla", width=16)
    assert config.network() == ablate.PRESETS["deepfillv2-vanilla"].__class__(width=16, gate=False)
    with pytest.raises(ablate.ConfigError, match="--width does nothing with --init"):
        TrainConfig(data=(), out=ablate.Path("a"), width=16, init=ablate.Path("b"))
