"""Losses of the papers as plain functions; each returns a scalar unless it says otherwise."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def hinge_d(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the discriminator, with the factor 1/2 of the official code."""
    return 0.5 * ((1 - real).relu().mean() + (1 + fake).relu().mean())


def hinge_g(fake: Tensor) -> Tensor:
    """Hinge loss of the generator (equation 4 of Yu et al. 2019); negative is normal."""
    return -fake.mean()


def least_squares_d(real: Tensor, fake: Tensor) -> Tensor:
    """Mao et al. 2017, equation 9."""
    return 0.5 * ((real - 1).square().mean() + fake.square().mean())


def least_squares_g(fake: Tensor) -> Tensor:
    """Mao et al. 2017, equation 9; without the factor 1/2, as neuralgym has it."""
    return (fake - 1).square().mean()


def log_d(real: Tensor, fake: Tensor) -> Tensor:
    """Goodfellow et al. 2014 on logits, both halves averaged."""
    return 0.5 * (F.softplus(-real).mean() + F.softplus(fake).mean())


def log_g(fake: Tensor) -> Tensor:
    """The non-saturating generator loss of Goodfellow et al. 2014."""
    return F.softplus(-fake).mean()


def wasserstein_d(real: Tensor, fake: Tensor) -> Tensor:
    """Arjovsky et al. 2017, equation 2, to be minimised."""
    return fake.mean() - real.mean()


def gradient_penalty(
    score: Callable[[Tensor], Tensor], x: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Mean over items of (|gradient of the score at x| - 1)^2 (Gulrajani et al. 2017, eq. 3).

    mask (N, 1, H, W) multiplies the squared gradient, as in SC-FEGAN.
    """
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(score(x).sum(), x, create_graph=True)
    squared = gradient.square() if mask is None else gradient.square() * mask
    return (squared.flatten(1).sum(dim=1).sqrt() - 1).square().mean()


def masked_l1(filled: Tensor, image: Tensor, mask: Tensor, *, known: float, hole: float) -> Tensor:
    """L1 averaged over the hole and over the known area, each with its weight.

    Averages run over the batch, so that an empty hole or an all-hole mask gives no division by 0.
    """
    error = (filled - image).abs().mean(dim=1, keepdim=True)
    return hole * area_mean(error, mask) + known * area_mean(error, 1 - mask)


def area_mean(values: Tensor, area: Tensor) -> Tensor:
    """Mean of `values` where `area` is 1; 0 for an empty area. Shapes alike."""
    return (values * area).sum() / area.sum().clamp(min=1)


def perceptual_l1(features: Sequence[Tensor], true_features: Sequence[Tensor]) -> Tensor:
    """Sum over layers of the mean absolute difference of features (Johnson et al. 2016)."""
    losses = [F.l1_loss(a, b) for a, b in zip(features, true_features, strict=True)]
    return torch.stack(losses).sum()
