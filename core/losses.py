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


def masked_l1(
    filled: Tensor,
    image: Tensor,
    mask: Tensor,
    *,
    known: float,
    hole: float,
    areas: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """L1 averaged over the hole and over the known area, each with its weight.

    Averages run over the batch, so that an empty hole or an all-hole mask gives no division by 0.
    `areas`, pixels of the hole and of the known area, are divided by in place of those of `mask`:
    with their means over the parts of a larger batch, the mean of the parts' losses is its loss.
    """
    error = (filled - image).abs().mean(dim=1, keepdim=True)
    holes, knowns = areas or (None, None)
    return hole * area_mean(error, mask, holes) + known * area_mean(error, 1 - mask, knowns)


def area_mean(values: Tensor, area: Tensor, pixels: Tensor | None = None) -> Tensor:
    """Mean of `values` where `area` is 1, or their sum over `pixels`; 0 for an empty area."""
    return (values * area).sum() / (area.sum().clamp(min=1) if pixels is None else pixels)


def perceptual_l1(
    features: Sequence[Tensor],
    true_features: Sequence[Tensor],
    weights: Sequence[float] | None = None,
) -> Tensor:
    """Sum over layers of the mean absolute difference of features (Johnson et al. 2016).

    weights: one for each layer; None = all 1.
    """
    weights = [1.0] * len(features) if weights is None else weights
    layers = zip(features, true_features, weights, strict=True)
    return torch.stack([weight * F.l1_loss(a, b) for a, b, weight in layers]).sum()


def style_l1(features: Sequence[Tensor], true_features: Sequence[Tensor]) -> Tensor:
    """L1 between Gram matrices of features, summed over layers, mean over items.

    Liu et al. 2018, "Image Inpainting for Irregular Holes Using Partial Convolutions", equations
    5 and 6: which features go together, wherever they are, which is what a texture is.
    features: layers (N, C, h, w), float32 (sums over pixels are too long for half precision).
    """
    pairs = zip(features, true_features, strict=True)
    return torch.stack([F.l1_loss(gram(a), gram(b)) for a, b in pairs]).sum()


def gram(features: Tensor) -> Tensor:
    """Products of channels, their sums over pixels divided by C h w: (N, C, h, w) -> (N, C, C)."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])


def balanced_cross_entropy(logits: Tensor, strength: Tensor, *, positive: float) -> Tensor:
    """Class-balanced cross entropy of edge maps (Xie and Tu 2015, eq. 2), mean over the batch.

    logits (N, 1, H, W); strength (N, 1, H, W) in [0, 1], the share of annotators who drew an edge.
    Pixels above `positive` are edges, those at 0 are not, those between do not count (Liu et al.
    2017, section 3.2). Each class weighs as the other's share of its picture, non-edges 1.1 times;
    per picture the weighted sum is divided by the number of its edges, so that sizes compare.
    """
    edge, ground = (strength > positive).float(), (strength == 0).float()
    edges, grounds = (x.sum(dim=(1, 2, 3), keepdim=True) for x in (edge, ground))
    counted = (edges + grounds).clamp(min=1)
    weight = edge * grounds / counted + 1.1 * ground * edges / counted
    loss = weight * F.binary_cross_entropy_with_logits(logits, edge, reduction="none")
    return (loss.sum(dim=(1, 2, 3), keepdim=True) / edges.clamp(min=1)).mean()


def total_variation(x: Tensor, region: Tensor | None = None) -> Tensor:
    """Mean absolute difference of neighbours to the right plus that of neighbours below.

    x (N, C, H, W). With `region` (N, 1, H, W), 1 = counts, the sums run over the pairs that lie in
    it and are divided by the number of all values (Liu et al. 2018, equation 7; there the region is
    the hole and one pixel round it).
    """
    right, below = (x[..., :, 1:] - x[..., :, :-1]).abs(), (x[..., 1:, :] - x[..., :-1, :]).abs()
    if region is None:
        return right.mean() + below.mean()
    right = right * region[..., :, 1:] * region[..., :, :-1]
    below = below * region[..., 1:, :] * region[..., :-1, :]
    return (right.sum() + below.sum()) / x.numel()


def linear_d(real: Tensor, fake: Tensor) -> Tensor:
    """Mean of 1 - real plus mean of 1 + fake (Jo and Park 2019, equation 7).

    It has no bound, which is why the gradient penalty goes with it.
    """
    return (1 - real).mean() + (1 + fake).mean()


def feature_matching(fake: Sequence[Sequence[Tensor]], real: Sequence[Sequence[Tensor]]) -> Tensor:
    """L1 between the discriminator's activations, mean over scales, sum over layers but the last.

    Wang et al. 2018, equation 4; no gradient passes to the true side. fake, real: for each scale
    the activations of each layer, the last one being the scores.
    """
    scales = zip(fake, real, strict=True)
    sums = [perceptual_l1(mine[:-1], [x.detach() for x in true[:-1]]) for mine, true in scales]
    return torch.stack(sums).mean()


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Of N(mean, variance) from N(0, 1), summed over items and numbers: (N, C) each.

    Kingma and Welling 2014, appendix B.
    """
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()
