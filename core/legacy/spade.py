"""SPADE as NVlabs released it: the generator latest_net_G.pth, with latest_net_E.pth beside it.

The file does not say everything: how many channels of its map are labels, how often it doubles
between its middle blocks and for which pictures it was trained. Of the three releases that is known
by the number of channels; for others the user says it.
"""

import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from ..config import SpadeConfig
from ..errors import ConfigError, WeightsError
from ..models.spade import HALVINGS
from .checkpoint import Checkpoint
from .foreign import open_checkpoint
from .label_names import read_labels
from .release import ImportOptions, Piece, Plan, Release

MLP = "head_0.norm_0.mlp_shared.0.weight"
ENCODER = "encoder/"
"""Before the names of the second file's tensors."""
ENCODER_SIGNATURE = tuple(f"{name}.weight" for name in ("fc_mu", "fc_var"))


@dataclass(frozen=True)
class Trained:
    """What a file does not say of how it was trained; None = not known."""

    data: str = "unknown data"
    unknown: bool | None = None
    instance_edges: bool | None = None
    upsampling: str | None = None
    native_size: int | None = None
    aspect: float | None = None


RELEASED = {
    184: Trained("COCO-Stuff", True, True, "normal", 256, 1.0),
    # Its data/ade20k_dataset.py takes 1 off the numbers in ADE20K's files.
    151: Trained(
        "ADE20K (label 0 is the 1 of its files, whose 0 is 255 here)",
        True,
        False,
        "normal",
        256,
        1.0,
    ),
    36: Trained("Cityscapes", False, True, "more", 512, 2.0),
}
"""Channels of the map -> NVlabs' own settings for that data (its data/*_dataset.py)."""


def solved_v(kernel: Tensor, u: Tensor) -> Tensor:
    """The vector that files of old PyTorch lack: one power iteration from u, (columns,).

    Only u W v has influence in evaluation, and training begins with this very step.
    """
    return F.normalize(u @ kernel.flatten(1), dim=0)


def solved_from_quotient(kernel: Tensor, u: Tensor, quotient: Tensor) -> Tensor:
    """As `solved_v`, so long that u W v is kernel / quotient, which those files have stored too."""
    v = solved_v(kernel, u)
    scale = (kernel * quotient).sum() / quotient.square().sum()
    return v * scale / (u @ (kernel.flatten(1) @ v))


def _plan(checkpoint: Checkpoint, options: ImportOptions) -> Plan:
    trained, notes = _trained(checkpoint, options)
    labels, palette = _labels(checkpoint, options, trained)
    fc = checkpoint.shapes.get("fc.weight", ())
    styled = len(fc) == 2
    config = SpadeConfig(
        labels=labels,
        palette=palette,
        unknown=bool(trained.unknown),
        instance_edges=bool(trained.instance_edges),
        encoder=styled,
        width=checkpoint.size("conv_img.weight", 1) * (2 if _grows_longest(checkpoint) else 1),
        upsampling=trained.upsampling or "normal",  # type: ignore[arg-type]  # checked there
        norm="syncbatch" if _has(checkpoint, ".running_mean") else "instance",
        kernel=checkpoint.size(MLP, 3),
        spectral=_has(checkpoint, ".weight_orig"),
        z_dim=fc[1] if styled else 256,
        aspect=trained.aspect or 1.0,
        native_size=trained.native_size or 256,
    )
    if styled:
        _check_first(checkpoint, config, fc[0])
        checkpoint = _with_encoder(checkpoint, options)
    elif options.encoder:
        raise ConfigError(f"{checkpoint.path} takes no style; leave --encoder out")
    return Plan(
        config=config,
        piece=partial(_piece, checkpoint, config.spectral),
        left_out=partial(_left_out, checkpoint),
        notes=notes,
        checkpoint=checkpoint,
    )


def _trained(checkpoint: Checkpoint, options: ImportOptions) -> tuple[Trained, tuple[str, ...]]:
    """What is known of the release, or said by the user, and what of it is no more than assumed."""
    channels = checkpoint.size(MLP, 1)
    known = RELEASED.get(channels, Trained())
    said = {name: getattr(options, name) for name in vars(known) if name != "data"}
    trained = replace(known, **{name: value for name, value in said.items() if value is not None})
    if trained.unknown is None or trained.instance_edges is None:
        released = ", ".join(f"{n} of {release.data}" for n, release in RELEASED.items())
        raise ConfigError(
            f"the map of {checkpoint.path} has {channels} channels, and no release has so many "
            f"({released}); say what the last ones are: --unknown or --no-unknown, "
            "--instance-edges or --no-instance-edges"
        )
    longest = _grows_longest(checkpoint)
    if longest != (trained.upsampling == "most") and (longest or trained.upsampling is not None):
        if longest and options.upsampling is None:
            return replace(trained, upsampling="most"), ()
        raise ConfigError(
            f"--upsampling is {trained.upsampling}, but {checkpoint.path} is "
            f"{'of' if longest else 'not of'} the kind 'most'; leave it out"
        )
    if trained.upsampling is None:
        note = "upsampling 'normal' is assumed, which the file does not say; else --upsampling more"
        return trained, (note,)
    return trained, () if known.data == "unknown data" else (f"trained on {known.data}",)


