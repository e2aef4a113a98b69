"""The game of generator and discriminator, in the forms of the papers.

hinge       Yu et al. 2019: SN-PatchGAN, hinge loss with the factor 1/2
linear      Jo and Park 2019: SN-PatchGAN, no hinge, but a gradient penalty inside the hole
multiscale  Park et al. 2019: two scales, hinge loss, features matched; the generator learns first
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from core.contract import Contract
from core.losses import feature_matching, gradient_penalty, hinge_d, hinge_g, linear_d
from core.models.discriminators import MultiscaleDiscriminator, SNPatchDiscriminator

from .config import TrainConfig
from .data.samples import Batch

SEEN = ("map", "labels", "instances")
"""Kinds of guides that a discriminator sees: lines that the generator is not given would tell true
pictures from completed ones, and noise tells nothing."""

Activations = list[list[Tensor]]
"""For each scale those of each layer, the last one being the scores."""


def build_discriminator(contract: Contract, config: TrainConfig) -> nn.Module:
    """A fresh one for pictures and guides of `contract`."""
    maps = sum(port.channels for port in contract.guides if port.kind in SEEN)
    if config.gan == "multiscale":
        return MultiscaleDiscriminator(maps + 3, config.d_width)
    return SNPatchDiscriminator(maps + 4, config.d_width)


def seen_guides(batch: Batch, contract: Contract) -> list[Tensor]:
    """The guides that the discriminator sees, in their order."""
    return [batch.guides[port.name] for port in contract.guides if port.kind in SEEN]


def judge(
    score: Callable[..., Any],
    pictures: list[Tensor],
    mask: Tensor,
    guides: list[Tensor],
    config: TrainConfig,
) -> list[Activations]:
    """What the discriminator makes of each batch of pictures, all in one forward pass, float32.

    One pass as in the official code of DeepFillv2: one power iteration for all.
    """
    count, images = len(pictures), torch.cat(pictures)
    given = [part.repeat(count, 1, 1, 1) for part in (mask, *guides)]
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=config.bf16):
        if config.gan == "multiscale":
            found: Activations = score(torch.cat([*given[1:], images], dim=1))
        else:
            found = [[score(images, *given)]]
    return [
        [[full_precision(layer).chunk(count)[i] for layer in scale] for scale in found]
        for i in range(count)
    ]


def full_precision(x: Tensor) -> Tensor:
    """Losses are sums over too many numbers for bfloat16."""
    return x.float() if x.dtype == torch.bfloat16 else x


def discriminator_loss(real: Activations, fake: Activations, config: TrainConfig) -> Tensor:
    """Mean over the scales."""
    losses = []
    for mine, true in zip(fake, real, strict=True):
        if config.gan == "linear":
            losses.append(linear_d(true[-1], mine[-1]))
        else:
            halved = hinge_d(true[-1], mine[-1])
            losses.append(halved if config.gan == "hinge" else 2 * halved)
    return torch.stack(losses).mean()


def generator_loss(fake: Activations) -> Tensor:
    """Mean over the scales; negative is normal."""
    return torch.stack([hinge_g(scale[-1]) for scale in fake]).mean()


def penalties(
    discriminator: nn.Module,
    real: Activations,
    batch: Batch,
    completed: Tensor,
    guides: list[Tensor],
    config: TrainConfig,
) -> dict[str, Tensor]:
    """What keeps the linear loss in bounds, unweighted (Jo and Park 2019, equations 6 to 8).

    penalty: that of the gradient inside the hole, between true and completed picture at a place
    that `batch.chance` says; drift: mean square of the true pictures' scores.
    """
    if config.gan != "linear":
        return {}
    assert batch.chance is not None  # every loaded batch has it
    share = batch.chance.view(-1, 1, 1, 1)
    between = batch.image + share * (completed - batch.image)
    # In full precision and not compiled: the gradient of a gradient is needed.
    penalty = gradient_penalty(lambda x: discriminator(x, batch.mask, *guides), between, batch.mask)
    return {"penalty": penalty, "drift": real[-1][-1].square().mean()}


def matching(real: Activations, fake: Activations, config: TrainConfig) -> dict[str, Tensor]:
    """The feature matching of the multi-scale game, unweighted."""
    return {"matching": feature_matching(fake, real)} if config.gan == "multiscale" else {}
