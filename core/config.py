"""One frozen dataclass of settings per architecture; a configuration builds a network."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from .errors import ConfigError

Order = Literal["rgb", "bgr"]
"""Order of the channels of a picture."""


@dataclass(frozen=True, kw_only=True)
class DeepFillConfig:
    """DeepFillv2 generator (Yu et al. 2019). The defaults are those of the official release."""

    width: int = 48
    """Channels of the first convolution before gating; every other layer is a multiple of it."""
    sketch: bool = False
    """Whether a sixth input channel takes lines drawn into the hole (1 = line)."""
    gate: bool = True
    """Gated convolution; off = the vanilla convolution of the same topology (paper, table 1)."""
    padding: Literal["same", "symmetric"] = "same"
    """"same": TensorFlow's SAME (at stride 2 it pads more after than before) and align-corners
    nearest reductions, the function of the released weights. "symmetric": equal zeros on both
    sides and plain every-other-pixel reductions, which exports to a leaner graph; weights of one
    do not fit the other."""
    native_size: int = 256
    """Side in pixels of the pictures on which the weights are at their best."""
    order: Order = "rgb"
    """Order of the channels that the weights have learnt; the official release's are BGR."""

    def __post_init__(self) -> None:
        if self.width < 8 or self.width % 4:
            raise ConfigError(f"width is {self.width}; it must be a multiple of 4, at least 8")
        if self.padding not in ("same", "symmetric"):
            raise ConfigError(f"padding is {self.padding!r}; it must be 'same' or 'symmetric'")
        _check_size(self.native_size, 8)
        _check_order(self.order)


@dataclass(frozen=True, kw_only=True)
class PConvConfig:
    """The U-Net of partial convolutions (Liu et al. 2018). The defaults are those for 256x256."""

    width: int = 64
    """Channels of the first layer; the others have up to eight times as many."""
    levels: int = 7
    """Halvings: 7 for pictures of 256 pixels, 8 for those of 512 as in the paper."""
    native_size: int = 256
    """Side in pixels of the pictures on which the weights are at their best."""

    def __post_init__(self) -> None:
        _check_unet(self.width, self.levels)
        _check_size(self.native_size, 8)


@dataclass(frozen=True, kw_only=True)
class ScFeganConfig:
    """SC-FEGAN generator (Jo and Park 2019). The defaults are those of the official release."""

    width: int = 64
    """Channels of the first layer; the others have up to eight times as many."""
    levels: int = 7
    """Halvings; 7 leave 4x4 features of a picture of 512."""
    native_size: int = 512
    """Side in pixels of the pictures on which the weights are at their best."""
    order: Order = "rgb"
    """Order of the channels that the weights have learnt; the official release's are BGR."""

    def __post_init__(self) -> None:
        _check_unet(self.width, self.levels)
        _check_size(self.native_size, 8)
        _check_order(self.order)


