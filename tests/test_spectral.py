"""Spectral and synchronised normalisation, and SPADE's discriminator against NVlabs' code."""

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from vectors import Vectors, from_nvlabs

from core import losses
from core.layers.spade import SyncBatchNorm2d
from core.layers.spectral import SpectralConv2d
from core.models.discriminators import MultiscaleDiscriminator

NVLABS = Vectors("spade_discriminator")
SIZES = ["48x64", "37x50"]
Activations = list[list[Tensor]]


def test_a_kernel_is_divided_by_its_largest_singular_value():
    torch.manual_seed(0)
    layer = SpectralConv2d(5, 7, 3, bias=False).double()
    x = torch.randn(1, 5, 9, 9).double()
    for _ in range(300):
        layer(x)
    largest = torch.linalg.svdvals(layer.weight.flatten(1))[0]
    expected = nn.functional.conv2d(x, layer.weight / largest)
    torch.testing.assert_close(layer(x), expected, atol=1e-7, rtol=0)
    torch.testing.assert_close(layer.eval()(x), expected, atol=1e-7, rtol=0)


def test_each_training_forward_is_that_of_pytorchs_own():
    """Values, vectors and gradients of `torch.nn.utils.spectral_norm`, three steps long."""
    torch.manual_seed(0)
    mine = SpectralConv2d(4, 6, 3, padding=1).double()
    plain = nn.Conv2d(4, 6, 3, padding=1).double()
    plain.load_state_dict({"weight": mine.weight, "bias": mine.bias})
    theirs = nn.utils.spectral_norm(plain)
    theirs.weight_u.copy_(mine.u)
    theirs.weight_v.copy_(mine.v)
    for mode in (False, True, True, True, False):
        x = torch.randn(2, 4, 6, 6).double()
        gradients = []
        for layer, weight in ((mine.train(mode), mine.weight), (theirs.train(mode), None)):
            weight = layer.weight_orig if weight is None else weight
            (gradient,) = torch.autograd.grad(layer(x).square().sum(), weight)
            gradients.append(gradient)
        torch.testing.assert_close(mine(x), theirs(x))
        torch.testing.assert_close(*gradients)
        torch.testing.assert_close(mine.u, theirs.weight_u)
        torch.testing.assert_close(mine.v, theirs.weight_v)


def test_two_forwards_before_the_backward_and_copies_afterwards_work():
    torch.manual_seed(0)
    layer = SpectralConv2d(4, 6, 3)
    x = torch.randn(2, 4, 6, 6)
    (layer(x).square().sum() + layer(-x).square().sum()).backward()
    for other in (copy.deepcopy(layer), AveragedModel(layer).module):
        assert torch.equal(other.eval()(x), layer.eval()(x))
    assert layer.weight.grad is not None and layer.weight.grad.isfinite().all()


def test_a_fresh_layer_does_not_blow_up_in_evaluation():
    """Vectors at random would give a norm near 0; after an iteration it is near the right one."""
    torch.manual_seed(0)
    for _ in range(50):
        layer = SpectralConv2d(32, 32, 3, bias=False).eval()
        largest = torch.linalg.svdvals(layer.weight.flatten(1))[0]
        x = torch.zeros(1, 32, 3, 3)
        x[0, 0, 1, 1] = 1
        sigma = layer.weight[0, 0, 1, 1] / layer(x)[0, 0, 0, 0]
        assert 0.4 * largest < sigma <= 1.0001 * largest


