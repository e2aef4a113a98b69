"""Training: it learns, it resumes bit for bit, it stops when told, and it says what is wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from photos import smooth
from PIL import Image
from safetensors.torch import save_file
from torch.utils.data import default_collate

from core.config import PRESETS
from core.errors import ConfigError, TrainingError
from core.flags import add_flags, from_flags
from core.registry import build_generator
from core.weights import load_weights, read_info, save_weights
from trainer.__main__ import main
from trainer.build import build_callables, build_state
from trainer.config import TrainConfig
from trainer.data.samples import (
    Batch,
    Samples,
    find_pictures,
    to_batch,
)
from trainer.loop import train
from trainer.perceptual import load_features
from trainer.step import Callables, train_step
from trainer.terms import reconstruction

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")


def picture(seed: int, size: tuple[int, int] = (90, 120)) -> Image.Image:
    """Smooth colours with an edge, so that there is something to learn and a line to find."""
    large = np.asarray(smooth(seed, size)).copy()
    large[:, size[1] // 2 :] //= 3
    return Image.fromarray(large)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "below").mkdir()
    for seed in range(5):
        picture(seed).save(folder / ("below" if seed % 2 else "") / f"{seed}.png")
    picture(0).save(folder / "0.edge.png")  # a side file, not a picture
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def config(photos, tmp_path) -> TrainConfig:
    return TrainConfig(
        data=(photos,),
        out=tmp_path / "run",
        preset="deepfillv2-tiny",
        steps=6,
        batch=2,
        crop=64,
        workers=0,
        log_every=2,
        sample_every=3,
        save_every=3,
        report=False,
        device="cpu",
    )


def batch_of(samples: Samples, k: int) -> Batch:
    """Sample k alone."""
    return to_batch(default_collate([samples[k]]), samples.contract)


def state_of(config: TrainConfig) -> dict[str, torch.Tensor]:
    newest = sorted((config.out / "checkpoints").glob("*.pt"))[-1]
    flat: dict[str, torch.Tensor] = {}

    def walk(prefix, value):
        if isinstance(value, torch.Tensor):
            flat[prefix] = value
        elif isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{prefix}/{key}", inner)

    walk("", torch.load(newest, weights_only=True))
    return flat


@pytest.mark.parametrize("workers", [0, 1])
def test_a_resumed_run_is_bit_for_bit_the_unbroken_one(config, tmp_path, workers):
    train(config)
    broken = replace(config, out=tmp_path / "broken", workers=workers)
    train(replace(broken, steps=2, save_every=2))
    train(replace(broken, steps=4, save_every=2), resume=True)
    train(broken, resume=True)
    whole, resumed = state_of(config), state_of(broken)
    assert whole.keys() == resumed.keys() and len(whole) > 300
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name
    # The weights to use are those of the averaged network.
    averaged = load_weights(config.out / "weights.safetensors").state_dict()
    for name, tensor in averaged.items():
        assert torch.equal(tensor, whole[f"/average/module.{name}"])


def test_the_run_folder_holds_what_it_should(config):
    train(replace(config, keep=1))
    assert json.loads((config.out / "config.json").read_text())["crop"] == 64
    lines = [json.loads(line) for line in (config.out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert lines[0].keys() >= {"d", "g", "g_adversarial", "l1_coarse", "l1_refined", "seconds"}
    assert sorted(p.name for p in (config.out / "samples").iterdir()) == [
        "000000003.png",
        "000000006.png",
    ]
    assert [p.name for p in (config.out / "checkpoints").iterdir()] == ["000000006.pt"]
    assert read_info(config.out / "weights.safetensors").about["steps"] == 6


def test_one_flat_picture_is_learnt_by_heart(config, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    Image.new("RGB", (64, 64), (200, 60, 20)).save(flat / "a.png")
    learning = replace(
        config, data=(flat,), gan_weight=0.0, lr=2e-3, beta1=0.9, l1="areas", steps=60
    )
    state = build_state(learning, CPU)
    callables = build_callables(state, learning, CPU)
    samples = Samples(find_pictures(learning.data), learning)
    losses = []
    for k in range(60):
        batch = batch_of(samples, k)
        losses.append(float(train_step(state, callables, [batch], learning)["l1_refined"]))
    assert np.mean(losses[-5:]) < 0.25 * np.mean(losses[:5])


def test_the_discriminator_joins_after_the_warm_up(config):
    warm = replace(config, gan_start=2)
    state = build_state(warm, CPU)
    callables = build_callables(state, warm, CPU)
    samples = Samples(find_pictures(warm.data), warm)
    batch = batch_of(samples, 0)
    before = [p.clone() for p in state.discriminator.parameters()]
    seen = []
    for _ in range(3):
        seen.append("d" in train_step(state, callables, [batch], warm))
        same = all(map(torch.equal, before, state.discriminator.parameters()))
        assert same != seen[-1]
    assert seen == [False, False, True]


@pytest.mark.parametrize(("preset", "channels"), [("deepfillv2-tiny", 5), ("deepfillv2", 4)])
def test_the_discriminator_sees_the_guides_of_the_generator_alone(config, preset, channels):
    """Lines that the generator is not given would tell true pictures from completed ones."""
    state = build_state(replace(config, preset=preset), CPU)
    assert state.discriminator.layers.conv1.conv.in_channels == channels
    batch = batch_of(Samples(find_pictures(config.data), config), 0)
    losses = train_step(state, build_callables(state, config, CPU), [batch], config)
    assert losses.keys() >= {"d", "g_adversarial"}


def test_each_network_learns_from_its_own_loss_alone(config):
    """The generator's update must leave no gradient and no change in the discriminator."""
    state = build_state(config, CPU)
    samples = Samples(find_pictures(config.data), config)
    batch = batch_of(samples, 0)
    seen = {}

    def score(*inputs):
        seen["generator grows"] = inputs[0].requires_grad
        seen["discriminator learns"] = next(state.discriminator.parameters()).requires_grad
        calls.append(dict(seen))
        return state.discriminator(*inputs)

    calls: list[dict[str, bool]] = []
    train_step(state, Callables(state.generator.learn, score, None), [batch], config)
    assert calls == [
        {"generator grows": False, "discriminator learns": True},
        {"generator grows": True, "discriminator learns": False},
    ]


