"""The gated layers of SC-FEGAN (Jo and Park 2019), as its released code computes them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .padding import pad

SLOPE = 0.2
RADIUS, OFFSET = 5, 5e-5
"""Of the local response normalisation: neighbouring channels on each side, and what is added."""


def response_norm(x: Tensor) -> Tensor:
    """Local response normalisation (Krizhevsky et al. 2012, section 3.3): same shape.

    y = x / sqrt(5e-5 + sum of squares over 11 neighbouring channels).
    """
    size = 2 * RADIUS + 1
    # PyTorch takes the mean of the squares where TensorFlow takes their sum, hence alpha = size.
    wide = x.to(torch.promote_types(x.dtype, torch.float32))  # half precision has no such operator
    y = F.local_response_norm(wide, size, alpha=float(size), beta=0.5, k=OFFSET)
    return y.to(x.dtype)


class SeparateGatedConv2d(nn.Module):
    """Gated convolution with a second convolution: y = act(norm(conv(x))) * sigmoid(gate(x)).

    The gate sees the input as it is. `activate=False` leaves out LeakyReLU and normalisation, not
    the gate. TensorFlow SAME padding.

    Shape: (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 3, *, stride: int = 1,
        dilation: int = 1, norm: bool = True, activate: bool = True,
    ):  # fmt: skip
        super().__init__()
        self.norm, self.activate = norm and activate, activate
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, dilation=dilation)
        self.gate = nn.Conv2d(in_channels, out_channels, kernel, stride, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride, dilation = (
            axes[0] for axes in (self.conv.kernel_size, self.conv.stride, self.conv.dilation)
        )
        x = pad(x, "same", kernel=kernel, stride=stride, dilation=dilation)
        features = self.conv(x)
        if self.norm:
            features = response_norm(features)
        if self.activate:
            features = F.leaky_relu(features, SLOPE)
        return features * self.gate(x).sigmoid()


class GatedDeconv2d(nn.Module):
    """Transposed 5x5 convolution of stride 2, LeakyReLU, times the sigmoid of the same values.

    The released graph also computes a gate of its own with `unused_bias` and then overwrites it,
    so that the gate is taken from the activated feature. The bias is kept to import without loss.

    Shape: (N, in_channels, H, W) -> (N, out_channels, 2 H, 2 W)
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = nn.ConvTranspose2d(in_channels, out_channels, 5, stride=2)
        self.register_buffer("unused_bias", self.conv.bias.detach().clone())  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        height, width = 2 * x.shape[-2], 2 * x.shape[-1]
        # TensorFlow's SAME keeps these of the whole result, one before and two after being cut.
        features = F.leaky_relu(self.conv(x)[..., 1 : height + 1, 1 : width + 1], SLOPE)
        return features * features.sigmoid()