def test_the_norm_is_computed_in_single_precision_where_autocast_is_on():
    torch.manual_seed(0)
    layer = SpectralConv2d(4, 6, 3)
    other, x = copy.deepcopy(layer), torch.randn(1, 4, 6, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
    other(x)
    assert y.dtype == torch.bfloat16
    assert torch.equal(layer.u, other.u) and torch.equal(layer.v, other.v)
    y.float().sum().backward()
    assert layer.weight.grad.isfinite().all()


def discriminator() -> MultiscaleDiscriminator:
    network = MultiscaleDiscriminator(8, width=4).double()
    network.load_state_dict(from_nvlabs(NVLABS.under("state/")))
    return network.eval()


def halves(found: Activations) -> tuple[Activations, Activations]:
    """Of the fake and the real pictures, which went through as one batch."""
    pairs = [[x.chunk(2) for x in scale] for scale in found]
    return [[a for a, _ in scale] for scale in pairs], [[b for _, b in scale] for scale in pairs]


@pytest.mark.parametrize("size", SIZES)
def test_every_activation_of_the_discriminator_is_nvlabs(size):
    network, x = discriminator(), NVLABS[f"{size}/in/x"]
    found, single = network(x), copy.deepcopy(network).float()(x.float())
    assert [len(scale) for scale in found] == [5, 5]
    for i, scale in enumerate(found):
        for j, activation in enumerate(scale):
            expected = NVLABS[f"out64/{size}/out/{i}/{j}"]
            torch.testing.assert_close(activation, expected, atol=1e-6, rtol=0)
            limit = 10 * NVLABS.config["tolerance_f32_vs_f64"][f"{size}/out/{i}/{j}"]["maxabs"]
            torch.testing.assert_close(single[i][j].double(), expected, atol=limit, rtol=0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("name", "d_loss", "share", "g_loss"),
    [
        ("hinge", losses.hinge_d, 0.5, losses.hinge_g),
        ("ls", losses.least_squares_d, 0.5, losses.least_squares_g),
        ("original", losses.log_d, 0.5, losses.log_g),
        ("w", losses.wasserstein_d, 1.0, losses.hinge_g),
    ],
)
def test_its_losses_are_nvlabs(size, name, d_loss, share, g_loss):
    """They are means over the scales; `share`: ours take half of the sum of the two sides."""
    fake, real = halves(discriminator()(NVLABS[f"{size}/in/x"]))
    pairs = [(a[-1], b[-1]) for a, b in zip(fake, real, strict=True)]
    expected = {
        side: NVLABS[f"out64/{size}/loss/{name}/{side}"] for side in ("D_fake", "D_real", "G")
    }
    d = torch.stack([d_loss(b, a) for a, b in pairs]).mean()
    torch.testing.assert_close(d, share * (expected["D_fake"] + expected["D_real"]))
    torch.testing.assert_close(torch.stack([g_loss(a) for a, _ in pairs]).mean(), expected["G"])


@pytest.mark.parametrize("size", SIZES)
def test_feature_matching_is_nvlabs(size):
    fake, real = halves(discriminator()(NVLABS[f"{size}/in/x"]))
    loss = 10 * losses.feature_matching(fake, real)
    torch.testing.assert_close(loss, NVLABS[f"out64/{size}/loss/GAN_Feat_lambda10"])


def test_feature_matching_by_hand_and_without_a_gradient_for_the_true_side():
    """Two scales of two layers and scores: (1 + 2 + 3 + 4) / 2; the scores' 100 do not count."""
    true = [[torch.zeros(1, 1, 2, 2, requires_grad=True) for _ in range(3)] for _ in range(2)]
    steps = [[1.0, -2.0, 100.0], [3.0, -4.0, 100.0]]
    mine = [
        [(x + d).detach() for x, d in zip(*pair, strict=True)]
        for pair in zip(true, steps, strict=True)
    ]
    mine[0][0].requires_grad_()
    loss = losses.feature_matching(mine, true)
    assert loss.item() == 5
    loss.backward()
    assert mine[0][0].grad.any() and all(x.grad is None for scale in true for x in scale)


def test_gradients_reach_every_parameter_of_the_discriminator():
    torch.manual_seed(0)
    network = MultiscaleDiscriminator(8, width=4)
    sum(x.square().sum() for scale in network(torch.randn(1, 8, 32, 48)) for x in scale).backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in network.parameters())


