"""Build TensorRT engines of an exported network, all its parts, or of a pipeline, for this GPU.

  python -m export.trt generator.onnx -o engines --min 256x256 --opt 512x512 --max 1024x1024
  python -m export.trt generator.onnx --print-trtexec

An engine runs on the GPU, platform and version of TensorRT that built it and on no other, unless
it is built with --hardware-compatible (Ampere and newer) or --version-compatible (later versions of
TensorRT). Its file is named by model, hash of the ONNX file, compute capability, TensorRT,
precision and profile; a JSON beside it says all of that and more. The backend tensorrt finds the
engines that lie beside the ONNX file. The precision is that of the ONNX file (--precision of
export.onnx). --strip-weights leaves the weights out: the ONNX file must then lie beside the engine.

--print-trtexec needs neither TensorRT nor a GPU. From version 11 on, trtexec is strongly typed
always, and measures with CUDA graphs, spinning and without the transfers of inputs and outputs;
version 10 does none of these unless it is told to.
"""

import argparse
import hashlib
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.backends.cuda import Cuda
from core.backends.graph import sibling_paths
from core.backends.trt_module import load_tensorrt
from core.engines import BuildOptions, EngineRecord, Machine, Profile, record_path
from core.errors import ConfigError
from core.files import sha256_of, whole_file, write_json
from core.flags import add_flags, exit_code, from_flags
from core.graph import GraphInfo, read_graph

from .engine_build import BuildFiles, GraphInput, build_plan, graph_inputs, write_buffer

SIZES = {"min": "256x256", "opt": "512x512", "max": "512x512"}
"""Dense attention takes 16 times the memory at 1024x1024, so that is only made on demand."""


@dataclass(frozen=True, kw_only=True)
class TrtConfig:
    """What to build; each field is a flag of `python -m export.trt`, `model` comes without."""

    model: Path
    out: Path | None = field(
        default=None, metadata={"help": "folder for the engines (default: that of the model)"}
    )
    min: str = field(default="", metadata={"help": "least HEIGHTxWIDTH (default: 256x256)"})
    opt: str = field(default="", metadata={"help": "size to tune for (default: 512x512)"})
    max: str = field(default="", metadata={"help": "largest size (default: 512x512)"})
    batch: str = field(default="", metadata={"help": "pictures, min,opt,max (default: 1,1,8)"})
    version_compatible: bool = field(
        default=False, metadata={"help": "run on later versions of TensorRT too"}
    )
    hardware_compatible: bool = field(
        default=False, metadata={"help": "run on every GPU from Ampere on"}
    )
    strip_weights: bool = field(
        default=False, metadata={"help": "leave the weights out and read the ONNX file's"}
    )
    timing_cache: Path | None = field(
        default=None, metadata={"help": "file of timings, read and written: later builds are fast"}
    )
    verbose: bool = field(default=False, metadata={"help": "the builder's log on stderr"})
    workspace: int = field(
        default=0, metadata={"help": "MiB of memory for a layer's work; 0 = all there is"}
    )
    tf32: bool = field(
        default=True, metadata={"help": "let float32 products round to TF32 on the GPU"}
    )
    builder_level: int = field(
        default=3, metadata={"help": "0 to 5: how long to search for fast kernels"}
    )
    device: str = field(default="", metadata={"help": "GPU to build on: cuda, cuda:1, ..."})
    force: bool = field(default=False, metadata={"help": "replace engines that are there"})
    print_trtexec: bool = field(
        default=False, metadata={"help": "print the command of NVIDIA's trtexec and build nothing"}
    )

    def __post_init__(self) -> None:
        if self.workspace < 0:
            raise ConfigError(f"--workspace is {self.workspace} MiB; it must be at least 0")
        if not 0 <= self.builder_level <= 5:
            raise ConfigError(f"--builder-level is {self.builder_level}; it must be from 0 to 5")

    @property
    def folder(self) -> Path:
        """Where the engines go."""
        return self.out or self.model.parent

    @property
    def options(self) -> BuildOptions:
        """How to build."""
        return BuildOptions(
            version_compatible=self.version_compatible,
            hardware_compatible=self.hardware_compatible,
            stripped=self.strip_weights,
            tf32=self.tf32,
            builder_level=self.builder_level,
            workspace_mib=self.workspace,
        )


