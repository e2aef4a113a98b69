"""What all backends over exported graphs have in common: a runner for each part of a network."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from ..contract import Port
from ..errors import BackendError
from ..graph import GraphInfo, part_path, read_graph
from ..parts import Part

Runner = Callable[..., Tensor]
"""Tensors as `core.parts.ports_of` orders them -> the part's output, on the first one's device."""


class GraphBackend:
    """Runs exported graphs: a `core.backends.Backend`."""

    def __init__(self, info: GraphInfo, runners: Mapping[Part, Runner], device: str):
        self.info = info
        self.device = device
        """What really runs it, in words."""
        self._runners = dict(runners)
        # Without the part the pipeline does what it does for networks that have none.
        refines = info.contract.refines and "refine" in runners
        self.contract = replace(info.contract, refines=refines)

    def run(self, *inputs: Tensor) -> Tensor:
        """Tensors as `contract.inputs` describes them -> a tensor as `contract.output` does."""
        return self._runners["run"](*inputs)

    def refine(self, first_fill: Tensor, *inputs: Tensor) -> Tensor:
        """As `run`, from a given first fill."""
        return self._runners["refine"](first_fill, *inputs)

    def encode(self, picture: Tensor) -> Tensor:
        """The vector of a reference picture (N, 3, h, w), as the port image has it."""
        if "encode" not in self._runners:
            raise BackendError(
                "the graph that encodes a reference picture was not exported; leave the picture "
                "out and give a seed, or export the network again with all its parts"
            )
        return self._runners["encode"](picture)


def read_parts(path: Path) -> tuple[GraphInfo, dict[Part, Path]]:
    """What the graph at `path` says of itself, and the file of each of its parts.

    Nothing is run yet. Raises BackendError for a file that is missing, damaged, foreign or not the
    network itself, and for parts that are missing or of another export.
    """
    info = read_graph(path)
    check_generator(info, path)
    files = sibling_paths(info, path)
    for part, file in files.items():
        other = read_graph(file)
        check_sibling(info, other, file)
        if other.part != part:
            raise BackendError(
                f"{file} holds the part {other.part!r}, and {part!r} is needed; export the network "
                "again"
            )
    return info, files


def check_generator(info: GraphInfo, path: Path) -> None:
    """Raise BackendError unless `info` is of the part "run" of a network."""
    if info.kind != "generator" or info.part != "run":
        what = "a whole pipeline" if info.kind == "pipeline" else f"the part {info.part!r} alone"
        raise BackendError(
            f"{path} holds {what}; give the graph of the network itself, as "
            "`python -m export.onnx` names it"
        )


def check_sibling(info: GraphInfo, other: GraphInfo, path: Path) -> None:
    """Raise BackendError unless the graph `other` at `path` goes with `info`."""
    for what in ("weights_sha256", "precision", "contract"):
        if getattr(info, what) != getattr(other, what):
            raise BackendError(
                f"{path} and the graph beside it differ in {what}; export the network again"
            )


def sibling_paths(info: GraphInfo, path: Path) -> dict[Part, Path]:
    """Part -> its file, those that the graph at `path` says were exported.

    Raises BackendError where one is missing.
    """
    paths = {part: part_path(path, part) for part in info.parts}
    for part, file in paths.items():
        if not file.is_file():
            raise BackendError(
                f"{file} is missing, the part {part!r} of {path.name}; put it beside it, or export "
                "the network again"
            )
    return paths


def output_shape(output: Port, first: Tensor) -> tuple[int, ...]:
    """The shape of a part's output, by the first of its inputs (N, C, H, W)."""
    maps = () if output.kind == "vector" else tuple(first.shape[2:])
    return (first.shape[0], output.channels, *maps)


def first_line(problem: Exception) -> str:
    """What matters of a runtime's error, for a sentence: its first line, its own numbers left out.

    ONNX Runtime's "[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : text" -> "text".
    """
    line = str(problem).strip().partition("\n")[0]
    if line.startswith("[ONNXRuntimeError]"):
        line = line.split(" : ", 3)[-1]
    return line.strip()[:300] or type(problem).__name__
