"""Several processes, micro-batches and checkpointing give the run of one process and one batch."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from photos import save_smooth
from torch import Tensor

from core.config import PRESETS
from core.errors import ConfigError
from core.registry import build_generator
from trainer.build import build_callables, build_state
from trainer.config import TrainConfig
from trainer.data.samples import Batch
from trainer.loop import train
from trainer.ranks import mean_to_end, meant_to_end, restarts
from trainer.schedule import rate_factor
from trainer.step import TrainState, network_inputs, train_step

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return save_smooth(tmp_path_factory.mktemp("photos"), 6)


@pytest.fixture
def config(photos, tmp_path) -> TrainConfig:
    return TrainConfig(
        data=(str(photos),),
        out=tmp_path / "run",
        preset="deepfillv2-tiny",
        batch=4,
        crop=64,
        workers=0,
        l1="areas",
        log_every=1,
        sample_every=10**6,
        save_every=2,
        keep=1000,
        report=False,
        device="cpu",
    )


def flat(value: object, prefix: str = "") -> dict[str, Tensor]:
    """Every tensor of nested dictionaries by its path."""
    if isinstance(value, Tensor):
        return {prefix: value}
    found: dict[str, Tensor] = {}
    if isinstance(value, dict):
        for key, inner in value.items():
            found |= flat(inner, f"{prefix}/{key}")
    return found


def checkpoint(run: Path, step: int) -> dict[str, Tensor]:
    return flat(torch.load(run / "checkpoints" / f"{step:09d}.pt", weights_only=True))


def way(start: dict[str, Tensor], end: dict[str, Tensor], part: str) -> Tensor:
    """How far training moved the weights of a network, as one vector."""
    names = [name for name in start if name.startswith(f"/{part}/")]
    return torch.cat([(end[name] - start[name]).flatten() for name in names])


def random_batch(count: int) -> Batch:
    """Pictures whose holes are of very different sizes, so that means of means are wrong."""
    torch.manual_seed(1)
    image = torch.rand(count, 3, 8, 8).repeat_interleave(8, -1).repeat_interleave(8, -2) * 2 - 1
    mask = torch.zeros(count, 1, 64, 64)
    for i in range(count):
        mask[i, :, 8 : 16 + 5 * i, 8:56] = 1
    sketch = (torch.rand(count, 1, 64, 64) > 0.9).float() * mask
    return Batch(image, mask, {"sketch": sketch})


def parts(batch: Batch, count: int) -> list[Batch]:
    return [batch.map(lambda x, i=i: x.chunk(count)[i]) for i in range(count)]


def state_of(config: TrainConfig) -> TrainState:
    return build_state(config, CPU)


def test_micro_batches_make_the_update_of_the_whole_batch(config):
    """Areas, spectral norms (one power iteration each) and gradients are those of all pictures."""
    start = flat(state_of(config).state_dict())
    ends, losses = [], []
    for count in (1, 4):
        state = state_of(config)
        callables = build_callables(state, config, CPU)
        for _ in range(2):
            last = train_step(state, callables, parts(random_batch(4), count), config)
        ends.append(flat(state.state_dict()))
        losses.append({name: float(value) for name, value in last.items()})
    for end, found in zip(ends[1:], losses[1:], strict=True):
        assert found == pytest.approx(losses[0], rel=1e-5)
        for part in ("generator", "discriminator"):
            expected = way(start, ends[0], part)
            error = way(ends[0], end, part)
            assert error.norm() < 1e-3 * expected.norm()
        for name in (n for n in end if n.endswith(".u")):
            torch.testing.assert_close(end[name], ends[0][name], atol=1e-5, rtol=0)
            assert not torch.equal(end[name], start[name])


def test_a_batch_that_does_not_divide_is_refused(config):
    with pytest.raises(ConfigError, match=r"--batch is 4.*multiple of 3"):
        train(replace(config, accumulate=3))
    assert not config.out.exists()


def test_checkpointing_gives_the_same_gradients_bit_for_bit():
    torch.manual_seed(0)
    generator = build_generator(PRESETS["deepfillv2-tiny"]).train()
    batch = random_batch(2)
    gradients, kept = [], []
    for generator.checkpointing in (False, True):
        sizes: list[int] = []

        def pack(x: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(x.nbytes)
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            coarse, refined = generator.stages(*network_inputs(generator, batch))
        generator.zero_grad()
        ((coarse - batch.image).abs().mean() + (refined - batch.image).abs().mean()).backward()
        gradients.append([p.grad.clone() for p in generator.parameters()])
        kept.append(sum(sizes))
    assert all(map(torch.equal, *gradients)) and gradients[0][0].abs().sum() > 0
    assert kept[1] < 0.2 * kept[0]


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
def test_checkpointing_trains_compiled_networks_too(config):
    """What matters is that it traces; generating code would take a minute."""
    settings = replace(config, checkpointing=True, gan_weight=0.0)
    batch, ends = random_batch(2), []
    for compiled in (False, True):
        state = state_of(settings)
        callables = build_callables(state, settings, CPU)
        if compiled:
            learn = torch.compile(state.generator.learn, backend="aot_eager", fullgraph=True)
            callables = replace(callables, learn=learn)
        train_step(state, callables, [batch], settings)
        ends.append(flat(state.g_optimizer.state_dict()))
    for name, moment in ends[0].items():
        torch.testing.assert_close(ends[1][name], moment, atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize(
    ("schedule", "step", "expected"),
    [
        ("constant", 0, 1 / 10),
        ("constant", 9, 1.0),
        ("constant", 99, 1.0),
        ("linear", 10, 1.0),
        ("linear", 60, 0.1 + 0.9 * 0.5),
        ("linear", 110, 0.1),
        ("linear", 500, 0.1),
        ("cosine", 10, 1.0),
        ("cosine", 60, 0.1 + 0.9 * 0.5),
        ("cosine", 35, 0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2),
        ("cosine", 110, 0.1),
    ],
)
def test_learning_rates_follow_the_schedule(config, schedule, step, expected):
    settings = replace(config, lr_schedule=schedule, warmup=10, lr_end=0.1, steps=110)
    assert rate_factor(step, settings) == pytest.approx(expected)


def test_a_decaying_schedule_fixes_the_end_of_the_run(config):
    fading = replace(config, lr_schedule="linear", steps=1, gan_weight=0.0, batch=2)
    train(fading)
    line = json.loads((config.out / "metrics.jsonl").read_text())
    assert line["lr"] == fading.lr and line["images_per_second"] > 0
    with pytest.raises(Exception, match=r"steps was 1 and is 2 \(the linear schedule ends"):
        train(replace(fading, steps=2), resume=True)


def test_a_clipped_gradient_is_as_long_as_the_settings_say(config):
    """Adam's first moment after one step is (1 - beta1) times the gradient."""
    for clip, least, most in ((0.01, 0.00999, 0.01001), (0.0, 0.02, 1e9)):
        settings = replace(config, clip=clip)
        state = state_of(settings)
        train_step(state, build_callables(state, settings, CPU), [random_batch(2)], settings)
        for optimizer in (state.g_optimizer, state.d_optimizer):
            moments = [part["exp_avg"] for part in optimizer.state.values()]
            length = torch.cat([m.flatten() for m in moments]).norm() / (1 - settings.beta1)
            assert least < float(length) < most


