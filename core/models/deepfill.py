"""DeepFillv2, after Yu et al. 2019, "Free-Form Image Inpainting with Gated Convolution".

Layers carry the names of the official release (conv1 ... allconv17), so that its weights map one
to one. That code differs from the paper in places; the code is what is built here: the refinement
stage sees only the completed coarse picture, and pmconv6 uses ReLU.
"""

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..config import DeepFillConfig
from ..contract import Contract, Port
from ..layers.attention import ContextualAttention, offsets
from ..layers.gated import GatedConv2d, GatedUpsample2d
from ..layers.recorded import recorded_gates
from ..layers.resize import nearest_reduce
from .base import Generator

ATTENTION_RATE = 2
FEATURE_STRIDE = 4
"""Pixels per feature pixel where the attention works."""
SEGMENT = 2
"""Layers between what checkpointing keeps."""


class DeepFill(Generator):
    """Coarse stage, then refinement by two branches: dilated convolutions, contextual attention.

    image (N, 3, H, W) in [-1, 1]; mask (N, 1, H, W), 1 = hole; with `config.sketch` also sketch
    (N, 1, H, W), 1 = line. H and W divisible by 8. What the picture and the sketch hold outside
    their place (in the hole, outside the hole) has no influence. -> filled (N, 3, H, W) in [-1, 1],
    not composited. Masks are per item, in attention too.
    """

    config: DeepFillConfig
    checkpointing: bool = False
    """While training, keep what enters every few layers and compute the rest again in the backward
    pass (Chen et al. 2016): the same gradients, less memory, more time."""

    def __init__(self, config: DeepFillConfig):
        super().__init__()
        self.config = config
        self.contract = deepfill_contract(config)
        build = _Builder(config)
        self.coarse = build.coarse(5 + config.sketch)
        self.conv_branch = build.conv_branch()
        self.match_branch = build.match_branch()
        self.attention = ContextualAttention(
            rate=ATTENTION_RATE, align_corners=config.padding == "same"
        )
        self.paste_branch = build.paste_branch()
        self.decoder = build.decoder("all", 4 * config.width)  # both branches give 2 widths

    def forward(self, image: Tensor, mask: Tensor, sketch: Tensor | None = None) -> Tensor:
        return self.stages(image, mask, sketch)[-1]

    def stages(
        self, image: Tensor, mask: Tensor, sketch: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The coarse and the refined fill, each as `forward` returns it."""
        coarse = self._coarse(image, mask, sketch)
        return coarse, self.refine(coarse, image, mask)

    def refine(
        self, first_fill: Tensor, image: Tensor, mask: Tensor, sketch: Tensor | None = None
    ) -> Tensor:
        """The refinement stage alone, from any first fill (N, 3, H, W) in [-1, 1]."""
        completed = self._complete(first_fill, image, mask)
        copied = self._kept(self.attention, *self._matched(completed), self._feature_mask(mask))
        conv_branch = self._through(self.conv_branch, completed)
        branches = (conv_branch, self._through(self.paste_branch, copied))
        return self._through(self.decoder, torch.cat(branches, dim=1)).tanh()

    def attention_flow(
        self, image: Tensor, mask: Tensor, sketch: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Where the attention copies from, as figure 2 of Yu et al. 2018 pictures it.

        -> offsets (N, 2, H / 8, W / 8), rows and columns in cells of 8 pixels, of the key taken
        most of; and the weight of that key (N, 1, H / 8, W / 8) in [0, 1].
        """
        completed = self._complete(self._coarse(image, mask, sketch), image, mask)
        features, hole = self._matched(completed), self._feature_mask(mask)
        best, weight = self.attention.strongest(*features, hole)
        return offsets(best), weight[:, None]

    def gates(self, image: Tensor, mask: Tensor, sketch: Tensor | None = None) -> dict[str, Tensor]:
        """Every gate of one forward pass: layer name -> (N, C, h, w) in [0, 1]."""
        with recorded_gates(self) as gates:
            self(image, mask, sketch)
        return gates

    def _coarse(self, image: Tensor, mask: Tensor, sketch: Tensor | None) -> Tensor:
        ones = torch.ones_like(mask)
        inputs = [image * (1 - mask)]
        if self.config.sketch:
            inputs.append(mask * sketch if sketch is not None else torch.zeros_like(mask))
        return self._through(self.coarse, torch.cat([*inputs, ones, ones * mask], dim=1)).tanh()

    def _through(self, layers: nn.Sequential, x: Tensor) -> Tensor:
        """`layers(x)`, with checkpointing a few layers at a time."""
        if not self.checkpointing:
            return layers(x)
        for start in range(0, len(layers), SEGMENT):
            x = self._kept(layers[start : start + SEGMENT], x)
        return x

    def _kept(self, part: nn.Module, *inputs: Tensor) -> Tensor:
        """`part(*inputs)`; with checkpointing only `inputs` are kept for the backward pass."""
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(part, *inputs, use_reentrant=False, preserve_rng_state=False)
        return part(*inputs)

    @staticmethod
    def _complete(filled: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        return filled * mask + image * (1 - mask)

    def _matched(self, completed: Tensor) -> tuple[Tensor, Tensor]:
        """Foreground and background of the attention: DeepFillv2 matches a picture with itself."""
        features = self._through(self.match_branch, completed)
        return features, features

    def _feature_mask(self, mask: Tensor) -> Tensor:
        # Two reductions, here by 4 and in the attention by 2; one by 8 would pick other pixels.
        return nearest_reduce(mask, FEATURE_STRIDE, align_corners=self.config.padding == "same")


def deepfill_contract(config: DeepFillConfig) -> Contract:
    """Ports and sizes of a DeepFillv2 generator."""
    image, mask = Port("image", 3, -1.0, 1.0), Port("mask", 1, binary=True)
    sketch = Port("sketch", 1, binary=True, optional=True)
    return Contract(
        inputs=(image, mask, sketch) if config.sketch else (image, mask),
        output=Port("filled", 3, -1.0, 1.0),
        multiple_of=FEATURE_STRIDE * ATTENTION_RATE,
        native_size=config.native_size,
        refines=True,
        order=config.order,
    )


class _Builder:
    """Builds the five sequences of layers; widths count before gating, as in the official code."""

    def __init__(self, config: DeepFillConfig):
        self.width = config.width
        self.options: dict[str, Any] = {"gate": config.gate, "padding": config.padding}

    def coarse(self, in_channels: int) -> nn.Sequential:
        w = self.width
        layers = [
            ("conv1", w, {"kernel": 5}),
            ("conv2_downsample", 2 * w, {"stride": 2}),
            ("conv3", 2 * w, {}),
            ("conv4_downsample", 4 * w, {"stride": 2}),
            ("conv5", 4 * w, {}),
            ("conv6", 4 * w, {}),
            *((f"conv{7 + i}_atrous", 4 * w, {"dilation": 2 << i}) for i in range(4)),
            ("conv11", 4 * w, {}),
            ("conv12", 4 * w, {}),
        ]
        encoder = self._sequence(in_channels, layers)
        decoder = self.decoder("", 2 * w, first=13)
        return nn.Sequential(OrderedDict([*encoder.named_children(), *decoder.named_children()]))

    def conv_branch(self) -> nn.Sequential:
        w = self.width
        layers = [
            ("xconv1", w, {"kernel": 5}),
            ("xconv2_downsample", w, {"stride": 2}),
            ("xconv3", 2 * w, {}),
            ("xconv4_downsample", 2 * w, {"stride": 2}),
            ("xconv5", 4 * w, {}),
            ("xconv6", 4 * w, {}),
            *((f"xconv{7 + i}_atrous", 4 * w, {"dilation": 2 << i}) for i in range(4)),
        ]
        return self._sequence(3, layers)

    def match_branch(self) -> nn.Sequential:
        w = self.width
        layers = [
            ("pmconv1", w, {"kernel": 5}),
            ("pmconv2_downsample", w, {"stride": 2}),
            ("pmconv3", 2 * w, {}),
            ("pmconv4_downsample", 4 * w, {"stride": 2}),
            ("pmconv5", 4 * w, {}),
            ("pmconv6", 4 * w, {"activation": "relu"}),
        ]
        return self._sequence(3, layers)

    def paste_branch(self) -> nn.Sequential:
        w = self.width
        return self._sequence(2 * w, [("pmconv9", 4 * w, {}), ("pmconv10", 4 * w, {})])

    def decoder(self, prefix: str, in_channels: int, first: int = 11) -> nn.Sequential:
        w = self.width
        layers: list[tuple[str, int, dict[str, Any]]] = [
            ("conv11", 4 * w, {}),
            ("conv12", 4 * w, {}),
            ("conv13_upsample", 2 * w, {}),
            ("conv14", 2 * w, {}),
            ("conv15_upsample", w, {}),
            ("conv16", w // 2, {}),
            ("conv17", 3, {"activation": None}),
        ]
        named = [(prefix + name, *rest) for name, *rest in layers[first - 11 :]]
        return self._sequence(in_channels, named)

    def _sequence(self, in_channels: int, layers: list[Any]) -> nn.Sequential:
        built: OrderedDict[str, nn.Module] = OrderedDict()
        for name, width, options in layers:
            layer = GatedUpsample2d if name.endswith("upsample") else GatedConv2d
            built[name] = convolution = layer(in_channels, width, **options, **self.options)
            in_channels = convolution.out_channels
        return nn.Sequential(built)
