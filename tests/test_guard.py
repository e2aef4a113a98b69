"""Training that breaks down stops or goes back, and nothing bad is written over good."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from photos import save_smooth
from safetensors.torch import save_file

from core.errors import TrainingError
from core.weights import load_weights
from trainer import loop
from trainer.__main__ import main
from trainer.config import TrainConfig
from trainer.data.samples import batches
from trainer.guard import WARM_UP, Breakdown, Guard
from trainer.loop import train
from trainer.ranks import ALONE
from trainer.step import TrainState, train_step

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return save_smooth(tmp_path_factory.mktemp("photos"), 4)


@pytest.fixture
def config(photos, tmp_path) -> TrainConfig:
    return TrainConfig(
        data=(str(photos),),
        out=tmp_path / "run",
        preset="deepfillv2-tiny",
        steps=8,
        batch=1,
        crop=64,
        workers=0,
        gan_weight=0.0,
        log_every=1,
        sample_every=10**6,
        save_every=2,
        keep=100,
        report=False,
        device="cpu",
    )


def lines(run: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / name).read_text().splitlines()]


def saved(run: Path) -> list[int]:
    return sorted(int(path.stem) for path in (run / "checkpoints").glob("[0-9]*.pt"))


def breaking(after: set[int], break_it: Callable[[TrainState], None]) -> Callable[..., Any]:
    """The real update, after which the state is broken: each step of `after` once."""

    def step(state: TrainState, *given: Any) -> Any:
        losses = train_step(state, *given)
        if state.step in after:
            after.remove(state.step)
            break_it(state)
        return losses

    return step


def spoil_weight(state: TrainState) -> None:
    with torch.no_grad():
        next(state.generator.parameters()).view(-1)[0] = float("nan")


def spoil_moment(state: TrainState) -> None:
    next(iter(state.g_optimizer.state.values()))["exp_avg_sq"].view(-1)[0] = float("inf")


def test_an_infinite_loss_stops_with_one_sentence(config, tmp_path, capsys):
    """Features that overflow: seen when the third update is logged, said of the first."""
    features = tmp_path / "features.safetensors"
    weights = {"conv1.weight": torch.full((1, 3, 3, 3), 1e38), "conv1.bias": torch.zeros(1)}
    save_file(weights, features)
    flags = ["--data", config.data[0], "--out", str(config.out), "--preset", config.preset]
    flags += ["--batch", "1", "--crop", "64", "--workers", "0", "--log-every", "3"]
    flags += ["--perceptual", str(features), "--gan-weight", "0", "--device", "cpu"]
    assert main([*flags, "--no-report"]) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(said) == 1 and "training broke down: a loss is not finite since step 1" in said[0]
    assert "perceptual inf" in said[0] or "perceptual nan" in said[0]
    assert "there is no checkpoint yet; start again with a lower --lr" in said[0]
    assert saved(config.out) == [] and not (config.out / "weights.safetensors").exists()


@pytest.mark.parametrize("spoil", [spoil_weight, spoil_moment])
@pytest.mark.parametrize("log_every", [1, 100])
def test_nothing_bad_is_written_over_good(config, monkeypatch, spoil, log_every):
    """Broken after update 4, at which a checkpoint is due; with rare logs nobody looked before."""
    monkeypatch.setattr(loop, "train_step", breaking({4}, spoil))
    with pytest.raises(TrainingError, match=r"after step 4; the last good .*000000002\.pt; go on"):
        train(replace(config, log_every=log_every))
    assert saved(config.out) == [2]
    for tensor in load_weights(config.out / "weights.safetensors").state_dict().values():
        assert tensor.isfinite().all()


def test_a_rollback_goes_on_behind_the_bad_place_with_half_the_rates(config, monkeypatch):
    starts = []

    def counted(samples: Any, settings: Any, start: int, *given: Any, **named: Any) -> Any:
        starts.append(start)
        return batches(samples, settings, start, *given, **named)

    monkeypatch.setattr(loop, "batches", counted)
    monkeypatch.setattr(loop, "train_step", breaking({5, 7}, spoil_weight))
    careful = replace(config, rollback=True)
    assert train(careful) == 0
    # Broken after updates 5 and 7, noticed after 6 and 8; 2 + 2 updates' samples are passed over.
    assert starts == [0, 6, 8 + 2]
    assert [
        (x["step"], x["to"], x["rate_factor"]) for x in lines(config.out, "rollbacks.jsonl")
    ] == [
        (6, 4, 0.5),
        (8, 6, 0.25),
    ]
    seen = {line["step"]: line["lr"] for line in lines(config.out, "metrics.jsonl")}
    assert [seen[step] / config.lr for step in (4, 5, 6, 7, 8)] == [1, 0.5, 0.5, 0.25, 0.25]
    assert saved(config.out) == [2, 4, 6, 8]
    # A resumed run keeps both, and is not refused for the flag.
    monkeypatch.undo()
    monkeypatch.setattr(loop, "batches", counted)
    assert train(replace(config, steps=9), resume=True) == 0
    assert starts[-1] == 8 + 4
    assert lines(config.out, "metrics.jsonl")[-1]["lr"] == config.lr / 4


def test_rollbacks_to_the_same_place_come_to_an_end(config, monkeypatch):
    def always(state: TrainState, *given: Any) -> Any:
        losses = train_step(state, *given)
        spoil_weight(state)
        return losses

    monkeypatch.setattr(loop, "train_step", always)
    monkeypatch.setattr(loop, "MOST_ROLLBACKS", 2)
    with pytest.raises(TrainingError, match="2 roll-backs to there have not helped"):
        train(replace(config, rollback=True))
    assert [line["to"] for line in lines(config.out, "rollbacks.jsonl")] == [0, 0]
    assert saved(config.out) == []


def test_a_loss_that_is_no_number_is_remembered_until_somebody_looks():
    guard = Guard(0.0, ALONE)
    for step, value in enumerate([1.0, float("inf"), 1.0, float("nan"), 1.0]):
        guard.watch(step, {"d": torch.tensor(1.0), "g": torch.tensor(value)})
    with pytest.raises(Breakdown, match=r"not finite since step 1 \(d 1, g 2\)"):
        guard.check_losses(4, {"d": 1.0, "g": 2.0})


def test_an_explosion_is_measured_by_the_usual_level():
    """20 times the median of what was logged, and a level below 1 counts as 1."""

    def guard_after(level: float, count: int = WARM_UP) -> Guard:
        guard = Guard(20.0, ALONE)
        for step in range(count):
            guard.check_losses(step, {"g": level})
        return guard

    guard_after(3.0).check_losses(50, {"g": 59.0})
    guard_after(0.01).check_losses(50, {"g": -19.0})
    guard_after(0.3).check_losses(50, {"l1_refined": 900.0})  # of another loss nothing is known
    guard_after(3.0, count=WARM_UP - 1).check_losses(50, {"g": 1000.0})
    for level, value in ((3.0, 61.0), (-3.0, -61.0), (0.01, 21.0)):
        with pytest.raises(Breakdown, match=r"g exploded to .* by step 50, where .* was usual"):
            guard_after(level).check_losses(50, {"g": value})
    steady = Guard(20.0, ALONE)
    for step in range(WARM_UP):
        steady.check_losses(step, {"l1_refined": 0.1, "l1_coarse": 0.01})
    steady.check_losses(50, {"l1_refined": 0.49, "l1_coarse": 0.24})
    for name, value in (("l1_refined", 0.51), ("l1_coarse", 0.26)):
        with pytest.raises(Breakdown, match=f"{name} exploded"):
            steady.check_losses(50, {name: value})
    rising = Guard(20.0, ALONE)  # styles say nothing at first, then ever more
    for step in range(WARM_UP):
        rising.check_losses(step, {"kl": 0.5})
    rising.check_losses(50, {"kl": 1900.0})
    with pytest.raises(Breakdown, match="kl exploded"):
        rising.check_losses(51, {"kl": 2100.0})
    off = Guard(0.0, ALONE)
    for step in range(WARM_UP + 1):
        off.check_losses(step, {"g": 10.0**step})


def test_a_killed_run_resumes_bit_for_bit(config):
    """Kill -9 in the middle leaves the checkpoints before; what comes after is the unbroken run."""
    flags = ["--data", config.data[0], "--out", str(config.out), "--preset", config.preset]
    flags += ["--batch", "1", "--crop", "64", "--workers", "0", "--log-every", "1", "--keep", "100"]
    flags += ["--save-every", "2", "--steps", "100000", "--device", "cpu", "--gan-weight", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "trainer", *flags, "--sample-every", "1000000"],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while len(saved(config.out)) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    assert process.wait(timeout=60) == -signal.SIGKILL
    # What the kill may leave behind when it comes while a checkpoint is written.
    (config.out / "checkpoints" / ".part-0.pt").write_bytes(b"half a checkpoint")
    (config.out / ".part-0.safetensors").write_bytes(b"half a file")
    reached = saved(config.out)[-1]
    steps = reached + 2
    assert train(replace(config, steps=steps), resume=True) == 0
    assert not list(config.out.rglob(".part-*"))
    whole = replace(config, out=config.out.with_name("whole"), steps=steps)
    train(whole)
    name = f"checkpoints/{steps:09d}.pt"
    ends = [torch.load(run.out / name, weights_only=True) for run in (whole, config)]
    for part in ("generator", "average"):
        pairs = zip(*(end[part].values() for end in ends), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    moments = [[m["exp_avg"] for m in end["g_optimizer"]["state"].values()] for end in ends]
    assert all(map(torch.equal, *moments))
