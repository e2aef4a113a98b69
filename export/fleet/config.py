"""The settings of a fleet job; each field is a flag, but for those that other flags make."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from core.errors import ConfigError
from core.palette import Palette
from core.pipeline import FillOptions

Form = Literal["folder", "webdataset", "parquet"]
"""How pictures are stored: files of their own, tar files, or tables."""


@dataclass(frozen=True, kw_only=True)
class FleetConfig:
    """What to fill, by what, and on how much of a machine."""

    input: str
    """Folder or file; local, or a URI such as s3://bucket/folder."""
    output: str
    """Folder; local, or a URI."""
    options: FillOptions = field(default_factory=FillOptions)
    palette: Palette | None = None

    model: Path | None = field(
        default=None,
        metadata={
            "help": "bundle, ONNX file or weights, at this path on every machine (default: the "
            "bundled weights)"
        },
    )
    backend: Literal["auto", "torch", "onnxruntime", "openvino", "tensorrt"] = field(
        default="auto", metadata={"help": "what runs the network"}
    )
    device: str = field(default="", metadata={"help": "cpu, cuda, ... (default: the backend's)"})
    masks: str = field(
        default="", metadata={"help": "folders: where the masks lie (default: beside the pictures)"}
    )
    invert: bool = field(default=False, metadata={"help": "masks are white where known"})
    scale_mask: bool = field(
        default=False, metadata={"help": "scale masks and guides to the picture"}
    )
    format: Literal["", "folder", "webdataset", "parquet"] = field(
        default="", metadata={"help": "of OUTPUT (default: that of INPUT)"}
    )
    shard_size: int = field(
        default=1000, metadata={"help": "pictures of a folder, or rows of Parquet, for one shard"}
    )
    workers: int = field(default=0, metadata={"help": "0: as many as the resources allow"})
    cpus_per_worker: float = field(default=1, metadata={"help": "cores, or a part of one"})
    gpus_per_worker: float | None = field(
        default=None,
        metadata={"help": "GPUs, or a part of one (default: 0.25 where there are any, else 0)"},
    )
    address: str = field(
        default="", metadata={"help": "of a Ray cluster, or auto (default: this machine alone)"}
    )
    resume: bool = field(default=False, metadata={"help": "do what an earlier run did not finish"})
    force: bool = field(
        default=False, metadata={"help": "begin anew, and delete what an earlier run made"}
    )
    report: Path | None = field(
        default=None, metadata={"help": "a line for each picture (default: OUTPUT/report.jsonl)"}
    )
    verbose: bool = field(default=False, metadata={"help": "show what workers and Ray write"})

    def __post_init__(self) -> None:
        if self.resume and self.force:
            raise ConfigError("--resume goes on and --force begins anew; give one of them")
        for name in ("shard_size", "workers", "cpus_per_worker", "gpus_per_worker"):
            least = 1 if name == "shard_size" else 0
            if (getattr(self, name) or 0) < least and getattr(self, name) is not None:
                flag = name.replace("_", "-")
                raise ConfigError(f"--{flag} is {getattr(self, name)}; it must be {least} or more")
        if self.cpus_per_worker == 0:
            raise ConfigError("--cpus-per-worker is 0; a worker needs a core, or a part of one")
