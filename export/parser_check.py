"""Parse ONNX files and build engines of them by NVIDIA's own parser and builder, without a GPU.

  python -m export.parser_check generator.onnx pipeline.onnx

The wheel `onnxruntime-ep-nv-tensorrt-rtx-cu13` holds TensorRT-RTX, whose parser, typing rules and
builder are those of TensorRT, and which builds on the CPU alone. A small C++ program is made
against it and run on each file. It shows that a graph is taken, not how fast it runs, nor that
TensorRT itself finds a kernel for each layer.

Needed:
  a C++ compiler       g++, or the one that the variable CXX names
  TensorRT's headers   the folder include/ of a copy of https://github.com/NVIDIA/TensorRT (11.x,
                       Apache-2.0): NvInfer*.h, NvOnnxParser.h;
                       --headers, or the variable GATEFILL_TENSORRT_HEADERS
  CUDA's headers       `pip install --no-deps nvidia-cuda-runtime nvidia-cuda-crt`, or a folder with
                       cuda_runtime_api.h and crt/: --cuda-headers, GATEFILL_CUDA_HEADERS
  the library          `pip install --no-deps onnxruntime-ep-nv-tensorrt-rtx-cu13` (Linux, x86-64),
                       or a folder with libtensorrt_rtx.so.*: --library, GATEFILL_TENSORRT_RTX
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from core.engines import Profile
from core.errors import BackendError
from core.flags import add_flags, exit_code, from_flags
from core.graph import read_graph

from .engine_build import GraphInput, graph_inputs

SOURCE = Path(__file__).with_suffix(".cpp")
LIBRARIES = ("libtensorrt_rtx.so", "libtensorrt_onnxparser_rtx.so")


@dataclass(frozen=True)
class Place:
    """Something the check needs: where to look, and what to do where it is missing."""

    what: str
    file: str
    variable: str
    wheels: tuple[str, ...]
    remedy: str


HEADERS = Place(
    "TensorRT's headers", "NvInfer.h", "GATEFILL_TENSORRT_HEADERS", (),
    "name the folder include/ of a copy of https://github.com/NVIDIA/TensorRT by --headers or",
)  # fmt: skip
CUDA_HEADERS = Place(
    "CUDA's headers", "cuda_runtime_api.h", "GATEFILL_CUDA_HEADERS",
    ("nvidia-cuda-runtime", "nvidia-cuda-runtime-cu13"),
    "`pip install --no-deps nvidia-cuda-runtime nvidia-cuda-crt`, or name their folder by "
    "--cuda-headers or",
)  # fmt: skip
LIBRARY = Place(
    "TensorRT-RTX", LIBRARIES[0], "GATEFILL_TENSORRT_RTX",
    ("onnxruntime-ep-nv-tensorrt-rtx-cu13",),
    "`pip install --no-deps onnxruntime-ep-nv-tensorrt-rtx-cu13`, or name its folder by "
    "--library or",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CheckConfig:
    """What to check; each field is a flag of `python -m export.parser_check`, but `models`."""

    models: tuple[Path, ...]
    headers: Path | None = field(default=None, metadata={"help": "folder of NvInfer.h"})
    cuda_headers: Path | None = field(
        default=None, metadata={"help": "folder of cuda_runtime_api.h"}
    )
    library: Path | None = field(default=None, metadata={"help": "folder of libtensorrt_rtx.so.*"})


@dataclass(frozen=True)
class Verdict:
    """What the parser and the builder said of one graph."""

    parsed: bool
    built: bool
    layers: int
    bytes: int
    seconds: float
    problems: tuple[str, ...]
    """Errors of the parser, then what parser and builder logged: errors and warnings."""

    @property
    def text(self) -> str:
        """One line."""
        if not self.built:
            return f"REFUSED by the {'builder' if self.parsed else 'parser'}: " + (
                "; ".join(dict.fromkeys(self.problems)) or "it says no more"
            )
        notes = f"; warns: {'; '.join(dict.fromkeys(self.problems))}" if self.problems else ""
        size = f"engine {self.bytes / 1e6:.1f} MB in {self.seconds:.1f} s"
        return f"parsed ({self.layers} layers) and built ({size}){notes}"


class ParserTool:
    """The compiled program, in `folder`. Raises BackendError that says what is missing."""

    def __init__(self, folder: Path, config: CheckConfig):
        compiler = os.environ.get("CXX") or "g++"
        if shutil.which(compiler) is None:
            raise BackendError(f"there is no C++ compiler {compiler}; install g++, or set CXX")
        headers = [find(HEADERS, config.headers), find(CUDA_HEADERS, config.cuda_headers)]
        libraries = _linked(find(LIBRARY, config.library), folder)
        self.program, self._folder = folder / "parser_check", folder
        command = [compiler, "-std=c++17", "-O1", str(SOURCE), "-o", str(self.program)]
        command += [text for path in headers for text in ("-isystem", str(path))]
        _run([*command, *map(str, libraries)], "compile")

    def check(self, model: Path, profile: Profile | None = None) -> Verdict:
        """Parse and build the ONNX file at `model`; profile: None for one that its sizes allow."""
        inputs = graph_inputs(model)
        if profile is None:
            profile = usual_profile(model, inputs)
        texts = []
        for entry in inputs:
            shapes = ("x".join(map(str, shape)) for shape in entry.shapes(profile))
            texts.append(":".join((entry.name, *shapes)))
        code, lines = self.run("graph", str(model), *texts)
        if code not in (0, 2, 3):
            raise BackendError(f"the parser check of {model} ended with code {code}: {lines}")
        found = {key: [value for name, value in lines if name == key] for key, _ in lines}
        return Verdict(
            parsed=code != 2,
            built=code == 0,
            layers=int(found.get("layers", ["0"])[0]),
            bytes=int(found.get("bytes", ["0"])[0]),
            seconds=float(found.get("seconds", ["0"])[0]),
            problems=(*found.get("error", []), *found.get("message", [])),
        )

    def knows(self, operators: Sequence[str]) -> dict[str, bool]:
        """Operator -> whether the parser has heard of it."""
        _, lines = self.run("operators", *operators)
        return {name: value == "1" for name, value in lines if name in operators}

    def run(self, *words: str) -> tuple[int, list[tuple[str, str]]]:
        """The exit code of the program and its lines, split in two."""
        # The parser's library looks for the other one by its short name, which the wheel has not.
        paths = {**os.environ, "LD_LIBRARY_PATH": str(self._folder)}
        done = subprocess.run(
            [str(self.program), *words], capture_output=True, text=True, env=paths, errors="replace"
        )
        if done.returncode < 0:
            raise BackendError(f"the parser check crashed (signal {-done.returncode}) on {words}")
        pairs = (line.partition("\t") for line in done.stdout.splitlines())
        return done.returncode, [(key, value) for key, _, value in pairs]


def usual_profile(model: Path, inputs: list[GraphInput]) -> Profile:
    """One to eight times the network's least size, tuned for four, batches of 1 to 2.

    Where sides are fixed, those.
    """
    info = read_graph(model)
    step = max(info.contract.multiple_of, 16 if info.kind == "pipeline" else 1)
    sides = next((entry.sides for entry in inputs if len(entry.sides) == 4), (None,) * 4)
    spans = [(side,) * 3 if side else (step, 4 * step, 8 * step) for side in sides[2:]]
    batch = (sides[0],) * 3 if sides[0] else (1, 1, 2)
    height, width = spans
    return Profile(batch=batch, height=height, width=width)


def find(place: Place, given: Path | None) -> Path:
    """The folder that has `place.file`: the given one, the variable's, or that of a wheel."""
    named = given or (Path(os.environ[place.variable]) if place.variable in os.environ else None)
    folders = [named] if named is not None else list(_folders_of(place))
    for folder in folders:
        if any(folder.glob(place.file + "*")):
            return folder
    where = "not found" if named is None else f"no {place.file} in {named}"
    raise BackendError(f"{place.what}: {where}; {place.remedy} the variable {place.variable}")


