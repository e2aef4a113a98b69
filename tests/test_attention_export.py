"""Contextual attention in chunks for graphs: the same numbers, in bounded memory, everywhere."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from vectors import Vectors

from core.errors import ConfigError
from core.layers.attention import ContextualAttention, Matching
from core.layers.attention_export import attend_in_chunks, fused_chunks, lowered_by
from core.layers.attention_rows import Grid
from export.graph import to_onnx
from export.operators import refused

OFFICIAL = Vectors("deepfill_official_contextual_attention")
CASES = {name: case for name, case in OFFICIAL.config["cases"].items() if case["fuse_k"] <= 3}
CHANNELS = 4


class Chunked(nn.Module):
    """What a graph computes, run at once: (foreground, background, mask) -> attention's output."""

    def __init__(self, layer: ContextualAttention, chunks: int):
        super().__init__()
        self.layer, self.chunks = layer, chunks

    def forward(self, *inputs: Tensor | None) -> Tensor:
        layer = self.layer
        pasted = attend_in_chunks(
            layer.match(*inputs), self.chunks, scale=layer.scale, reach=layer.reach
        )
        height, width = inputs[0].shape[-2:]
        start = layer.rate // 2
        pasted = F.pixel_shuffle(pasted, layer.rate) if layer.rate > 1 else pasted
        return pasted[..., start : start + height, start : start + width] / 4


@pytest.mark.parametrize("case", CASES)
def test_output_is_the_official_one_for_every_number_of_chunks(case):
    chosen = CASES[case]
    layer = ContextualAttention(
        rate=chosen["rate"],
        scale=chosen["ss"],
        fuse_width=chosen["fuse_k"] if chosen["fuse"] else 1,
    )
    mask = OFFICIAL.mask(f"{case}/in/mask") if chosen["mask"] else None
    inputs = OFFICIAL[f"{case}/in/f"], OFFICIAL[f"{case}/in/b"], mask
    rows = layer.match(*inputs).query_grid.height
    divisors = [chunks for chunks in range(1, rows + 1) if rows % chunks == 0]
    for chunks in divisors:
        expected = OFFICIAL[f"out64/{case}/y"]
        torch.testing.assert_close(Chunked(layer, chunks)(*inputs), expected, atol=1e-7, rtol=0)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 4),
    width=st.integers(1, 5),
    keys=st.tuples(st.integers(1, 4), st.integers(1, 5)),
    chunks=st.integers(1, 5),
    layer=st.sampled_from([(1, 1), (1, 3), (2, 1), (2, 3)]),
    hole=st.sampled_from([0.0, 0.1, 1.0]),
    seed=st.integers(0, 1000),
)
def test_every_number_of_chunks_gives_the_dense_numbers(
    rows, width, keys, chunks, layer, hole, seed
):
    torch.manual_seed(seed)
    rate, fuse_width = layer
    attention = ContextualAttention(rate=rate, fuse_width=fuse_width, scale=0.3)
    attention.memory_budget = 1 << 40
    size = torch.tensor([rows * chunks, width]) * rate
    foreground = torch.randn(2, CHANNELS, *size, dtype=torch.float64)
    background = torch.randn(2, CHANNELS, keys[0] * rate, keys[1] * rate, dtype=torch.float64)
    mask = (torch.rand(2, 1, *background.shape[-2:]) < hole).double()
    inputs = foreground, background, mask
    torch.testing.assert_close(Chunked(attention, chunks)(*inputs), attention(*inputs))


def test_scores_wrap_round_at_the_ends_of_columns_as_counted_by_hand():
    """A single score 1, at cell (2, 0) of the query and of the key, on a grid of 3x3.

    Row by row its neighbours are (1, 2) and (2, 1). Column by column the neighbours of (2, 0) are
    (1, 0) and (0, 1), those of (1, 2) are (0, 2) and (2, 2), those of (2, 1) are (1, 1) and (0, 2):
    wherever query and key are the same cell, the sum is as below, and 0 wherever they are not.
    """
    scores = torch.zeros(1, 9, 9)
    scores[0, 6, 6] = 1
    grid, nothing = Grid(3, 3), torch.zeros(1, 1, 9)
    matching = Matching(scores, torch.eye(9)[None], nothing, nothing, grid, grid)
    expected = torch.tensor([0.0, 1, 2, 1, 1, 1, 1, 1, 1]).diag()[None]
    for chunks in (1, 3):
        found = torch.cat(list(fused_chunks(matching, chunks)), dim=1)
        assert torch.equal(found, expected)


