"""Contextual attention a few query rows at a time: the same numbers in bounded memory.

Fusing along the diagonal of rows, then of columns, makes a query row depend on its neighbours:
each chunk recomputes a halo, and at the first and last row the column-wise order wraps round to
the other end of the picture. Adding in place is what keeps the memory small; for export there is
the dense form in `attention`.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor


class Grid(NamedTuple):
    """Cells of the reduced picture."""

    height: int
    width: int

    @property
    def cells(self) -> int:
        """Number of cells, counted row by row wherever they stand in one axis."""
        return self.height * self.width


def fused_rows(
    queries: Tensor, keys: Tensor, rows: tuple[int, int], grids: tuple[Grid, Grid], reach: int
) -> Tensor:
    """Fused scores of the query rows [rows[0], rows[1]).

    queries (Q, 9C), keys (9C, K), grids of queries and keys -> ((rows[1] - rows[0]) * w, K)
    """
    (start, stop), (query_grid, key_grid) = rows, grids
    height, width = query_grid
    if not reach:
        return queries[start * width : stop * width] @ keys
    along_rows = torch.cat(
        [
            diagonal_rows(queries, keys, low * width, high * width, reach)
            for low, high in wrapped_runs(start - reach, stop + reach, height)
        ]
    ).view(-1, width, *key_grid)
    count = stop - start
    fused = along_rows[reach : reach + count].clone()
    for d in (*range(-reach, 0), *range(1, reach + 1)):
        source = along_rows[reach + d : reach + d + count]
        for low, high in wrapped_runs(start + d, stop + d, height):
            # `low` counts inside the picture; find which rows of the chunk these are.
            first = (low - start - d) % height
            part, carry = slice(first, first + high - low), (start + d + first) // height
            _add_column_shifted(fused[part], source[part], d, carry)
    return fused.view(count * width, key_grid.cells)


def _add_column_shifted(out: Tensor, source: Tensor, d: int, carry: int) -> None:
    """Add the scores `d` places further along the columns of both queries and keys.

    Rows were shifted by the caller; `carry` is -1, 0 or 1 column, where that ran over the end.
    out, source: (rows, w, key rows, key columns)
    """
    key_rows = out.shape[2]
    to_query, from_query = _overlap(carry)
    # Keys that stay in their column, then those that run over into the next or previous one.
    to_inner, from_inner = _overlap(d)
    over = 1 if d > 0 else -1
    to_outer, from_outer = _overlap(d - over * key_rows)
    to_column, from_column = _overlap(over)
    out[:, to_query, to_inner] += source[:, from_query, from_inner]
    out[:, to_query, to_outer, to_column] += source[:, from_query, from_outer, from_column]


def _overlap(shift: int) -> tuple[slice, slice]:
    """Slices (to, from) such that out[i] takes source[i + shift] wherever both exist."""
    if shift > 0:
        return slice(None, -shift), slice(shift, None)
    if shift < 0:
        return slice(-shift, None), slice(None, shift)
    return slice(None), slice(None)


def wrapped_runs(start: int, stop: int, height: int) -> Iterator[tuple[int, int]]:
    """The rows [start, stop) taken modulo `height`, as runs (low, high) inside the picture."""
    while start < stop:
        low = start % height
        high = min(low + stop - start, height)
        yield low, high
        start += high - low


def diagonal_rows(queries: Tensor, keys: Tensor, start: int, stop: int, reach: int) -> Tensor:
    """Scores of the queries [start, stop) summed along the diagonal, as `diagonal_sum` does.

    queries (Q, 9C), keys (9C, K) -> (stop - start, K)
    """
    low, high = max(start - reach, 0), min(stop + reach, len(queries))
    scores = queries[low:high] @ keys
    total = scores[start - low : stop - low].clone()
    for d in (*range(-reach, 0), *range(1, reach + 1)):
        first, last = max(start + d, 0), min(stop + d, len(queries))
        if first >= last:
            continue  # a short chunk at the very end has no such neighbours
        to_key, from_key = _overlap(d)
        total[first - start - d : last - start - d, to_key] += scores[
            first - low : last - low, from_key
        ]
    return total


def paste_rows(
    weights: Tensor, blocks: Tensor, out: Tensor, rows: tuple[int, int], key_grid: Grid
) -> None:
    """Add to `out` what the query rows [rows[0], rows[1]) take from the background.

    weights (rows * w, K), blocks (B, (bh + 1)(bw + 1)), out (B, h + 1, w + 1)
    """
    (start, stop), (bh, bw) = rows, key_grid
    count, width = stop - start, out.shape[2] - 1
    weights = weights.view(count, width, bh, bw)
    spread = weights.new_zeros(count + 1, width + 1, bh + 1, bw + 1)
    for i in (0, 1):
        for j in (0, 1):
            spread[i : i + count, j : j + width, i : i + bh, j : j + bw] += weights
    blended = blocks @ spread.view((count + 1) * (width + 1), -1).t()
    out[:, start : stop + 1] += blended.view(-1, count + 1, width + 1)
