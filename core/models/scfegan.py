"""SC-FEGAN, after Jo and Park 2019: a face is edited by mask, sketch and colour.

The paper: "SC-FEGAN: Face Editing Generative Adversarial Network with User's Sketch and Color".
Layers carry the names of the released code (gconv1_ds ... gconv14). That code is fixed to pictures
of 512x512; here any size that can be halved `levels` times will do.
"""

import torch
from torch import Tensor, nn

from ..config import ScFeganConfig
from ..contract import Contract, Port
from ..layers.separate import GatedDeconv2d, SeparateGatedConv2d
from .base import Generator

KERNELS = (7, 5, 5)
"""Of the first encoder layers; all others have 3."""
INPUTS = 9
"""Picture 3, sketch 1, colour 3, mask 1, noise 1."""
NOISE = 0.159
"""Share of ones: the demo draws N(0, 255) into bytes and keeps only those that are full."""
WIDEST_HOLE = 0.5


class ScFegan(Generator):
    """A U-Net of gated convolutions that fills a hole along lines and in the colours drawn there.

    image (N, 3, H, W) in [-1, 1]; mask (N, 1, H, W), 1 = hole; sketch (N, 1, H, W), 1 = line; color
    (N, 3, H, W) in [-1, 1], -1 where nothing is drawn; noise (N, 1, H, W) of 0 and 1. H and W
    divisible by 2^levels. Only what guides hold inside the hole, and the picture outside, has
    influence. -> filled (N, 3, H, W) in [-1, 1], not composited.
    """

    config: ScFeganConfig

    def __init__(self, config: ScFeganConfig):
        super().__init__()
        self.config = config
        self.contract = scfegan_contract(config)
        w, levels = config.width, config.levels
        widths = [INPUTS, *(w * min(2**i, 8) for i in range(levels))]
        self.encoder = nn.ModuleList(
            SeparateGatedConv2d(
                widths[i],
                widths[i + 1],
                KERNELS[i] if i < len(KERNELS) else 3,
                stride=2,
                norm=i > 0,
            )
            for i in range(levels)
        )
        deepest = widths[-1]
        self.context = nn.Sequential(
            *(SeparateGatedConv2d(deepest, deepest, dilation=2 << i) for i in range(4))
        )
        self.up, self.join = nn.ModuleList(), nn.ModuleList()
        before = deepest
        for width in widths[-2:0:-1]:
            self.up.append(GatedDeconv2d(before, width))
            self.join.append(SeparateGatedConv2d(2 * width, width))
            before = width
        self.up.append(GatedDeconv2d(before, 3))
        self.join.append(SeparateGatedConv2d(INPUTS + 3, 3, activate=False))

    def forward(
        self, image: Tensor, mask: Tensor, sketch: Tensor, color: Tensor, noise: Tensor
    ) -> Tensor:
        x = torch.cat([image * (1 - mask), sketch * mask, color * mask, mask, noise * mask], dim=1)
        skips = []
        for layer in self.encoder:
            skips.append(x)
            x = layer(x)
        x = self.context(x)
        for up, join in zip(self.up, self.join, strict=True):
            x = join(torch.cat([skips.pop(), up(x)], dim=1))
        return x.tanh()


def scfegan_contract(config: ScFeganConfig) -> Contract:
    """Ports and sizes of an SC-FEGAN generator."""
    return Contract(
        inputs=(
            Port("image", 3, -1.0, 1.0),
            Port("mask", 1, binary=True),
            Port("sketch", 1, binary=True, optional=True),
            Port("color", 3, -1.0, 1.0, optional=True),
            Port("noise", 1, binary=True, kind="noise", density=NOISE),
        ),
        output=Port("filled", 3, -1.0, 1.0),
        multiple_of=2**config.levels,
        native_size=config.native_size,
        widest_hole=WIDEST_HOLE,
        order=config.order,
    )