def batch(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Values far from 0 and how much each counts in the loss; both halves differ."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 3, 5, 6, generator=generator, dtype=torch.float64)
    x = x * torch.tensor([1.0, 0.1, 3.0]).view(1, 3, 1, 1) + 300
    x[2:] += 1
    weight = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    return x.to(dtype), weight.to(dtype)


def normalise(norm: nn.BatchNorm2d, x: Tensor, weight: Tensor) -> dict[str, Tensor]:
    """A forward and a backward, and all that comes of it."""
    norm.load_state_dict(norm.state_dict() | {"weight": torch.tensor([1.0, 2.0, 3.0])})
    x = x.clone().requires_grad_()
    y = norm(x)
    (y * weight).sum().backward()
    state = {name: value.clone() for name, value in norm.state_dict().items()}
    own = {"y": y.detach(), "dx": x.grad, "dw": norm.weight.grad, "db": norm.bias.grad}
    return state | {name: value for name, value in own.items() if value is not None}


def half_of_each(rank: int, folder: Path) -> dict[str, dict[str, Tensor]]:
    """Process `rank` of two: its half of the batch in each precision, and evaluation."""
    with group_of_two(rank, folder):
        found = {}
        for dtype in (torch.float64, torch.float32, torch.bfloat16):
            wide = torch.promote_types(dtype, torch.float32)
            x, weight = (part.chunk(2)[rank] for part in batch(dtype))
            norm = SyncBatchNorm2d(3).to(wide)
            found[str(dtype)] = normalise(norm, x, weight)
            found[f"{dtype} eval"] = {"y": norm.eval()(x).detach()}
    torch.save(found, folder / f"{rank}.pt")
    return found


@contextmanager
def group_of_two(rank: int, folder: Path) -> Iterator[None]:
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "store"), 2)
    dist.init_process_group(
        "gloo", store=store, rank=rank, world_size=2, timeout=timedelta(minutes=2)
    )
    try:
        yield
    finally:
        dist.destroy_process_group()


def test_batch_normalisation_of_two_processes_is_that_of_one_with_both_halves(tmp_path):
    other = get_context("spawn").Process(target=half_of_each, args=(1, tmp_path))
    other.start()
    found = [half_of_each(0, tmp_path)]
    other.join(120)
    assert other.exitcode == 0
    found.append(torch.load(tmp_path / "1.pt"))
    x, weight = batch(torch.float64)
    whole = nn.BatchNorm2d(3).double()
    expected = normalise(whole, x, weight)
    after = whole.eval()(x).detach()
    for dtype, limit in ((torch.float64, 1e-9), (torch.float32, 2e-3)):
        first, second = (part[str(dtype)] for part in found)
        joined = {name: torch.cat([first[name], second[name]]) for name in ("y", "dx")}
        joined |= {name: first[name] + second[name] for name in ("dw", "db")}
        joined |= {n: first[n] for n in ("running_mean", "running_var", "num_batches_tracked")}
        for name, value in joined.items():
            torch.testing.assert_close(
                value.double(), expected[name].double(), atol=limit, rtol=limit / 10, msg=name
            )
            if name.startswith("running"):
                assert torch.equal(value, second[name])
        seen = torch.cat([part[f"{dtype} eval"]["y"] for part in found])
        torch.testing.assert_close(seen.double(), after, atol=10 * limit, rtol=0)
    rounded = found[0]["torch.bfloat16"]
    assert rounded["y"].dtype == torch.bfloat16 and rounded["running_var"].dtype == torch.float32


def test_without_a_process_group_it_is_ordinary_batch_normalisation():
    assert not dist.is_initialized() and "RANK" not in os.environ
    x, weight = batch(torch.float64)
    mine, plain = SyncBatchNorm2d(3).double(), nn.BatchNorm2d(3).double()
    for name, value in normalise(plain, x, weight).items():
        assert torch.equal(normalise(copy.deepcopy(mine), x, weight)[name], value), name
