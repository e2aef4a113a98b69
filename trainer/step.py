"""What one update does: the discriminator learns, then the generator."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from core.losses import hinge_d, hinge_g, masked_l1, perceptual_l1, style_l1
from core.models.base import Generator

from .config import TrainConfig
from .data.samples import Batch
from .ranks import ALONE, Ranks, sharing


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
    """The networks as they are run: the modules of the state, compiled or shared or neither."""

    stages: Callable[..., tuple[Tensor, ...]]
    score: Callable[..., Tensor]
    features: Callable[[Tensor], list[Tensor]] | None
    other_stages: Callable[..., tuple[Tensor, ...]] | None = None
    """For passes in which the generator does not learn; None = `stages`."""
    other_score: Callable[..., Tensor] | None = None
    """For passes in which the discriminator does not learn; None = `score`."""


@dataclass(frozen=True)
class Filled:
    """A micro-batch and what the generator makes of it."""

    batch: Batch
    guides: list[Tensor]
    fills: tuple[Tensor, ...]
    completed: Tensor


def train_step(
    state: TrainState,
    run: Callables,
    batches: Sequence[Batch],
    config: TrainConfig,
    ranks: Ranks = ALONE,
) -> dict[str, Tensor]:
    """One discriminator update, then one generator update; returns detached scalars.

    Gradients and losses are means over `batches`, micro-batches of equal size, and gradients also
    over processes: up to rounding they are those of all the pictures in one batch.
    """
    # One micro-batch is filled once for both updates. Several are filled once for each: keeping
    # the graphs of them all would cost the memory that they are there to save.
    once = fill(state, run.stages, batches[0], config) if len(batches) == 1 else None
    losses: dict[str, Tensor] = {}
    if adversarial(state, config):
        losses |= update_discriminator(state, run, batches, once, config)
    areas = mean_areas(batches, ranks) if config.l1 == "areas" else None
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
    """One step of the discriminator. The generator is a constant here, hence the detach.

    One forward pass over true and completed pictures, as the official code has it: one power
    iteration for both.
    """
    state.discriminator.requires_grad_(True)
    state.d_optimizer.zero_grad(set_to_none=True)
    means: dict[str, Tensor] = {}
    for batch, last in in_turn(batches, state.discriminator):
        with torch.no_grad():
            filled = once or fill(state, run.other_stages or run.stages, batch, config)
        pictures = torch.cat([batch.image, filled.completed.detach()])
        with sharing(run.score, last=last):
            loss = hinge_d(*scores(run.score, pictures, filled, config))
            (loss / len(batches)).backward()
        add(means, {"d": loss}, len(batches))
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
    for batch, last in in_turn(batches, state.discriminator):
        with sharing(run.stages, last=last):
            filled = once or fill(state, run.stages, batch, config)
            losses: dict[str, Tensor] = {}
            total = reconstruction(filled.fills, batch, config, losses, areas)
            total = total + feature_terms(run, filled, config, losses)
            if adversarial(state, config):
                score = run.other_score or run.score
                (fake,) = scores(score, filled.completed, filled, config)
                losses["g_adversarial"] = hinge_g(fake)
                total = total + config.gan_weight * losses["g_adversarial"]
            losses["g"] = total
            (total / len(batches)).backward()
        add(means, losses, len(batches))
    descend(state.g_optimizer, config.clip)
    return means


def adversarial(state: TrainState, config: TrainConfig) -> bool:
    """Whether the discriminator takes part in the update to come."""
    return config.gan_weight > 0 and state.step >= config.gan_start


def fill(
    state: TrainState, stages: Callable[..., tuple[Tensor, ...]], batch: Batch, config: TrainConfig
) -> Filled:
    """Run the generator on a micro-batch; fills are float32."""
    with autocast(batch.image, config):
        fills = stages(*network_inputs(state.generator, batch))
    fills = tuple(fill.float() for fill in fills)
    guides = [getattr(batch, port.name) for port in state.generator.contract.guides]
    return Filled(batch, guides, fills, complete(fills[-1], batch))


def in_turn(batches: Sequence[Batch], discriminator: nn.Module) -> Iterator[tuple[Batch, bool]]:
    """Each micro-batch and whether it is the last.

    Every one finds the spectral norms' vectors as the first one did. So the power iteration, which
    each pass of the discriminator makes, is the same for all of them and counts once.
    """
    before = [buffer.clone() for buffer in discriminator.buffers()] if len(batches) > 1 else []
    for i, batch in enumerate(batches):
        if i:
            for buffer, old in zip(discriminator.buffers(), before, strict=True):
                buffer.copy_(old)
        yield batch, i == len(batches) - 1


def mean_areas(batches: Sequence[Batch], ranks: Ranks) -> tuple[Tensor, Tensor]:
    """Pixels of the holes and of the known areas, means over the micro-batches of all processes.

    An area of which there is none at all counts as one pixel.
    """
    areas = torch.stack(
        [torch.stack([b.mask.sum(), (1 - b.mask).sum()]) for b in batches]
    ).mean(dim=0)  # fmt: skip
    hole, known = ranks.mean(areas).clamp(min=1 / (len(batches) * ranks.world))
    return hole, known


def reconstruction(
    fills: tuple[Tensor, ...],
    batch: Batch,
    config: TrainConfig,
    losses: dict[str, Tensor],
    areas: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """L1 of every stage; the last one counts whole, the earlier ones `coarse_weight`.

    `areas`: as `masked_l1` takes them, where `config.l1` is by areas.
    """
    total = torch.zeros((), device=batch.image.device)
    for i, fill in enumerate(fills):
        last = i == len(fills) - 1
        if config.l1 == "picture":
            loss = (fill - batch.image).abs().mean()
        else:
            known, hole = config.known_weight, config.hole_weight
            loss = masked_l1(fill, batch.image, batch.mask, known=known, hole=hole, areas=areas)
        losses["l1_refined" if last else "l1_coarse"] = loss
        total = total + loss * (1.0 if last else config.coarse_weight)
    return total


def feature_terms(
    run: Callables, filled: Filled, config: TrainConfig, losses: dict[str, Tensor]
) -> Tensor:
    """The perceptual and the style term, weighted, of completed pictures; 0 without features."""
    total = torch.zeros((), device=filled.completed.device)
    if run.features is None or not (config.perceptual_weight or config.style_weight):
        return total
    with autocast(filled.completed, config):
        features = run.features(torch.cat([filled.completed, filled.batch.image]))
    halves = [layer.float().chunk(2) for layer in features]
    mine, true = [a for a, _ in halves], [b for _, b in halves]
    if config.perceptual_weight:
        losses["perceptual"] = perceptual_l1(mine, true)
        total = total + config.perceptual_weight * losses["perceptual"]
    if config.style_weight:
        losses["style"] = style_l1(mine, true)
        total = total + config.style_weight * losses["style"]
    return total


def scores(
    score: Callable[..., Tensor], images: Tensor, filled: Filled, config: TrainConfig
) -> tuple[Tensor, ...]:
    """Discriminator scores, one tensor per batch in `images`."""
    count = len(images) // len(filled.batch.image)
    given = (filled.batch.mask, *filled.guides)
    mask, *drawn = (part.repeat(count, 1, 1, 1) for part in given)
    with autocast(images, config):
        found = score(images, mask, *drawn)
    return found.float().chunk(count)


def network_inputs(generator: Generator, batch: Batch) -> tuple[Tensor, ...]:
    """The batch in the order of the generator's contract."""
    return tuple(getattr(batch, port.name) for port in generator.contract.inputs)


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


def autocast(x: Tensor, config: TrainConfig) -> torch.autocast:
    """bfloat16 where the settings ask for it."""
    return torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=config.bf16)
