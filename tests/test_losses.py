"""Losses against the official code's numbers and at points that can be computed by hand."""

import pytest
import torch
import torch.nn.functional as F
from vectors import Vectors

from core import losses

GAN = Vectors("gan_losses_neuralgym")


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("hinge", losses.hinge_d),
        ("ls", losses.least_squares_d),
        ("log", losses.log_d),
        ("wgan", losses.wasserstein_d),
    ],
)
def test_discriminator_losses_are_the_official_ones(name, function):
    torch.testing.assert_close(
        function(GAN["in/pos"], GAN["in/neg"]),
        GAN[f"out64/d_{name}"].squeeze(),
        atol=1e-9,
        rtol=1e-7,
    )


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("hinge", losses.hinge_g),
        ("ls", losses.least_squares_g),
        ("log", losses.log_g),
        ("wgan", losses.hinge_g),
    ],
)
def test_generator_losses_are_the_official_ones(name, function):
    torch.testing.assert_close(
        function(GAN["in/neg"]), GAN[f"out64/g_{name}"].squeeze(), atol=1e-9, rtol=1e-7
    )


@pytest.mark.parametrize("masked", [False, True])
def test_gradient_penalty_is_the_official_one(masked):
    alpha = GAN["in/alpha"].reshape(-1, 1, 1, 1)
    between = GAN["in/x"] + alpha * (GAN["in/y"] - GAN["in/x"])
    torch.testing.assert_close(between, GAN["out64/interp"], atol=1e-6, rtol=0)
    kernels = [GAN[f"in/kernel{i}"].permute(3, 2, 0, 1) for i in (1, 2)]

    def score(x):
        return F.conv2d(F.conv2d(x, kernels[0], stride=2).tanh(), kernels[1], stride=2)

    penalty = losses.gradient_penalty(score, between, GAN["in/mask"] if masked else None)
    expected = GAN["out64/gp_masked" if masked else "out64/gp"]
    torch.testing.assert_close(penalty, expected.squeeze(), atol=1e-6, rtol=1e-6)


def test_hole_and_known_area_are_averaged_apart():
    image = torch.zeros(1, 3, 2, 4)
    mask = torch.zeros(1, 1, 2, 4)
    mask[..., 0] = 1
    filled = torch.where(mask.bool(), 0.5, 0.1).expand_as(image)
    loss = losses.masked_l1(filled, image, mask, known=0.3, hole=2.0)
    assert loss.item() == pytest.approx(2 * 0.5 + 0.3 * 0.1)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_empty_area_adds_nothing(value):
    image, mask = torch.rand(1, 3, 4, 4), torch.full((1, 1, 4, 4), value)
    loss = losses.masked_l1(1 - image, image, mask, known=1, hole=1)
    torch.testing.assert_close(loss, (1 - 2 * image).abs().mean())


def test_perceptual_term_adds_the_layers_up():
    one, two = torch.zeros(1, 2, 2, 2), torch.zeros(1, 4, 1, 1)
    assert losses.perceptual_l1([one + 1, two + 3], [one, two]).item() == 4


def test_style_compares_which_channels_go_together():
    """Equations 5 and 6 of Liu et al. 2018 as sums, one by one."""
    torch.manual_seed(0)
    layers = [(torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)), (torch.ones(2, 1, 2, 2),) * 2]
    expected = 0.0
    for mine, true in layers:
        n, c, h, w = mine.shape
        for item in range(n):
            for i in range(c):
                for j in range(c):
                    products = [(x[item, i] * x[item, j]).sum() / (c * h * w) for x in (mine, true)]
                    expected += float((products[0] - products[1]).abs()) / (c * c) / n
    found = losses.style_l1([a for a, _ in layers], [b for _, b in layers])
    assert found.item() == pytest.approx(expected, rel=1e-5)
    shuffled = layers[0][0].flatten(2)[..., torch.randperm(20)].unflatten(2, (4, 5))
    assert losses.style_l1([shuffled], [layers[0][0]]).item() < 1e-6  # where does not matter


def test_areas_of_a_larger_batch_make_the_mean_of_its_parts_its_loss():
    """Two parts whose holes are of 1 and 7 of 8 pixels; known areas of 7 and 1."""
    image, filled = torch.zeros(2, 3, 2, 4), torch.rand(2, 3, 2, 4)
    mask = torch.zeros(2, 1, 2, 4)
    mask[0, :, 0, 0] = 1
    mask[1, :, :, 1:] = 1
    mask[1, :, 1, 0] = 1
    whole = losses.masked_l1(filled, image, mask, known=0.3, hole=2.0)
    areas = (torch.tensor(4.0), torch.tensor(4.0))
    parts = [
        losses.masked_l1(
            filled[i : i + 1], image[i : i + 1], mask[i : i + 1], known=0.3, hole=2.0, areas=areas
        )
        for i in range(2)
    ]
    torch.testing.assert_close((parts[0] + parts[1]) / 2, whole)
