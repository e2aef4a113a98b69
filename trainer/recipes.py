"""The training of each network as its paper has it: settings that differ from the defaults."""

from pathlib import Path
from typing import Any

from core.config import SpadeConfig
from core.registry import architecture_of
from core.weights import read_info

from .config import preset_called

BY_FEATURES: dict[str, Any] = {
    "l1": "weighted",
    "hole_weight": 6.0,
    "known_weight": 1.0,
    "features_of": "both",
    "perceptual_weight": 0.05,
    "style_weight": 120.0,
    "tv_weight": 0.1,
}
"""Liu et al. 2018, equation 7, which Jo and Park 2019 took over; how much more a hole counts the
latter do not say."""
RECIPES: dict[str, dict[str, Any]] = {
    "deepfillv2": {},  # Yu et al. 2019: the defaults
    "pconv": BY_FEATURES | {"lr": 2e-4, "beta1": 0.9, "gan_weight": 0.0},  # section 3.3
    "scfegan": BY_FEATURES | {"gan": "linear", "gan_weight": 0.001},  # section 3.3
    # Park et al. 2019, section 4 and appendix A, with the rates of the release (TTUR).
    "spade": {
        "gan": "multiscale",
        "lr": 1e-4,
        "d_lr": 4e-4,
        "beta1": 0.0,
        "beta2": 0.9,
        "l1_weight": 0.0,
        "features_of": "output",
        "feature_layers": "rising",
        "perceptual_weight": 10.0,
        "holes": ("whole",),
    },
}
"""Architecture -> settings."""
IN_CONTEXT: dict[str, Any] = {
    "l1_weight": 1.0,
    "features_of": "completed",
    "holes": ("whole=0.3", "brush=0.35", "box=0.2", "brush+box=0.15"),
}
"""What changes for SPADE that also sees the known picture, which is ours and not the paper's."""


def recipe(preset: str, init: Path | None = None) -> dict[str, Any]:
    """The settings for a preset, or for the network of the weights that a run starts from.

    Raises ConfigError for an unknown preset, WeightsError as `read_info` does.
    """
    found = preset_called(preset)
    config = read_info(init).config if init else found
    settings = RECIPES.get(architecture_of(config), {})
    in_context = isinstance(config, SpadeConfig) and config.context
    return settings | IN_CONTEXT if in_context else settings
