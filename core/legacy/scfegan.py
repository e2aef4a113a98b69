"""SC-FEGAN as its authors released it: the TensorFlow checkpoint SC-FEGAN.ckpt."""

from ..config import ScFeganConfig
from .checkpoint import Checkpoint
from .deepfill_official import beside_generator, from_hwio
from .release import ImportOptions, Piece, Plan, Release

PREFIX = "generator/"
LEVELS = 7


def _layer(part: str, number: int) -> str:
    """Our encoder, context, up and join -> their names."""
    return {
        "encoder": f"gconv{number + 1}_ds",
        "context": f"co_conv{number + 1}_dlt",
        "up": f"deconv{number + 1}",
        "join": f"gconv{number + LEVELS + 1}",
    }[part]


def _piece(name: str) -> Piece:
    """`encoder.0.gate.weight` is their gconv1_ds_g/kernel, `up.0.unused_bias` deconv1/biases2."""
    part, number, *rest = name.split(".")
    layer = PREFIX + _layer(part, int(number))
    if part == "up":
        kind = {"weight": "w", "bias": "biases1", "unused_bias": "biases2"}[rest[-1]]
        return (
            Piece((f"{layer}/{kind}",), from_hwio) if kind == "w" else Piece((f"{layer}/{kind}",))
        )
    layer += "_g" if rest[0] == "gate" else ""
    if rest[1] == "weight":
        return Piece((f"{layer}/kernel",), from_hwio)
    return Piece((f"{layer}/bias",))


def _plan(checkpoint: Checkpoint, options: ImportOptions) -> Plan:
    width = checkpoint.size(f"{PREFIX}gconv1_ds/kernel", 3)
    config = ScFeganConfig(width=width, levels=LEVELS, order=options.order or "bgr")
    return Plan(
        config=config,
        piece=_piece,
        left_out=lambda name: beside_generator(name, PREFIX),
        notes=(
            "its code works on pictures of 512x512; here on any size",
            *(
                ("its code reads and writes pictures in the order BGR, and so is it run here",)
                if config.order == "bgr"
                else ()
            ),
        ),
    )


OFFICIAL = Release(
    title="the official SC-FEGAN (TensorFlow)",
    source="https://github.com/run-youngjoo/SC-FEGAN",
    paper="Jo and Park 2019, SC-FEGAN: Face Editing Generative Adversarial Network with User's "
    "Sketch and Color, arXiv 1902.06838",
    terms="CC BY-NC 4.0 (Attribution-NonCommercial); for educational and academic research only",
    signature=tuple(
        PREFIX + name
        for name in ("gconv1_ds/kernel", "co_conv1_dlt_g/kernel", "deconv1/w", "gconv14/kernel")
    ),
    plan=_plan,
    options=frozenset({"order"}),
)