@dataclass(frozen=True, kw_only=True)
class SpadeConfig:
    """SPADE generator (Park et al. 2019). The defaults are those of the release for COCO-Stuff.

    Only the labels have none: the data says them.
    """

    labels: tuple[str, ...]
    """Names of the labels; label number i is the i-th of them."""
    palette: tuple[str, ...] = ()
    """The colour (#rrggbb) in which each label is drawn, or nothing."""
    unknown: bool = False
    """Whether one more channel stands for pixels of no label (255 in a label map)."""
    instance_edges: bool = False
    """Whether a channel takes the edges between things of the same label."""
    context: bool = False
    """Whether the known picture and the mask join the map, so that a fill fits round the hole."""
    encoder: bool = False
    """Whether a style, of a reference picture or drawn by seed, joins the map."""
    width: int = 64
    """Channels of the last block (the release's ngf); the first have sixteen times as many."""
    upsampling: Literal["normal", "more", "most"] = "normal"
    """5, 6 or 7 doublings from the first features to the picture."""
    norm: Literal["instance", "batch", "syncbatch"] = "syncbatch"
    """What is modulated; syncbatch: over the pictures of all processes."""
    kernel: int = 3
    """Of the convolutions of the map."""
    hidden: int = 128
    """Channels between the map and its scales and shifts."""
    spectral: bool = True
    """Whether the convolutions of the blocks are spectrally normalised."""
    z_dim: int = 256
    """Numbers of a style."""
    aspect: float = 1.0
    """Width over height of the pictures of the training."""
    native_size: int = 256
    """Width in pixels of the pictures of the training (the release's crop_size)."""

    def __post_init__(self) -> None:
        if not self.labels or len(set(self.labels)) < len(self.labels):
            raise ConfigError("labels are none or not all different; each needs a name of its own")
        if self.palette and len(self.palette) != len(self.labels):
            raise ConfigError(
                f"palette has {len(self.palette)} colours for {len(self.labels)} labels; each "
                "needs one"
            )
        for name, choices in SPADE_CHOICES.items():
            if getattr(self, name) not in choices:
                found = getattr(self, name)
                raise ConfigError(f"{name} is {found!r}; it must be one of {choices}")
        least = 2 if self.upsampling == "most" else 1
        if self.width < least or min(self.z_dim, self.hidden) < 1:
            raise ConfigError(
                f"width is {self.width}, z_dim {self.z_dim} and hidden {self.hidden}; needed are a "
                f"width of at least {least}, and 1 of the others"
            )
        if not 0.1 <= self.aspect <= 10:
            raise ConfigError(f"aspect is {self.aspect}; it must be from 0.1 to 10")
        _check_size(self.native_size, 8)


SPADE_CHOICES: dict[str, tuple[str | int, ...]] = {
    "upsampling": ("normal", "more", "most"),
    "norm": ("instance", "batch", "syncbatch"),
    "kernel": (1, 3, 5, 7),
}


def _check_size(native_size: int, multiple: int) -> None:
    if native_size < 64 or native_size % multiple:
        raise ConfigError(
            f"native_size is {native_size}; it must be a multiple of {multiple}, at least 64"
        )


def _check_unet(width: int, levels: int) -> None:
    if width < 2 or not 3 <= levels <= 9:
        raise ConfigError(
            f"width is {width} and levels is {levels}; at least 2, and from 3 to 9, are needed"
        )


def _check_order(order: str) -> None:
    if order not in ("rgb", "bgr"):
        raise ConfigError(f"order is {order!r}; it must be 'rgb' or 'bgr'")


CAMVID = {
    "sky": "#808080",
    "building": "#800000",
    "pole": "#c0c080",
    "road": "#804080",
    "pavement": "#3c28de",
    "tree": "#808000",
    "sign": "#c08080",
    "fence": "#404080",
    "car": "#400080",
    "pedestrian": "#404000",
    "bicyclist": "#0080c0",
    "unlabelled": "#000000",
}
"""The eleven labels of CamVid (Brostow et al. 2009) as SegNet uses them, with their colours."""
STREETS = SpadeConfig(labels=tuple(CAMVID), palette=tuple(CAMVID.values()))
"""SPADE of the release, for street scenes; other labels come from a palette file."""

PRESETS: dict[str, Any] = {
    "deepfillv2": DeepFillConfig(),
    "deepfillv2-sketch": DeepFillConfig(sketch=True),
    "deepfillv2-vanilla": DeepFillConfig(gate=False),
    "deepfillv2-small": DeepFillConfig(width=32, sketch=True, padding="symmetric"),
    "pconv": PConvConfig(),
    "pconv-512": PConvConfig(levels=8, native_size=512),
    "pconv-small": PConvConfig(width=32, levels=5, native_size=128),
    "scfegan": ScFeganConfig(),
    "scfegan-small": ScFeganConfig(width=24, levels=5, native_size=96),
    "spade": STREETS,
    "spade-vae": replace(STREETS, encoder=True),
    "spade-inpaint": replace(STREETS, encoder=True, context=True),
    "spade-small": replace(
        STREETS, encoder=True, context=True, width=16, hidden=32, norm="batch", native_size=128
    ),
}
"""Ready configurations by name. "small" are those of the bundled weights, "tiny" for tests."""

for _name, _width in {"deepfillv2": 8, "pconv": 8, "scfegan": 8, "spade": 4}.items():
    PRESETS[f"{_name}-tiny"] = replace(PRESETS[f"{_name}-small"], width=_width)
