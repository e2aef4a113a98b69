"""The terms of the generator's loss: each by hand on pictures that are easy to reckon with."""

from pathlib import Path

import pytest
import torch

from trainer.config import TrainConfig
from trainer.data.samples import Batch
from trainer.recipes import recipe
from trainer.terms import Filled, terms


def settings(preset: str = "pconv-tiny", **changes) -> TrainConfig:
    nothing = {"l1_weight": 0.0, "perceptual_weight": 0.0, "style_weight": 0.0, "tv_weight": 0.0}
    given = {"data": ("x",), "out": Path("x"), "preset": preset, "batch": 2}
    return TrainConfig(**(recipe(preset) | given | nothing | changes))


def filled(extras: dict[str, torch.Tensor] | None = None) -> Filled:
    """True pictures of 0; fills of 0.5 in the hole, the upper quarter, and of 0.2 elsewhere."""
    image, mask = torch.zeros(2, 3, 8, 8), torch.zeros(2, 1, 8, 8)
    mask[..., :2, :] = 1
    fill = 0.2 + 0.3 * mask.expand(-1, 3, -1, -1)
    return Filled(Batch(image, mask, {}), (fill,), extras or {}, fill * mask)


def test_weighted_l1_is_one_mean_in_which_the_hole_counts_more():
    losses: dict[str, torch.Tensor] = {}
    config = settings(l1_weight=2.0, hole_weight=6.0, known_weight=1.0)
    total = terms(filled(), None, config, losses)
    assert losses["l1_refined"].item() == pytest.approx(6 * 0.5 / 4 + 0.2 * 3 / 4)
    assert total.item() == pytest.approx(2 * losses["l1_refined"].item())


def test_total_variation_is_that_of_the_completed_picture_across_the_seam():
    """The step of 0.5 from the hole to the row below: 8 of 64 pixels, in each of 3 channels."""
    losses: dict[str, torch.Tensor] = {}
    total = terms(filled(), None, settings(tv_weight=0.1), losses)
    assert losses["tv"].item() == pytest.approx(0.5 * 8 / 64)
    assert total.item() == pytest.approx(0.1 * losses["tv"].item())


def mean_colour(x: torch.Tensor) -> list[torch.Tensor]:
    """Two layers: the mean of the picture, and twice that."""
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return [mean, 2 * mean]


MEANS = {"output": 0.2 + 0.3 / 4, "completed": 0.5 / 4}


@pytest.mark.parametrize(
    ("of", "expected"),
    [*MEANS.items(), ("both", sum(MEANS.values()))],
)
def test_features_are_those_of_the_pictures_that_the_settings_name(of, expected):
    losses: dict[str, torch.Tensor] = {}
    config = settings(perceptual_weight=0.5, features_of=of)
    total = terms(filled(), mean_colour, config, losses)
    assert losses["perceptual"].item() == pytest.approx(3 * expected)
    assert total.item() == pytest.approx(1.5 * expected)


def test_deeper_layers_weigh_more_where_spade_says_so():
    losses: dict[str, torch.Tensor] = {}
    config = settings(perceptual_weight=1.0, features_of="output", feature_layers="rising")
    terms(filled(), mean_colour, config, losses)
    assert losses["perceptual"].item() == pytest.approx((1 / 4 + 2) * MEANS["output"])


def test_style_compares_gram_matrices():
    losses: dict[str, torch.Tensor] = {}
    config = settings(style_weight=120.0, features_of="completed")
    total = terms(filled(), mean_colour, config, losses)
    squares = MEANS["completed"] ** 2 * (1 + 4)  # one channel, one pixel
    assert losses["style"].item() == pytest.approx(squares)
    assert total.item() == pytest.approx(120 * squares)


@pytest.mark.parametrize("batch", [2, 8])
def test_the_divergence_is_summed_over_the_whole_batch(batch):
    """A mean of 1 in each of 3 numbers: 0.5 each; two items here, `batch` of them in all."""
    extras = {"mean": torch.ones(2, 3), "log_variance": torch.zeros(2, 3)}
    losses: dict[str, torch.Tensor] = {}
    total = terms(filled(extras), None, settings(batch=batch, kl_weight=0.05), losses)
    assert losses["kl"].item() == pytest.approx(batch * 3 * 0.5)
    assert total.item() == pytest.approx(0.05 * batch * 1.5)
