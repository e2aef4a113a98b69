"""Zeros and mirrors round a picture: TensorFlow's SAME and what else the official code can do."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Padding = Literal["same", "symmetric", "mirror", "reflect"]
"""same: TensorFlow's SAME, zeros, more after than before where they cannot be equal.
symmetric: equal zeros on both sides. mirror: the picture mirrored with its edge pixel (the
official code's padding="SYMMETRIC"). reflect: mirrored without it."""


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Zeros (before, after) one axis of `size` pixels so that ceil(size / stride) come out."""
    reach = dilation * (kernel - 1) + 1
    # In this form a size that `stride` divides drops out, which keeps an exported graph simple.
    total = max(reach - (size % stride or stride), 0)
    return total // 2, total - total // 2


def pad(x: Tensor, mode: Padding, *, kernel: int, stride: int, dilation: int) -> Tensor:
    """Pad the last two axes for a convolution that itself pads nothing.

    Shape: (N, C, H, W) -> (N, C, H + before + after, W + before + after)
    """
    if mode == "same":
        top, bottom = same_padding(x.shape[-2], kernel, stride, dilation)
        left, right = same_padding(x.shape[-1], kernel, stride, dilation)
        return F.pad(x, (left, right, top, bottom))
    border = dilation * (kernel - 1) // 2
    if mode == "mirror":
        return mirror(x, border)
    return F.pad(x, (border,) * 4, mode="constant" if mode == "symmetric" else "reflect")


def mirror(x: Tensor, border: int) -> Tensor:
    """Mirror the last two axes with their edge pixels (numpy's "symmetric"), any border width."""
    for axis in (-2, -1):
        size = x.shape[axis]
        # The end as the last of a range, which an exported graph counts itself.
        end = 2 * torch.arange(size, device=x.device)[-1:] + 1
        position = torch.arange(-border, size + border, device=x.device) % (end + 1)
        x = x.index_select(axis, torch.minimum(position, end - position))
    return x
