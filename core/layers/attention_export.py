"""Contextual attention a few query rows at a time, for graphs: nothing is changed in place.

The numbers are those of the dense form in `attention`, the memory that of one chunk. A graph knows
no loop here, so the number of chunks is fixed when it is exported. The eager form in
`attention_rows` adds in place instead, which graphs can say only by scattering (ScatterND), slowly.
"""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ConfigError

if TYPE_CHECKING:
    from .attention import Matching

NEGLIGIBLE = 1e-30
"""Weights up to it become 0 (see `attention`)."""


def attend_in_chunks(
    matching: "Matching", chunks: int, *, scale: float, reach: int
) -> Tensor:
    """The weighted background blocks, `chunks` times as many query rows as one chunk has.

    reach: how far fusing looks along the diagonal, 0 or 1. Raises ConfigError if it is another, or
    the query rows cannot be divided so. -> (N, rate^2 C, h + 1, w + 1)
    """
    if reach > 1:
        raise ConfigError(f"fusing over {2 * reach + 1} cells has no form in chunks; export it dense")
    height, width = matching.query_grid
    if height % chunks:
        raise ConfigError(
            f"{height} rows of attention cells cannot be divided into {chunks} chunks; the height "
            f"must be a multiple of {chunks} cells"
        )
    rows = height // chunks
    # A query of zeros at either end: its scores are 0, as beyond the first and the last query.
    queries = F.pad(matching.queries, (0, 0, 1, 1))
    factor, least = matching.valid * scale, shift_of(matching.valid)
    bodies, tails = [], []
    for index in range(chunks):
        if reach:
            scores = fused_rows(matching, queries, index, chunks)
        else:
            start = 1 + index * rows * width
            scores = queries[:, start : start + rows * width] @ matching.keys
        # One sum and one ReLU for "too small to matter" and "not known" at once: weights are at
        # most 1.
        weights = ((scores * factor).softmax(dim=-1) + least).relu()
        pasted = paste_rows(weights, matching, rows)
        bodies.append(pasted[..., :rows, :])
        # The last row of blocks belongs to the next chunk as well.
        tails.append(F.pad(pasted[..., rows:, :], (0, 0, rows - 1, 0)))
    body = F.pad(torch.cat(bodies, dim=-2), (0, 0, 0, 1))
    return body + F.pad(torch.cat(tails, dim=-2), (0, 0, 1, 0))


def shift_of(valid: Tensor) -> Tensor:
    """What weights in [0, 1] are lowered by before negative ones become 0: same shape."""
    return torch.where(valid > 0, -NEGLIGIBLE, -1.0)


def fused_rows(matching: "Matching", queries: Tensor, index: int, chunks: int) -> Tensor:
    """Fused scores of chunk `index`: (N, rows * w, K).

    queries (N, Q + 2, 9C): with zeros at either end.
    """
    (height, width), keys = matching.query_grid, matching.keys
    rows = height // chunks
    start, stop = index * rows, (index + 1) * rows
    # Column by column, the row above and the row below count too, hence a row of halo on either
    # side. One query more at either end is there for the diagonal; its own sum is no use.
    low, high = start - (index > 0), stop + (index < chunks - 1)
    along_rows = diagonal_sum(queries[:, low * width : high * width + 2] @ keys)
    if index == 0:  # above the first row comes the last one, a column to the left
        last = diagonal_sum(queries[:, (height - 1) * width :] @ keys)
        above = F.pad(last[:, 1:width], (0, 0, 2, 0))
        along_rows = torch.cat([above, along_rows[:, 1:]], dim=1)
    if index == chunks - 1:  # below the last row comes the first one, a column to the right
        first = diagonal_sum(queries[:, : width + 2] @ keys)
        below = F.pad(first[:, 2 : width + 1], (0, 0, 0, 2))
        along_rows = torch.cat([along_rows[:, :-1], below], dim=1)
    before, here, after = (
        along_rows[:, 1 + row * width : 1 + (row + rows) * width] for row in range(3)
    )
    pitch = matching.key_grid.width
    # The key above, for the first row that of the last row a column to the left; and below alike.
    first_keys = F.pad(before[..., -pitch:-1], (1, 0))
    last_keys = F.pad(after[..., 1:pitch], (0, 1))
    above = torch.cat([first_keys, before[..., :-pitch]], dim=-1)
    below = torch.cat([after[..., pitch:], last_keys], dim=-1)
    return here + above + below


def diagonal_sum(scores: Tensor) -> Tensor:
    """out[q, k] = scores[q, k] + scores[q - 1, k - 1] + scores[q + 1, k + 1], 0 outside: same."""
    # Negative padding cuts off: one copy instead of two.
    return scores + F.pad(scores, (1, -1, 1, -1)) + F.pad(scores, (-1, 1, -1, 1))


def paste_rows(weights: Tensor, matching: "Matching", rows: int) -> Tensor:
    """Sum of the weighted background blocks: (N, rows * w, K) -> (N, rate^2 C, rows + 1, w + 1)."""
    width, (key_rows, key_columns) = matching.query_grid.width, matching.key_grid
    weights = weights.reshape(-1, rows, width, key_rows, key_columns)
    # As in `ContextualAttention.paste`, one axis after the other.
    spread = F.pad(weights, (0, 1, 0, 0, 0, 1)) + F.pad(weights, (1, 0, 0, 0, 1, 0))
    spread = F.pad(spread, (0, 0, 0, 1, 0, 0, 0, 1)) + F.pad(spread, (0, 0, 1, 0, 0, 0, 1, 0))
    spread = spread.flatten(3).flatten(1, 2)
    return (matching.blocks @ spread.transpose(1, 2)).unflatten(2, (rows + 1, width + 1))
