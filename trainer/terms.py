"""The terms of the generator's loss beside the adversarial one; each notes its value by name."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from core.crop import grow
from core.losses import kl_divergence, masked_l1, perceptual_l1, style_l1, total_variation

from .config import TrainConfig
from .data.samples import Batch

VGG_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Of the layers of VGG19, as the releases of pix2pixHD and SPADE have them; of a network with
fewer layers the last ones."""


@dataclass(frozen=True)
class Filled:
    """A micro-batch and what the generator makes of it."""

    batch: Batch
    fills: tuple[Tensor, ...]
    """Of every stage."""
    extras: dict[str, Tensor]
    """What else the generator's own losses need (see `Generator.learn`)."""
    completed: Tensor


def terms(
    filled: Filled,
    features: Callable[[Tensor], list[Tensor]] | None,
    config: TrainConfig,
    losses: dict[str, Tensor],
    areas: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """The weighted sum of all terms; `losses` gets each of them, unweighted."""
    total = torch.zeros((), device=filled.completed.device)
    if config.l1_weight:
        found = reconstruction(filled.fills, filled.batch, config, losses, areas)
        total = total + config.l1_weight * found
    if features is not None and (config.perceptual_weight or config.style_weight):
        total = total + feature_terms(features, filled, config, losses)
    if config.tv_weight:
        # The hole and one pixel round it, so that the seam counts (Liu et al. 2018, section 3.3).
        losses["tv"] = total_variation(filled.completed, grow(filled.batch.mask, 1))
        total = total + config.tv_weight * losses["tv"]
    if "log_variance" in filled.extras:
        # A sum over the batch: the mean over its parts must be that of the whole.
        parts = config.batch / len(filled.completed)
        losses["kl"] = parts * kl_divergence(**filled.extras)
        total = total + config.kl_weight * losses["kl"]
    return total


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
        loss = _l1(fill, batch, config, areas)
        losses["l1_refined" if last else "l1_coarse"] = loss
        total = total + loss * (1.0 if last else config.coarse_weight)
    return total


def _l1(
    fill: Tensor, batch: Batch, config: TrainConfig, areas: tuple[Tensor, Tensor] | None
) -> Tensor:
    known, hole = config.known_weight, config.hole_weight
    if config.l1 == "areas":
        return masked_l1(fill, batch.image, batch.mask, known=known, hole=hole, areas=areas)
    error = (fill - batch.image).abs()
    if config.l1 == "weighted":
        error = error * (hole * batch.mask + known * (1 - batch.mask))
    return error.mean()


def feature_terms(
    features: Callable[[Tensor], list[Tensor]],
    filled: Filled,
    config: TrainConfig,
    losses: dict[str, Tensor],
) -> Tensor:
    """The perceptual and the style term, weighted; of two pictures their sums."""
    total = torch.zeros((), device=filled.completed.device)
    wanted = {"output": [filled.fills[-1]], "completed": [filled.completed]}
    wanted["both"] = wanted["output"] + wanted["completed"]
    pictures = [filled.batch.image, *wanted[config.features_of]]
    images = torch.cat(pictures)
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=config.bf16):
        found = features(images)
    true, *mine = zip(*(layer.float().chunk(len(pictures)) for layer in found), strict=True)
    if config.perceptual_weight:
        rising = config.feature_layers == "rising"
        weights = VGG_WEIGHTS[-len(true) :] if rising else None
        each = [perceptual_l1(layers, true, weights) for layers in mine]
        losses["perceptual"] = torch.stack(each).sum()
        total = total + config.perceptual_weight * losses["perceptual"]
    if config.style_weight:
        losses["style"] = torch.stack([style_l1(layers, true) for layers in mine]).sum()
        total = total + config.style_weight * losses["style"]
    return total
