"""What is compared: each backend with each model that it can run."""

from dataclasses import dataclass
from pathlib import Path

from core.errors import ConfigError

from .settings import GRAPHS, BenchConfig, Size, Strategy

AGAINST = "against"
PIPELINE = "pipeline.onnx"
BASELINE = "straightforward"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A way of running a network."""

    name: str
    """In the tables."""
    runtime: str
    """Of `settings.BACKENDS`, or `AGAINST`."""
    model: str
    """A file, MODULE:CALLABLE, or nothing where none was given."""
    device: str = "cpu"
    threads: int = 1
    whole: bool = False
    """Whether `model` is the graph of the whole pipeline."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A subject at a size."""

    subject: Subject
    size: Size
    batch: int = 1
    hole: int | None = None
    """Side of the hole in a picture that goes through the pipeline; None: the network alone, with
    a hole of half the picture's sides."""
    strategy: Strategy = "auto"
    """Of the pipeline."""


def subjects(config: BenchConfig, weights: Path, threads: int) -> list[Subject]:
    """Everything that --backends and --against name, the baseline first."""
    graphs = graph_files(config)
    found = []
    for backend in config.backends:
        files: list[Path | None] = [*graphs] if backend in GRAPHS else [weights]
        for file in files or [None]:
            name = backend + _addition(file, files[0] if files else None)
            found.append(
                Subject(
                    name=name, runtime=backend, model=str(file or ""),
                    device=config.device, threads=threads,
                )
            )  # fmt: skip
    if config.against:
        found.append(
            Subject(name=config.against, runtime=AGAINST, model=config.against, threads=threads)
        )
    return sorted(found, key=lambda subject: subject.runtime != BASELINE)


def pipelines(config: BenchConfig, found: list[Subject]) -> list[Subject]:
    """Those that fill whole pictures: our pipeline over each subject, then the one graph."""
    file = config.pipeline_onnx
    if file is None and config.bundle is not None:
        file = config.bundle / "pipeline.onnx"
    if file is None:
        return found
    whole = {s.runtime: s for s in reversed(found) if s.runtime in GRAPHS}
    return found + [
        Subject(
            name=f"{PIPELINE}, {s.runtime}", runtime=s.runtime, model=str(file),
            device=s.device, threads=s.threads, whole=True,
        )
        for s in reversed(list(whole.values()))
    ]  # fmt: skip


def graph_files(config: BenchConfig) -> list[Path]:
    """The graphs of the network; that of the bundle first. Raises ConfigError for one missing."""
    of_bundle = [config.bundle / "generator.onnx"] if config.bundle else []
    files = [*of_bundle, *config.onnx]
    for file in files:
        if not file.is_file():
            raise ConfigError(f"no graph at {file}; `python -m export.onnx` makes one")
    return files


def cases(config: BenchConfig, weights: Path, threads: int) -> list[list[Case]]:
    """Groups of what takes turns: of one size and batch each."""
    found = subjects(config, weights, threads)
    groups = [
        [Case(subject=subject, size=(side, side), batch=batch) for subject in found]
        for side in config.sizes
        for batch in config.batches
    ]
    wholes = pipelines(config, found)
    return groups + [
        [
            Case(subject=subject, size=size, hole=config.hole, strategy=config.strategy)
            for subject in wholes
        ]
        for size in config.pipeline_sizes
    ]


def _addition(file: Path | None, first: Path | None) -> str:
    """What tells the files of one backend apart: `net.int8.onnx` beside `net.onnx` is " int8"."""
    if file is None or first is None or file == first:
        return ""
    return " " + (file.stem.removeprefix(first.stem).lstrip(".-_") or file.parent.name)
