"""Contextual attention, computed as the official DeepFillv2 code computes it.

After Yu et al. 2018, "Generative Image Inpainting with Contextual Attention", section 4.
Everything is a matrix product: patches are shifted slices, fusing is a sum of shifted scores, and
pasting is done on blocks of rate x rate pixels, which takes a quarter of the multiplications of a
transposed convolution. Scores have the layout (N, queries, keys).
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention_export import NEGLIGIBLE, attend_in_chunks
from .attention_rows import Grid, fused_rows, paste_rows
from .resize import nearest_reduce

MIB = 1 << 20
LEAST_ROWS = 4
"""Rows of a chunk at least: one row of halo on either side is computed twice."""


class Matching(NamedTuple):
    """What attention compares and copies, at the reduced resolution."""

    queries: Tensor
    """(N, Q, 9C) patches of the foreground."""
    keys: Tensor
    """(N, 9C, K) patches of the background, of unit length."""
    valid: Tensor
    """(N, 1, K): 1 where the whole 3x3 background patch is known."""
    blocks: Tensor
    """(N, rate^2 C, (bh + 1)(bw + 1)) background pixels in blocks of rate x rate."""
    query_grid: Grid
    key_grid: Grid


class ContextualAttention(nn.Module):
    """Rebuild each foreground patch from the known background patches that resemble it.

    A key counts only if its whole 3x3 patch is known; the scores of the others are set to 0, not
    to minus infinity, so they stay in the denominator of the softmax and an all-hole mask gives
    exactly 0. Scores, fusing and softmax are float32 at least, whatever the features are.

    foreground, background (N, C, H, W), H and W divisible by `rate`; mask (N or 1, 1, H, W),
    1 = hole, or None = all known -> (N, C, H, W)
    """

    memory_budget: int = 64 * MIB
    """Bytes that the scores may take; above it query rows are done in chunks (never when traced
    or compiled). The result is the same to rounding."""
    export_chunks: int = 0
    """When traced or compiled: query rows are done in so many chunks, written out one after the
    other, and the height must be divisible by `rate` times that; 0: all at once."""
    prune: int | None = None
    """Compute only the query rows that can influence the hole and so many pixels of the picture
    above and below it; the rest of the output is 0. For inference with DeepFillv2 (see `HALO`)."""

    def __init__(
        self,
        *,
        rate: int = 2,
        scale: float = 10.0,
        fuse_width: int = 3,
        align_corners: bool = True,
    ):
        super().__init__()
        self.rate = rate
        self.scale = scale
        self.reach = fuse_width // 2
        """How far fusing looks along the diagonal; 0 = no fusing."""
        self.align_corners = align_corners

    def forward(self, foreground: Tensor, background: Tensor, mask: Tensor | None = None) -> Tensor:
        with full_precision(foreground):
            matching = self.match(foreground, background, mask)
            if self.export_chunks and torch.compiler.is_compiling():
                pasted = attend_in_chunks(
                    matching, self.export_chunks, scale=self.scale, reach=self.reach
                )
            elif torch.compiler.is_compiling() or self._fits(matching):
                pasted = self.paste(self.attend(matching), matching)
            else:
                pasted = self._in_chunks(matching, mask)
        height, width = foreground.shape[-2:]
        start = self.rate // 2
        pasted = F.pixel_shuffle(pasted, self.rate) if self.rate > 1 else pasted
        # A constant 4, as the official code has it, although patches overlap less at the border.
        pasted = pasted[..., start : start + height, start : start + width] / 4
        return pasted.to(foreground.dtype)

    def weights(self, foreground: Tensor, background: Tensor, mask: Tensor | None = None) -> Tensor:
        """How much of each key each query takes: (N, h, w, keys), rows sum to at most 1."""
        with full_precision(foreground):
            matching = self.match(foreground, background, mask)
            weights = self.attend(matching)
        return weights.unflatten(1, matching.query_grid)

    def flow(self, foreground: Tensor, background: Tensor, mask: Tensor | None = None) -> Tensor:
        """From each query to the key it takes most of: (N, 2, h, w), rows and columns, in cells."""
        return offsets(self.strongest(foreground, background, mask)[0])

    def strongest(
        self, foreground: Tensor, background: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The key that each query takes most of, and its weight in [0, 1]: (N, h, w) each.

        In bounded memory, as `forward`; both are 0 for query rows that are pruned.
        """
        with full_precision(foreground):
            matching = self.match(foreground, background, mask)
            if self._fits(matching):
                return most(self.attend(matching).unflatten(1, matching.query_grid))
            shape = (len(matching.queries), *matching.query_grid)
            best = torch.zeros(shape, dtype=torch.long, device=foreground.device)
            weight = matching.queries.new_zeros(shape)
            for item in range(len(best)):
                for (start, stop), weights in self._chunks(matching, mask, item):
                    found = most(weights.unflatten(0, (stop - start, -1)))
                    best[item, start:stop], weight[item, start:stop] = found
            return best, weight

    def match(self, foreground: Tensor, background: Tensor, mask: Tensor | None) -> Matching:
        """Cut both into patches and blocks, at 1 / rate of their size."""
        dtype = torch.promote_types(foreground.dtype, torch.float32)
        small_f, small_b = (
            nearest_reduce(x, self.rate, align_corners=self.align_corners).to(dtype)
            for x in (foreground, background)
        )
        keys = extract_patches(small_b)
        norm = keys.square().sum(dim=1, keepdim=True).sqrt().clamp(min=1e-4)
        if mask is None:
            mask = background.new_zeros(1, 1, *background.shape[-2:])
        small_m = nearest_reduce(mask, self.rate, align_corners=self.align_corners)
        valid = (F.max_pool2d(small_m.to(dtype), 3, stride=1, padding=1) == 0).to(dtype)
        return Matching(
            queries=extract_patches(small_f).transpose(1, 2),
            keys=keys / norm,
            valid=valid.flatten(2).expand(keys.shape[0], -1, -1),
            blocks=cut_blocks(background, self.rate).to(dtype),
            query_grid=Grid(*small_f.shape[-2:]),
            key_grid=Grid(*small_b.shape[-2:]),
        )

    def attend(self, matching: Matching) -> Tensor:
        """Fused, masked, softmaxed scores: (N, Q, K)."""
        scores = matching.queries @ matching.keys
        scores = fuse(scores, matching.query_grid, matching.key_grid, self.reach)
        return self._normalise(scores, matching.valid)

    def _normalise(self, scores: Tensor, valid: Tensor) -> Tensor:
        weights = (scores * (valid * self.scale)).softmax(dim=-1)
        # What is too small to matter is set to 0: a processor takes many times as long for numbers
        # so small that they are no longer normalised.
        return F.threshold(weights, NEGLIGIBLE, 0.0) * valid

    @staticmethod
    def paste(weights: Tensor, matching: Matching) -> Tensor:
        """Sum of the weighted background blocks: (N, rate^2 C, h + 1, w + 1)."""
        (h, w), (bh, bw) = matching.query_grid, matching.key_grid
        weights = weights.reshape(-1, h, w, bh, bw)
        # A patch is 2x2 blocks; block (i, j) of the output takes part in four patches.
        spread = sum(
            F.pad(weights, (j, 1 - j, i, 1 - i, j, 1 - j, i, 1 - i)) for i in (0, 1) for j in (0, 1)
        )
        assert isinstance(spread, Tensor)  # sum() of four tensors, not of none
        spread = spread.reshape(-1, (h + 1) * (w + 1), (bh + 1) * (bw + 1))
        return (matching.blocks @ spread.transpose(1, 2)).unflatten(2, (h + 1, w + 1))

    def _fits(self, matching: Matching) -> bool:
        """Whether the dense form stays within the budget; it holds about four score matrices."""
        if matching.key_grid.height < self.reach:
            return True  # fusing would run round more than once, which only the dense form does
        scores = matching.queries.shape[0] * matching.query_grid.cells * matching.key_grid.cells
        return 4 * scores * matching.queries.element_size() <= self.memory_budget

    def _in_chunks(self, matching: Matching, mask: Tensor | None) -> Tensor:
        """As `paste(attend(...))`, a few query rows at a time: (N, rate^2 C, h + 1, w + 1)."""
        h, w = matching.query_grid
        pasted = []
        for item in range(len(matching.queries)):
            item_blocks = matching.blocks[item]
            out = item_blocks.new_zeros(len(item_blocks), h + 1, w + 1)
            for rows, weights in self._chunks(matching, mask, item):
                paste_rows(weights, item_blocks, out, rows, matching.key_grid)
            pasted.append(out)
        return torch.stack(pasted)

    def _chunks(
        self, matching: Matching, mask: Tensor | None, item: int
    ) -> Iterator[tuple[tuple[int, int], Tensor]]:
        """Query rows [start, stop) and their weights ((stop - start) * w, K), one after another."""
        (h, w), cells = matching.query_grid, matching.key_grid.cells
        rows = self.memory_budget // (4 * matching.queries.element_size() * w * cells)
        rows = min(max(int(rows), LEAST_ROWS), h)
        first, last = self._query_rows(mask, item, h)
        for start in range(first, last, rows):
            stop = min(start + rows, last)
            grids = matching.query_grid, matching.key_grid
            ours = matching.queries[item], matching.keys[item]
            scores = fused_rows(*ours, (start, stop), grids, self.reach)
            weights = self._normalise(scores, matching.valid[item])
            del scores  # as large as the weights, and not needed by whoever uses them
            yield (start, stop), weights

    def _query_rows(self, mask: Tensor | None, item: int, height: int) -> tuple[int, int]:
        """First and last (exclusive) query row that the hole of `item` depends on."""
        if self.prune is None or mask is None:
            return 0, height
        hole = mask[item % len(mask)].amax(dim=(0, 2)).nonzero()
        if not len(hole):
            return 0, 0
        scale = mask.shape[-2] / height
        first, last = int(hole[0] / scale), int(hole[-1] / scale)
        margin = HALO + -(-self.prune // CELL)
        return max(first - margin, 0), min(last + 1 + margin, height)


CELL = 8
"""Pixels of the picture per cell of the attention, in DeepFillv2."""
HALO = 4
"""Cells that pruning keeps round what must be exact: the reach of the layers after attention (two
3x3 at 1/4 size before and two after joining, two at 1/2, three at full size), one of overlap."""


def most(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Number and weight of the key taken most of: (..., K) -> (...) each."""
    best = weights.argmax(dim=-1, keepdim=True)
    return best[..., 0], weights.gather(-1, best)[..., 0]


def offsets(best: Tensor) -> Tensor:
    """From each query to its key: numbers (N, h, w) -> rows and columns (N, 2, h, w), in cells."""
    height, width = best.shape[1:]
    rows = torch.arange(height, device=best.device)[:, None]
    columns = torch.arange(width, device=best.device)
    return torch.stack((best // width - rows, best % width - columns), dim=1)


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Switch autocast off where it is on: scores reach hundreds, and half precision has no room."""
    if torch.is_autocast_enabled(x.device.type):
        return torch.autocast(x.device.type, enabled=False)
    return nullcontext()


def extract_patches(x: Tensor) -> Tensor:
    """Every 3x3 patch, zeros outside: (N, C, h, w) -> (N, 9C, h w), offsets before channels."""
    height, width = x.shape[-2:]
    padded = F.pad(x, (1, 1, 1, 1))
    shifted = [padded[..., i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return torch.cat(shifted, dim=1).flatten(2)


def cut_blocks(x: Tensor, rate: int) -> Tensor:
    """Blocks of rate x rate pixels, the first reaching rate // 2 pixels over the edge.

    Block (i, j) to (i + 1, j + 1) make up the patch of 2 rate x 2 rate pixels of cell (i, j).
    Shape: (N, C, H, W) -> (N, rate^2 C, (H / rate + 1)(W / rate + 1))
    """
    before = rate // 2
    padded = F.pad(x, (before, rate - before, before, rate - before))
    return (F.pixel_unshuffle(padded, rate) if rate > 1 else padded).flatten(2)


def fuse(scores: Tensor, query_grid: Grid, key_grid: Grid, reach: int) -> Tensor:
    """Let neighbouring matches that agree strengthen each other (section 4.1 of the paper).

    The official code convolves the (query, key) matrix with an identity matrix, once with both
    sides counted row by row and once column by column; ends of rows thereby touch the next row.
    Shape: (N, Q, K) -> (N, Q, K)
    """
    if not reach:
        return scores
    scores = diagonal_sum(scores, reach)
    by_column = scores.unflatten(2, key_grid).unflatten(1, query_grid).permute(0, 2, 1, 4, 3)
    summed = diagonal_sum(by_column.flatten(3).flatten(1, 2), reach)
    summed = summed.unflatten(2, key_grid[::-1]).unflatten(1, query_grid[::-1])
    return summed.permute(0, 2, 1, 4, 3).flatten(3).flatten(1, 2)


def diagonal_sum(scores: Tensor, reach: int) -> Tensor:
    """out[q, k] = sum of scores[q + d, k + d] for |d| <= reach, 0 outside: (N, Q, K) -> same."""
    total = scores
    for d in range(1, reach + 1):
        total = total + F.pad(scores[:, :-d, :-d], (d, 0, d, 0))
        total = total + F.pad(scores[:, d:, d:], (0, d, 0, d))
    return total
