"""One frozen dataclass of settings per architecture; a configuration builds a network."""

from dataclasses import dataclass, replace
from typing import Literal

from .errors import ConfigError


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

    def __post_init__(self) -> None:
        if self.width < 8 or self.width % 4:
            raise ConfigError(f"width is {self.width}; it must be a multiple of 4, at least 8")
        if self.padding not in ("same", "symmetric"):
            raise ConfigError(f"padding is {self.padding!r}; it must be 'same' or 'symmetric'")
        if self.native_size < 64 or self.native_size % 8:
            raise ConfigError(
                f"native_size is {self.native_size}; it must be a multiple of 8, at least 64"
            )


PRESETS: dict[str, DeepFillConfig] = {
    "deepfillv2": DeepFillConfig(),
    "deepfillv2-sketch": DeepFillConfig(sketch=True),
    "deepfillv2-vanilla": DeepFillConfig(gate=False),
    "deepfillv2-small": DeepFillConfig(width=32, sketch=True, padding="symmetric"),
}
"""Ready configurations by name. "small" is the one of the bundled weights."""

PRESETS["deepfillv2-tiny"] = replace(PRESETS["deepfillv2-small"], width=8)
