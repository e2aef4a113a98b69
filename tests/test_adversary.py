"""The adversarial games: each as its paper or release has it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from vectors import Vectors, from_nvlabs

from core.config import SpadeConfig
from core.contract import Contract, Port
from core.models.discriminators import MultiscaleDiscriminator
from core.models.spade import SpadeGenerator
from core.semantic import instance_edges, one_hot
from trainer.adversary import build_discriminator, discriminator_loss, judge, penalties
from trainer.build import adam
from trainer.config import TrainConfig
from trainer.data.samples import Batch
from trainer.recipes import recipe
from trainer.step import Callables, TrainState, train_step


def settings(preset: str, **changes) -> TrainConfig:
    return TrainConfig(**({"data": ("x",), "out": Path("x"), "preset": preset, "ema": 0.0}
                          | recipe(preset) | changes))  # fmt: skip


@pytest.fixture(scope="module")
def release() -> Vectors:
    return Vectors("spade_train_step")


@pytest.fixture
def state(release) -> TrainState:
    config = SpadeConfig(
        labels=("a", "b", "c", "d"), instance_edges=True, width=1, norm="instance", native_size=64
    )
    generator = SpadeGenerator(config).double().train()
    generator.load_state_dict(from_nvlabs(release.under("state_G/")))
    discriminator = MultiscaleDiscriminator(8, release.config["ndf"]).double().train()
    discriminator.load_state_dict(from_nvlabs(release.under("state_D/")))
    rates = settings("spade")
    return TrainState(
        generator=generator,
        discriminator=discriminator,
        g_optimizer=adam(generator, rates.lr, rates),
        d_optimizer=adam(discriminator, rates.d_lr, rates),
        average=None,
    )


def released_batch(release: Vectors, state: TrainState) -> Batch:
    ports = {port.name: port for port in state.generator.contract.inputs}
    guides = {
        "semantic": one_hot(release["in/label"], ports["semantic"]).double(),
        "instances": instance_edges(release["in/instance"]).double(),
    }
    image = release["in/image"]
    return Batch(image, torch.ones_like(image[:, :1]), guides)


def test_maps_become_the_channels_of_the_release(release, state):
    guides = released_batch(release, state).guides
    torch.testing.assert_close(
        torch.cat(list(guides.values()), dim=1), release.mask("out/semantics")
    )


def test_two_updates_are_those_of_the_release(release, state):
    """Losses before each update, pictures, gradients, spectral vectors: all enter what follows."""
    config = settings("spade", perceptual_weight=0.0)
    run = Callables(state.generator.learn, state.discriminator.forward, None)
    batch = released_batch(release, state)
    for turn in ("iter1", "iter2"):
        fills = []
        losses = train_step(state, replace(run, learn=recorded(run.learn, fills)), [batch], config)
        expected = {
            "g_adversarial": release[f"out64/{turn}/GAN"],
            "matching": release[f"out64/{turn}/GAN_Feat"] / 10,
            "d": release[f"out64/{turn}/D_Fake"] + release[f"out64/{turn}/D_real"],
        }
        for name, value in expected.items():
            assert losses[name].item() == pytest.approx(value.item(), abs=1e-6), (turn, name)
        torch.testing.assert_close(fills[0], release[f"mid/{turn}/fake"], atol=1e-6, rtol=0)
        assert len(fills) == 2  # anew for the discriminator, from the generator that has learnt
        if turn == "iter1":
            gradients = {
                "conv_img": state.generator.conv_img,
                "fc": state.generator.fc,
                "up_2_conv_0": state.generator.up_2.conv_0,
            }
            for name, layer in gradients.items():
                torch.testing.assert_close(
                    layer.weight.grad, release[f"mid/grad_G_{name}"], atol=1e-6, rtol=1e-6
                )
            torch.testing.assert_close(
                state.discriminator.scales[0].layers[1].weight.grad,
                release["mid/grad_D_0_model1"],
                atol=1e-7,
                rtol=1e-6,
            )


def recorded(learn, fills):
    def call(*inputs):
        found = learn(*inputs)
        fills.append(found[0][-1].detach())
        return found

    return call


GUIDED = Contract(
    inputs=(
        Port("image", 3, -1.0, 1.0),
        Port("mask", 1),
        Port("sketch", 1),
        Port("color", 3),
        Port("noise", 1, kind="noise"),
        Port("style", 16, kind="vector"),
    ),
    output=Port("filled", 3, -1.0, 1.0),
    multiple_of=8,
)


def test_the_discriminator_sees_maps_but_neither_noise_nor_style():
    patch = build_discriminator(GUIDED, settings("scfegan-tiny"))
    assert patch.layers.conv1.conv.in_channels == 3 + 1 + 1 + 3
    scales = build_discriminator(GUIDED, settings("spade-tiny"))
    assert scales.scales[0].layers[0].in_channels == 3 + 1 + 3  # no mask, as in the release


def test_the_linear_game_is_that_of_the_paper():
    """Scores 3 and 5 for true, -1 and 2 for completed pictures: mean(1 - D) + mean(1 + D)."""
    config = settings("scfegan-tiny")
    real, fake = [[torch.tensor([3.0, 5.0])]], [[torch.tensor([-1.0, 2.0])]]
    assert discriminator_loss(real, fake, config).item() == pytest.approx(-3.0 + 1.5)
    hinge = discriminator_loss(real, fake, replace(config, gan="hinge"))
    assert hinge.item() == pytest.approx(0.5 * (0.0 + (0.0 + 3.0) / 2))


def test_the_penalty_is_of_the_gradient_inside_the_hole_between_the_pictures():
    """D(x) = sum of k x^2 / 2 has the gradient k x, whose length inside the hole is known."""
    config = settings("scfegan-tiny")
    image = torch.full((2, 3, 4, 4), 1.0)
    completed = torch.full((2, 3, 4, 4), 3.0)
    mask = torch.zeros(2, 1, 4, 4)
    mask[..., :2, :] = 1  # 8 pixels, 24 values
    batch = Batch(image, mask, {}, torch.tensor([0.5, 0.0]))

    def discriminator(x, mask):
        return 0.25 * x.square() / 2

    real = [[torch.tensor([[2.0], [4.0]])]]
    found = penalties(discriminator, real, batch, completed, [], config)
    # At 2 and at 1 of every value: lengths 0.25 * (2, 1) * sqrt(24).
    lengths = [0.25 * place * 24**0.5 for place in (2.0, 1.0)]
    expected = sum((length - 1) ** 2 for length in lengths) / 2
    assert found["penalty"].item() == pytest.approx(expected)
    assert found["drift"].item() == pytest.approx((4 + 16) / 2)
    assert penalties(discriminator, real, batch, completed, [], replace(config, gan="hinge")) == {}


def test_true_and_completed_pictures_are_judged_in_one_pass():
    calls = []

    def score(images, mask):
        calls.append(len(images))
        return images.mean(dim=(1, 2, 3))[:, None]

    pictures = [torch.zeros(2, 3, 8, 8), torch.ones(2, 3, 8, 8)]
    real, fake = judge(score, pictures, torch.zeros(2, 1, 8, 8), [], settings("scfegan-tiny"))
    assert calls == [4]
    assert real[-1][-1].tolist() == [[0.0]] * 2 and fake[-1][-1].tolist() == [[1.0]] * 2
