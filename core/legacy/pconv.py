"""Partial convolution: naoto0804's U-Net, and the same made of NVIDIA's own layer."""

import torch
from torch import Tensor

from ..config import PConvConfig
from .checkpoint import Checkpoint
from .release import ImportOptions, Piece, Plan, Release, as_is

PAPER = (
    "Liu et al. 2018, Image Inpainting for Irregular Holes Using Partial Convolutions, "
    "arXiv 1804.07723"
)
LEAST_SIDE = 64
ASSUMED = (
    "pictures are normalised by ImageNet's means and deviations, as naoto0804's code does",
    "what it counts as its best size follows from how many levels it has",
)


def over_window(kernel: Tensor) -> Tensor:
    """A kernel for a layer that divides by how much of a window is valid, not by its share.

    naoto0804's layer divides by the sum of the mask over all channels, NVIDIA's and the paper's by
    that sum over the size of the window.
    """
    return kernel / kernel[0].numel()


def _naoto_piece(name: str) -> Piece:
    """`enc_1.conv.weight` is their enc_1.conv.input_conv.weight over its window."""
    layer, part, kind = name.split(".")
    if part == "conv":
        make = over_window if kind == "weight" else as_is
        return Piece((f"{layer}.conv.input_conv.{kind}",), make)
    return Piece((name,))


def _nvidia_piece(name: str) -> Piece:
    return Piece((name,))


def _config(checkpoint: Checkpoint, options: ImportOptions, kernel: str) -> PConvConfig:
    levels = sum(f"enc_{i}.{kernel}" in checkpoint.shapes for i in range(1, 10))
    side = max(2 ** (levels + 1), LEAST_SIDE)
    return PConvConfig(
        width=checkpoint.size(f"enc_1.{kernel}", 0),
        levels=levels,
        native_size=options.native_size or side,
    )


def _naoto_plan(checkpoint: Checkpoint, options: ImportOptions) -> Plan:
    masks = (name for name in checkpoint.shapes if name.endswith(".conv.mask_conv.weight"))
    return Plan(
        config=_config(checkpoint, options, "conv.input_conv.weight"),
        piece=_naoto_piece,
        constants={name: torch.ones(()) for name in masks},
        notes=("its weights are divided by the windows of its layers, whose scaling differs",),
    )


def _nvidia_plan(checkpoint: Checkpoint, options: ImportOptions) -> Plan:
    config = _config(checkpoint, options, "conv.weight")
    return Plan(config=config, piece=_nvidia_piece, notes=ASSUMED)


def _signature(kernel: str) -> tuple[str, ...]:
    return tuple(f"{layer}.conv.{kernel}" for layer in ("enc_1", "enc_2", "dec_2", "dec_1"))


NAOTO = Release(
    title="naoto0804's partial convolution U-Net",
    source="https://github.com/naoto0804/pytorch-inpainting-with-partial-conv v0.0.0",
    paper=PAPER,
    terms="MIT, copyright 2018 Naoto Inoue; trained on Places2, whose own terms hold for pictures",
    signature=_signature("input_conv.weight"),
    plan=_naoto_plan,
    options=frozenset({"native_size"}),
)
NVIDIA = Release(
    title="a partial convolution U-Net of NVIDIA's layer",
    source="https://github.com/NVIDIA/partialconv (the layer; NVIDIA released no such weights)",
    paper=PAPER,
    terms="those of whoever trained it; the layer's code is under the BSD 3-Clause licence",
    signature=_signature("weight"),
    plan=_nvidia_plan,
    options=frozenset({"native_size"}),
)
