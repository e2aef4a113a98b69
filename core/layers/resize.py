"""Nearest-neighbour reductions that pick the very pixels that TensorFlow picks."""

import torch
from torch import Tensor


def nearest_indices(size: int, out: int) -> Tensor:
    """Source index of each of `out` positions: tf.image.resize_nearest_neighbor, align_corners.

    All in float32 as TensorFlow computes it: in exact arithmetic some ties fall the other way
    (54 -> 27, 182 -> 91, ...).
    """
    # Sizes as the last of a range: an exported graph then counts them itself, where numbers would
    # be those of the example. The only position of `out` 1 is 0 at any scale.
    last = torch.arange(size, dtype=torch.float32)[-1:]
    position = torch.arange(out, dtype=torch.float32)
    position = position * (last / position[-1:].clamp(min=1.0))
    # Halves go up, where torch.round takes the even neighbour; adding 0.5 first would round twice.
    up = position - position.floor() >= 0.5
    return (position.floor().long() + up).clamp(max=size - 1)


def nearest_reduce(x: Tensor, factor: int, *, align_corners: bool) -> Tensor:
    """Shrink the last two axes by `factor`, one pixel kept per output pixel.

    align_corners: TensorFlow's choice of pixels; otherwise every `factor`-th from the first.
    Shape: (..., H, W) -> (..., H / factor, W / factor); H and W must be divisible by `factor`.
    """
    if factor == 1:
        return x
    if not align_corners:
        return x[..., ::factor, ::factor]
    for axis in (-2, -1):
        size = x.shape[axis]
        x = x.index_select(axis, nearest_indices(size, size // factor).to(x.device))
    return x
