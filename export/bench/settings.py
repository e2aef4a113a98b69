"""The flags of the benchmark."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from core.errors import ConfigError

Size = tuple[int, int]
"""(height, width) in pixels."""
Strategy = Literal["auto", "full", "crop", "single"]
NAMED_SIZES: dict[str, Size] = {"1080p": (1080, 1920), "4k": (2160, 3840)}
LEAST = {"runs": 0, "rounds": 1, "threads": 0, "seed": 0, "hole": 1}
LEAST |= {"limit": 1, "sizes": 8, "batches": 1}
"""Of the numbers, the smallest that can be."""
MODES = ("", "-compile", "-graph")
BACKENDS = (
    "straightforward",
    *(f"torch{mode}{half}" for mode in MODES for half in ("", "-bf16", "-fp16")),
    *("onnxruntime", "openvino", "openvino-bf16", "tensorrt"),
)
"""-compile: torch.compile; -graph: a CUDA graph; -bf16, -fp16: what it computes in."""
GRAPHS = ("onnxruntime", "openvino", "openvino-bf16", "tensorrt")
"""Those that run exported graphs."""


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """What to measure; each field is a flag of `python -m export.bench`."""

    weights: Path | None = field(
        default=None, metadata={"help": "weights file (default: the bundled one)"}
    )
    onnx: tuple[Path, ...] = field(
        default=(), metadata={"help": "exported graphs of the network, in several precisions"}
    )
    bundle: Path | None = field(
        default=None, metadata={"help": "a deployment bundle: its generator.onnx and pipeline.onnx"}
    )
    backends: tuple[str, ...] = field(
        default=("straightforward", "torch", "onnxruntime", "openvino", "openvino-bf16"),
        metadata={"help": f"of {', '.join(BACKENDS)}"},
    )
    sizes: tuple[int, ...] = field(
        default=(256, 512), metadata={"help": "sides of the pictures of the network, in pixels"}
    )
    batches: tuple[int, ...] = field(default=(1, 8), metadata={"help": "pictures at a time"})
    pipeline: tuple[str, ...] = field(
        default=(), metadata={"help": "sizes of whole pictures: 1080p, 4K, or HEIGHTxWIDTH"}
    )
    pipeline_onnx: Path | None = field(
        default=None, metadata={"help": "with --pipeline: the exported graph of the pipeline"}
    )
    hole: int = field(default=300, metadata={"help": "with --pipeline: side of the hole in pixels"})
    strategy: Strategy = field(
        default="auto",
        metadata={"help": "with --pipeline: as `core fill` has it; single is that of the graph"},
    )
    against: str | None = field(
        default=None,
        metadata={
            "help": "MODULE:CALLABLE of your own, (image, mask) -> image, float32 arrays in [0, 1]"
        },
    )
    device: str = field(
        default="cpu",
        metadata={"help": "cpu or cuda; what ONNX Runtime calls cuda, directml, ... too"},
    )
    threads: int = field(
        default=0, metadata={"help": "threads of each backend; 0 = as many as there are cores"}
    )
    runs: int = field(
        default=200,
        metadata={"help": "a case ends after so many runs, or --seconds; 0 = --quality alone"},
    )
    seconds: float = field(
        default=10.0, metadata={"help": "a case ends after so many seconds, or after --runs"}
    )
    rounds: int = field(
        default=5, metadata={"help": "turns that each backend takes, one after the other"}
    )
    rates: bool = field(
        default=True,
        metadata={"help": "measure the machine's own rates too, and how near they come"},
    )
    quality: Path | None = field(
        default=None, metadata={"help": "folder of photographs: what each precision loses on them"}
    )
    limit: int | None = field(
        default=None, metadata={"help": "with --quality: only the first N photographs"}
    )
    seed: int = field(
        default=0, metadata={"help": "with --quality: seed of the mask of the first photograph"}
    )
    json: Path | None = field(default=None, metadata={"help": "file for all the numbers"})
    markdown: Path | None = field(default=None, metadata={"help": "file for the tables"})
    plot: Path | None = field(default=None, metadata={"help": "picture of the latencies"})

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            value = getattr(self, name)
            numbers = value if isinstance(value, tuple) else (value,)
            for number in numbers:
                if number is not None and number < least:
                    raise ConfigError(f"--{name} has {number}; it must be at least {least}")
        if not self.seconds > 0:
            raise ConfigError(f"--seconds is {self.seconds}; it must be more than 0")
        self._check_names()

    def _check_names(self) -> None:
        for name in self.backends:
            if name not in BACKENDS:
                raise ConfigError(f"--backends has {name!r}; it must be of {', '.join(BACKENDS)}")
        if self.against is not None and not all(self.against.partition(":")):
            raise ConfigError(f"--against is {self.against!r}; it must be MODULE:CALLABLE")
        for text in self.pipeline:
            parsed_size(text)

    @property
    def pipeline_sizes(self) -> tuple[Size, ...]:
        """Those of --pipeline as numbers."""
        return tuple(parsed_size(text) for text in self.pipeline)


def parsed_size(text: str) -> Size:
    """1080p, 4K or HEIGHTxWIDTH -> (height, width). Raises ConfigError for anything else."""
    if text.lower() in NAMED_SIZES:
        return NAMED_SIZES[text.lower()]
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise ConfigError(f"--pipeline has {text!r}; it must be 1080p, 4K or as 1080x1920")
    return int(height), int(width)