def _folders_of(place: Place) -> list[Path]:
    found = []
    for wheel in place.wheels:
        try:
            files = metadata.distribution(wheel).files or []
        except metadata.PackageNotFoundError:
            continue
        found += [Path(str(f.locate())).parent for f in files if f.name.startswith(place.file)]
    return found


def _linked(source: Path, folder: Path) -> list[Path]:
    """Links in `folder` to the libraries by their short names, as programs look for them."""
    links = []
    for name in LIBRARIES:
        library = next(iter(sorted(source.glob(name + ".*"))), None)
        if library is None:
            raise BackendError(f"{source} has no {name}.*; install the wheel again")
        link = folder / f"{name}.{library.name[len(name) + 1 :].partition('.')[0]}"
        link.unlink(missing_ok=True)
        link.symlink_to(library.resolve())
        links.append(link)
    return links


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BackendError(
            f"the parser check does not {what} ({done.stderr.strip()[:500]}); are the headers and "
            "the library of matching versions?"
        )


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 all built, 1 one is refused or nothing can run."""
    parser = argparse.ArgumentParser(
        prog="python -m export.parser_check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", type=Path, nargs="+", metavar="FILE.onnx")
    add_flags(parser, CheckConfig, without=("models",))
    args = parser.parse_args(argv)
    return exit_code(lambda: check_all(from_flags(CheckConfig, args)))


def check_all(config: CheckConfig) -> int:
    """Check every model, a line for each on stdout; returns the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        tool = ParserTool(Path(folder), config)
        built = []
        for model in config.models:
            verdict = tool.check(model)
            sys.stdout.write(f"{model}: {verdict.text}\n")
            sys.stdout.flush()
            built.append(verdict.built)
    return 0 if all(built) else 1


if __name__ == "__main__":
    sys.exit(main())
