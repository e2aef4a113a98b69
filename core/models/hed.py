"""Holistically-nested edge detection (Xie and Tu 2015), for published weights that a user brings.

Two conversions of the authors' network are read. Both pad by one pixel and scale the sides up
bilinearly, where the authors pad by 35 and crop; ours computes what the conversions do.
- github.com/sniklaus/pytorch-hed, `network-bsds500.pytorch`: the authors' weights and fusion.
- github.com/lllyasviel/ControlNet, `ControlNetHED.pth`, Apache License 2.0: trained anew; the
  sides are averaged.
The authors' own Caffe file needs Caffe, which OpenCV 5 no longer reads.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STAGES = ((3, 64, 2), (64, 128, 2), (128, 256, 3), (256, 512, 3), (512, 512, 3))
"""Of VGG16: channels in, channels out, number of convolutions."""
MEAN = (122.67891434, 116.66876762, 104.00698793)
"""Of ImageNet, red, green, blue, in grey levels of 255."""
NUMERALS = ("One", "Two", "Thr", "Fou", "Fiv")


class Hed(nn.Module):
    """Pixels (N, 3, H, W) in [0, 1], RGB, H and W at least 16 -> strength (N, 1, H, W) in [0, 1].

    Sides that are multiples of 16 are those at which no rows are lost on the way.
    """

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.stages = nn.ModuleList()
        for before, width, count in STAGES:
            pairs = pairwise([before] + [width] * count)
            self.stages.append(nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairs))
        self.scores = nn.ModuleList(nn.Conv2d(width, 1, 1) for _, width, _ in STAGES)
        self.fuse = nn.Conv2d(len(STAGES), 1, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        x, sides = pixels * 255 - self.mean, []
        for i, (stage, score) in enumerate(zip(self.stages, self.scores, strict=True)):
            x = F.max_pool2d(x, 2) if i else x
            for conv in stage:  # type: ignore[attr-defined]  # a ModuleList of its own
                x = conv(x).relu_()
            side = score(x)
            sides.append(F.interpolate(side, size=pixels.shape[-2:], mode="bilinear"))
        return self.fuse(torch.cat(sides, dim=1)).sigmoid()


def from_published(tensors: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """The state of `Hed` out of a published file's, or None for a file of neither layout."""
    if "norm" in tensors:
        names, mean = _controlnet_names(), tensors["norm"]
    else:
        tensors = {_plain(name): tensor for name, tensor in tensors.items()}
        names, mean = _sniklaus_names(), torch.tensor(MEAN).view(1, 3, 1, 1)
    if not set(names.values()) <= set(tensors):
        return None
    state = {ours: tensors[theirs] for ours, theirs in names.items()}
    if "norm" in tensors:
        state["fuse.weight"] = torch.full((1, len(STAGES), 1, 1), 1 / len(STAGES))
        state["fuse.bias"] = torch.zeros(1)
    else:  # it takes blue first
        state["stages.0.0.weight"] = state["stages.0.0.weight"].flip(1)
    return {**state, "mean": mean}


def _plain(name: str) -> str:
    """The file says moduleVggOne, the network of the same repository netVggOne."""
    return name.removeprefix("module").removeprefix("net")


def _sniklaus_names() -> dict[str, str]:
    """Name in `Hed` -> name there; a stage there counts pooling and activations too."""
    names = {"fuse": "Combine.0"}
    for i, (_, _, count) in enumerate(STAGES):
        names[f"scores.{i}"] = f"Score{NUMERALS[i]}"
        for j in range(count):
            names[f"stages.{i}.{j}"] = f"Vgg{NUMERALS[i]}.{2 * j + (i > 0)}"
    return _with_parameters(names)


def _controlnet_names() -> dict[str, str]:
    names = {}
    for i, (_, _, count) in enumerate(STAGES):
        names[f"scores.{i}"] = f"block{i + 1}.projection"
        for j in range(count):
            names[f"stages.{i}.{j}"] = f"block{i + 1}.convs.{j}"
    return _with_parameters(names)


def _with_parameters(names: dict[str, str]) -> dict[str, str]:
    return {
        f"{ours}.{part}": f"{theirs}.{part}"
        for ours, theirs in names.items()
        for part in ("weight", "bias")
    }
