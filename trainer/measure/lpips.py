"""LPIPS 0.1 (Zhang et al. 2018), from files that the user gives.

The backbone is the state dict of AlexNet or VGG16 as torchvision publishes it (only `features.*`
is used), the heads are those of the LPIPS repository, `lpips/weights/v0.1/alex.pth` or `vgg.pth`.
AlexNet is what papers mostly report.
"""

from pathlib import Path
from pickle import UnpicklingError

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from core.errors import TrainingError

ALEXNET = ((0,), (3,), (6,), (8,), (10,))
VGG16 = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
"""Numbers of the convolutions in `features`, grouped by the five layers that are compared."""
POOLS = {ALEXNET: (None, 3, 3, None, None), VGG16: (None, 2, 2, 2, 2)}
"""Width of the max pooling of stride 2 before each group."""
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Per channel of pictures in [-1, 1]: mean and deviation of ImageNet."""
TINY = 1e-10
"""Added to the length of features before dividing, as the original does."""


class Lpips(nn.Module):
    """The compared features of pictures, and the distance between two sets of such."""

    def __init__(self, backbone: dict[str, Tensor], heads: list[Tensor]):
        super().__init__()
        first = backbone["features.0.weight"]
        self.groups = ALEXNET if first.shape[-1] == 11 else VGG16
        self.convolutions = nn.ModuleDict(
            {str(i): _convolution(backbone, i) for group in self.groups for i in group}
        )
        for i, (group, head) in enumerate(zip(self.groups, heads, strict=True)):
            channels = self._last(group).out_channels
            self.register_buffer(f"head{i}", head.reshape(1, channels, 1, 1).float())
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1))

    def _last(self, group: tuple[int, ...]) -> nn.Conv2d:
        layer = self.convolutions[str(group[-1])]
        assert isinstance(layer, nn.Conv2d)
        return layer

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [-1, 1] -> five layers of features of unit length."""
        x = (x - self.get_buffer("shift")) / self.get_buffer("scale")
        layers = []
        for group, pool in zip(self.groups, POOLS[self.groups], strict=True):
            x = F.max_pool2d(x, pool, 2) if pool else x
            for i in group:
                x = F.relu(self.convolutions[str(i)](x))
            layers.append(x / (x.square().sum(dim=1, keepdim=True).sqrt() + TINY))
        return layers

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
    try:
        found = [linear[f"lin{i}.model.1.weight"] for i in range(5)]
        network = Lpips(trunk, found)
    except (KeyError, RuntimeError) as problem:
        reason = str(problem).partition("\n")[0]
        raise TrainingError(
            f"{backbone} and {heads} do not belong together ({reason}); they must both be of "
            "AlexNet or both of VGG16"
        ) from None
    return network.requires_grad_(False).eval()


def _read(path: Path, needed: str) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            tensors = load_file(str(path))
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
        if needed in tensors:
            return tensors
        reason = f"no {needed} in it"
    except (OSError, RuntimeError, EOFError, ValueError, TypeError) as problem:
        reason = str(problem).partition("\n")[0]
    except (SafetensorError, UnpicklingError, LookupError):  # the last is torch's for plain text
        reason = "it is damaged or holds more than tensors"
    raise TrainingError(
        f"{path} cannot be used for LPIPS ({reason}); --lpips needs the state dict of AlexNet or "
        "VGG16 as torchvision publishes it, then the heads of the LPIPS repository, version 0.1"
    )


def _convolution(tensors: dict[str, Tensor], index: int) -> nn.Conv2d:
    """A convolution of torchvision's AlexNet or VGG16: only the 11x11 one has strides."""
    weight, bias = tensors[f"features.{index}.weight"], tensors[f"features.{index}.bias"]
    outputs, inputs, kernel = weight.shape[:3]
    stride, padding = (4, 2) if kernel == 11 else (1, kernel // 2)
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding)
    layer.load_state_dict({"weight": weight.float(), "bias": bias.float()})
    return layer
