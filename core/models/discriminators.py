"""SN-PatchGAN, after Yu et al. 2019, section 3.3: one score per patch and channel."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers.padding import pad

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
        with torch.no_grad():
            v = F.normalize(self.u @ matrix, dim=0)
            u = F.normalize(matrix @ v, dim=0)
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
