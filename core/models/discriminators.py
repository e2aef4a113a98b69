"""What tells true pictures from completed ones, patch by patch.

SN-PatchGAN (Yu et al. 2019, section 3.3) gives one score per patch and channel, the discriminator
of SPADE (Park et al. 2019, appendix A) one score per patch at two scales.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers.padding import pad
from ..layers.spectral import SpectralConv2d, power_iteration

KERNEL, STRIDE, SLOPE = 5, 2, 0.2


class SNConv2d(nn.Module):
    """5x5 convolution of stride 2, TensorFlow SAME, spectrally normalised, then LeakyReLU.

    Miyato et al. 2018, algorithm 1: one power iteration per forward in training, v from u, then u
    from v, both held constant for the gradient; in evaluation u is used as it is. (PyTorch's own
    parametrisation updates u first and then v, which gives another sigma.)

    Shape: (N, in_channels, H, W) -> (N, out_channels, ceil(H / 2), ceil(W / 2))
    """

    u: Tensor

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, KERNEL, STRIDE)
        self.register_buffer("u", F.normalize(torch.randn(out_channels), dim=0))

    def forward(self, x: Tensor) -> Tensor:
        x = pad(x, "same", kernel=KERNEL, stride=STRIDE, dilation=1)
        weight = self.conv.weight / self._sigma()
        return F.leaky_relu(F.conv2d(x, weight, self.conv.bias, STRIDE), SLOPE)

    def _sigma(self) -> Tensor:
        """The largest singular value of the kernel as a matrix (out_channels, the rest), about."""
        matrix = self.conv.weight.flatten(1)
        u, v = power_iteration(matrix, self.u)
        if self.training:
            self.u.copy_(u)
        return torch.dot(u, matrix @ v)


class SNPatchDiscriminator(nn.Module):
    """Tells true pictures from completed ones, patch by patch.

    image (N, 3, H, W) in [-1, 1], mask (N, 1, H, W), 1 = hole, guides (N, C, H, W) each
    -> scores (N, 4 width, H / 64, W / 64), rounded up; the last layer is activated too.
    """

    def __init__(self, in_channels: int = 4, width: int = 64):
        super().__init__()
        widths = [in_channels, width, 2 * width, *[4 * width] * 4]
        self.layers = nn.Sequential(
            OrderedDict(
                (f"conv{i + 1}", SNConv2d(widths[i], widths[i + 1])) for i in range(len(widths) - 1)
            )
        )

    def forward(self, image: Tensor, mask: Tensor, *guides: Tensor) -> Tensor:
        return self.layers(torch.cat([image, mask, *guides], dim=1))


SCALES, LAYERS = 2, 4
"""Discriminators of SPADE, and the strided or normalised convolutions of each."""


class MultiscaleDiscriminator(nn.Module):
    """Two patch discriminators, the second on the picture at half its size (Park et al. 2019).

    Instance normalisation and spectral normalisation in the middle layers alone.

    x (N, in_channels, H, W), the map and a picture in [-1, 1] -> for each scale the activations of
    every layer, the last one being the scores (N, 1, h, w).
    """

    def __init__(self, in_channels: int, width: int = 64):
        super().__init__()
        self.scales = nn.ModuleList(PatchDiscriminator(in_channels, width) for _ in range(SCALES))

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        found = []
        for i, scale in enumerate(self.scales):
            if i:
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            found.append(scale(x))
        return found


class PatchDiscriminator(nn.Module):
    """4x4 convolutions with LeakyReLU, as pix2pixHD has them: shapes as above, one scale."""

    def __init__(self, in_channels: int, width: int):
        super().__init__()
        widths = [width * min(2**i, 8) for i in range(LAYERS)]
        layers: list[nn.Module] = [nn.Conv2d(in_channels, widths[0], 4, stride=2, padding=2)]
        for i in range(1, LAYERS):
            stride = 1 if i == LAYERS - 1 else 2
            layers.append(
                SpectralConv2d(widths[i - 1], widths[i], 4, stride=stride, padding=2, bias=False)
            )
        self.layers = nn.ModuleList([*layers, nn.Conv2d(widths[-1], 1, 4, padding=2)])

    def forward(self, x: Tensor) -> list[Tensor]:
        found: list[Tensor] = []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if 0 < i < LAYERS:
                x = F.instance_norm(x)
            if i < LAYERS:
                x = F.leaky_relu(x, SLOPE)
            found.append(x)
        return found