def test_an_all_hole_mask_gives_exactly_zero():
    x = torch.randn(1, CHANNELS, 16, 16)
    found = Chunked(ContextualAttention(), 4)(x, x, torch.ones(1, 1, 16, 16))
    assert torch.equal(found, torch.zeros_like(x))


def test_weights_too_small_to_matter_and_those_of_unknown_keys_become_zero():
    weights = torch.tensor([1.0, 1e-7, 2e-30, 1e-30, 1e-38, 1.0, 0.3])
    valid = torch.tensor([1.0, 1, 1, 1, 1, 0, 0])
    kept = (weights - lowered_by(valid)).relu()
    torch.testing.assert_close(
        kept, torch.tensor([1.0, 1e-7, 1e-30, 0, 0, 0, 0]), rtol=1e-5, atol=0
    )


def test_rows_that_cannot_be_divided_and_wide_fusing_are_refused():
    x = torch.randn(1, CHANNELS, 12, 8)
    with pytest.raises(ConfigError, match="6 rows of attention cells cannot be divided into 4"):
        Chunked(ContextualAttention(), 4)(x, x, None)
    with pytest.raises(ConfigError, match="fusing over 5 cells has no form in chunks"):
        Chunked(ContextualAttention(fuse_width=5), 2)(x, x, None)


class Layer(nn.Module):
    """Attention as the exporter takes modules."""

    def __init__(self, attention: ContextualAttention):
        super().__init__()
        self.attention = attention

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.attention(*inputs)


def exported(chunks: int, cells: tuple[int, int] | None = None) -> "onnx.ModelProto":
    """A layer of attention as a graph, of free size or of so many cells."""
    torch.manual_seed(0)
    layer = ContextualAttention(scale=0.5, align_corners=False)
    layer.export_chunks = chunks
    multiple = 2 * max(chunks, 1)
    height, width = [2 * side for side in cells] if cells else (3 * multiple, 5 * multiple)
    shape = {}
    if cells is None:
        batch, h, w = (torch.export.Dim(name, min=1, max=512) for name in ("batch", "h", "w"))
        shape = {0: batch, 2: multiple * h, 3: multiple * w}
    example = [torch.randn(2, c, height, width) for c in (CHANNELS, CHANNELS, 1)]
    names = ["foreground", "background", "mask"]
    return to_onnx(Layer(layer), example, names, "copied", shapes=[shape] * 3, opset=18)


@pytest.fixture(scope="module")
def graph() -> "onnx.ModelProto":
    return exported(chunks=2)


@pytest.mark.parametrize(
    ("batch", "height", "width"), [(1, 4, 4), (1, 4, 12), (3, 20, 8), (2, 24, 40)]
)
def test_one_graph_of_chunks_is_right_at_every_size(graph, batch, height, width):
    torch.manual_seed(1)
    features = [torch.randn(batch, CHANNELS, height, width) for _ in range(2)]
    mask = torch.zeros(batch, 1, height, width)
    mask[0, :, : height // 2, : width // 4] = 1
    mask[-1] = 1 if batch == 3 else mask[-1]
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    values = [x.numpy() for x in (*features, mask)]
    (found,) = session.run(None, dict(zip(names, values, strict=True)))
    expected = ContextualAttention(scale=0.5, align_corners=False)(*features, mask)
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-5)


def test_the_graph_has_operators_of_tensors_alone_and_nothing_in_place(graph):
    operators = [node.op_type for node in graph.graph.node]
    assert refused(graph) == []
    assert not {"ScatterND", "ScatterElements", "Loop", "If", "NonZero"} & set(operators)
    assert operators.count("Softmax") == 2


def test_no_tensor_of_the_graph_is_larger_than_a_chunk():
    """Two items of 16x16 cells: 2 x 256 x 256 scores; of them a quarter, with its halo."""
    chunk = (4 + 2) * 16 + 2  # queries: four rows, one on either side, a query more at each end
    assert largest_tensor(exported(chunks=4, cells=(16, 16))) == 2 * chunk * 256


def largest_tensor(model: "onnx.ModelProto") -> int:
    """Most numbers in a single tensor."""
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    shapes = [value.type.tensor_type.shape.dim for value in model.graph.value_info]
    return max(int(np.prod([axis.dim_value for axis in shape])) for shape in shapes)
