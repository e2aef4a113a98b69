"""DeepFillv2 as its authors released it: TensorFlow checkpoints of generative_inpainting v2.0.0."""

from torch import Tensor

from ..config import DeepFillConfig
from .checkpoint import Checkpoint
from .release import ImportOptions, Piece, Plan, Release

PREFIX = "inpaint_net/"
OPTIMISER = ("/Adam", "/Adam_1")
COUNTERS = ("lr", "beta1_power", "beta2_power", "global_step")


def from_hwio(kernel: Tensor) -> Tensor:
    """A kernel of TensorFlow (h, w, in, out) as PyTorch has it (out, in, h, w).

    Of a transposed convolution (h, w, out, in) it likewise makes PyTorch's (in, out, h, w).
    """
    return kernel.permute(3, 2, 0, 1)


def beside_generator(name: str, prefix: str) -> str | None:
    """What a variable of a TensorFlow checkpoint is, or None if it is one of the generator."""
    if name.endswith(OPTIMISER) or name.split("/")[-1].startswith(COUNTERS):
        return "state of the optimiser"
    if name.startswith("discriminator/"):
        return "the discriminator"
    return None if name.startswith(prefix) else "variables beside the network"


def _piece(name: str) -> Piece:
    """`coarse.conv14.conv.weight` is their conv14/kernel; doublings have one name more."""
    _, layer, _, kind = name.split(".")
    inner = f"/{layer}_conv" if layer.endswith("upsample") else ""
    if kind == "weight":
        return Piece((f"{PREFIX}{layer}{inner}/kernel",), from_hwio)
    return Piece((f"{PREFIX}{layer}{inner}/{kind}",))


def _plan(checkpoint: Checkpoint, options: ImportOptions) -> Plan:
    kernel = f"{PREFIX}conv1/kernel"
    config = DeepFillConfig(
        width=checkpoint.size(kernel, 3),
        sketch=checkpoint.size(kernel, 2) == 6,
        order=options.order or "bgr",
    )
    return Plan(
        config=config,
        piece=_piece,
        left_out=lambda name: beside_generator(name, PREFIX),
        notes=("its code reads and writes pictures in the order BGR, and so is it run here",)
        if config.order == "bgr"
        else (),
    )


OFFICIAL = Release(
    title="the official DeepFillv2 (TensorFlow)",
    source="https://github.com/JiahuiYu/generative_inpainting v2.0.0",
    paper="Yu et al. 2019, Free-Form Image Inpainting with Gated Convolution, arXiv 1806.03589",
    terms="CC BY-NC 4.0 (Attribution-NonCommercial)",
    signature=tuple(
        f"{PREFIX}{layer}/kernel" for layer in ("conv1", "conv17", "xconv1", "pmconv1", "allconv17")
    ),
    plan=_plan,
    options=frozenset({"order"}),
)
