"""What one update does: the discriminator and the generator learn, each from its own loss."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from core.layers.spectral import SpectralConv2d
from core.models.base import Generator
from core.models.discriminators import SNConv2d

from .adversary import (
    discriminator_loss,
    full_precision,
    generator_loss,
    judge,
    matching,
    penalties,
    seen_guides,
)
from .config import TrainConfig
from .data.samples import Batch
from .ranks import ALONE, Ranks, sharing
from .terms import Filled, terms


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


Learn = Callable[..., tuple[tuple[Tensor, ...], dict[str, Tensor]]]
"""As `Generator.learn`."""


@dataclass(frozen=True)
class Callables:
    """The networks as they are run: the modules of the state, compiled or shared or neither."""

    learn: Learn
    score: Callable[..., Any]
    features: Callable[[Tensor], list[Tensor]] | None
    other_learn: Learn | None = None
    """For passes in which the generator does not learn; None = `learn`."""
    other_score: Callable[..., Any] | None = None
    """For passes in which the discriminator does not learn; None = `score`."""


def train_step(
    state: TrainState,
    run: Callables,
    batches: Sequence[Batch],
    config: TrainConfig,
    ranks: Ranks = ALONE,
) -> dict[str, Tensor]:
    """One update of each network; returns detached scalars.

    Gradients and losses are means over `batches`, micro-batches of equal size, and gradients also
    over processes: up to rounding they are those of all the pictures in one batch.
    """
    losses: dict[str, Tensor] = {}
    areas = mean_areas(batches, ranks) if config.l1 == "areas" else None
    if config.gan == "multiscale":
        # As the release of SPADE: the generator first, then the discriminator on pictures anew.
        losses |= update_generator(state, run, batches, None, config, areas)
        if adversarial(state, config):
            losses |= update_discriminator(state, run, batches, None, config)
    else:
        # One micro-batch is filled once for both updates. Several are filled once for each: keeping
        # the graphs of them all would cost the memory that they are there to save.
        once = fill(state, run.learn, batches[0], config) if len(batches) == 1 else None
        if adversarial(state, config):
            losses |= update_discriminator(state, run, batches, once, config)
        losses |= update_generator(state, run, batches, once, config, areas)
    if state.average is not None:
        state.average.update_parameters(state.generator)
    state.step += 1
    return losses


def update_discriminator(
    state: TrainState,
    run: Callables,
    batches: Sequence[Batch],
    once: Filled | None,
    config: TrainConfig,
) -> dict[str, Tensor]:
    """One step of the discriminator. The generator is a constant here, hence the detach."""
    state.discriminator.requires_grad_(True)
    state.d_optimizer.zero_grad(set_to_none=True)
    means: dict[str, Tensor] = {}
    for batch, last in in_turn(batches, state):
        with torch.no_grad():
            filled = once or fill(state, run.other_learn or run.learn, batch, config)
        completed = filled.completed.detach()
        guides = seen_guides(batch, state.generator.contract)
        losses: dict[str, Tensor] = {}
        with sharing(run.score, last=last):
            real, fake = judge(run.score, [batch.image, completed], batch.mask, guides, config)
            losses["d"] = total = discriminator_loss(real, fake, config)
            more = penalties(state.discriminator, real, batch, completed, guides, config)
            for name, value in more.items():
                losses[name] = value
                total = total + getattr(config, f"{name}_weight") * value
            (total / len(batches)).backward()
        add(means, losses, len(batches))
    descend(state.d_optimizer, config.clip)
    return means


def update_generator(
    state: TrainState,
    run: Callables,
    batches: Sequence[Batch],
    once: Filled | None,
    config: TrainConfig,
    areas: tuple[Tensor, Tensor] | None,
) -> dict[str, Tensor]:
    """One step of the generator; the discriminator only passes gradients through."""
    state.discriminator.requires_grad_(False)
    state.g_optimizer.zero_grad(set_to_none=True)
    means: dict[str, Tensor] = {}
    for batch, last in in_turn(batches, state):
        with sharing(run.learn, last=last):
            filled = once or fill(state, run.learn, batch, config)
            losses: dict[str, Tensor] = {}
            total = terms(filled, run.features, config, losses, areas)
            if adversarial(state, config):
                found = deceive(state, run, filled, config)
                total = total + config.gan_weight * found["g_adversarial"]
                if "matching" in found:
                    total = total + config.matching_weight * found["matching"]
                losses |= found
            losses["g"] = total
            (total / len(batches)).backward()
        add(means, losses, len(batches))
    descend(state.g_optimizer, config.clip)
    return means


def deceive(
    state: TrainState, run: Callables, filled: Filled, config: TrainConfig
) -> dict[str, Tensor]:
    """The generator's side of the game, unweighted."""
    score = run.other_score or run.score
    batch = filled.batch
    guides = seen_guides(batch, state.generator.contract)
    if config.gan != "multiscale":
        (fake,) = judge(score, [filled.completed], batch.mask, guides, config)
        return {"g_adversarial": generator_loss(fake)}
    pictures = [batch.image, filled.completed]
    real, fake = judge(score, pictures, batch.mask, guides, config)
    return {"g_adversarial": generator_loss(fake), **matching(real, fake, config)}


