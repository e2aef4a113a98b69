"""Contextual attention a few query rows at a time, for graphs: nothing is changed in place.

The numbers are those of the dense form in `attention`, the memory that of one chunk. A graph knows
no loop here, so the number of chunks is fixed when it is exported. The eager form in
`attention_rows` adds in place instead, which graphs can say only by scattering (ScatterND), slowly.

All chunks are cut in the same way, none at an offset of its own: the exporter has to reason about
every expression of free sizes, and then they are the same for all.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ConfigError

if TYPE_CHECKING:
    from .attention import Matching

NEGLIGIBLE = 1e-30
"""Weights up to it become 0 (see `attention`)."""


def attend_in_chunks(matching: "Matching", chunks: int, *, scale: float, reach: int) -> Tensor:
    """The weighted background blocks, computed in `chunks` equal parts of the query rows.

    reach: how far fusing looks along the diagonal, 0 or 1. Raises ConfigError if it is another, or
    the query rows cannot be divided so. -> (N, rate^2 C, h + 1, w + 1)
    """
    height = matching.query_grid.height
    if reach > 1:
        raise ConfigError(
            f"fusing over {2 * reach + 1} cells has no form in chunks; export it dense"
        )
    if height % chunks:
        raise ConfigError(
            f"{height} rows of attention cells cannot be divided into {chunks} chunks; the height "
            f"must be a multiple of {chunks} cells"
        )
    rows = height // chunks
    factor, lowered = matching.valid * scale, lowered_by(matching.valid)
    bodies, tails = [], []
    for scores in fused_chunks(matching, chunks) if reach else plain_chunks(matching, chunks):
        weights = ((scores * factor).softmax(dim=-1) - lowered).relu()
        pasted = paste_rows(weights, matching, rows)
        bodies.append(pasted[..., :rows, :])
        # The last row of blocks belongs to the next chunk as well.
        tails.append(F.pad(pasted[..., rows:, :], (0, 0, rows - 1, 0)))
    body = F.pad(torch.cat(bodies, dim=-2), (0, 0, 0, 1))
    return body + F.pad(torch.cat(tails, dim=-2), (0, 0, 1, 0))


def lowered_by(valid: Tensor) -> Tensor:
    """What to take from weights in [0, 1], so that those below 0 are the ones that do not count.

    The same as threshold and product in the dense form, with one copy of the weights less.
    """
    return torch.where(valid > 0, NEGLIGIBLE, 1.0)


def plain_chunks(matching: "Matching", chunks: int) -> Iterator[Tensor]:
    """The scores of each chunk as they are: (N, rows * w, K)."""
    for queries in matching.queries.unflatten(1, (chunks, -1)).unbind(1):
        yield queries @ matching.keys


def fused_chunks(matching: "Matching", chunks: int) -> Iterator[Tensor]:
    """The scores of each chunk, fused along both diagonals: (N, rows * w, K)."""
    keys, width = matching.keys, matching.query_grid.width
    ends = F.pad(matching.queries, (0, 0, 1, 1))
    # Above the first row comes the last one, a column to the left; below the last one the first.
    last = diagonal_sum(ends[:, -(width + 2) :] @ keys)
    first = diagonal_sum(ends[:, : width + 2] @ keys)
    above, below = F.pad(last[:, 1:width], (0, 0, 2, 0)), F.pad(first[:, 2:-1], (0, 0, 0, 2))
    for index, queries in enumerate(with_halo(matching.queries, chunks, width)):
        along_rows = diagonal_sum(queries @ keys)
        if index == 0:
            along_rows = with_end(along_rows, above, at_start=True)
        if index == chunks - 1:
            along_rows = with_end(along_rows, below, at_start=False)
        yield column_sum(along_rows, width, matching.key_grid.width)


def with_halo(queries: Tensor, chunks: int, width: int) -> Iterator[Tensor]:
    """The queries of each chunk, with a row and one query more on either side.

    The row is for the sum along columns, the query for that along rows; beyond the first and the
    last query there are zeros. (N, Q, C) -> (N, Q / chunks + 2 w + 2, C)
    """
    parts = queries.unflatten(1, (chunks, -1)).unbind(1)
    halo = width + 1
    nothing = torch.zeros_like(queries[:, :1]).expand(-1, halo, -1)
    if chunks == 1:
        yield torch.cat([nothing, queries, nothing], dim=1)
        return
    # The farthest query of the halo by itself: the chunk beside this one may end before it.
    before = F.pad(queries, (0, 0, halo, -halo)).unflatten(1, (chunks, -1))[:, :, :1].unbind(1)
    after = F.pad(queries, (0, 0, -halo, halo)).unflatten(1, (chunks, -1))[:, :, -1:].unbind(1)
    for i, part in enumerate(parts):
        above = [before[i], parts[i - 1][:, -width:]] if i > 0 else [nothing]
        below = [parts[i + 1][:, :width], after[i]] if i < chunks - 1 else [nothing]
        yield torch.cat([*above, part, *below], dim=1)


def with_end(scores: Tensor, end: Tensor, *, at_start: bool) -> Tensor:
    """`scores` (N, Q, K) with `end` (N, a few, K) in the place of its first or last queries."""
    # Not by cutting and joining: runtimes keep memory for every size of tensor that occurs.
    rest = scores.shape[1] - end.shape[1]
    space = (0, 0, 0, rest) if at_start else (0, 0, rest, 0)
    kept = F.pad(torch.zeros_like(end[..., :1]), space, value=1.0)
    return scores * kept + F.pad(end, space)


def diagonal_sum(scores: Tensor) -> Tensor:
    """out[q, k] = scores[q, k] + scores[q - 1, k - 1] + scores[q + 1, k + 1], 0 outside: same."""
    # Negative padding cuts off: one copy instead of two.
    return scores + F.pad(scores, (1, -1, 1, -1)) + F.pad(scores, (-1, 1, -1, 1))


def column_sum(scores: Tensor, width: int, key_width: int) -> Tensor:
    """Add the scores of the cells above and below, of queries and keys alike.

    The query axis has a row and a query more on either side: (N, Q + 2 width + 2, K) -> (N, Q, K)
    """
    before, after = scores[:, 1 : -2 * width - 1], scores[:, 2 * width + 1 : -1]
    here = scores[:, width + 1 : -width - 1]
    # Above the first row of keys comes the last one, a column to the left; below alike.
    first = F.pad(before[..., -key_width:-1], (1, 0))
    last = F.pad(after[..., 1:key_width], (0, 1))
    above = torch.cat([first, before[..., :-key_width]], dim=-1)
    below = torch.cat([after[..., key_width:], last], dim=-1)
    return here + above + below


def paste_rows(weights: Tensor, matching: "Matching", rows: int) -> Tensor:
    """Sum of the weighted background blocks: (N, rows * w, K) -> (N, rate^2 C, rows + 1, w + 1)."""
    width, (key_rows, key_columns) = matching.query_grid.width, matching.key_grid
    weights = weights.reshape(-1, rows, width, key_rows, key_columns)
    # As in `ContextualAttention.paste`, one axis after the other and all of one shape.
    spread = F.pad(weights, (0, 1, 0, 1, 0, 1, 0, 1))
    spread = spread + F.pad(spread, (1, -1, 0, 0, 1, -1))
    spread = spread + F.pad(spread, (0, 0, 1, -1, 0, 0, 1, -1))
    spread = spread.flatten(3).flatten(1, 2)
    return (matching.blocks @ spread.transpose(1, 2)).unflatten(2, (rows + 1, width + 1))