def test_the_papers_l1_is_the_mean_over_all_pixels_of_both_stages(config):
    image = torch.zeros(1, 3, 64, 64)
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., :16] = 1
    batch = Batch(image, mask, {})
    fills = (image + 0.5, image + 0.2 * mask)
    total = reconstruction(fills, batch, config, {})
    assert total.item() == pytest.approx(0.5 + 0.2 / 4)
    areas = replace(config, l1="areas", hole_weight=2.0, known_weight=0.5, coarse_weight=0.1)
    total = reconstruction(fills, batch, areas, {})
    assert total.item() == pytest.approx(2 * 0.2 + 0.1 * (2 * 0.5 + 0.5 * 0.5))


def test_bf16_channels_last_trains_and_stays_close(config):
    plain, fast = config, replace(config, bf16=True, channels_last=True)
    results = []
    for settings in (plain, fast):
        state = build_state(settings, CPU)
        callables = build_callables(state, settings, CPU)
        batch = batch_of(Samples(find_pictures(config.data), config), 0)
        results.append(float(train_step(state, callables, [batch], settings)["l1_refined"]))
        assert all(p.dtype == torch.float32 for p in state.generator.parameters())
    assert results[0] == pytest.approx(results[1], rel=0.02)


def test_a_feature_network_comes_from_a_file(tmp_path, config):
    path = tmp_path / "features.safetensors"
    tensors = {"conv1.weight": torch.randn(4, 3, 3, 3), "conv1.bias": torch.zeros(4)}
    tensors |= {"conv2.weight": torch.randn(6, 4, 3, 3), "conv2.bias": torch.zeros(6)}
    save_file(tensors, path)
    features = load_features(path)(torch.rand(1, 3, 16, 16))
    assert [tuple(f.shape) for f in features] == [(1, 4, 16, 16), (1, 6, 8, 8)]
    gray = load_features(path)(torch.zeros(1, 3, 4, 4))[0]
    expected = torch.nn.functional.conv2d(
        torch.full((1, 3, 4, 4), 0.5), tensors["conv1.weight"], padding=1
    )
    torch.testing.assert_close(gray, torch.nn.functional.leaky_relu(expected, 0.1))
    train(replace(config, steps=1, perceptual=path))
    assert "perceptual" in (config.out / "metrics.jsonl").read_text()
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(TrainingError, match="needs conv1"):
        load_features(tmp_path / "none.safetensors")


