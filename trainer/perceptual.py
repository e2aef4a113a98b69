"""Features for perceptual terms and distances, from a network that the user gives as a file.

Two forms are taken, the first as safetensors, the second also as .pth:
- conv1.weight, conv1.bias, conv2.weight, ...: 3x3 convolutions in a row, each followed by LeakyReLU
  0.1 and, but for the last, by 2x2 max pooling; input RGB in [0, 1]; every layer counts. Darknet
  Reference, a public-domain ImageNet network with its batch normalisation folded in, has this form.
- The state dict of VGG16 or VGG19 as torchvision publishes it, of which `features.*` is used. Of
  VGG16 the outputs of the first three poolings count (Liu et al. 2018; Jo and Park 2019), of VGG19
  relu1_1 to relu5_1 (Wang et al. 2018; Park et al. 2019).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from core.errors import TrainingError

Tint = tuple[tuple[float, ...], tuple[float, ...]]
"""Per channel: what is taken from pictures in [-1, 1], and by what they are divided then."""
IMAGENET: Tint = ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450))
"""Mean and deviation of ImageNet; in [0, 1] 0.485, 0.456, 0.406 and 0.229, 0.224, 0.225."""
UNIT: Tint = ((-1.0,), (2.0,))
"""To [0, 1]."""
UNCHANGED: Tint = ((0.0,), (1.0,))


@dataclass(frozen=True)
class Backbone:
    """The convolutions of a network of torchvision (`features`), with ReLU after each."""

    blocks: tuple[tuple[int, ...], ...]
    """Their output channels, parted by max poolings."""
    kernels: tuple[int, ...] = ()
    """Of the first of them; all others have 3."""
    pool: int = 2
    """Width of the poolings; their stride is 2."""


ALEXNET = Backbone(((64,), (192,), (384, 256, 256)), kernels=(11, 5), pool=3)
VGG16 = Backbone(((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3))
VGG19 = Backbone(((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4))
TAPS = {VGG16: (4, 9, 16), VGG19: (1, 6, 11, 20, 29)}
"""Numbers in `features` of the layers that count in a loss."""
ONLY_VGG19 = "features.16.weight"
"""VGG16 has a pooling there."""


class FeatureNetwork(nn.Module):
    """(N, 3, H, W) in [-1, 1] -> activations of the layers numbered `taps`, large to small.

    No layer after the last of them is run.
    """

    def __init__(self, layers: nn.Sequential, taps: tuple[int, ...], tint: Tint):
        super().__init__()
        self.layers, self.taps = nn.Sequential(*list(layers)[: taps[-1] + 1]), taps
        for name, values in zip(("shift", "scale"), tint, strict=True):
            self.register_buffer(name, torch.tensor(values).view(1, -1, 1, 1))

    @property
    def channels(self) -> list[int]:
        """Of each activation."""
        widths = [y.out_channels if isinstance(y, nn.Conv2d) else 0 for y in self.layers]
        return [[w for w in widths[: tap + 1] if w][-1] for tap in self.taps]

    def forward(self, x: Tensor) -> list[Tensor]:
        x = (x - self.get_buffer("shift")) / self.get_buffer("scale")
        features: list[Tensor] = []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i in self.taps:
                features.append(x)
        return features


def load_features(path: Path, *, normalise: bool = True) -> FeatureNetwork:
    """The network in `path`, frozen. Raises TrainingError if it is missing or of another form.

    `normalise` False: VGG sees pictures in [-1, 1] as they are, as in the official code of SPADE,
    and not less the mean and over the deviation of ImageNet. The other form has its own range.
    """
    try:
        tensors = read_tensors(path)
        if "features.0.weight" in tensors:
            backbone = VGG19 if ONLY_VGG19 in tensors else VGG16
            layers = torchvision_layers(tensors, backbone, TAPS[backbone][-1])
            tint = IMAGENET if normalise else UNCHANGED
            network = FeatureNetwork(layers, TAPS[backbone], tint)
        else:
            layers = _row(tensors)
            network = FeatureNetwork(layers, tuple(range(1, len(layers), 3)), UNIT)
    except TrainingError as problem:
        raise TrainingError(
            f"{path} is not a feature network that can be used here ({problem}); it needs "
            "conv1.weight, conv1.bias, conv2.weight, ... of 3x3 convolutions, or the state dict of "
            "VGG16 or VGG19 as torchvision publishes it"
        ) from None
    return network.requires_grad_(False).eval()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """A .safetensors file or a state dict in a .pth file, on the CPU.

    Raises TrainingError with the bare reason, for a sentence on what is needed.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(str(path))
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, TypeError) as problem:
        raise TrainingError(str(problem).partition("\n")[0]) from None
    except (SafetensorError, UnpicklingError, LookupError):  # the last is torch's for plain text
        raise TrainingError("it is damaged or holds more than tensors") from None
    if not isinstance(found, dict) or not all(isinstance(x, Tensor) for x in found.values()):
        raise TrainingError("it holds something else than tensors by name")
    return found