@dataclass(frozen=True)
class Task:
    """One engine to be built."""

    onnx: Path
    info: GraphInfo
    inputs: list[GraphInput]
    profile: Profile


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed, 130 interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m export.trt",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, metavar="MODEL.onnx", help="what to build engines of")
    add_flags(parser, TrtConfig, without=("model", "out"))
    parser.add_argument("-o", "--out", type=Path, metavar="FOLDER", help="default: the model's")
    args = parser.parse_args(argv)
    return exit_code(lambda: run(from_flags(TrtConfig, args)))


def run(config: TrtConfig) -> int:
    """Build or print what `config` says; returns the exit code."""
    if config.print_trtexec:
        sys.stdout.write(trtexec_text(config))
        return 0
    # On a terminal there are bars instead.
    tell = None if sys.stderr.isatty() else sys.stderr.write
    for path in build_engines(config, tell=tell):
        sys.stdout.write(f"{path}\n")
    return 0


def build_engines(
    config: TrtConfig, gpu: Cuda | None = None, tell: Callable[[str], object] | None = None
) -> list[Path]:
    """Build the engines of all parts of the model; returns their files.

    gpu: None for the one that `config.device` names. tell: is given a line when a step of a build
    begins, as `core.progress.Stages` writes it. Raises BackendError where TensorRT or a GPU is
    missing or refuses, ConfigError for a profile or a folder that cannot be used.
    """
    tasks = tasks_of(config)
    trt = load_tensorrt()
    gpu = gpu or Cuda(config.device)
    machine = gpu.machine(trt.__version__)
    records = {task.onnx: record_of(task, machine, config.options) for task in tasks}
    _check_outputs(config, records)
    with gpu.here():
        for task in tasks:
            started = time.monotonic()
            files = BuildFiles(task.onnx, config.timing_cache, config.verbose, tell)
            plan = build_plan(trt, files, task.inputs, task.profile, config.options)
            seconds = round(time.monotonic() - started, 3)
            record = replace(records[task.onnx], seconds=seconds)
            write_engine(config.folder / record.name, plan, record)
    return [config.folder / record.name for record in records.values()]


def tasks_of(config: TrtConfig) -> list[Task]:
    """The graphs of the model, each with its profile. Raises as the files and the flags deserve."""
    info = read_graph(config.model)
    whole = info.kind == "pipeline" or info.part != "run"
    files = [config.model] if whole else list(sibling_paths(info, config.model).values())
    tasks = []
    for path in files:
        inputs, one = graph_inputs(path), read_graph(path)
        profile = profile_of(config, inputs)
        if one.kind == "generator" and one.part != "encode":  # the others take any size
            profile.check(one.contract.multiple_of)
        for entry in inputs:
            entry.shapes(profile)
        tasks.append(Task(path, one, inputs, profile))
    return tasks


def profile_of(config: TrtConfig, inputs: list[GraphInput]) -> Profile:
    """The profile of the flags; what no flag says, the graph does where its sides are fixed."""
    maps = [entry.sides for entry in inputs if len(entry.sides) == 4]
    fixed = maps[0] if maps else (None,) * 4
    side = f"{fixed[2]}x{fixed[3]}" if None not in fixed[2:] else ""
    given = {name: getattr(config, name) or side or usual for name, usual in SIZES.items()}
    sizes = [parse_size(f"--{name}", text) for name, text in given.items()]
    batch = config.batch or (f"{fixed[0]},{fixed[0]},{fixed[0]}" if fixed[0] else "1,1,8")
    height, width = zip(*sizes, strict=True)
    least, best, most = parse_numbers("--batch", batch, 3)
    return Profile(batch=(least, best, most), height=height, width=width)


