"""Contextual attention against the official graph, a slow oracle, and itself in chunks."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from vectors import Vectors

from core.layers.attention import HALO, ContextualAttention
from core.layers.attention_rows import Grid, fused_rows
from core.layers.flow import flow_to_image

OFFICIAL = Vectors("deepfill_official_contextual_attention")
CASES = OFFICIAL.config["cases"]


def layer_of(case: str) -> ContextualAttention:
    settings = CASES[case]
    return ContextualAttention(
        rate=settings["rate"],
        scale=settings["ss"],
        fuse_width=settings["fuse_k"] if settings["fuse"] else 1,
    )


def inputs_of(case: str) -> tuple[Tensor, Tensor, Tensor | None]:
    mask = OFFICIAL.mask(f"{case}/in/mask") if CASES[case]["mask"] else None
    return OFFICIAL[f"{case}/in/f"], OFFICIAL[f"{case}/in/b"], mask


@pytest.mark.parametrize("budget", [1 << 40, 0], ids=["dense", "chunked"])
@pytest.mark.parametrize("case", CASES)
def test_output_is_the_official_one(case, budget):
    layer = layer_of(case)
    layer.memory_budget = budget
    output = layer(*inputs_of(case))
    torch.testing.assert_close(output, OFFICIAL[f"out64/{case}/y"], atol=1e-7, rtol=0)


@pytest.mark.parametrize("budget", [1 << 40, 0], ids=["dense", "chunked"])
@pytest.mark.parametrize("case", CASES)
def test_weights_and_flow_are_the_official_ones(case, budget):
    layer = layer_of(case)
    layer.memory_budget = budget
    weights = layer.weights(*inputs_of(case))
    torch.testing.assert_close(weights, OFFICIAL[f"out64/{case}/scores"], atol=1e-7, rtol=0)
    _, weight = layer.strongest(*inputs_of(case))
    torch.testing.assert_close(weight, OFFICIAL[f"out64/{case}/scores"].amax(-1), atol=1e-7, rtol=0)
    picture = flow_to_image(layer.flow(*inputs_of(case)))
    if layer.rate > 1:
        picture = F.interpolate(
            picture, scale_factor=layer.rate, mode="bilinear", align_corners=True
        )
    expected = OFFICIAL[f"mid/{case}/flow_image"]
    torch.testing.assert_close(picture.double(), expected, atol=1e-5, rtol=0)


def slow_attention(  # noqa: C901  # loops are what an oracle is made of
    f: Tensor, b: Tensor, mask: Tensor, scale: float
) -> Tensor:
    """Section 4 of Yu et al. 2018 in loops, with every-other-pixel reductions; one item."""
    fs, bs, ms = f[:, ::2, ::2], b[:, ::2, ::2], mask[:, ::2, ::2]
    h, w = fs.shape[-2:]
    cells = [(i, j) for i in range(h) for j in range(w)]

    def patch(x: Tensor, i: int, j: int) -> Tensor:
        return F.pad(x, (1, 1, 1, 1))[:, i : i + 3, j : j + 3]

    scores = torch.zeros(h * w, h * w, dtype=f.dtype)
    for q, at in enumerate(cells):
        for k, other in enumerate(cells):
            key = patch(bs, *other)
            scores[q, k] = (patch(fs, *at) * key).sum() / key.norm().clamp(min=1e-4)
    for order in (cells, sorted(cells, key=lambda cell: cell[::-1])):
        rank = [cells.index(cell) for cell in order]
        fused = scores.clone()
        for a in range(len(rank)):
            for c in range(len(rank)):
                for d in (-1, 1):
                    if 0 <= a + d < len(rank) and 0 <= c + d < len(rank):
                        fused[rank[a], rank[c]] += scores[rank[a + d], rank[c + d]]
        scores = fused
    valid = torch.tensor([float(patch(ms, *cell).sum() == 0) for cell in cells], dtype=f.dtype)
    weights = (scores * valid * scale).softmax(dim=1) * valid
    output = torch.zeros_like(F.pad(f, (1, 1, 1, 1)))
    for q, (i, j) in enumerate(cells):
        for k, (y, x) in enumerate(cells):
            source = F.pad(b, (1, 1, 1, 1))[:, 2 * y : 2 * y + 4, 2 * x : 2 * x + 4]
            output[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += weights[q, k] * source / 4
    return output[:, 1:-1, 1:-1]


def test_the_paper_in_loops_gives_the_same():
    torch.manual_seed(0)
    f, b = torch.randn(2, 2, 5, 8, 12, dtype=torch.float64)
    b[..., 8:] *= 1e-2  # faint patches: their norm comes near the least one that divides
    mask = torch.zeros(2, 1, 8, 12, dtype=torch.float64)
    mask[0, :, 2:5, 3:7] = 1
    mask[1, :, :, 8:] = 1
    layer = ContextualAttention(scale=0.7, align_corners=False)
    expected = torch.stack([slow_attention(*item, 0.7) for item in zip(f, b, mask, strict=True)])
    torch.testing.assert_close(layer(f, b, mask), expected)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 7),
    rows=st.integers(1, 9),
    reach=st.integers(0, 2),
    seed=st.integers(0, 1000),
)
def test_every_chunk_size_gives_the_dense_numbers(height, width, rows, reach, seed):
    """Chunks of any number of rows, wraps at both ends included, sum to the dense scores."""
    from core.layers.attention import fuse

    torch.manual_seed(seed)
    if height < reach:
        height = reach
    queries = torch.randn(height * width, 9, dtype=torch.float64)
    keys = torch.randn(9, height * width, dtype=torch.float64)
    grid = Grid(height, width)
    dense = fuse((queries @ keys)[None], grid, grid, reach)[0]
    parts = [
        fused_rows(queries, keys, (start, min(start + rows, height)), (grid, grid), reach)
        for start in range(0, height, rows)
    ]
    torch.testing.assert_close(torch.cat(parts), dense)


@pytest.mark.parametrize("rows", [1, 3, 5, 16])
def test_chunked_attention_differs_by_rounding_alone(rows):
    torch.manual_seed(1)
    x = torch.randn(2, 8, 32, 24)
    mask = (torch.rand(2, 1, 32, 24) > 0.9).float()
    layer = ContextualAttention(scale=0.3)
    layer.memory_budget = 1 << 40
    dense = layer(x, x, mask)
    layer.memory_budget = rows * 4 * 4 * 12 * (16 * 12)
    torch.testing.assert_close(layer(x, x, mask), dense, atol=2e-5, rtol=0)


def test_chunks_have_the_gradients_of_the_dense_form():
    torch.manual_seed(2)
    gradients = []
    for budget in (1 << 40, 0):
        x = torch.randn(1, 4, 12, 12, dtype=torch.float64).mul_(0.1).requires_grad_()
        torch.manual_seed(3)
        x.data.copy_(torch.randn(x.shape))
        mask = torch.zeros(1, 1, 12, 12, dtype=torch.float64)
        mask[..., 4:8, 4:8] = 1
        layer = ContextualAttention(scale=0.2)
        layer.memory_budget = budget
        (gradient,) = torch.autograd.grad(layer(x, x, mask).square().sum(), x)
        gradients.append(gradient)
    torch.testing.assert_close(*gradients)


def test_pruned_rows_are_exact_round_the_hole_and_skipped_elsewhere():
    torch.manual_seed(4)
    x = torch.randn(1, 8, 64, 32)
    mask = torch.zeros(1, 1, 64, 32)
    mask[..., 30:34, 8:20] = 1
    layer = ContextualAttention(scale=0.3, align_corners=False)
    layer.memory_budget = 0
    whole = layer(x, x, mask)
    layer.prune = 0
    pruned = layer(x, x, mask)
    near = slice(30 - 2 * HALO + 2, 34 + 2 * HALO - 2)  # two rows of each patch overlap the next
    torch.testing.assert_close(pruned[..., near, :], whole[..., near, :], atol=1e-5, rtol=0)
    assert not pruned[..., :16, :].any()
    best, weight = layer.strongest(x, x, mask)
    assert weight[..., 8:, :].any() and not (best[..., :8, :].any() or weight[..., :8, :].any())
    layer.prune = 32  # four cells more on either side
    assert layer(x, x, mask)[..., 16:20, :].any()
    assert not layer(x, x, torch.zeros_like(mask)).any()  # no hole, nothing to compute


def test_an_all_hole_mask_gives_exactly_zero():
    x = torch.randn(1, 4, 16, 16)
    for budget in (1 << 40, 0):
        layer = ContextualAttention()
        layer.memory_budget = budget
        assert torch.equal(layer(x, x, torch.ones(1, 1, 16, 16)), torch.zeros_like(x))


def test_no_weight_is_denormal():
    """Such numbers made the whole attention several times slower."""
    scores = torch.linspace(-12, 0, 500)[None, None]
    weights = ContextualAttention()._normalise(scores, torch.ones_like(scores))
    assert weights[weights > 0].min() > 1e-30 and (weights == 0).any()
    exact = (10 * scores).double().softmax(dim=-1)
    torch.testing.assert_close(weights.double(), exact, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_scores_stay_in_float32_for_half_precision_features(dtype):
    """Scores of hundreds would overflow or round to whole numbers in half precision."""
    torch.manual_seed(5)
    x = 20 * torch.randn(1, 16, 16, 16)
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., :4, :] = 1
    layer = ContextualAttention()
    exact = layer(x.to(dtype).float(), x.to(dtype).float(), mask)
    assert torch.equal(layer(x.to(dtype), x.to(dtype), mask.to(dtype)), exact.to(dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(x.to(dtype), x.to(dtype), mask.to(dtype)), exact.to(dtype))
