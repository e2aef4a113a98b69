"""From an ONNX file to the plan of a TensorRT engine: one way for TensorRT 10 and 11.

The precision stands in the ONNX file, so networks are strongly typed: TensorRT 11 knows no others,
10 is told so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.backends.trt_module import make_log, problems_of
from core.engines import BuildOptions, Profile
from core.errors import BackendError, ConfigError
from core.files import whole_file

from .build_progress import Bars, monitor_of
from .operators import load

MIB = 1 << 20
Shape = tuple[int, ...]


@dataclass(frozen=True)
class GraphInput:
    """An input of an ONNX graph: its name and sides, None for a side that is free."""

    name: str
    sides: tuple[int | None, ...]
    """(N, channels, H, W), or (N, channels) for a vector."""

    def shapes(self, profile: Profile) -> tuple[Shape, Shape, Shape]:
        """The least, the tuned and the largest shape. Raises ConfigError if a fixed side differs.

        A side is fixed where the graph was exported with --size or --batch.
        """
        spans = {0: profile.batch, 2: profile.height, 3: profile.width}
        found = []
        for axis, side in enumerate(self.sides):
            span = spans.get(axis, (side, side, side))
            if None in span or (side is not None and set(span) != {side}):
                raise ConfigError(
                    f"the input {self.name!r} of the graph is fixed to {self.text}; give a profile "
                    "of that alone, or export the graph without --size and --batch"
                )
            found.append(span)
        least, best, most = zip(*found, strict=True)
        return least, best, most

    @property
    def is_free(self) -> bool:
        """Whether the graph leaves any side to the profile."""
        return None in self.sides

    @property
    def text(self) -> str:
        """Such as ?x3x512x512."""
        return "x".join("?" if side is None else str(side) for side in self.sides)


@dataclass(frozen=True)
class BuildFiles:
    """What a build reads and keeps beside the plan."""

    onnx: Path
    timing_cache: Path | None = None
    verbose: bool = False
    tell: Callable[[str], object] | None = None
    """Is given a line when a step of the build begins."""


def graph_inputs(path: Path) -> list[GraphInput]:
    """The inputs of the ONNX file at `path`, in its order."""
    graph = load(path).graph
    constants = {tensor.name for tensor in graph.initializer}
    found = []
    for entry in graph.input:
        if entry.name not in constants:
            sides = tuple(dim.dim_value or None for dim in entry.type.tensor_type.shape.dim)
            found.append(GraphInput(entry.name, sides))
    return found


def build_plan(
    trt: Any, files: BuildFiles, inputs: Sequence[GraphInput], profile: Profile,
    options: BuildOptions,
) -> Any:  # fmt: skip
    """The serialised engine, a buffer of bytes; the GPU that is current is the one it is for.

    Raises BackendError with all that the parser or the builder had to say.
    """
    log = make_log(trt, verbose=files.verbose)
    builder = trt.Builder(log)
    network = _parsed(trt, builder, files.onnx, log)
    config = builder.create_builder_config()
    _set_options(trt, config, options)
    if any(entry.is_free for entry in inputs):
        sizes = builder.create_optimization_profile()
        for entry in inputs:
            sizes.set_shape(entry.name, *entry.shapes(profile))
        if config.add_optimization_profile(sizes) < 0:
            raise BackendError(f"TensorRT refuses the profile {profile.text} ({problems_of(log)})")
    if files.timing_cache is not None:
        _read_cache(config, files.timing_cache)
    bars = Bars(files.onnx.name, files.tell)
    config.progress_monitor = monitor_of(trt, bars)
    plan = builder.build_serialized_network(network, config)
    bars.close()
    if bars.interrupted:
        raise KeyboardInterrupt
    if plan is None:
        raise BackendError(f"TensorRT built no engine of {files.onnx} ({problems_of(log)})")
    if files.timing_cache is not None:
        _write_cache(config, files.timing_cache)
    return plan


def _parsed(trt: Any, builder: Any, onnx: Path, log: Any) -> Any:
    """The network of the ONNX file. Raises BackendError with all errors of the parser."""
    strongly_typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    flags = 0 if strongly_typed is None else 1 << int(strongly_typed)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, log)
    if parser.parse_from_file(str(onnx)):
        return network
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    found = [f"{e.node_operator()} {e.node_name()}: {e.desc()}".strip() for e in errors]
    raise BackendError(
        f"TensorRT cannot parse {onnx} ({'; '.join(found) or problems_of(log)}); see what "
        "`python -m export.operators` says of it, and export it again"
    )


def _set_options(trt: Any, config: Any, options: BuildOptions) -> None:
    flags = []
    if options.version_compatible:
        flags.append(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.stripped:
        # With REFIT_IDENTICAL the engine is as fast as one with its weights inside.
        flags += [trt.BuilderFlag.STRIP_PLAN, trt.BuilderFlag.REFIT_IDENTICAL]
    for flag in flags:
        config.set_flag(flag)
    if not options.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    if options.hardware_compatible:
        level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
        config.hardware_compatibility_level = level
    if options.workspace_mib:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib * MIB)
    config.builder_optimization_level = options.builder_level


def _read_cache(config: Any, path: Path) -> None:
    """Give the builder the timings of earlier builds, none if there is no file yet."""
    cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
    # A cache of another GPU or version would be ignored in silence, if that were allowed.
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        raise BackendError(
            f"the timing cache {path} is of another GPU or version of TensorRT, or damaged; name "
            "another file for --timing-cache"
        )


def _write_cache(config: Any, path: Path) -> None:
    try:
        with whole_file(path) as part:
            write_buffer(part, config.get_timing_cache().serialize())
    except OSError as problem:
        raise ConfigError(f"cannot write {path} ({problem}); name another --timing-cache") from None


def write_buffer(path: Path, buffer: Any) -> None:
    """Write memory that TensorRT holds."""
    # `Path.write_bytes` is no good here: TensorRT calls its bytes floats of one byte.
    with path.open("wb") as file:
        file.write(buffer)
