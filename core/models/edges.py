"""A small edge detector in the manner of PiDiNet (Su et al. 2021), trained from scratch here.

Four stages of residual pixel-difference blocks, each with a side output: dilated context (CDCM),
spatial attention (CSAM), one channel. The sides, scaled up, are fused by a 1x1 convolution. The
blocks differ from the paper's: the convolutions are dense instead of depthwise with a 1x1 after,
which is the faster of the two on a CPU, and batch normalisation learns faster from few pictures.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..contract import Contract, Port
from ..errors import ConfigError
from ..layers.difference import DifferenceConv2d
from .base import Network

STAGES = 4
BLOCKS = ("central", "angular", "plain")
"""Kinds of the blocks of a stage, in their order."""
DILATIONS = (5, 7, 9, 11)
MARGIN = 16
"""Pixels by which a picture is continued before its edges are drawn."""


@dataclass(frozen=True, kw_only=True)
class EdgeConfig:
    """The detector; the defaults are those of the bundled weights."""

    width: int = 16
    """Channels of the first stage; the later ones have two, four and four times as many."""
    side: int = 12
    """Channels of the context modules."""

    def __post_init__(self) -> None:
        if self.width < 4 or self.side < 2:
            raise ConfigError(
                f"width is {self.width} and side is {self.side}; at least 4 and 2 are needed"
            )


class EdgeDetector(Network):
    """Image (N, 3, H, W) in [-1, 1], any size from 1x1 -> edge strength (N, 1, H, W) in [0, 1]."""

    config: EdgeConfig

    def __init__(self, config: EdgeConfig):
        super().__init__()
        self.config = config
        self.contract = edge_contract()
        widths = [config.width * factor for factor in (1, 2, 4, 4)]
        self.stem = nn.Conv2d(3, config.width, 3, padding=1)
        self.stages = nn.ModuleList()
        before = config.width
        for width in widths:
            blocks = [DifferenceBlock(before, width, BLOCKS[0])]
            blocks += [DifferenceBlock(width, width, kind) for kind in BLOCKS[1:]]
            self.stages.append(nn.Sequential(*blocks))
            before = width
        self.sides = nn.ModuleList(Side(width, config.side) for width in widths)
        self.fuse = nn.Conv2d(STAGES, 1, 1)
        nn.init.constant_(self.fuse.weight, 1 / STAGES)
        assert self.fuse.bias is not None  # for the type checker
        nn.init.zeros_(self.fuse.bias)

    def forward(self, image: Tensor) -> Tensor:
        # The zeros round the picture would be edges to the convolutions; so they are kept away.
        height, width = image.shape[-2:]
        padded = F.pad(image, (MARGIN,) * 4, mode="replicate")
        fused = self.logits(padded)[-1]
        return fused[..., MARGIN : MARGIN + height, MARGIN : MARGIN + width].sigmoid()

    def logits(self, image: Tensor) -> list[Tensor]:
        """The four sides and the fused one, each (N, 1, H, W); the loss is on all of them."""
        size = image.shape[-2:]
        x, sides = self.stem(image), []
        for i, (stage, side) in enumerate(zip(self.stages, self.sides, strict=True)):
            x = F.max_pool2d(x, 2, ceil_mode=True) if i else x
            x = stage(x)
            up = F.interpolate(side(x), size=size, mode="bilinear", align_corners=False)
            sides.append(up)
        return [*sides, self.fuse(torch.cat(sides, dim=1))]


class DifferenceBlock(nn.Module):
    """ReLU, difference convolution, normalisation, added to the (1x1) shortcut."""

    def __init__(self, in_channels: int, channels: int, kind: str):
        super().__init__()
        same = in_channels == channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(in_channels, channels, 1)
        self.difference = DifferenceConv2d(in_channels, channels, kind)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.norm(self.difference(x.relu()))


class Side(nn.Module):
    """Context by dilated convolutions, attention over places, one channel of logits."""

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        self.reduce = nn.Conv2d(in_channels, channels, 1)
        self.context = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=d, dilation=d, bias=False) for d in DILATIONS
        )
        self.attend = nn.Sequential(
            nn.ReLU(), nn.Conv2d(channels, 4, 1), nn.Conv2d(4, 1, 3, padding=1, bias=False)
        )
        self.score = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x.relu())
        x = torch.stack([dilated(x) for dilated in self.context]).sum(dim=0)
        return self.score(x * self.attend(x).sigmoid())


def edge_contract() -> Contract:
    """One picture in, one map of strengths out, any size."""
    return Contract(
        inputs=(Port("image", 3, low=-1),), output=Port("edges", 1), multiple_of=1, native_size=320
    )
