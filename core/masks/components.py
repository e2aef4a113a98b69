"""Connected pixels, without any package beside torch: which of them hang together, and how many."""

import torch
from torch import Tensor

NEIGHBOURS = ((0, 1), (1, -1), (1, 0), (1, 1))
"""Half of the eight neighbours, as (rows, columns) on; the other half are their own."""
SIDES = tuple(pair for pair in NEIGHBOURS if 0 in pair)
"""Those that share a side."""


def components(lines: Tensor, *, corners: bool = True) -> tuple[Tensor, Tensor]:
    """The groups of set pixels that touch, by default at corners too.

    lines (N, 1, H, W), set where not 0 -> places (M,) of the set pixels in the flattened tensor,
    rising, and group (M,) of each: the index into `places` of the group's first pixel.
    """
    drawn = lines != 0
    places = drawn.flatten().nonzero()[:, 0]
    group = torch.arange(len(places), device=places.device)
    pairs = _pairs(drawn, places, NEIGHBOURS if corners else SIDES)
    while True:
        # Shiloach & Vishkin 1982: join the groups at both ends, then let each pixel point to the
        # first of its group; so rounds go with the logarithm of a line's length.
        joined = group.clone()
        for first, second in pairs:
            ends = group[first], group[second]
            for end in ends:
                joined.scatter_reduce_(0, end, torch.minimum(*ends), "amin")
        while not torch.equal(joined, joined[joined]):
            joined = joined[joined]
        if torch.equal(joined, group):
            return places, group
        group = joined


def reached(allowed: Tensor, start: Tensor, *, corners: bool = True) -> Tensor:
    """The pixels of `allowed` that hang together with one of `start`: bool tensors (N, 1, H, W)."""
    places, group = components(allowed, corners=corners)
    begun = torch.zeros(len(places), dtype=torch.bool, device=allowed.device)
    begun[group[start.flatten()[places]]] = True
    kept = torch.zeros_like(allowed)
    kept.view(-1)[places] = begun[group]
    return kept


def sizes(group: Tensor) -> Tensor:
    """For each pixel of `components`, the number of pixels in its group."""
    return torch.bincount(group, minlength=len(group))[group]


def _pairs(
    drawn: Tensor, places: Tensor, neighbours: tuple[tuple[int, int], ...]
) -> list[tuple[Tensor, Tensor]]:
    """The indices into `places` of every two set pixels that touch, a pair of int32 a direction."""
    height, width = drawn.shape[-2:]
    index = torch.full((drawn.numel(),), -1, dtype=torch.int32, device=drawn.device)
    index[places] = torch.arange(len(places), dtype=torch.int32, device=drawn.device)
    row, column = places // width % height, places % width
    pairs = []
    for down, right in neighbours:
        inside = (row + down < height) & (column + right >= 0) & (column + right < width)
        first = inside.nonzero()[:, 0]
        second = index[places[first] + down * width + right]
        pairs.append((first[second >= 0].to(torch.int32), second[second >= 0]))
    return pairs