def test_what_ended_on_purpose_is_not_started_again(tmp_path, monkeypatch):
    """The launcher restarts whatever ends with a code but 0: a stop, a refusal, a breakdown."""
    assert restarts() == 0 and meant_to_end() is None
    for attempt in ("attempt_0", "attempt_1"):
        monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / attempt / "0/error.json"))
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", attempt[-1])
        assert restarts() == int(attempt[-1])
        if attempt == "attempt_0":
            mean_to_end(143)
            assert meant_to_end() is None
    assert meant_to_end() == 143
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", "")
    assert restarts() == 0  # nothing is known of the launcher, so nothing is resumed by itself


def launch(config: TrainConfig, steps: int, restarts: int, *flags: str) -> subprocess.Popen[str]:
    """Two processes, as a user starts them."""
    settings = {"data": config.data[0], "l1": "areas", "log-every": 1, "save-every": 2}
    for name in ("out", "preset", "batch", "crop", "workers", "keep", "device"):
        settings[name] = getattr(config, name)
    given = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "--max-restarts", str(restarts), "-m", "trainer", *given]
    return subprocess.Popen(
        [*command, "--steps", str(steps), "--no-report", *flags],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def wait_for(what: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 240
    while not what():
        if process.poll() is not None or time.monotonic() > deadline:
            process.terminate()
            raise AssertionError(process.communicate()[1])
        time.sleep(0.1)


def worker(launcher: subprocess.Popen[str], rank: int, attempt: int) -> int:
    """The process id of a rank, found among the children of the launcher (Linux)."""
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    wanted = {f"RANK={rank}", f"TORCHELASTIC_RESTART_COUNT={attempt}"}
    for pid in children:
        if wanted <= set(Path(f"/proc/{pid}/environ").read_text().split("\0")):
            return int(pid)
    raise AssertionError(f"no process of rank {rank} among {children}")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes in /proc")
def test_two_processes_are_one_whatever_happens_to_them(config, tmp_path):
    """One of them is killed: all start again from the last checkpoint. One is told to stop: all do.

    What comes out is, bit for bit, the run of two that nothing happened to; and that one is the
    run of one process, up to rounding.
    """
    steps = config.out / "metrics.jsonl"

    def seen(step: int) -> Callable[[], bool]:
        return lambda: steps.exists() and f'"step": {step},' in steps.read_text()

    run = launch(config, 10**6, 1, "--accumulate", "2")
    wait_for(seen(2), run)
    os.kill(worker(run, 1, attempt=0), signal.SIGKILL)
    before = steps.read_text().count("\n")
    wait_for(lambda: steps.read_text().count("\n") > before, run)
    os.kill(worker(run, 1, attempt=1), signal.SIGTERM)
    said = run.communicate(timeout=240)[1]
    assert run.returncode == 1 and "143" in said  # the launcher's code, and that of the processes
    assert said.count("Traceback") == 1 and "ChildFailedError" in said  # the launcher's own
    last = max(int(path.stem) for path in (config.out / "checkpoints").glob("[0-9]*.pt"))

    refused = launch(config, 10**6, 0)
    unbroken = replace(config, out=tmp_path / "unbroken")
    whole = launch(unbroken, last, 0, "--accumulate", "2")
    said = whole.communicate(timeout=240)[1]
    assert whole.returncode == 0, said
    for name, tensor in checkpoint(unbroken.out, last).items():
        assert torch.equal(tensor, checkpoint(config.out, last)[name]), name

    single = replace(config, out=tmp_path / "single", steps=2)
    train(single)
    start = flat(build_state(single, CPU).state_dict())
    one, two = checkpoint(single.out, 2), checkpoint(unbroken.out, 2)
    for part in ("generator", "discriminator", "average"):
        assert way(one, two, part).norm() < 1e-3 * way(start, one, part).norm()

    said = refused.communicate(timeout=240)[1]
    assert refused.returncode == 1 and said.count("already holds a run; go on with --resume") == 1
