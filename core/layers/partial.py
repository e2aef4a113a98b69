"""Partial convolution, after Liu et al. 2018, as NVIDIA's release computes it.

The paper: "Image Inpainting for Irregular Holes Using Partial Convolutions". Here alone
a mask is 1 where a pixel is *valid*, as in the paper; `1 - mask` leads from ours.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import full_precision

EPSILON = 1e-8


class PartialConv2d(nn.Conv2d):
    """A convolution of the valid pixels alone, scaled up by how many of a window they are.

    Equation 1: y = W (x * valid) * window / sum(valid) + b where any pixel of the window is valid,
    else 0; equation 2: the result is valid there. Zero padding counts as not valid. Nothing is
    kept from call to call. The arguments are those of `nn.Conv2d`, zero padding only.

    x (N, in_channels, H, W); valid (N or 1, 1, H, W), the same for every channel, or (N or 1,
    in_channels, H, W), one for each channel, in [0, 1]; None: all is valid
    -> y (N, out_channels, h, w), valid (N or 1, 1, h, w), which holds for every channel
    """

    ones: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel: int, **options: int | bool):
        super().__init__(in_channels, out_channels, kernel, **options)  # type: ignore[arg-type]
        self.register_buffer("ones", torch.ones(1, 1, *self.kernel_size), persistent=False)

    def forward(  # type: ignore[override]  # a convolution that takes a mask along
        self, x: Tensor, valid: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        if valid is None:
            valid = x.new_ones(1, 1, *x.shape[-2:])
        # The window sums of all channels are those of their sum: one channel instead of all.
        window = self.ones.numel() * valid.shape[1]
        count = self._count(valid)
        updated = count.clamp(0, 1)
        # The clamp changes nothing; the exporter's optimiser drops the sum, taking 1e-8 for 0.
        ratio = window / (count + EPSILON).clamp(min=EPSILON) * updated
        y = self._conv_forward(x * valid, self.weight, None)
        scaled = y * ratio
        if self.bias is not None:
            scaled = (scaled + self.bias.view(1, -1, 1, 1)) * updated
        return scaled.to(y.dtype), updated.to(valid.dtype)

    def _count(self, valid: Tensor) -> Tensor:
        """The valid values of each window: (N, C, H, W) -> (N, 1, h, w), float32 or float64.

        Half precision has no room for them: it counts to 256 or to 2048, and holds no `EPSILON`.
        """
        wide = torch.promote_types(valid.dtype, torch.float32)
        with full_precision(valid):
            return F.conv2d(
                valid.sum(dim=1, keepdim=True, dtype=wide),
                self.ones.to(wide),
                None,
                self.stride,
                self.padding,
                self.dilation,
            )
