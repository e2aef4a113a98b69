"""Pixel-difference convolution (Su et al. 2021): convolving differences of neighbours.

Each kind is linear in the picture, so that it is a plain convolution whose kernel is a linear
function of the learnt one: the kernel is rewritten instead of the picture (their section 3.3).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RING = (0, 1, 2, 5, 8, 7, 6, 3)
"""The eight neighbours in a 3x3 kernel, clockwise from the top left."""


class DifferenceConv2d(nn.Module):
    """3x3 convolution of pixel differences without bias, stride 1, zero padding.

    kind: "plain"; "central", each neighbour against the centre; "angular", each neighbour against
    the next one clockwise; "radial", the outer ring of a 5x5 window against the inner one.
    Shape: (N, in_channels, H, W) -> (N, out_channels, H, W)
    """

    def __init__(self, in_channels: int, out_channels: int, kind: str):
        super().__init__()
        self.kind = kind
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 3, 3))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        kernel = KERNELS[self.kind](self.weight)
        return F.conv2d(x, kernel, padding=kernel.shape[-1] // 2)


def central(weight: Tensor) -> Tensor:
    """Sum of w_i (x_i - x_centre): (O, I, 3, 3) -> (O, I, 3, 3)."""
    centre = torch.zeros_like(weight)
    centre[..., 1, 1] = weight.sum(dim=(-1, -2))
    return weight - centre


def angular(weight: Tensor) -> Tensor:
    """Sum of w_i (x_i - x_next) over the eight neighbours: (O, I, 3, 3) -> (O, I, 3, 3)."""
    ring = weight.flatten(2)[..., RING]
    return _on_ring(ring - ring.roll(1, dims=-1))


def radial(weight: Tensor) -> Tensor:
    """Sum of w_i (x_i outer - x_i inner) along eight rays: (O, I, 3, 3) -> (O, I, 5, 5)."""
    inner = _on_ring(weight.flatten(2)[..., RING])
    outer = weight.new_zeros(*weight.shape[:2], 5, 5)
    outer[..., ::2, ::2] = inner
    return outer - F.pad(inner, (1, 1, 1, 1))


def _on_ring(ring: Tensor) -> Tensor:
    """Eight values clockwise -> a 3x3 kernel with centre 0: (O, I, 8) -> (O, I, 3, 3)."""
    places = torch.tensor([RING.index(i) if i in RING else 8 for i in range(9)])
    return F.pad(ring, (0, 1))[..., places].unflatten(-1, (3, 3))


KERNELS: dict[str, Callable[[Tensor], Tensor]] = {
    "plain": lambda weight: weight,
    "central": central,
    "angular": angular,
    "radial": radial,
}
