"""TensorRT engines as files: what each is called, the JSON beside it, and which one fits here.

An engine runs on the platform, GPU and TensorRT that built it and on nothing else, unless it was
built to be compatible; so its name says them, and a loader computes the name and looks it up.
Nothing here needs TensorRT.
"""

import json
import shlex
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from .errors import BackendError, ConfigError
from .files import with_tuples
from .graph import GraphInfo

ENGINE_SUFFIX = ".engine"
FORMAT = 1
AMPERE = 80
"""The first compute capability on which a hardware-compatible engine runs."""
Span = tuple[int, int, int]
"""The least, the one that the engine is tuned for, and the most."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The sizes that an engine takes, in pictures and pixels."""

    batch: Span
    height: Span
    width: Span

    def __post_init__(self) -> None:
        for name, span in asdict(self).items():
            if len(span) != 3 or not 1 <= span[0] <= span[1] <= span[2]:
                raise ConfigError(
                    f"the profile's {name} is {', '.join(map(str, span))}; it needs three numbers "
                    "from 1, min, opt and max, none smaller than the one before"
                )

    def check(self, multiple: int) -> None:
        """Raise ConfigError unless the network takes all three sizes."""
        for side in (*self.height, *self.width):
            if side % multiple:
                raise ConfigError(
                    f"the profile has the side {side}; this network takes multiples of {multiple}, "
                    f"{side // multiple * multiple or multiple} for example"
                )

    @property
    def text(self) -> str:
        """As it stands in the name of an engine."""
        spans = {"b": self.batch, "h": self.height, "w": self.width}
        return "_".join(name + "-".join(map(str, span)) for name, span in spans.items())

    @property
    def flags(self) -> list[str]:
        """As `python -m export.trt` takes it."""
        sizes = zip(("--min", "--opt", "--max"), self.height, self.width, strict=True)
        texts = [text for flag, h, w in sizes for text in (flag, f"{h}x{w}")]
        return [*texts, "--batch", ",".join(map(str, self.batch))]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What an engine is tied to, or a machine has."""

    gpu: str
    capability: str
    """Compute capability without the point: 90."""
    driver: str
    """Of the GPU, or "" where it cannot be found out."""
    cuda: str
    """Version that PyTorch was built with."""
    tensorrt: str
    platform: str
    """Such as linux-x86_64."""

    def __str__(self) -> str:
        return f"{self.gpu} (sm{self.capability}), TensorRT {self.tensorrt}, {self.platform}"


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """How an engine is built."""

    version_compatible: bool = False
    """Runs on later versions of TensorRT too."""
    hardware_compatible: bool = False
    """Runs on every GPU from Ampere on."""
    stripped: bool = False
    """Has no weights inside; they come from the ONNX file when it is opened."""
    tf32: bool = True
    builder_level: int = 3
    workspace_mib: int = 0
    """Memory for a layer's work while building and running; 0 = all there is."""

    @property
    def marks(self) -> str:
        """As it stands in the name of an engine."""
        marks = {"vc": self.version_compatible, "hc": self.hardware_compatible}
        marks["stripped"] = self.stripped
        return "".join(f".{mark}" for mark, is_set in marks.items() if is_set)

    @property
    def flags(self) -> list[str]:
        """As `python -m export.trt` takes them, those that are not the default."""
        found = []
        for entry in fields(self):
            value = getattr(self, entry.name)
            if value != entry.default:
                name = FLAGS.get(entry.name, "--" + entry.name.replace("_", "-"))
                found += [name] if isinstance(value, bool) else [name, str(value)]
        return found


FLAGS = {"stripped": "--strip-weights", "tf32": "--no-tf32", "workspace_mib": "--workspace"}
"""Field of `BuildOptions` -> its flag, where that is called otherwise."""


@dataclass(frozen=True, kw_only=True)
class EngineRecord:
    """What stands in the JSON beside an engine."""

    model: str
    """Name of the ONNX file without .onnx."""
    onnx_sha256: str
    machine: Machine
    profile: Profile
    options: BuildOptions
    info: GraphInfo
    """What the graph says of itself."""
    seconds: float = 0.0
    """That the build took."""
    plan_sha256: str = ""
    plan_bytes: int = 0

    @property
    def name(self) -> str:
        """The engine's file name."""
        start = name_start(self.model, self.onnx_sha256, self.machine)
        text = f"{start}{self.info.precision}.{self.profile.text}{self.options.marks}"
        return text + ENGINE_SUFFIX

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"format": FORMAT, **asdict(self), "info": json.loads(self.info.to_json())}

    @classmethod
    def from_dict(cls, values: dict[str, Any], name: str) -> "EngineRecord":
        """The inverse of `to_dict`; `name` is for messages. Raises BackendError for the rest."""
        try:
            rest = dict(values)
            version = int(rest.pop("format"))
            if version > FORMAT:
                raise BackendError(
                    f"{name} has format {version}, newer than {FORMAT}, the newest known here; "
                    "update Gatefill"
                )
            rest["machine"] = Machine(**rest["machine"])
            rest["profile"] = Profile(**with_tuples(rest["profile"]))
            rest["options"] = BuildOptions(**rest["options"])
            rest["info"] = GraphInfo.from_json(json.dumps(rest["info"]), name)
            return cls(**rest)
        except (KeyError, TypeError, ValueError, AttributeError, ConfigError) as problem:
            raise BackendError(
                f"{name} is damaged or of another version ({problem!r}); build the engine again by "
                "`python -m export.trt`"
            ) from None

    def differences(self, machine: Machine) -> list[str]:
        """What keeps the engine from running on `machine`, each in words; none: it runs."""
        pairs = [("platform", self.machine.platform, machine.platform)]
        if not (self.options.hardware_compatible and int(machine.capability) >= AMPERE):
            ours, theirs = (f"{m.gpu} (sm{m.capability})" for m in (self.machine, machine))
            pairs.append(("GPU", ours, theirs))
        later = version_key(machine.tensorrt) >= version_key(self.machine.tensorrt)
        if not (self.options.version_compatible and later):
            pairs.append(("TensorRT", self.machine.tensorrt, machine.tensorrt))
        return [f"its {what} is {ours}, here {theirs}" for what, ours, theirs in pairs
                if ours != theirs]  # fmt: skip

    def command(self, onnx: Path, folder: Path) -> str:
        """The command that builds this engine again, here."""
        return build_command(onnx, folder, [*self.profile.flags, *self.options.flags])


def name_start(model: str, onnx_sha256: str, machine: Machine) -> str:
    """How the names of all engines of a model on a machine start."""
    return f"{model}.{onnx_sha256[:10]}.sm{machine.capability}.trt{machine.tensorrt}."


def build_command(onnx: Path, folder: Path, flags: list[str]) -> str:
    """A command of `python -m export.trt`."""
    return shlex.join(["python", "-m", "export.trt", str(onnx), "-o", str(folder), *flags])


def version_key(text: str) -> tuple[int, ...]:
    """A version as numbers, to compare by; what is no number counts as 0."""
    return tuple(int(part) if part.isdigit() else 0 for part in text.split("."))


def record_path(engine: Path) -> Path:
    """Where the JSON of an engine lies."""
    return engine.with_suffix(".json")


def read_record(engine: Path) -> EngineRecord:
    """What the JSON beside an engine says. Raises BackendError if it is missing or damaged."""
    path = record_path(engine)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise BackendError(
            f"{path}, which says what the engine {engine.name} is, cannot be read ({problem}); "
            "build the engine again by `python -m export.trt`"
        ) from None
    return EngineRecord.from_dict(values, str(path))
