"""Features for perceptual terms and distances, from a network that the user gives as a file.

A file holds conv1.weight, conv1.bias, conv2.weight, ...: 3x3 convolutions in a row, each followed
by LeakyReLU 0.1 and, but for the last, by 2x2 max pooling; input RGB in [0, 1]. Darknet
Reference, a public-domain ImageNet network with its batch normalisation folded in, has this form.
"""

from pathlib import Path

import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from core.errors import TrainingError


class FeatureNetwork(nn.Module):
    """(N, 3, H, W) in [-1, 1] -> activations of every layer, large to small."""

    def __init__(self, convolutions: list[nn.Conv2d]):
        super().__init__()
        self.convolutions = nn.ModuleList(convolutions)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = (x + 1) / 2
        features: list[Tensor] = []
        for convolution in self.convolutions:
            x = F.max_pool2d(x, 2) if features else x
            x = F.leaky_relu(convolution(x), 0.1)
            features.append(x)
        return features


def load_features(path: Path) -> FeatureNetwork:
    """The network in `path`, frozen. Raises TrainingError if it is missing or of another form."""
    try:
        tensors = load_file(str(path))
        count = sum(name.endswith(".weight") for name in tensors)
        convolutions = []
        for i in range(1, count + 1):
            weight, bias = tensors[f"conv{i}.weight"], tensors[f"conv{i}.bias"]
            layer = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
            layer.load_state_dict({"weight": weight.float(), "bias": bias.float()})
            convolutions.append(layer)
    except (OSError, SafetensorError, KeyError, RuntimeError) as problem:
        raise TrainingError(
            f"{path} is not a feature network that can be used here ({problem}); it needs "
            "conv1.weight, conv1.bias, conv2.weight, ... of 3x3 convolutions as safetensors"
        ) from None
    return FeatureNetwork(convolutions).requires_grad_(False).eval()


def feature_distance(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """Zhang et al. 2018, equation 1, with all weights 1: squared difference of unit features.

    a, b: layers (N, C, h, w), N = 1 in `b` beside more in `a` -> (N,), summed over channels and
    layers, mean over pixels.
    """
    pairs = ((F.normalize(x, dim=1), F.normalize(y, dim=1)) for x, y in zip(a, b, strict=True))
    layers = [(x - y).square().sum(dim=1).mean(dim=(-1, -2)) for x, y in pairs]
    return sum(layers[1:], layers[0])