def torchvision_layers(
    tensors: Mapping[str, Tensor], backbone: Backbone, last: int
) -> nn.Sequential:
    """`features` of `backbone`, numbered as in torchvision, at least up to layer `last`.

    Raises TrainingError with the bare reason if a tensor is missing or of another shape.
    """
    layers: list[nn.Module] = []
    before, kernels = 3, iter(backbone.kernels)
    for block in backbone.blocks:
        for width in block:
            if len(layers) > last:
                return nn.Sequential(*layers)
            shape = (width, before, next(kernels, 3))
            layers += [_convolution(tensors, f"features.{len(layers)}", shape), nn.ReLU()]
            before = width
        layers.append(nn.MaxPool2d(backbone.pool, 2))
    return nn.Sequential(*layers)


def _row(tensors: Mapping[str, Tensor]) -> nn.Sequential:
    """The convolutions conv1, conv2, ... and what is between them."""
    layers: list[nn.Module] = []
    before = 3
    count = sum(name.endswith(".weight") for name in tensors)
    for i in range(1, max(1, count) + 1):
        width = len(tensors.get(f"conv{i}.weight", ()))
        layer = _convolution(tensors, f"conv{i}", (width, before, 3))
        layers += [nn.MaxPool2d(2)] if layers else []
        layers += [layer, nn.LeakyReLU(0.1)]
        before = width
    return nn.Sequential(*layers)


def _convolution(
    tensors: Mapping[str, Tensor], name: str, shape: tuple[int, int, int]
) -> nn.Conv2d:
    """`shape` is outputs, inputs, kernel; only AlexNet's first layer, 11x11, has a stride."""
    outputs, inputs, kernel = shape
    needed = {"weight": (outputs, inputs, kernel, kernel), "bias": (outputs,)}
    for part, size in needed.items():
        found = tensors.get(f"{name}.{part}")
        if found is None:
            raise TrainingError(f"no {name}.{part} in it")
        if tuple(found.shape) != size:
            raise TrainingError(f"{name}.{part} is {tuple(found.shape)} in place of {size}")
    stride, padding = (4, 2) if kernel == 11 else (1, kernel // 2)
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding)
    layer.load_state_dict({part: tensors[f"{name}.{part}"] for part in needed})
    return layer


def feature_distance(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """Zhang et al. 2018, equation 1, with all weights 1: squared difference of unit features.

    a, b: layers (N, C, h, w), N = 1 in `b` beside more in `a` -> (N,), summed over channels and
    layers, mean over pixels.
    """
    pairs = ((F.normalize(x, dim=1), F.normalize(y, dim=1)) for x, y in zip(a, b, strict=True))
    layers = [(x - y).square().sum(dim=1).mean(dim=(-1, -2)) for x, y in pairs]
    return sum(layers[1:], layers[0])
