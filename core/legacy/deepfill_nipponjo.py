"""DeepFillv2 in the two forms of nipponjo's port: states_tf_*.pth and states_pt_*.pth.

The first are the official weights, converted, for a network with TensorFlow's paddings; the second
were trained on for a network with equal paddings. Attention differs in details that have no
weights; docs/networks.md says what is computed here.
"""

import torch

from ..config import DeepFillConfig
from .checkpoint import Checkpoint
from .release import ImportOptions, Piece, Plan, Release

SOURCE = "https://github.com/nipponjo/deepfillv2-pytorch"
PAPER = "Yu et al. 2019, Free-Form Image Inpainting with Gated Convolution, arXiv 1806.03589"
TERMS = (
    "none stated by the project; derived from the official weights, which are under CC BY-NC 4.0 "
    "(Attribution-NonCommercial)"
)
FUSE = "stage2.contextual_attention.fuse_weight"
TF_ORDER = (
    "its code feeds RGB, and so is it run here; the official weights that it was made of are for "
    "BGR, and whether the conversion turned them is not known: --order bgr if colours look wrong"
)
TF_ATTENTION = (
    "its code leaves out the fusing of attention scores and shrinks the mask at once; run here as "
    "the official code does, for which these weights were trained"
)


def _decoder(first: int, prefix: str) -> dict[str, str]:
    """The layers from the first doubling on: ours -> theirs."""
    return {
        f"{prefix}conv{first}_upsample": "up_block1.conv1_upsample.conv",
        f"{prefix}conv{first + 1}": "up_block1.conv2",
        f"{prefix}conv{first + 2}_upsample": "up_block2.conv1_upsample.conv",
        f"{prefix}conv{first + 3}": "up_block2.conv2",
        f"{prefix}conv{first + 4}": "conv_to_rgb",
    }


def _encoder(prefix: str, theirs: str) -> dict[str, str]:
    """The first five layers."""
    return {
        f"{prefix}conv1": f"{theirs}conv1",
        f"{prefix}conv2_downsample": f"{theirs}down_block1.conv1_downsample",
        f"{prefix}conv3": f"{theirs}down_block1.conv2",
        f"{prefix}conv4_downsample": f"{theirs}down_block2.conv1_downsample",
        f"{prefix}conv5": f"{theirs}down_block2.conv2",
    }


STAGE_1 = {
    **_encoder("", ""),
    "conv6": "conv_bn1",
    **{f"conv{7 + i}_atrous": f"conv_bn{2 + i}" for i in range(4)},
    "conv11": "conv_bn6",
    "conv12": "conv_bn7",
    **_decoder(13, ""),
}
STAGE_2 = {
    **_encoder("x", "conv_"),
    "xconv6": "conv_conv_bn1",
    **{f"xconv{7 + i}_atrous": f"conv_conv_bn{2 + i}" for i in range(4)},
    **_encoder("pm", "ca_"),
    "pmconv6": "ca_conv_bn1",
    "pmconv9": "ca_conv_bn4",
    "pmconv10": "ca_conv_bn5",
    "allconv11": "conv_bn6",
    "allconv12": "conv_bn7",
    **_decoder(13, "all"),
}
LAYERS = {ours: f"stage1.{theirs}" for ours, theirs in STAGE_1.items()}
LAYERS |= {ours: f"stage2.{theirs}" for ours, theirs in STAGE_2.items()}
"""Layers by their official names -> by those of the form "pt"."""


def _tf_piece(name: str) -> Piece:
    _, layer, _, kind = name.split(".")
    inner = ".conv" if layer.endswith("upsample") else ""
    return Piece((f"{layer}{inner}.conv.{kind}",))


def _pt_piece(name: str) -> Piece:
    _, layer, _, kind = name.split(".")
    return Piece((f"{LAYERS[layer]}.conv.{kind}",))


def _tf_plan(checkpoint: Checkpoint, options: ImportOptions) -> Plan:
    width = checkpoint.size("conv1.conv.weight", 0)
    order = options.order or "rgb"
    notes = (TF_ATTENTION,) if options.order else (TF_ATTENTION, TF_ORDER)
    return Plan(config=DeepFillConfig(width=width, order=order), piece=_tf_piece, notes=notes)


def _pt_plan(checkpoint: Checkpoint, options: ImportOptions) -> Plan:
    width = checkpoint.size("stage1.conv1.conv.weight", 0)
    return Plan(
        config=DeepFillConfig(width=width, padding="symmetric", order=options.order or "rgb"),
        piece=_pt_piece,
        constants={FUSE: torch.eye(3)},
    )


TF = Release(
    title="nipponjo's DeepFillv2 for networks_tf.py (states_tf_*.pth)",
    source=SOURCE,
    paper=PAPER,
    terms=TERMS,
    signature=tuple(
        f"{layer}.conv.weight" for layer in ("conv1", "conv17", "xconv1", "pmconv1", "allconv17")
    ),
    plan=_tf_plan,
    options=frozenset({"order"}),
)
PT = Release(
    title="nipponjo's DeepFillv2 for networks.py (states_pt_*.pth)",
    source=SOURCE,
    paper=PAPER,
    terms=TERMS,
    signature=tuple(f"{LAYERS[layer]}.conv.weight" for layer in ("conv1", "xconv1", "pmconv9")),
    plan=_pt_plan,
    options=frozenset({"order"}),
)
