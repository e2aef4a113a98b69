"""When things happen: build the state, step, log, sample, save, stop on a signal."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

import torch
from torch import Tensor
from torch.utils.data import default_collate
from tqdm import tqdm

from core.errors import InpaintError, TrainingError

from .board import Board
from .build import build_callables, build_state, check_norm, check_settings, shared
from .config import TrainConfig
from .data.samples import Batch, Samples, batches, find_pictures, to_batch
from .guard import Breakdown, Guard, explained
from .ranks import Ranks, process_group, restarts
from .recipes import recipe
from .run import Detour, Run
from .schedule import rate_factor, set_rate
from .step import Callables, TrainState, train_step

SAMPLES_SHOWN = 8
MOST_ROLLBACKS = 8
"""From the same checkpoint: by then the learning rates are 1/256 of what they were."""


@dataclass
class Training:
    """A run as one process of it has it in memory."""

    config: TrainConfig
    ranks: Ranks
    run: Run
    samples: Samples
    state: TrainState
    callables: Callables
    detour: Detour
    shown: Batch | None
    """What sample grids show; only the first process makes them."""
    board: Board | None = None
    guard: Guard = field(init=False)

    def __post_init__(self) -> None:
        self.start_watching()

    def start_watching(self) -> None:
        """From the state as it is: a new guard, and a board without anything later."""
        self.guard = Guard(self.config.explosion, self.ranks)
        if self.ranks.first:
            if self.board is not None:
                self.board.close()
            self.board = Board(self.config.out, start=self.state.step)


def train(config: TrainConfig, *, resume: bool = False) -> int:
    """Train to `config.steps`, or until SIGINT or SIGTERM; returns the signal's number or 0.

    Every process of the launcher calls it. Started again after a crash, it resumes by itself.
    """
    with process_group(config.device) as ranks:
        training = prepare(config, ranks, resume=resume or restarts() > 0)
        with stop_signals() as stop:
            number = None
            while number is None:
                try:
                    number = advance(training, stop)
                except Breakdown as problem:
                    with ranks.together():
                        roll_back(training, problem)
            with ranks.together():
                finish(training, report=config.report and not number)
    return number


def prepare(config: TrainConfig, ranks: Ranks, *, resume: bool) -> Training:
    """Read what is there and build what is not; the first process opens the run folder."""
    with ranks.together():
        check_settings(config, ranks)
        samples = Samples(find_pictures(config.data), config)
        samples.check()
    with ranks.together():
        run = Run(config, resume=resume, writes=ranks.first)
    with ranks.together():
        state = build_state(config, ranks.device)
        check_norm(state.generator, config, ranks)
        saved = run.latest() if resume else None
        if saved is not None:
            state.load_state_dict(saved)
        detour = run.detour() if resume else Detour()
        callables = build_callables(state, config, ranks.device)
        shown = _shown_batch(samples, ranks) if ranks.first else None
    furthest = ranks.highest(state.step)
    with ranks.together():
        if state.step != furthest:
            raise TrainingError(
                f"process {ranks.rank} finds the run at step {state.step}, another one at "
                f"{furthest}; all of them need the same folder --out"
            )
    callables = shared(callables, state, ranks)
    wanted = "features_of" in recipe(config.preset, config.init)
    if wanted and config.perceptual is None and ranks.first:
        sys.stderr.write("note: no --perceptual network, so no perceptual and no style term\n")
    return Training(config, ranks, run, samples, state, callables, detour, shown)


def _shown_batch(samples: Samples, ranks: Ranks) -> Batch:
    shown = default_collate([samples[k] for k in range(SAMPLES_SHOWN)])
    moved = {name: part.to(ranks.device) for name, part in shown.items()}
    return to_batch(moved, samples.contract)


def advance(training: Training, stop: list[int]) -> int:
    """Update until `config.steps` or a signal to any process; returns its number or 0.

    Raises Breakdown, in all processes alike, when going on makes no sense.
    """
    config, state, ranks, run = training.config, training.state, training.ranks, training.run
    start = state.step + training.detour.shift
    stream = batches(
        training.samples, config, start, ranks.device,
        rank=ranks.rank, world=ranks.world, skipped=run.skip,
    )  # fmt: skip
    run.start_clock(state.step)
    number = ranks.highest(stop[0] if stop else 0)
    with _progress(training) as bar:
        while state.step < config.steps and not number:
            rate = rate_factor(state.step, config) * training.detour.rate
            set_rate(state.g_optimizer, config.lr * rate)
            set_rate(state.d_optimizer, config.d_lr * rate)
            parts = [formatted(next(stream), config) for _ in range(config.accumulate)]
            losses = train_step(state, training.callables, parts, config, ranks)
            training.guard.watch(state.step, losses)
            bar.update(config.batch)
            bar.set_description(f"step {state.step}", refresh=False)
            _keep(training, losses, bar)
            number = ranks.highest(stop[0] if stop else 0)
    if state.step % config.save_every or state.step == 0:
        save(training)
    return number


def _progress(training: Training) -> "tqdm[None]":
    """Pictures seen, a second, and time left."""
    batch, steps = training.config.batch, training.config.steps
    return tqdm(
        total=steps * batch,
        initial=training.state.step * batch,
        unit="image",
        dynamic_ncols=True,
        disable=not training.ranks.first,
    )


def _keep(training: Training, losses: dict[str, Tensor], bar: "tqdm[None]") -> None:
    """Log, show and save what is due after an update."""
    config, step = training.config, training.state.step
    if step % config.log_every == 0 or step == config.steps:
        log(training, losses, bar)
    if step % config.sample_every == 0:
        sample(training)
    if step % config.save_every == 0:
        save(training)


def log(training: Training, losses: dict[str, Tensor], bar: "tqdm[None]") -> None:
    """The one place where losses leave the device. Raises Breakdown if they make no sense."""
    ranks, step = training.ranks, training.state.step
    means = ranks.mean(torch.stack(list(losses.values()))).tolist()
    values: dict[str, float] = dict(zip(losses, means, strict=True))
    training.guard.check_losses(step, values)
    bar.set_postfix({name: f"{value:.3g}" for name, value in values.items()})
    with ranks.together():
        if training.board is not None:
            rate = float(training.state.g_optimizer.param_groups[0]["lr"])
            training.board.scalars(step, training.run.log(step, values | {"lr": rate}))


def sample(training: Training) -> None:
    """A grid of pictures for the run folder and the board."""
    with training.ranks.together():
        if training.shown is not None and training.board is not None:
            grid = training.run.sample(training.state, training.shown)
            training.board.grid(training.state.step, grid)


def save(training: Training) -> None:
    """A checkpoint, unless the state is broken: then Breakdown is raised and nothing written."""
    training.guard.check_state(training.state)
    with training.ranks.together():
        if training.ranks.first:
            training.run.save(training.state)


def roll_back(training: Training, problem: Breakdown) -> None:
    """Back to the last checkpoint, or the start, with half the learning rates and other samples.

    Samples go on behind those that led here. Raises TrainingError if that is not wanted, or has
    been tried too often.
    """
    config, run, state = training.config, training.run, training.state
    said = explained(problem, run.last())
    if not config.rollback:
        raise TrainingError(said)
    saved = run.latest() or build_state(config, training.ranks.device).state_dict()
    if [line["to"] for line in run.rollbacks()].count(saved["step"]) >= MOST_ROLLBACKS:
        raise TrainingError(f"{said}; {MOST_ROLLBACKS} roll-backs to there have not helped")
    state.load_state_dict(saved)
    training.detour = training.detour.longer(problem.step - state.step)
    if training.ranks.first:
        rate = training.detour.rate
        run.note_rollback(problem.step, state.step, rate=rate, reason=str(problem))
        sys.stderr.write(
            f"note: {problem}; going on from step {state.step} with learning rates x {rate:g}\n"
        )
    training.start_watching()


def finish(training: Training, *, report: bool) -> None:
    """Say what there is to say, and write the report of a run that has come to its end."""
    if not training.ranks.first:
        return
    if training.board is not None:
        training.board.close()
    folder = training.config.out
    skipped = len(training.run.skipped())
    if skipped:
        sys.stderr.write(f"pictures that were skipped: {skipped}; see {folder / 'skipped.jsonl'}\n")
    if report:
        _report(training)
    sys.stderr.write(f"{folder / 'weights.safetensors'} is ready to be used\n")


def _report(training: Training) -> None:
    from .report import write_report

    try:
        write_report(training.config.out)
    except InpaintError as problem:
        sys.stderr.write(f"note: no report is written ({problem})\n")


def formatted(batch: Batch, config: TrainConfig) -> Batch:
    """In the memory format of the settings."""
    if not config.channels_last:
        return batch
    return batch.map(lambda part: part.contiguous(memory_format=torch.channels_last))


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """A list that gets the number of the first SIGINT or SIGTERM; a second one interrupts."""
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
