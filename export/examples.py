"""Inputs of a network that look like those of real work, drawn by seed."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from core.contract import Port

Size = tuple[int, int]


def example_inputs(
    ports: Sequence[Port], batch: int, size: Size, seed: int, mask: Tensor | None = None
) -> tuple[Tensor, ...]:
    """One tensor for each port: (batch, channels, *size) in its range, vectors (batch, channels).

    mask: (batch, 1, *size), 1 = hole; None: boxes, one for each item, each elsewhere.
    """
    random = torch.Generator().manual_seed(seed)
    hole = boxes(batch, size) if mask is None else mask
    drawn = []
    for port in ports:
        x = hole if port.name == "mask" else _drawn(port, batch, size, random)
        drawn.append(x if port.kind == "vector" else x * (port.high - port.low) + port.low)
    return tuple(drawn)


def boxes(batch: int, size: Size) -> Tensor:
    """A box of about a third of each side for each item, each elsewhere: (batch, 1, *size)."""
    height, width = size
    mask = torch.zeros(batch, 1, height, width)
    for item in range(batch):
        top, left = height // 4 + item * height // 8, width // 4 + item * width // 6
        mask[item, :, top : top + max(height // 3, 1), left : left + max(width // 3, 1)] = 1
    return mask


def smooth(channels: int, batch: int, size: Size, random: torch.Generator) -> Tensor:
    """Something like a photograph: broad colours, finer and finer detail: [0, 1]."""
    x = torch.zeros(batch, channels, *size)
    for step, weight in ((32, 1.0), (8, 0.4), (2, 0.15)):
        few = [max(2, side // step) for side in size]
        noise = torch.randn(batch, channels, *few, generator=random)
        x = x + weight * F.interpolate(noise, size, mode="bicubic", align_corners=False)
    return (0.5 + 0.25 * x).clamp(0, 1)


def _drawn(port: Port, batch: int, size: Size, random: torch.Generator) -> Tensor:
    """[0, 1], by the kind of the port; a vector as it is."""
    if port.kind == "vector":
        return torch.randn(batch, port.channels, generator=random)
    if port.kind == "noise":
        return (torch.rand(batch, port.channels, *size, generator=random) < port.density).float()
    if port.kind == "labels":
        numbers = smooth(1, batch, size, random)[:, 0].mul(port.channels).long()
        hot = F.one_hot(numbers.clamp(max=port.channels - 1), port.channels)
        return hot.permute(0, 3, 1, 2).float()
    x = smooth(port.channels, batch, size, random)
    if port.binary or port.kind == "instances":  # lines: where broad shapes meet
        return ((x - 0.5).abs() < 0.02).float()
    return x
