"""All settings of a training run; each field is a flag of `python -m trainer`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from core.config import PRESETS
from core.errors import ConfigError


def setting(default: Any, help: str) -> Any:
    """A field with a default and the help text of its flag."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A run. The defaults are the objective and the optimiser of Yu et al. 2019."""

    data: tuple[Path, ...] = field(metadata={"help": "image folders and .tar shards"})
    out: Path = field(metadata={"help": "run folder: config, metrics, samples, checkpoints"})
    preset: str = setting("deepfillv2-sketch", "network: " + ", ".join(PRESETS))
    init: Path | None = setting(None, "weights file to start from; its network is taken")
    steps: int = setting(100_000, "updates of the generator in all")
    batch: int = setting(16, "pictures per update; the authors advise at least 16")
    crop: int = setting(256, "side of the training crops in pixels, a multiple of 8")
    zoom: float = setting(0.5, "smallest scaling of a picture before cropping, 1 = never shrink")
    colour_jitter: float = setting(0.0, "strength of random hue, saturation and light, 0 to 1")
    brush: float = setting(1.0, "thickness of the strokes of the masks, 1 = that of 256x256")
    box_share: float = setting(0.3, "share of the masks that also get a box")
    sketch_share: float = setting(0.5, "share of the samples that get lines in the hole")
    lr: float = setting(1e-4, "learning rate of the generator (Adam)")
    d_lr: float = setting(1e-4, "learning rate of the discriminator (Adam)")
    beta1: float = setting(0.5, "first Adam moment of both")
    beta2: float = setting(0.999, "second Adam moment of both")
    gan_weight: float = setting(1.0, "weight of the adversarial loss; 0 = no discriminator")
    gan_start: int = setting(0, "steps of warm-up before the discriminator joins")
    l1: Literal["picture", "areas"] = setting(
        "picture", "picture = mean over all pixels (paper); areas = hole and known area apart"
    )
    hole_weight: float = setting(1.0, "with --l1 areas: weight of the mean over the hole")
    known_weight: float = setting(0.3, "with --l1 areas: weight of the mean over the known area")
    coarse_weight: float = setting(1.0, "weight of the coarse stage's L1 beside the refined one")
    perceptual: Path | None = setting(None, "feature network (.safetensors) for a perceptual term")
    perceptual_weight: float = setting(0.1, "weight of the perceptual term")
    ema: float = setting(0.999, "decay of the averaged weights; 0 = none")
    bf16: bool = setting(False, "bfloat16 autocast")
    channels_last: bool = setting(False, "channels-last memory format")
    compile: bool = setting(False, "torch.compile the generator and the discriminator")
    device: str = setting("", "cpu, cuda or mps; by default the best there is")
    workers: int = setting(2, "processes that load pictures; 0 = load in the main process")
    cache_mib: int = setting(1024, "memory of each worker for decoded pictures")
    seed: int = setting(0, "seed of weights, order, crops, masks and lines")
    log_every: int = setting(50, "steps between lines of metrics.jsonl")
    sample_every: int = setting(1000, "steps between sample grids")
    save_every: int = setting(1000, "steps between checkpoints")
    keep: int = setting(3, "checkpoints kept")

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ConfigError(
                f"--preset is {self.preset!r}; it must be one of {', '.join(PRESETS)}"
            )
        if self.crop < 64 or self.crop % 8:
            raise ConfigError(f"--crop is {self.crop}; it must be a multiple of 8, at least 64")
        for names, low, high in RANGES:
            for name in names.split():
                value = getattr(self, name)
                if not low <= value <= high:
                    flag = name.replace("_", "-")
                    raise ConfigError(f"--{flag} is {value}; it must be from {low} to {high}")


RANGES: tuple[tuple[str, float, float], ...] = (
    ("steps batch log_every sample_every save_every keep", 1, 10**9),
    ("gan_start workers cache_mib seed", 0, 10**9),
    ("zoom colour_jitter box_share sketch_share", 0, 1),
    ("ema beta1 beta2", 0, 0.999999),
    ("brush", 0.1, 4),
    ("lr d_lr", 1e-9, 1),
    ("gan_weight hole_weight known_weight coarse_weight perceptual_weight", 0, 1e6),
)
"""Settings, smallest and largest value."""
