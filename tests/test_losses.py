"""Losses against the official code's numbers and at points that can be computed by hand."""

import pytest
import torch
import torch.nn.functional as F
from vectors import Vectors

from core import losses

GAN = Vectors("gan_losses_neuralgym")
INPAINTING = Vectors("inpainting_losses")


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


def test_layers_of_the_perceptual_term_weigh_as_asked():
    one, two = torch.zeros(1, 2, 2, 2), torch.zeros(1, 4, 1, 1)
    loss = losses.perceptual_l1([one + 1, two + 3], [one, two], [1 / 4, 2])
    assert loss.item() == 1 / 4 * 1 + 2 * 3
    with pytest.raises(ValueError, match="zip"):
        losses.perceptual_l1([one, two], [one, two], [1.0])


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


def extracted(x):
    """Three layers of the small fixed extractor of the vectors."""
    layers = []
    for name in ("w1", "w2", "w3"):
        x = F.max_pool2d(F.conv2d(x, INPAINTING[f"state/{name}"], padding=1).relu(), 2)
        layers.append(x)
    return layers


@pytest.fixture(scope="module")
def pictures():
    """The output, its composite, the truth, and the hole (the vectors' masks are 1 outside it)."""
    valid = INPAINTING.mask("in/mask")[:, :1]
    output = INPAINTING["in/output"]
    return (
        output,
        valid * INPAINTING["in/input"] + (1 - valid) * output,
        INPAINTING["in/gt"],
        1 - valid,
    )


def close(found, name):
    torch.testing.assert_close(found, INPAINTING[f"out64/{name}"], atol=1e-12, rtol=1e-10)


def test_gram_matrices_are_those_of_both_publications(pictures):
    for i, layer in enumerate(extracted(pictures[0])):
        close(layer, f"feat_out/{i}")
        close(losses.gram(layer), f"gram_naoto/{i}")
        close(losses.gram(layer), f"gram_nvidia/{i}")


def test_hole_and_valid_terms_are_the_published_ones(pictures):
    """They are means over all values, which the areas say here."""
    output, _, true, hole = pictures
    all_of_it = (torch.tensor(float(hole.numel())),) * 2
    for name, known, inside in (("valid", 1.0, 0.0), ("hole", 0.0, 1.0)):
        loss = losses.masked_l1(output, true, hole, known=known, hole=inside, areas=all_of_it)
        close(loss, name)
    both = losses.masked_l1(output, true, hole, known=1.0, hole=1.0, areas=all_of_it)
    close(both, "scfegan_perpixel_alpha1")


def test_perceptual_and_style_terms_are_the_published_ones(pictures):
    output, composite, true = (extracted(x) for x in pictures[:3])
    of_output, of_composite = losses.style_l1(output, true), losses.style_l1(composite, true)
    close(of_output + of_composite, "style")
    close(of_output, "scfegan_style_gen")
    close(of_composite, "scfegan_style_comp")
    perceptual = losses.perceptual_l1(output, true) + losses.perceptual_l1(composite, true)
    close(perceptual, "prc")
    close(perceptual, "scfegan_percept")


def test_total_variation_of_whole_pictures_is_the_published_one(pictures):
    _, composite, true, hole = pictures
    close(losses.total_variation(composite), "tv")
    close(losses.total_variation(true), "tv_of_gt")
    dilated = F.max_pool2d(hole, 3, stride=1, padding=1)
    each = [losses.total_variation(x[None]) for x in composite * dilated]
    close(torch.stack(each), "tv_keras_dilated_product")


def test_total_variation_of_a_region_counts_the_pairs_that_lie_in_it():
    """Equation 7 of Liu et al. 2018 as sums, one by one."""
    torch.manual_seed(0)
    x, region = torch.rand(2, 3, 5, 6), (torch.rand(2, 1, 5, 6) > 0.4).float()
    expected = 0.0
    for n in range(2):
        for i in range(5):
            for j in range(6):
                for k, m in ((i + 1, j), (i, j + 1)):
                    if k < 5 and m < 6 and region[n, 0, i, j] and region[n, 0, k, m]:
                        expected += float((x[n, :, k, m] - x[n, :, i, j]).abs().sum()) / x.numel()
    assert losses.total_variation(x, region).item() == pytest.approx(expected, rel=1e-5)
    assert losses.total_variation(x, torch.zeros_like(region)).item() == 0


def test_the_unbounded_discriminator_loss_by_hand():
    """Equation 7 of Jo and Park 2019: (1 - 3 + 1 - 1) / 2 + (1 - 5 + 1 + 2) / 2."""
    real, fake = torch.tensor([3.0, 1.0]), torch.tensor([-5.0, 2.0])
    assert losses.linear_d(real, fake).item() == -1 - 0.5