def _labels(
    checkpoint: Checkpoint, options: ImportOptions, trained: Trained
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and colours; without a file of them, names that only count."""
    count = checkpoint.size(MLP, 1) - bool(trained.unknown) - bool(trained.instance_edges)
    if options.labels is None:
        return tuple(f"label {i}" for i in range(count)), ()
    names, palette = read_labels(options.labels)
    if len(names) != count:
        raise ConfigError(
            f"{options.labels} names {len(names)} labels, but {checkpoint.path} has {count}; "
            "a line for each is needed, in the order of their numbers"
        )
    return names, palette


def _check_first(checkpoint: Checkpoint, config: SpadeConfig, found: int) -> None:
    """Raises ConfigError unless the size of training goes with the first layer's."""
    width = config.native_size // 2 ** HALVINGS[config.upsampling]
    needed = 16 * config.width * width * round(width / config.aspect)
    if found != needed:
        raise ConfigError(
            f"the first layer of {checkpoint.path} makes {found} numbers, but pictures of width "
            f"{config.native_size}, aspect {config.aspect:g} and upsampling {config.upsampling} "
            f"need {needed}; say how it was trained by --native-size, --aspect and --upsampling"
        )


def _with_encoder(generator: Checkpoint, options: ImportOptions) -> Checkpoint:
    """Both files as one, the encoder's names after `ENCODER`."""
    path = generator.path
    beside = path.with_name(re.sub(r"_net_G(?=\.)", "_net_E", path.name))
    file: Path | None = options.encoder or (beside if beside != path else None)
    if file is None or not file.exists():
        where = f"; its encoder is not at {file}" if file else ""
        raise WeightsError(
            f"{path} takes a style{where}; give the encoder that was trained with it "
            "(latest_net_E.pth) by --encoder"
        )
    encoder = open_checkpoint(file)
    if not all(name in encoder.shapes for name in ENCODER_SIGNATURE):
        raise WeightsError(f"{file} is no encoder of SPADE; give the file latest_net_E.pth")
    shapes = {ENCODER + name: shape for name, shape in encoder.shapes.items()}

    def read(name: str) -> Tensor:
        if name.startswith(ENCODER):
            return encoder.read(name.removeprefix(ENCODER))
        return generator.read(name)

    return replace(
        generator,
        files=(*generator.files, *encoder.files),
        shapes=generator.shapes | shapes,
        read=read,
    )


def _piece(checkpoint: Checkpoint, spectral: bool, name: str) -> Piece:
    """`up_0.conv_s.v` is their up_0.conv_s.weight_v, `...gamma.bias` their ...mlp_gamma.bias."""
    layer, _, kind = name.rpartition(".")
    if layer.startswith("encoder.layer"):
        layer = layer.replace("encoder.", ENCODER) + ".0"
    elif layer.startswith("encoder."):
        layer = layer.replace("encoder.", ENCODER)
    layer = re.sub(r"\.(gamma|beta)$", r".mlp_\1", layer)
    layer = re.sub(r"\.shared$", ".mlp_shared.0", layer)
    if kind == "weight" and (
        layer.startswith(ENCODER + "layer") or (spectral and ".conv_" in layer)
    ):
        return Piece((f"{layer}.weight_orig",))
    if kind in ("u", "v"):
        return _vector(checkpoint, layer, kind)
    return Piece((f"{layer}.{kind}",))


def _vector(checkpoint: Checkpoint, layer: str, kind: str) -> Piece:
    """Where u or v of a spectrally normalised layer comes from."""
    kernel, u, v = (f"{layer}.weight_{part}" for part in ("orig", "u", "v"))
    if kind == "u" or v in checkpoint.shapes:
        return Piece((f"{layer}.weight_{kind}",))
    quotient = f"{layer}.weight"
    if quotient in checkpoint.shapes:
        return Piece((kernel, u, quotient), solved_from_quotient)
    return Piece((kernel, u), solved_v)


def _left_out(checkpoint: Checkpoint, name: str) -> str | None:
    """Old files also keep each kernel as it was after the division."""
    divided = name.endswith(".weight") and f"{name}_orig" in checkpoint.shapes
    return "kernels that are computed anew" if divided else None


def _grows_longest(checkpoint: Checkpoint) -> bool:
    """Whether it is of the kind "most", which has a block more."""
    return _has(checkpoint, "up_4.conv_0.bias")


def _has(checkpoint: Checkpoint, ending: str) -> bool:
    return any(name.endswith(ending) for name in checkpoint.shapes)


GENERATOR = Release(
    title="NVlabs' SPADE generator (latest_net_G.pth)",
    source="https://github.com/NVlabs/SPADE",
    paper="Park et al. 2019, Semantic Image Synthesis with Spatially-Adaptive Normalization, "
    "arXiv 1903.07291",
    terms="CC BY-NC-SA 4.0 (Attribution-NonCommercial-ShareAlike); for academic research only",
    signature=(MLP, "G_middle_0.norm_0.mlp_shared.0.weight", "up_3.conv_0.bias", "conv_img.weight"),
    plan=_plan,
    options=frozenset(
        {"encoder", "labels", "unknown", "instance_edges", "upsampling", "native_size", "aspect"}
    ),
)
