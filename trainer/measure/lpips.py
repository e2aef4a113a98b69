"""LPIPS 0.1 (Zhang et al. 2018), from files that the user gives.

The backbone is the state dict of AlexNet or VGG16 as torchvision publishes it (only `features.*`
is used), the heads are those of the LPIPS repository, `lpips/weights/v0.1/alex.pth` or `vgg.pth`.
AlexNet is what papers mostly report.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from core.errors import TrainingError

from ..perceptual import (
    ALEXNET,
    IMAGENET,
    VGG16,
    FeatureNetwork,
    read_tensors,
    torchvision_layers,
)

TAPS = {ALEXNET: (1, 4, 7, 9, 11), VGG16: (3, 8, 15, 22, 29)}
"""Numbers in `features` of the five layers that are compared."""
TINY = 1e-10
"""Added to the length of features before dividing, as the original does."""


class Lpips(nn.Module):
    """The compared features of pictures, and the distance between two sets of such."""

    def __init__(self, features: FeatureNetwork, heads: list[Tensor]):
        super().__init__()
        self.features = features
        for i, head in enumerate(heads):
            self.register_buffer(f"head{i}", head.reshape(1, -1, 1, 1).float())

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [-1, 1] -> five layers of features of unit length."""
        lengths = [(y, y.square().sum(dim=1, keepdim=True).sqrt()) for y in self.features(x)]
        return [y / (length + TINY) for y, length in lengths]

    def distance(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        """Equation 1: layers of N pictures and of as many, or one -> (N,)."""
        parts = [
            ((x - y).square() * self.get_buffer(f"head{i}")).sum(dim=1).mean(dim=(-1, -2))
            for i, (x, y) in enumerate(zip(a, b, strict=True))
        ]
        return torch.stack(parts).sum(dim=0)


def load_lpips(backbone: Path, heads: Path) -> Lpips:
    """The network of two files, frozen. Raises TrainingError if they cannot be used or differ."""
    trunk, linear = _read(backbone, "features.0.weight"), _read(heads, "lin0.model.1.weight")
    kind = ALEXNET if trunk["features.0.weight"].shape[-1] == 11 else VGG16
    try:
        layers = torchvision_layers(trunk, kind, TAPS[kind][-1])
        features = FeatureNetwork(layers, TAPS[kind], IMAGENET)
        network = Lpips(features, _heads(linear, features))
    except TrainingError as problem:
        raise TrainingError(
            f"{backbone} and {heads} do not belong together ({problem}); they must both be of "
            "AlexNet or both of VGG16"
        ) from None
    return network.requires_grad_(False).eval()


def _heads(linear: dict[str, Tensor], features: FeatureNetwork) -> list[Tensor]:
    """One per compared layer. Raises TrainingError with the bare reason if they do not fit."""
    found = []
    for i, channels in enumerate(features.channels):
        head = linear.get(f"lin{i}.model.1.weight")
        if head is None or head.numel() != channels:
            given = "missing" if head is None else f"{head.numel()} numbers long"
            raise TrainingError(f"lin{i}.model.1.weight is {given}, the layer has {channels}")
        found.append(head)
    return found


def _read(path: Path, needed: str) -> dict[str, Tensor]:
    try:
        tensors = read_tensors(path)
        if needed not in tensors:
            raise TrainingError(f"no {needed} in it")
    except TrainingError as problem:
        raise TrainingError(
            f"{path} cannot be used for LPIPS ({problem}); --lpips needs the state dict of AlexNet "
            "or VGG16 as torchvision publishes it, then the heads of the LPIPS repository, "
            "version 0.1"
        ) from None
    return tensors
