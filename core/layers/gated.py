"""Gated convolution, after Yu et al. 2019, "Free-Form Image Inpainting with Gated Convolution"."""

from collections.abc import Callable
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from .padding import Padding, pad

Activation = Literal["elu", "relu"]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"elu": F.elu, "relu": F.relu}


class GatedConv2d(nn.Module):
    """A convolution that learns, per pixel and channel, how much of its output to let through.

    features, gate = halves of one convolution of `width` channels; y = act(features) *
    sigmoid(gate) (equation 2 of the paper). As in the official code a layer of width 3 or without
    activation is a plain convolution. `gate=False` is the vanilla convolution of the same output:
    width / 2 channels, activated, ungated.

    Shape: (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        activation: Activation | None = "elu",
        gate: bool = True,
        padding: Padding = "same",
    ):
        super().__init__()
        self.activation = activation if width != 3 else None
        self.gated = gate and self.activation is not None
        self.padding = padding
        self.out_channels = width if self.activation is None else width // 2
        # At stride 1 both kinds of zero padding are the same, and the convolution does it itself.
        self.pads_itself = padding == "symmetric" or (padding == "same" and stride == 1)
        self.conv = nn.Conv2d(
            in_channels,
            width if self.gated else self.out_channels,
            kernel,
            stride,
            dilation * (kernel - 1) // 2 if self.pads_itself else 0,
            dilation,
        )

    def forward(self, x: Tensor) -> Tensor:
        if not self.pads_itself:
            kernel, stride, dilation = (
                axes[0] for axes in (self.conv.kernel_size, self.conv.stride, self.conv.dilation)
            )
            x = pad(x, self.padding, kernel=kernel, stride=stride, dilation=dilation)
        x = self.conv(x)
        if self.activation is None:
            return x
        if not self.gated:
            return ACTIVATIONS[self.activation](x)
        features, gate = x.chunk(2, dim=1)
        return ACTIVATIONS[self.activation](features) * gate.sigmoid()


class GatedUpsample2d(GatedConv2d):
    """Nearest doubling, then a gated 3x3 convolution (the official gen_deconv).

    Shape: (N, in_channels, H, W) -> (N, out_channels, 2 H, 2 W)
    """

    def forward(self, x: Tensor) -> Tensor:
        # TensorFlow's align-corners nearest doubling equals plain doubling at every size.
        return super().forward(F.interpolate(x, scale_factor=2.0, mode="nearest"))