def test_the_style_term_joins_the_generators_loss_by_its_weight(config, tmp_path):
    path = tmp_path / "features.safetensors"
    save_file({"conv1.weight": torch.randn(4, 3, 3, 3), "conv1.bias": torch.zeros(4)}, path)
    styled = replace(config, perceptual=path, perceptual_weight=0.0, style_weight=50.0)
    styled = replace(styled, gan_weight=0.0)
    state = build_state(styled, CPU)
    batch = batch_of(Samples(find_pictures(config.data), config), 0)
    found = train_step(state, build_callables(state, styled, CPU), [batch], styled)
    assert "perceptual" not in found and found["style"] > 0
    torch.testing.assert_close(
        found["g"], found["l1_coarse"] + found["l1_refined"] + 50 * found["style"]
    )


def test_training_can_start_from_weights(config, tmp_path):
    torch.manual_seed(3)
    start = build_generator(PRESETS["deepfillv2-tiny"])
    save_weights(tmp_path / "start.safetensors", start)
    state = build_state(replace(config, init=tmp_path / "start.safetensors"), CPU)
    assert all(map(torch.equal, start.parameters(), state.generator.parameters()))


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 1), (signal.SIGTERM, 0)])
def test_a_signal_saves_first_and_the_run_goes_on_from_there(config, number, workers):
    args = ["--data", str(config.data[0]), "--out", str(config.out), "--preset", config.preset]
    args += ["--batch", "2", "--crop", "64", "--workers", str(workers), "--log-every", "1"]
    args += ["--device", "cpu", "--steps", "100000", "--save-every", "100000"]
    command = [sys.executable, "-m", "trainer", *args]
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    metrics = config.out / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.read_text().count("\n") > 1):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    # As a terminal does for Ctrl+C: to the workers too.
    os.killpg(process.pid, number) if workers else process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 128 + number and "Traceback" not in said
    (checkpoint,) = (config.out / "checkpoints").glob("*.pt")
    step = int(checkpoint.stem)
    assert step >= 2
    train(replace(config, steps=step + 1, save_every=100000, log_every=1), resume=True)
    last = json.loads(metrics.read_text().splitlines()[-1])
    assert last["step"] == step + 1


def test_a_skipped_picture_is_noted_once_and_said_at_the_end(config, tmp_path, capsys):
    folder = tmp_path / "damaged"
    folder.mkdir()
    picture(0).save(folder / "whole.png")
    (folder / "cut.png").write_bytes((folder / "whole.png").read_bytes()[:200])
    for resume in (False, True):
        train(replace(config, data=(str(folder),), steps=4 + 2 * resume), resume=resume)
        (line,) = (config.out / "skipped.jsonl").read_text().splitlines()
        assert json.loads(line)["picture"].endswith("cut.png") and json.loads(line)["reason"]
        assert "pictures that were skipped: 1; see" in capsys.readouterr().err


