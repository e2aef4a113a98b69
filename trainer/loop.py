"""When things happen: build the state, step, log, sample, save, stop on a signal."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from torch.optim import Adam
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import default_collate
from tqdm import tqdm

from core.backends import choose_device
from core.config import PRESETS
from core.layers.attention import MIB, ContextualAttention
from core.models.base import Generator
from core.models.discriminators import SNPatchDiscriminator
from core.registry import build_generator
from core.weights import load_weights

from .config import TrainConfig
from .data import Batch, Samples, batches, find_pictures, to_batch
from .perceptual import load_features
from .run import Run
from .step import Callables, TrainState, train_step

SAMPLES_SHOWN = 8
ATTENTION_BUDGET = 4096 * MIB
"""While training the dense form is the faster one, until it needs more than this."""


def train(config: TrainConfig, *, resume: bool = False) -> int:
    """Train to `config.steps`, or until SIGINT or SIGTERM; returns the signal's number or 0."""
    device = choose_device(config.device)
    samples = Samples(find_pictures(config.data), config)
    run = Run(config, resume=resume)
    state = build_state(config, device)
    saved = run.latest() if resume else None
    if saved is not None:
        state.load_state_dict(saved)
    callables = build_callables(state, config, device)
    shown = [samples[k] for k in range(SAMPLES_SHOWN)]
    shown_batch = to_batch(*(part.to(device) for part in default_collate(shown)))
    stream = batches(samples, config, state.step, device)
    with stop_signals() as stop:
        progress = tqdm(total=config.steps, initial=state.step, unit="step", dynamic_ncols=True)
        while state.step < config.steps and not stop:
            losses = train_step(state, callables, _formatted(next(stream), config), config)
            progress.update()
            if state.step % config.log_every == 0 or state.step == config.steps:
                values = run.log(state.step, losses)
                progress.set_postfix({name: f"{value:.3g}" for name, value in values.items()})
            if state.step % config.sample_every == 0:
                run.sample(state, shown_batch)
            if state.step % config.save_every == 0:
                run.save(state)
        progress.close()
        if state.step % config.save_every or state.step == 0:
            run.save(state)
    return stop[0] if stop else 0


def build_state(config: TrainConfig, device: torch.device) -> TrainState:
    """Fresh networks and optimisers, seeded; the generator from `config.init` if given."""
    torch.manual_seed(config.seed)
    generator = (
        load_weights(config.init) if config.init else build_generator(PRESETS[config.preset])
    )
    for module in generator.modules():
        if isinstance(module, ContextualAttention):
            module.memory_budget = ATTENTION_BUDGET
    # The discriminator sees picture, mask and the guides that the generator sees, no others.
    guides = sum(port.channels for port in generator.contract.guides)
    discriminator = SNPatchDiscriminator(4 + guides)
    memory = torch.channels_last if config.channels_last else torch.contiguous_format
    generator.train().to(device, memory_format=memory)  # type: ignore[call-overload]  # torch's stub
    discriminator.train().to(device, memory_format=memory)  # type: ignore[call-overload]
    betas = (config.beta1, config.beta2)
    return TrainState(
        generator=generator,
        discriminator=discriminator,
        g_optimizer=Adam(generator.parameters(), config.lr, betas),
        d_optimizer=Adam(discriminator.parameters(), config.d_lr, betas),
        average=_average(generator, config),
    )


def _average(generator: Generator, config: TrainConfig) -> AveragedModel | None:
    if not config.ema:
        return None
    return AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(config.ema))


def build_callables(state: TrainState, config: TrainConfig, device: torch.device) -> Callables:
    """The networks as functions, compiled if the settings say so."""
    stages, score, features = state.generator.stages, state.discriminator.forward, None
    if config.perceptual:
        features = load_features(config.perceptual).to(device).forward
    if config.compile:
        stages, score = torch.compile(stages), torch.compile(score)
        features = torch.compile(features) if features is not None else None
    return Callables(stages, score, features)


def _formatted(batch: Batch, config: TrainConfig) -> Batch:
    if not config.channels_last:
        return batch
    return Batch(*(part.contiguous(memory_format=torch.channels_last) for part in batch))


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