def parse_size(flag: str, text: str) -> tuple[int, int]:
    """HEIGHTxWIDTH. Raises ConfigError for anything else."""
    height, width = parse_numbers(flag, text.replace("x", ","), 2)
    return height, width


def parse_numbers(flag: str, text: str, count: int) -> tuple[int, ...]:
    """Whole numbers with commas between. Raises ConfigError for anything else."""
    parts = text.split(",")
    if len(parts) != count or not all(part.strip().isdigit() for part in parts):
        like = "HEIGHTxWIDTH, 512x512 for example" if count == 2 else "1,1,8 for example"
        raise ConfigError(f"{flag} is {text!r}; it must be like {like}")
    return tuple(map(int, parts))


def record_of(task: Task, machine: Machine, options: BuildOptions) -> EngineRecord:
    """What will stand beside an engine, as far as it is known before it is built."""
    return EngineRecord(
        model=task.onnx.stem,
        onnx_sha256=sha256_of(task.onnx),
        machine=machine,
        profile=task.profile,
        options=options,
        info=task.info,
    )


def write_engine(path: Path, plan: memoryview, record: EngineRecord) -> None:
    """Write an engine and its JSON, the JSON first: an engine is never without.

    Raises ConfigError if the files cannot be written.
    """
    try:
        with whole_file(path) as part:
            write_buffer(part, plan)
            digest = hashlib.sha256(plan).hexdigest()
            size = part.stat().st_size
            full = replace(record, plan_sha256=digest, plan_bytes=size)
            write_json(record_path(path), full.to_dict(), flag="-o")
    except OSError as problem:
        raise ConfigError(f"cannot write {path} ({problem}); name another folder by -o") from None


def trtexec_text(config: TrtConfig) -> str:
    """The commands of NVIDIA's trtexec that build the same engines, one line for each."""
    lines = [
        "# trtexec 11 measures with CUDA graphs, spinning and no transfers unless told otherwise",
        "# (--noCudaGraph --noSpinWait --includeDataTransfers); trtexec 10 the other way round.",
    ]
    for task in tasks_of(config):
        engine = config.folder / f"{task.onnx.stem}.engine"
        flags = ["trtexec", f"--onnx={task.onnx}", f"--saveEngine={engine}", "--stronglyTyped"]
        lines.append(shlex.join([*flags, *_trtexec_shapes(task), *_trtexec_options(config)]))
    return "\n".join(lines) + "\n"


def _trtexec_shapes(task: Task) -> list[str]:
    """The profile; none for a graph without free sides, of which trtexec takes no shapes."""
    if not any(entry.is_free for entry in task.inputs):
        return []
    flags = []
    triples = [entry.shapes(task.profile) for entry in task.inputs]
    for which, shapes in zip(("min", "opt", "max"), zip(*triples, strict=True), strict=True):
        named = zip(task.inputs, shapes, strict=True)
        text = ",".join(f"{entry.name}:{'x'.join(map(str, shape))}" for entry, shape in named)
        flags.append(f"--{which}Shapes={text}")
    return flags


def _trtexec_options(config: TrtConfig) -> list[str]:
    flags = [f"--builderOptimizationLevel={config.builder_level}", "--skipInference"]
    switches = {
        "--versionCompatible": config.version_compatible,
        "--hardwareCompatibilityLevel=ampere+": config.hardware_compatible,
        "--stripWeights": config.strip_weights,
        "--noTF32": not config.tf32,
        "--verbose": config.verbose,
        f"--memPoolSize=workspace:{config.workspace}": config.workspace,
        f"--timingCacheFile={config.timing_cache}": config.timing_cache,
    }
    return flags + [flag for flag, is_set in switches.items() if is_set]


def _check_outputs(config: TrtConfig, records: Mapping[Path, EngineRecord]) -> None:
    for record in records.values():
        path = config.folder / record.name
        if path.exists() and not config.force:
            raise ConfigError(f"{path} exists; give --force to build it again")
    try:
        config.folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ConfigError(
            f"cannot make the folder {config.folder} ({problem}); name another by -o"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
