"""From an ONNX file to the plan of a TensorRT engine: one way for TensorRT 10 and 11.

The precision stands in the ONNX file, so networks are strongly typed: TensorRT 11 knows no others,
10 is told so.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.backends.trt_module import make_log, problems_of
from core.engines import BuildOptions, Profile
from core.errors import BackendError, ConfigError
from core.extras import need
from core.files import whole_file

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
    def text(self) -> str:
        """Such as ?x3x512x512."""
        return "x".join("?" if side is None else str(side) for side in self.sides)


@dataclass(frozen=True)
class BuildFiles:
    """What a build reads and keeps beside the plan."""

    onnx: Path
    timing_cache: Path | None = None
    verbose: bool = False


def graph_inputs(path: Path) -> list[GraphInput]:
    """The inputs of the ONNX file at `path`, in its order."""
    graph = need("onnx", "onnx").load(str(path), load_external_data=False).graph
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
    sizes = builder.create_optimization_profile()
    for entry in inputs:
        sizes.set_shape(entry.name, *entry.shapes(profile))
    if config.add_optimization_profile(sizes) < 0:
        raise BackendError(f"TensorRT refuses the profile {profile.text} ({problems_of(log)})")
    if files.timing_cache is not None:
        _read_cache(config, files.timing_cache)
    monitor = progress(trt, files.onnx.name)
    config.progress_monitor = monitor
    plan = builder.build_serialized_network(network, config)
    monitor.close()
    if monitor.interrupted:
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


def progress(trt: Any, title: str) -> Any:
    """A progress monitor for the builder: a bar for each phase, on stderr, only on a terminal.

    Its `interrupted` tells whether Ctrl-C ended the build; `close` takes the bars away.
    """
    from tqdm import tqdm

    class Progress(trt.IProgressMonitor):  # type: ignore[misc]  # its module is loaded late
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.bars: dict[str, Any] = {}
            self.interrupted = False

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            name = phase_name if parent_phase else f"{title}: {phase_name}"
            self.bars[phase_name] = tqdm(
                total=num_steps, desc=name, leave=False, file=sys.stderr, disable=None
            )

        def step_complete(self, phase_name: str, step: int) -> bool:
            # An exception would be printed by the binding and lost, so Ctrl-C is remembered.
            try:
                bar = self.bars[phase_name]
                bar.update(step + 1 - bar.n)
            except KeyboardInterrupt:
                self.interrupted = True
            return not self.interrupted

        def phase_finish(self, phase_name: str) -> None:
            self.bars.pop(phase_name).close()

        def close(self) -> None:
            for bar in self.bars.values():
                bar.close()

    return Progress()