def test_a_run_that_is_older_than_a_setting_goes_on_with_its_default(config):
    train(replace(config, steps=1, gan_weight=0.0))
    settings = config.out / "config.json"
    old = json.loads(settings.read_text())
    for young in ("accumulate", "clip", "lr_schedule", "checkpointing", "rollback", "holes"):
        del old[young]
    settings.write_text(json.dumps(old | {"setting_of_the_past": 1}))
    train(replace(config, steps=2, gan_weight=0.0, rollback=True), resume=True)
    settings.write_text(json.dumps(old))
    with pytest.raises(TrainingError, match=r"clip was 0.0 and is 1.0"):
        train(replace(config, gan_weight=0.0, clip=1.0), resume=True)


def test_the_end_of_a_run_writes_its_report(config):
    train(replace(config, steps=2, gan_weight=0.0, report=True))
    assert "<html" in (config.out / "report.html").read_text()


def test_a_second_run_does_not_write_over_the_first(config):
    train(replace(config, steps=1))
    with pytest.raises(TrainingError, match="already holds a run; go on with --resume"):
        train(config)
    with pytest.raises(TrainingError, match="crop was 64 and is 72"):
        train(replace(config, crop=72), resume=True)
    (config.out / "checkpoints" / "000000001.pt").write_bytes(b"cut off")
    with pytest.raises(TrainingError, match="is damaged"):
        train(replace(config, steps=1), resume=True)


def test_a_full_disk_keeps_the_checkpoints_before(config, monkeypatch):
    train(replace(config, steps=3))

    def full(state, path):
        path.write_bytes(b"half a checkpoint")
        raise RuntimeError("PytorchStreamWriter failed writing file data/7: file write failed")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TrainingError, match=r"000000006\.pt .*go on with --resume"):
        train(replace(config, steps=6), resume=True)
    monkeypatch.undo()
    assert [p.name for p in (config.out / "checkpoints").iterdir()] == ["000000003.pt"]
    train(replace(config, steps=6), resume=True)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: p.mkdir(), "no pictures in"),
        (lambda p: p.write_text("text"), "neither a folder, a list"),
        (lambda p: None, "neither a folder, a list"),
    ],
)
def test_data_that_cannot_be_used_is_named(config, tmp_path, make, says, capsys):
    path = tmp_path / "data"
    make(path)
    code = main(["--data", str(path), "--out", str(config.out), "--steps", "1", "--device", "cpu"])
    said = capsys.readouterr().err
    assert code == 1 and says in said and str(path) in said and said.count("\n") == 1


@pytest.mark.parametrize(
    "wrong",
    [{"preset": "unet"}, {"crop": 100}, {"batch": 0}, {"zoom": 1.5}, {"lr": -1.0}, {"brush": 9.0}],
)
def test_settings_that_cannot_work_are_refused(config, wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ConfigError, match=f"--{name} is '?{value}"):
        replace(config, **wrong)


def test_flags_are_the_fields_of_the_settings(photos, tmp_path):
    import argparse

    parser = argparse.ArgumentParser()
    add_flags(parser, TrainConfig)
    args = ["--data", "a", "b.tar", "--out", "o", "--no-bf16", "--compile", "--l1", "areas"]
    config = from_flags(TrainConfig, parser.parse_args([*args, "--gan-start", "5"]))
    assert config.data == ("a", "b.tar") and config.compile and not config.bf16
    assert config.l1 == "areas" and config.gan_start == 5 and config.init is None
    assert config == replace(
        TrainConfig(data=("a", "b.tar"), out=Path("o")),
        compile=True, l1="areas", gan_start=5,
    )  # fmt: skip
    assert "(Adam) (default: 0.0001)" in " ".join(parser.format_help().split())


def test_a_dry_run_shows_the_settings_and_writes_nothing(config, capsys):
    assert main(["-n", "--data", "x", "--out", str(config.out)]) == 0
    assert json.loads(capsys.readouterr().out)["batch"] == 16
    assert not config.out.exists()
