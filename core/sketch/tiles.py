"""Networks and filters that see only so far, on pictures of any size in bounded memory."""

from collections.abc import Callable

import torch
from torch import Tensor

TILE = 512
"""Side of a piece without its margin."""


def in_tiles(
    function: Callable[[Tensor], Tensor],
    pixels: Tensor,
    *,
    margin: int,
    multiple: int = 1,
    tile: int = TILE,
) -> Tensor:
    """`function` of pixels (N, C, H, W), piece by piece: (N, 1, H, W), float32.

    The picture is first continued, by its last row and column, to a `multiple` of pixels. If the
    function looks no further than `margin`, and is aligned to `multiple`, of which margin and tile
    are multiples too, then the result is that of the whole continued picture.
    """
    height, width = pixels.shape[-2:]
    full = [-(-side // multiple) * multiple for side in (height, width)]
    most = tile + 2 * margin
    if max(full) <= most:  # as many pictures at once as are no larger than one piece
        rows, columns = (torch.arange(side, device=pixels.device) for side in full)
        whole = _window(pixels, rows, columns)
        count = max(1, most * most // (full[0] * full[1]))
        parts = [function(part) for part in whole.split(count)]
        return torch.cat(parts)[..., :height, :width].to(torch.float32)
    out = pixels.new_empty((len(pixels), 1, height, width), dtype=torch.float32)
    for n in range(len(pixels)):
        for top in range(0, height, tile):
            for left in range(0, width, tile):
                rows, before = _span(top, full[0], tile, margin)
                columns, beside = _span(left, full[1], tile, margin)
                piece = _window(pixels[n : n + 1], rows.to(pixels.device), columns)
                here = out[n : n + 1, :, top : top + tile, left : left + tile]
                done = function(piece)[..., before:, beside:]
                here.copy_(done[..., : here.shape[-2], : here.shape[-1]])
    return out


def _span(start: int, end: int, tile: int, margin: int) -> tuple[Tensor, int]:
    """The rows of a piece with its margins, and how many of them are margin before it."""
    first = max(start - margin, 0)
    return torch.arange(first, min(start + tile + margin, end)), start - first


def _window(pixels: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Those rows and columns; beyond the last one, it is repeated."""
    height, width = pixels.shape[-2:]
    rows, columns = rows.clamp(max=height - 1), columns.clamp(max=width - 1)
    return pixels[..., rows[:, None], columns.to(rows.device)]
