"""The U-Net of partial convolutions, after Liu et al. 2018.

The paper: "Image Inpainting for Irregular Holes Using Partial Convolutions".

The forerunner of gated convolution: what counts as known is not learnt but follows a fixed rule.
Layers carry the names of the widely used port by naoto0804 (enc_1 ... dec_1).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import PConvConfig
from ..contract import Contract, Port
from ..layers.partial import PartialConv2d
from .base import Generator

KERNELS = (7, 5, 5)
"""Of the first encoder layers; all others have 3."""
SLOPE = 0.2
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pictures, RGB in [0, 1]; the network works on normalised ones."""


class PConvUNet(Generator):
    """Encoder of halvings, decoder of nearest doublings, skips of features and of masks.

    image (N, 3, H, W) in [0, 1]; mask (N, 1, H, W), 1 = hole; H and W divisible by
    2^levels -> filled (N, 3, H, W) in [0, 1]. What the hole holds has no influence.
    """

    config: PConvConfig
    mean: Tensor
    deviation: Tensor
    frozen_norm: bool = False
    """Fine-tuning (section 3.3 of the paper): the encoder's batch normalisation stays as it is,
    so that the holes, whose features are 0, no longer spoil its means."""

    def __init__(self, config: PConvConfig):
        super().__init__()
        self.config = config
        self.contract = pconv_contract(config)
        widths = [3, *(config.width * min(2**i, 8) for i in range(config.levels))]
        for i in range(1, config.levels + 1):
            kernel = KERNELS[i - 1] if i <= len(KERNELS) else 3
            layer = PartialLayer(widths[i - 1], widths[i], kernel, stride=2, norm=i > 1, slope=0.0)
            setattr(self, f"enc_{i}", layer)
        for i in range(config.levels, 1, -1):
            layer = PartialLayer(widths[i] + widths[i - 1], widths[i - 1], slope=SLOPE)
            setattr(self, f"dec_{i}", layer)
        self.dec_1 = PartialLayer(widths[1] + 3, 3, norm=False, slope=None)
        for name, values in (("mean", MEAN), ("deviation", DEVIATION)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        return self.stages(image, mask)[0].clamp(0, 1)

    def stages(self, image: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """What `forward` returns before values outside [0, 1] are cut off: these learn too."""
        normal = (image - self.mean) / self.deviation
        return (self.fill(normal, 1 - mask)[0] * self.deviation + self.mean,)

    def fill(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """The U-Net itself, on normalised pictures; valid (N, 1, H, W), 1 = known.

        -> filled (N, 3, H, W), and what of it came to be valid (N, 1, H, W).
        """
        skips = [(x, valid)]
        for i in range(1, self.config.levels + 1):
            skips.append(getattr(self, f"enc_{i}")(*skips[-1]))
        x, valid = skips.pop()
        for i in range(self.config.levels, 0, -1):
            skip, skip_valid = skips.pop()
            x, valid = (
                F.interpolate(part, scale_factor=2.0, mode="nearest") for part in (x, valid)
            )
            # Each channel is valid where the source that it came from is.
            valid = torch.cat(
                [
                    valid.expand(-1, x.shape[1], -1, -1),
                    skip_valid.expand(-1, skip.shape[1], -1, -1),
                ],
                dim=1,
            )
            x, valid = getattr(self, f"dec_{i}")(torch.cat([x, skip], dim=1), valid)
        return x, valid

    def freeze_norm(self) -> None:
        """Keep the encoder's batch normalisation as it is from now on."""
        self.frozen_norm = True
        for norm in self._encoder_norms():
            norm.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "PConvUNet":
        super().train(mode)
        if self.frozen_norm:
            for norm in self._encoder_norms():
                norm.eval()
        return self

    def _encoder_norms(self) -> list[nn.BatchNorm2d]:
        layers = [getattr(self, f"enc_{i}") for i in range(2, self.config.levels + 1)]
        return [layer.bn for layer in layers]


class PartialLayer(nn.Module):
    """Partial convolution, batch normalisation, LeakyReLU of `slope` (0 = ReLU, None = nothing).

    Shapes as of `PartialConv2d`.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 3, *, stride: int = 1,
        norm: bool = True, slope: float | None,
    ):  # fmt: skip
        super().__init__()
        self.conv = PartialConv2d(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            padding=kernel // 2,
            bias=slope is None,
        )
        self.bn = nn.BatchNorm2d(out_channels) if norm else None
        self.slope = slope

    def forward(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        x, valid = self.conv(x, valid)
        x = self.bn(x) if self.bn is not None else x
        return (x if self.slope is None else F.leaky_relu(x, self.slope)), valid


def pconv_contract(config: PConvConfig) -> Contract:
    """Ports and sizes of a partial-convolution U-Net."""
    return Contract(
        inputs=(Port("image", 3), Port("mask", 1, binary=True)),
        output=Port("filled", 3),
        multiple_of=2**config.levels,
        native_size=config.native_size,
    )
