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