def adversarial(state: TrainState, config: TrainConfig) -> bool:
    """Whether the discriminator takes part in the update to come."""
    return config.gan_weight > 0 and state.step >= config.gan_start


def fill(state: TrainState, learn: Learn, batch: Batch, config: TrainConfig) -> Filled:
    """Run the generator on a micro-batch."""
    with torch.autocast(batch.image.device.type, dtype=torch.bfloat16, enabled=config.bf16):
        fills, extras = learn(batch.image, *network_inputs(state.generator, batch))
    fills = tuple(map(full_precision, fills))
    extras = {name: full_precision(value) for name, value in extras.items()}
    return Filled(batch, fills, extras, complete(fills[-1], batch))


def in_turn(batches: Sequence[Batch], state: TrainState) -> Iterator[tuple[Batch, bool]]:
    """Each micro-batch and whether it is the last.

    Every one finds the spectral norms' vectors as the first one did. So the power iteration, which
    each pass makes, is the same for all of them and counts once.
    """
    vectors = spectral_vectors(state) if len(batches) > 1 else []
    before = [vector.clone() for vector in vectors]
    for i, batch in enumerate(batches):
        if i:
            for vector, old in zip(vectors, before, strict=True):
                vector.copy_(old)
        yield batch, i == len(batches) - 1


def spectral_vectors(state: TrainState) -> list[Tensor]:
    """What power iterations keep, in both networks."""
    modules = [*state.generator.modules(), *state.discriminator.modules()]
    normed = [module for module in modules if isinstance(module, SNConv2d | SpectralConv2d)]
    return [buffer for module in normed for buffer in module.buffers(recurse=False)]


def mean_areas(batches: Sequence[Batch], ranks: Ranks) -> tuple[Tensor, Tensor]:
    """Pixels of the holes and of the known areas, means over the micro-batches of all processes.

    An area of which there is none at all counts as one pixel.
    """
    areas = torch.stack(
        [torch.stack([b.mask.sum(), (1 - b.mask).sum()]) for b in batches]
    ).mean(dim=0)  # fmt: skip
    hole, known = ranks.mean(areas).clamp(min=1 / (len(batches) * ranks.world))
    return hole, known


def network_inputs(generator: Generator, batch: Batch) -> tuple[Tensor, ...]:
    """The batch in the order of the generator's contract."""
    return (batch.image, batch.mask, *(batch.guides[p.name] for p in generator.contract.guides))


def complete(filled: Tensor, batch: Batch) -> Tensor:
    """The fill in the hole, the picture outside."""
    return filled * batch.mask + batch.image * (1 - batch.mask)


def descend(optimizer: Optimizer, clip: float) -> None:
    """One optimiser step, the gradient shortened to the norm `clip` if that is not 0."""
    if clip:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, clip)
    optimizer.step()


def add(means: dict[str, Tensor], losses: dict[str, Tensor], count: int) -> None:
    """Add the losses of one of `count` micro-batches to their means."""
    for name, loss in losses.items():
        means[name] = means.get(name, torch.zeros_like(loss)).detach() + loss.detach() / count
