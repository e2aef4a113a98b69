"""All settings of a training run; each field is a flag of `python -m trainer`."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from core.config import PRESETS, DeepFillConfig
from core.errors import ConfigError
from core.masks.drawn import KINDS, BrushStyle
from core.palette import hex_of, read_palette

from .data.holes import FILE_KINDS, WHOLE, brush_style, parse_shares

STYLE = BrushStyle()
"""Our brush as it is by default."""


def setting(default: Any, help: str) -> Any:
    """A field with a default and the help text of its flag."""
    return field(default=default, metadata={"help": help})


def preset_called(name: str) -> Any:
    """The configuration of a preset. Raises ConfigError for an unknown name."""
    if name not in PRESETS:
        raise ConfigError(f"--preset is {name!r}; it must be one of {', '.join(PRESETS)}")
    return PRESETS[name]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A run. The defaults are the objective and the optimiser of Yu et al. 2019."""

    data: tuple[str, ...] = field(
        metadata={
            "help": "image folders, lists (.txt) and .tar shards, also as a-{000..012}.tar or by "
            "address (https://..., s3://...)"
        }
    )
    out: Path = field(metadata={"help": "run folder: config, metrics, samples, checkpoints"})
    preset: str = setting("deepfillv2-sketch", "network: " + ", ".join(PRESETS))
    init: Path | None = setting(None, "weights file to start from; its network is taken")
    width: int | None = setting(None, "channels of the first layer instead of the preset's")
    palette: Path | None = setting(
        None, "SPADE: names and colours of the labels, .gpl or .json, instead of the preset's"
    )
    unknown: bool = setting(False, "SPADE: 255 in a label map is no label, a channel of its own")
    instances: bool = setting(False, "SPADE: the edges of things (KEY.instances.png) as a channel")
    steps: int = setting(100_000, "updates of the generator in all")
    batch: int = setting(16, "pictures per update; the authors advise at least 16")
    accumulate: int = setting(1, "micro-batches that an update is made of, to save memory")
    crop: int = setting(256, "side of the training crops in pixels, a multiple of 8")
    zoom: float = setting(0.5, "smallest scaling of a picture before cropping, 1 = never shrink")
    colour_jitter: float = setting(0.0, "strength of random hue, saturation and light, 0 to 1")
    brush: float = setting(1.0, "thickness of the strokes of the masks, 1 = that of 256x256")
    brush_strokes: tuple[int, int] = setting(STYLE.strokes, "fewest and most strokes")
    brush_vertices: tuple[int, int] = setting(STYLE.vertices, "fewest and most steps of a stroke")
    brush_length: tuple[float, float] = setting(STYLE.length, "shortest and longest, in crops")
    brush_width: tuple[float, float] = setting(STYLE.width, "thinnest and thickest, in crops")
    brush_angle: tuple[float, float] = setting(STYLE.angle, "least and most turn, in half turns")
    holes: tuple[str, ...] = setting(
        ("brush=0.7", "box=0.15", "brush+box=0.15"),
        f"kinds of masks and their shares; kinds: {', '.join((*KINDS, *FILE_KINDS, WHOLE))}; "
        "+ joins",
    )
    mask_folder: Path | None = setting(None, "own masks for the kind folder, white = hole")
    labels: Path | None = setting(
        None, "label maps for the kind segments (default: those beside the pictures, KEY.seg.png)"
    )
    sketch_share: float = setting(0.5, "share of the samples that get lines in the hole")
    color_share: float = setting(0.5, "share of the samples that get colour strokes in the hole")
    lines: Literal["detector", "canny"] = setting(
        "detector",
        "how lines are drawn where no side file (KEY.edge.png, KEY.landmarks.json) has them",
    )
    line_drop: float = setting(0.5, "largest share of the lines that is left out of a sample")
    line_shift: float = setting(
        2.0, "pixels at 256 by which lines stray as a hand's do, some thicker; 0 = exact, 1 px"
    )
    lr: float = setting(1e-4, "learning rate of the generator (Adam)")
    d_lr: float = setting(1e-4, "learning rate of the discriminator (Adam)")
    beta1: float = setting(0.5, "first Adam moment of both")
    beta2: float = setting(0.999, "second Adam moment of both")
    lr_schedule: Literal["constant", "cosine", "linear"] = setting(
        "constant", "what both learning rates do until --steps, after the warm-up"
    )
    warmup: int = setting(0, "updates over which both learning rates rise from almost 0")
    lr_end: float = setting(0.0, "with a schedule: share of the learning rates left at --steps")
    clip: float = setting(0.0, "longest gradient of each network, as a norm; 0 = any")
    gan: Literal["hinge", "linear", "multiscale"] = setting(
        "hinge",
        "adversarial game: hinge = SN-PatchGAN of DeepFillv2; linear = that of SC-FEGAN, with "
        "gradient penalty; multiscale = that of SPADE",
    )
    d_width: int = setting(64, "channels of the discriminator's first layer")
    gan_weight: float = setting(1.0, "weight of the adversarial loss; 0 = no discriminator")
    gan_start: int = setting(0, "steps of warm-up before the discriminator joins")
    penalty_weight: float = setting(10.0, "with --gan linear: weight of the gradient penalty")
    drift_weight: float = setting(0.001, "with --gan linear: weight of the squared true scores")
    matching_weight: float = setting(10.0, "with --gan multiscale: weight of matched features")
    kl_weight: float = setting(0.05, "weight of the KL divergence of a network that encodes styles")
    l1: Literal["picture", "weighted", "areas"] = setting(
        "picture",
        "picture = mean over all pixels (DeepFillv2); weighted = the same, hole and known pixels "
        "weighing differently (partial convolution, SC-FEGAN); areas = hole and known area apart",
    )
    l1_weight: float = setting(1.0, "weight of all L1 terms; 0 = none")
    hole_weight: float = setting(1.0, "with --l1 weighted or areas: weight of the hole")
    known_weight: float = setting(0.3, "with --l1 weighted or areas: weight of what is known")
    coarse_weight: float = setting(1.0, "weight of the coarse stage's L1 beside the refined one")
    tv_weight: float = setting(0.0, "weight of the total variation in and just round the hole")
    perceptual: Path | None = setting(
        None, "feature network (VGG16, VGG19, ...) for perceptual and style terms; none = no terms"
    )
    features_of: Literal["completed", "output", "both"] = setting(
        "completed", "whose features those terms compare with the true picture's"
    )
    feature_layers: Literal["equal", "rising"] = setting(
        "equal", "rising = deeper layers weigh more, VGG fed without normalisation (SPADE)"
    )
    perceptual_weight: float = setting(0.1, "weight of the perceptual term")
    style_weight: float = setting(0.0, "weight of the style term, on the --perceptual features")
    freeze_norm: bool = setting(
        False, "keep the encoder's batch normalisation as it is (fine-tuning partial convolution)"
    )
    ema: float = setting(0.999, "decay of the averaged weights; 0 = none")
    bf16: bool = setting(False, "bfloat16 autocast")
    channels_last: bool = setting(False, "channels-last memory format")
    compile: bool = setting(False, "torch.compile the generator and the discriminator")
    checkpointing: bool = setting(
        False, "keep fewer activations and compute them again: less memory, more time"
    )
    explosion: float = setting(
        20.0, "stop at a loss so many times its usual size, for L1 a quarter of it; 0 = never"
    )
    rollback: bool = setting(
        False, "go on from the last checkpoint with half the learning rates instead of stopping"
    )
    device: str = setting("", "cpu, cuda or mps; by default the best there is")
    workers: int = setting(2, "processes that load pictures; 0 = load in the main process")
    prefetch: int = setting(4, "micro-batches that each worker prepares ahead")
    cache_mib: int = setting(1024, "memory of each worker for decoded pictures")
    cache_dir: Path | None = setting(None, "where remote shards are kept (default: OUT/shards)")
    cache_gib: float = setting(50.0, "about how much of them is kept there")
    shard_window: int = setting(4, "shards whose pictures are mixed; larger = better shuffled")
    seed: int = setting(0, "seed of weights, order, crops, masks and lines")
    log_every: int = setting(50, "steps between lines of metrics.jsonl")
    sample_every: int = setting(1000, "steps between sample grids")
    save_every: int = setting(1000, "steps between checkpoints")
    keep: int = setting(3, "checkpoints kept")
    report: bool = setting(True, "write report.html when the run has come to its end")

    def __post_init__(self) -> None:
        self.network()  # refuses what cannot be built
        brush_style(self)
        parse_shares(self.holes)
        if self.crop < 64 or self.crop % 8:
            raise ConfigError(f"--crop is {self.crop}; it must be a multiple of 8, at least 64")
        for names, low, high in RANGES:
            for name in names.split():
                value = getattr(self, name)
                if not low <= value <= high:
                    flag = name.replace("_", "-")
                    raise ConfigError(f"--{flag} is {value}; it must be from {low} to {high}")

    def network(self) -> Any:
        """The configuration of a fresh network. Raises ConfigError for what does not suit it."""
        preset = preset_called(self.preset)
        changes = self._changes()
        for name in changes:
            flag = f"--{'instances' if name == 'instance_edges' else name}"
            if self.init is not None:
                raise ConfigError(f"{flag} does nothing with --init, whose network is taken")
            if not hasattr(preset, name):
                raise ConfigError(f"{flag} does nothing with --preset {self.preset}; leave it out")
        if self.init is None and not isinstance(preset, DeepFillConfig):
            # Without a second stage for detail it is at its best at the size that it has seen.
            changes["native_size"] = self.crop
        return replace(preset, **changes)

    def _changes(self) -> dict[str, Any]:
        """What differs from the preset, by the names of its fields."""
        changes: dict[str, Any] = {} if self.width is None else {"width": self.width}
        if self.palette is not None:
            palette = read_palette(self.palette)
            changes["palette"] = tuple(map(hex_of, palette))
            changes["labels"] = tuple(palette.values())
        return changes | {
            name: True
            for name, wanted in (("unknown", self.unknown), ("instance_edges", self.instances))
            if wanted
        }


RANGES: tuple[tuple[str, float, float], ...] = (
    ("steps batch accumulate log_every sample_every save_every keep", 1, 10**9),
    ("gan_start warmup workers cache_mib seed", 0, 10**9),
    ("zoom colour_jitter sketch_share color_share line_drop lr_end", 0, 1),
    ("line_shift", 0, 16),
    ("prefetch shard_window", 1, 10**6),
    ("cache_gib", 0, 10**6),
    ("ema beta1 beta2", 0, 0.999999),
    ("brush", 0.1, 4),
    ("lr d_lr", 1e-9, 1),
    ("gan_weight hole_weight known_weight coarse_weight perceptual_weight l1_weight", 0, 1e6),
    ("style_weight penalty_weight drift_weight matching_weight kl_weight tv_weight", 0, 1e6),
    ("d_width", 4, 1024),
    ("explosion clip", 0, 1e9),
)
"""Settings, smallest and largest value."""
