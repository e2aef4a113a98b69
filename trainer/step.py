"""What one update does: the discriminator learns, then the generator."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from core.losses import hinge_d, hinge_g, masked_l1, perceptual_l1
from core.models.base import Generator

from .config import TrainConfig
from .data import Batch


@dataclass
class TrainState:
    """All that changes while training; saving and restoring it resumes a run exactly."""

    generator: Generator
    discriminator: nn.Module
    g_optimizer: Optimizer
    d_optimizer: Optimizer
    average: AveragedModel | None
    step: int = 0

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values alone, so that it loads with `weights_only`."""
        return {name: part.state_dict() for name, part in self._parts()} | {"step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        for name, part in self._parts():
            part.load_state_dict(state[name])
        self.step = state["step"]

    def _parts(self) -> list[tuple[str, Any]]:
        names = ("generator", "discriminator", "g_optimizer", "d_optimizer", "average")
        return [(name, getattr(self, name)) for name in names if getattr(self, name) is not None]

    @property
    def best(self) -> Generator:
        """The generator to use: the averaged one if there is one."""
        if self.average is None:
            return self.generator
        averaged = self.average.module
        assert isinstance(averaged, Generator)  # a copy of the generator
        return averaged


@dataclass(frozen=True)
class Callables:
    """The networks as they are run: the modules of the state, compiled or not."""

    stages: Callable[..., tuple[Tensor, ...]]
    score: Callable[..., Tensor]
    features: Callable[[Tensor], list[Tensor]] | None


def train_step(
    state: TrainState, run: Callables, batch: Batch, config: TrainConfig
) -> dict[str, Tensor]:
    """One discriminator update, then one generator update; returns detached scalars."""
    adversarial = config.gan_weight > 0 and state.step >= config.gan_start
    with autocast(batch.image, config):
        fills = run.stages(*network_inputs(state.generator, batch))
    fills = tuple(fill.float() for fill in fills)
    completed = complete(fills[-1], batch)
    guides = [getattr(batch, port.name) for port in state.generator.contract.guides]
    losses: dict[str, Tensor] = {}

    # Discriminator: the generator is a constant here, hence the detach. One forward pass over true
    # and completed pictures, as the official code has it: one power iteration for both.
    if adversarial:
        state.discriminator.requires_grad_(True)
        pictures = torch.cat([batch.image, completed.detach()])
        real, fake = scores(run, pictures, batch, guides, config)
        losses["d"] = hinge_d(real, fake)
        update(state.d_optimizer, losses["d"])

    # Generator: the discriminator only passes gradients through.
    total = reconstruction(fills, batch, config, losses)
    if run.features is not None and config.perceptual_weight:
        with autocast(batch.image, config):
            features = run.features(torch.cat([completed, batch.image]))
        halves = [f.float().chunk(2) for f in features]
        losses["perceptual"] = perceptual_l1([a for a, _ in halves], [b for _, b in halves])
        total = total + config.perceptual_weight * losses["perceptual"]
    if adversarial:
        state.discriminator.requires_grad_(False)
        (fake,) = scores(run, completed, batch, guides, config)
        losses["g_adversarial"] = hinge_g(fake)
        total = total + config.gan_weight * losses["g_adversarial"]
    losses["g"] = total
    update(state.g_optimizer, total)
    if state.average is not None:
        state.average.update_parameters(state.generator)
    state.step += 1
    return {name: loss.detach() for name, loss in losses.items()}


def reconstruction(
    fills: tuple[Tensor, ...], batch: Batch, config: TrainConfig, losses: dict[str, Tensor]
) -> Tensor:
    """L1 of every stage; the last one counts whole, the earlier ones `coarse_weight`."""
    total = torch.zeros((), device=batch.image.device)
    for i, fill in enumerate(fills):
        last = i == len(fills) - 1
        if config.l1 == "picture":
            loss = (fill - batch.image).abs().mean()
        else:
            known, hole = config.known_weight, config.hole_weight
            loss = masked_l1(fill, batch.image, batch.mask, known=known, hole=hole)
        losses["l1_refined" if last else "l1_coarse"] = loss
        total = total + loss * (1.0 if last else config.coarse_weight)
    return total


def scores(
    run: Callables, images: Tensor, batch: Batch, guides: list[Tensor], config: TrainConfig
) -> tuple[Tensor, ...]:
    """Discriminator scores, one tensor per batch in `images`."""
    count = len(images) // len(batch.image)
    mask, *drawn = (part.repeat(count, 1, 1, 1) for part in (batch.mask, *guides))
    with autocast(images, config):
        score = run.score(images, mask, *drawn)
    return score.float().chunk(count)


def network_inputs(generator: Generator, batch: Batch) -> tuple[Tensor, ...]:
    """The batch in the order of the generator's contract."""
    return tuple(getattr(batch, port.name) for port in generator.contract.inputs)


def complete(filled: Tensor, batch: Batch) -> Tensor:
    """The fill in the hole, the picture outside."""
    return filled * batch.mask + batch.image * (1 - batch.mask)


def update(optimizer: Optimizer, loss: Tensor) -> None:
    """One optimiser step down the gradient of `loss`."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def autocast(x: Tensor, config: TrainConfig) -> torch.autocast:
    """bfloat16 where the settings ask for it."""
    return torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=config.bf16)
