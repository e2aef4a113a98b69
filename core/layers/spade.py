"""Spatially-adaptive normalisation, after Park et al. 2019, as NVlabs' release computes it.

The paper: "Semantic Image Synthesis with Spatially-Adaptive Normalization".
"""

from typing import Any, Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from .spectral import SpectralConv2d

Norm = Literal["instance", "batch", "syncbatch"]
"""How features are normalised before the map modulates them; syncbatch: over all processes."""
SLOPE = 0.2


class SyncBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation with the statistics of all processes, on any device.

    (PyTorch's own runs on accelerators alone.) Every process must hold as many values. Without
    process group it is ordinary batch normalisation. Shape: (N, C, H, W) -> the same
    """

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and dist.is_initialized() and dist.get_world_size() > 1):
            return super().forward(x)
        world = dist.get_world_size()
        # Sums over pixels are too long for half precision, and the mean square less the squared
        # mean is too rough a variance for single.
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        mean = SumOfProcesses.apply(wide.mean(dim=(0, 2, 3))) / world
        centred = wide - mean.view(1, -1, 1, 1)
        variance = SumOfProcesses.apply(centred.square().mean(dim=(0, 2, 3))) / world
        self._note(mean.detach(), variance.detach(), world * x[:, 0].numel())
        y = centred * (variance + self.eps).rsqrt().view(1, -1, 1, 1)
        if self.affine:
            y = y * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)
        return y.to(x.dtype)

    def _note(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Running statistics, with the unbiased variance as everywhere in PyTorch."""
        if self.running_mean is None or self.running_var is None:
            return
        share = self.momentum if self.momentum is not None else 0.1
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * count / max(count - 1, 1), share)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


class SumOfProcesses(torch.autograd.Function):
    """The sum of a tensor over all processes; the gradient is that of the sum of their losses."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]  # one for one
        return SumOfProcesses.forward(ctx, gradient)


class InstanceNorm2d(nn.InstanceNorm2d):
    """Each channel of each item by itself; 0 for a single pixel, which PyTorch's own refuses.

    Shape: (N, C, H, W) -> the same
    """

    def forward(self, x: Tensor) -> Tensor:
        return x - x if x.shape[-2:].numel() == 1 else super().forward(x)


NORMS = {
    "instance": InstanceNorm2d,
    "batch": nn.BatchNorm2d,
    "syncbatch": SyncBatchNorm2d,
}


class Spade(nn.Module):
    """Normalise, then scale and shift each place by what the semantic map says there.

    Equation 1: y = norm(x) (1 + gamma(map)) + beta(map), gamma and beta by two convolutions.

    x (N, channels, h, w), map (N, map_channels, H, W), shrunk to x by nearest -> as x
    """

    def __init__(
        self, channels: int, map_channels: int, *, norm: Norm, kernel: int = 3, hidden: int = 128
    ):
        super().__init__()
        padding = kernel // 2
        self.param_free_norm = NORMS[norm](channels, affine=False)
        self.shared = nn.Conv2d(map_channels, hidden, kernel, padding=padding)
        self.gamma = nn.Conv2d(hidden, channels, kernel, padding=padding)
        self.beta = nn.Conv2d(hidden, channels, kernel, padding=padding)

    def forward(self, x: Tensor, map: Tensor) -> Tensor:
        hidden = self.shared(nearest(map, x)).relu()
        return self.param_free_norm(x) * (1 + self.gamma(hidden)) + self.beta(hidden)


class SpadeBlock(nn.Module):
    """Residual block (appendix A, figure 10): normalise, activate, convolve, twice.

    With `spectral` the convolutions are spectrally normalised; those of the normalisation are not,
    in the code of the release as here, though the paper says so. `norm`: as `Spade` takes it.

    x (N, in_channels, h, w), map (N, map_channels, H, W) -> (N, out_channels, h, w)
    """

    def __init__(
        self, in_channels: int, out_channels: int, map_channels: int, *,
        spectral: bool = True, **norm: Any,
    ):  # fmt: skip
        super().__init__()
        middle = min(in_channels, out_channels)
        convolution = SpectralConv2d if spectral else nn.Conv2d
        self.conv_0 = convolution(in_channels, middle, 3, padding=1)
        self.conv_1 = convolution(middle, out_channels, 3, padding=1)
        self.norm_0 = Spade(in_channels, map_channels, **norm)
        self.norm_1 = Spade(middle, map_channels, **norm)
        self.conv_s: nn.Module | None = None
        if in_channels != out_channels:
            self.conv_s = convolution(in_channels, out_channels, 1, bias=False)
            self.norm_s = Spade(in_channels, map_channels, **norm)

    def forward(self, x: Tensor, map: Tensor) -> Tensor:
        map = nearest(map, x)  # once for all
        shortcut = x if self.conv_s is None else self.conv_s(self.norm_s(x, map))
        x = self.conv_0(F.leaky_relu(self.norm_0(x, map), SLOPE))
        return shortcut + self.conv_1(F.leaky_relu(self.norm_1(x, map), SLOPE))


def nearest(map: Tensor, like: Tensor) -> Tensor:
    """`map` shrunk or enlarged to the height and width of `like`, the nearest value of each."""
    if map.shape[-2:] == like.shape[-2:]:
        return map
    return F.interpolate(map, size=like.shape[-2:], mode="nearest")
