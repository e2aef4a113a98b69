"""SPADE, after Park et al. 2019: from a map of labels to a picture, the whole of it or a hole.

The paper: "Semantic Image Synthesis with Spatially-Adaptive Normalization". Blocks carry the
names of NVlabs' release (head_0 ... up_3). With `config.context` the map is joined by the known
picture and the mask, so that what fills a hole also fits round it; that is ours.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import SpadeConfig
from ..contract import Contract, Port
from ..layers.spade import SLOPE, SpadeBlock, nearest
from ..layers.spectral import SpectralConv2d
from .base import Generator

HALVINGS = {"normal": 5, "more": 6, "most": 7}
"""Doublings between the first feature map and the picture."""
CONTEXT = 4
"""Channels of the known picture and the mask."""
ENCODED = 256
"""Side to which a reference picture is scaled before it is encoded."""


class SpadeGenerator(Generator):
    """Blocks of a residual network that grow a picture, each modulated by the map.

    image (N, 3, H, W) in [-1, 1]; mask (N, 1, H, W), 1 = hole; semantic (N, labels, H, W), one-hot;
    with `config.instance_edges` also instances (N, 1, H, W), 1 = edge; with `config.encoder` also
    style (N, z_dim). H and W divisible by 32 (64, 128 for more, most). Without `config.context`
    image and mask have no influence. -> filled (N, 3, H, W) in [-1, 1].
    """

    config: SpadeConfig

    def __init__(self, config: SpadeConfig):
        super().__init__()
        self.config = config
        self.contract = spade_contract(config)
        ports = {port.name: port.channels for port in self.contract.inputs}
        maps = ports["semantic"] + ports.get("instances", 0)
        maps += CONTEXT if config.context else 0
        w = config.width
        self.encoder = StyleEncoder(w, config.z_dim) if config.encoder else None
        if self.encoder is None:
            self.fc: nn.Module = nn.Conv2d(maps, 16 * w, 3, padding=1)
        else:
            height, width = self._first_size()
            self.fc = nn.Linear(config.z_dim, 16 * w * height * width)
        self.head_0 = self._block(16 * w, 16 * w, maps)
        self.G_middle_0 = self._block(16 * w, 16 * w, maps)
        self.G_middle_1 = self._block(16 * w, 16 * w, maps)
        widths = [16 * w, 8 * w, 4 * w, 2 * w, w]
        if config.upsampling == "most":
            widths.append(w // 2)
        self.ups = len(widths) - 1
        for i in range(self.ups):
            setattr(self, f"up_{i}", self._block(widths[i], widths[i + 1], maps))
        self.conv_img = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, image: Tensor, mask: Tensor, semantic: Tensor, *more: Tensor) -> Tensor:
        """`more`: instances and style, those that the contract has, in its order."""
        names = [port.name for port in self.contract.inputs[3:]]
        named = dict(zip(names, more, strict=True))
        maps = torch.cat([semantic, *([named["instances"]] if "instances" in named else [])], dim=1)
        context = torch.cat([image * (1 - mask), mask], dim=1) if self.config.context else None
        x = self._first(maps, context, named.get("style"))
        x = self._through("head_0", x, maps, context)
        x = double(x)
        x = self._through("G_middle_0", x, maps, context)
        if self.config.upsampling != "normal":
            x = double(x)
        x = self._through("G_middle_1", x, maps, context)
        for i in range(self.ups):
            x = self._through(f"up_{i}", double(x), maps, context)
        return self.conv_img(F.leaky_relu(x, SLOPE)).tanh()

    def learn(self, true: Tensor, *inputs: Tensor) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
        if self.encoder is None:
            return super().learn(true, *inputs)
        # The variational autoencoder of section 3.3: the true picture says the style, and what is
        # given as style, N(0, 1), is the chance in it.
        mean, log_variance = self.encoder(true)
        style = mean + inputs[-1] * (0.5 * log_variance).exp()
        filled = self(*inputs[:-1], style)
        return (filled,), {"mean": mean, "log_variance": log_variance}

    def encode(self, picture: Tensor) -> Tensor:
        if self.encoder is None:
            return super().encode(picture)
        return self.encoder(picture)[0]

    def _first(self, maps: Tensor, context: Tensor | None, style: Tensor | None) -> Tensor:
        halvings = HALVINGS[self.config.upsampling]
        like = maps[..., :: 2**halvings, :: 2**halvings]
        if style is None:
            return self.fc(self._modulation(maps, context, like))
        height, width = self._first_size()
        x = self.fc(style).view(-1, 16 * self.config.width, height, width)
        return nearest(x, like)  # a no-op at the size of the training

    def _through(self, name: str, x: Tensor, maps: Tensor, context: Tensor | None) -> Tensor:
        return getattr(self, name)(x, self._modulation(maps, context, x))

    @staticmethod
    def _modulation(maps: Tensor, context: Tensor | None, like: Tensor) -> Tensor:
        """What modulates features of the size of `like`: labels by nearest, the picture by area."""
        maps = nearest(maps, like)
        if context is None:
            return maps
        factor = context.shape[-1] // like.shape[-1]
        return torch.cat([maps, F.avg_pool2d(context, factor) if factor > 1 else context], dim=1)

    def _first_size(self) -> tuple[int, int]:
        """Height and width of the first feature map at the size of the training."""
        width = self.config.native_size // 2 ** HALVINGS[self.config.upsampling]
        return round(width / self.config.aspect), width

    def _block(self, in_channels: int, out_channels: int, maps: int) -> SpadeBlock:
        config = self.config
        return SpadeBlock(
            in_channels, out_channels, maps,
            norm=config.norm, kernel=config.kernel, hidden=config.hidden, spectral=config.spectral,
        )  # fmt: skip


class StyleEncoder(nn.Module):
    """Image encoder (appendix A, figure 14), for pictures of any size.

    picture (N, 3, h, w) in [-1, 1] -> mean and log variance of its style, each (N, z_dim)
    """

    def __init__(self, width: int, z_dim: int):
        super().__init__()
        widths = [3, width, 2 * width, 4 * width, 8 * width, 8 * width, 8 * width]
        for i in range(6):
            layer = SpectralConv2d(widths[i], widths[i + 1], 3, stride=2, padding=1, bias=False)
            setattr(self, f"layer{i + 1}", layer)
        self.fc_mu = nn.Linear(widths[-1] * 16, z_dim)
        self.fc_var = nn.Linear(widths[-1] * 16, z_dim)

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        x = picture
        if x.shape[-2:] != (ENCODED, ENCODED):
            x = F.interpolate(x, size=(ENCODED, ENCODED), mode="bilinear")
        for i in range(6):
            x = F.leaky_relu(x, SLOPE) if i else x
            x = F.instance_norm(getattr(self, f"layer{i + 1}")(x))
        x = F.leaky_relu(x, SLOPE).flatten(1)
        return self.fc_mu(x), self.fc_var(x)


def double(x: Tensor) -> Tensor:
    """Nearest doubling: (N, C, H, W) -> (N, C, 2 H, 2 W)."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def spade_contract(config: SpadeConfig) -> Contract:
    """Ports and sizes of a SPADE generator."""
    semantic = Port(
        "semantic",
        len(config.labels) + config.unknown,
        binary=True,
        kind="labels",
        labels=config.labels,
        palette=config.palette,
    )
    inputs = [Port("image", 3, -1.0, 1.0), Port("mask", 1, binary=True), semantic]
    if config.instance_edges:
        inputs.append(Port("instances", 1, binary=True, optional=True, kind="instances"))
    if config.encoder:
        inputs.append(
            Port("style", config.z_dim, -4.0, 4.0, optional=True, kind="vector", encoded=True)
        )
    return Contract(
        inputs=tuple(inputs),
        output=Port("filled", 3, -1.0, 1.0),
        multiple_of=2 ** HALVINGS[config.upsampling],
        native_size=config.native_size,
        widest_hole=2.0,  # the map alone says everything: the whole picture may be a hole
    )
