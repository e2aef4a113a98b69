"""The baseline: DeepFillv2 as public PyTorch ports write it, with the same weights.

Contextual attention by convolutions, one picture after the other: the patches of the background are
the filters of a convolution that compares and of a transposed one that pastes, and fusing is a
convolution with an identity matrix, row by row and column by column. All scores stand in memory at
once, and every query is computed, wherever the hole is. The numbers are those of `core`, to
rounding; `python -m export.bench --backends straightforward ...` measures what they cost.
"""

import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.backends import choose_device
from core.backends.eager import TorchBackend
from core.layers.attention import ContextualAttention
from core.layers.resize import nearest_reduce
from core.models.base import Generator
from core.weights import load_weights

LEAST_NORM = 1e-4


def open_baseline(weights: Path, device: str = "cpu") -> TorchBackend:
    """The network of a weights file as a backend, its attention replaced."""
    return TorchBackend(straightforward(load_weights(weights)), choose_device(device))


def straightforward(generator: Generator) -> Generator:
    """A copy of `generator` whose contextual attention, if it has any, is the plain one."""
    plain = copy.deepcopy(generator)
    for name, module in list(plain.named_modules()):
        if isinstance(module, ContextualAttention):
            plain.set_submodule(name, PlainAttention(module))
    return plain


class PlainAttention(nn.Module):
    """`ContextualAttention` by convolutions, with the settings of a given one.

    Shapes as there, but foreground and background are of one size.
    """

    diagonal: Tensor

    def __init__(self, attention: ContextualAttention):
        super().__init__()
        self.rate = attention.rate
        self.scale = attention.scale
        self.align_corners = attention.align_corners
        self.register_buffer("diagonal", torch.eye(2 * attention.reach + 1)[None, None])

    def forward(self, foreground: Tensor, background: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            mask = background.new_zeros(1, 1, *background.shape[-2:])
        mask = mask.expand(len(background), -1, -1, -1)
        items = zip(foreground.split(1), background.split(1), mask.split(1), strict=True)
        return torch.cat([self._of_one(*item) for item in items])

    def _of_one(self, foreground: Tensor, background: Tensor, mask: Tensor) -> Tensor:
        small_f, small_b, small_m = (
            nearest_reduce(x, self.rate, align_corners=self.align_corners)
            for x in (foreground, background, mask)
        )
        keys = patches(small_b, kernel=3, stride=1)  # (K, C, 3, 3)
        keys = keys / keys.square().sum(dim=(1, 2, 3), keepdim=True).sqrt().clamp(min=LEAST_NORM)
        known = patches(small_m, kernel=3, stride=1).mean(dim=(1, 2, 3)) == 0
        known = known.to(keys.dtype)[None, :, None, None]
        scores = F.conv2d(small_f, keys, padding=1)  # (1, K, h, w)
        scores = self._fused(scores, small_b.shape[-2:])
        weights = (scores * known * self.scale).softmax(dim=1) * known
        copied = patches(background, kernel=2 * self.rate, stride=self.rate)
        border = self.rate // 2
        return F.conv_transpose2d(weights, copied, stride=self.rate, padding=border) / 4

    def _fused(self, scores: Tensor, keys: torch.Size) -> Tensor:
        """Convolved with an identity matrix, twice: (1, K, h, w) -> the same."""
        border = self.diagonal.shape[-1] // 2
        if not border:
            return scores
        (bh, bw), (h, w) = keys, scores.shape[-2:]
        fused = scores.reshape(1, 1, bh * bw, h * w)
        fused = F.conv2d(fused, self.diagonal, padding=border)
        fused = fused.reshape(1, bh, bw, h, w).permute(0, 2, 1, 4, 3)
        fused = fused.reshape(1, 1, bw * bh, w * h)
        fused = F.conv2d(fused, self.diagonal, padding=border)
        fused = fused.reshape(1, bw, bh, w, h).permute(0, 2, 1, 4, 3)
        return fused.reshape(1, bh * bw, h, w)


def patches(x: Tensor, *, kernel: int, stride: int) -> Tensor:
    """Every patch as a filter, zeros outside: (1, C, H, W) -> (patches, C, kernel, kernel)."""
    border = (kernel - stride) // 2
    columns = F.unfold(x, kernel, padding=border, stride=stride)
    return columns[0].t().reshape(-1, x.shape[1], kernel, kernel)
