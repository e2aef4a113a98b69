"""Export ONNX and Build TensorRT Engine: commands of `export`, in processes of their own."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.utils
from comfy_api.latest import io, ui

from ..core.backends.chain import ENGINES
from ..core.backends.cuda import Cuda
from ..core.backends.trt_module import load_tensorrt
from ..core.child import run_module
from ..core.engines import ENGINE_SUFFIX
from ..core.errors import BackendError, ConfigError
from ..core.model_files import GRAPH_SUFFIX, WEIGHTS_SUFFIX, stamp
from .files import graph_names, model_path, new_path
from .kinds import CATEGORY, Model, in_one_sentence
from .loaded import Loaded
from .running import STEPS
from .shown import say

PRECISIONS = ("fp32", "fp16", "bf16")
NO_GRAPH = "(none: export one)"
"""What there is to choose where there is no graph."""
INPUTS = {"--force": "overwrite", "--min": "min_size", "--opt": "opt_size", "--max": "max_size"}
"""Flags whose inputs are called otherwise."""
SIZES = {"default": 0, "min": 0, "max": 8192, "step": 8}
"""Of a widget for a side in pixels."""


def run_command(
    node: type[io.ComfyNode], module: str, args: Sequence[str], folder: Path
) -> list[str]:
    """What the command says in the end, without the names of folders; the node shows how far it is.

    Raises BackendError as the command does, its flags being called as the inputs of the node.
    """
    bar = comfy.utils.ProgressBar(STEPS)

    def tell(share: float, what: str) -> None:
        bar.update_absolute(round(share * STEPS), STEPS)
        say(node, what)

    check = comfy.model_management.throw_exception_if_processing_interrupted
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lines = run_module(module, args, folder, tell=tell, check=check)
    except BackendError as problem:
        raise BackendError(re.sub("--[a-z-]+", _input_of, str(problem))) from None
    bar.update_absolute(STEPS, STEPS)
    return lines


def _input_of(flag: re.Match[str]) -> str:
    return INPUTS.get(flag[0], flag[0].strip("-").replace("-", "_"))


def flags(**values: Any) -> list[str]:
    """Flags of a command; those that are 0, empty or off are left out."""
    found = []
    for name, value in values.items():
        if value:
            flag = "--" + name.replace("_", "-")
            found += [flag] if value is True else [flag, str(value)]
    return found


def check_new(path: Path, *, overwrite: bool) -> None:
    """Raise ConfigError where a file may not be written."""
    if path.exists() and not overwrite:
        raise ConfigError(
            f"{path.name} is there already; give another file name, or turn overwrite on"
        )


class ExportOnnx(io.ComfyNode):
    """Write a network as a graph."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GatefillExportOnnx",
            display_name="Export ONNX (Gatefill)",
            category=CATEGORY,
            description="Write a network as an ONNX graph into models/inpaint, where Load Inpaint "
            "Model finds it, and compare it with PyTorch; one that is too far off is not kept. It "
            "takes about a minute and needs the packages onnx, onnxscript and onnxruntime.",
            search_aliases=["save onnx", "convert model", "deploy", "fp16", "onnx runtime"],
            inputs=[
                Model.Input("model", tooltip="A network from weights."),
                io.String.Input(
                    "file_name", default="",
                    tooltip="Below models/inpaint; empty: named after the weights and the rest.",
                ),
                io.Combo.Input(
                    "precision", options=list(PRECISIONS), default=PRECISIONS[0],
                    tooltip="What the graph computes in. bf16 is for GPUs and needs openvino to be "
                    "compared with PyTorch.",
                ),
                io.Int.Input(
                    "size", **SIZES,
                    tooltip="Side in pixels that is fixed; 0: any size. Of a pipeline, the side on "
                    "which it works; 0: that at which the weights are at their best.",
                ),
                io.Int.Input(
                    "chunks", default=0, min=0, max=64, advanced=True,
                    tooltip="Attention in so many parts, for large pictures in bounded memory; 0: "
                    "all at once.",
                ),
                io.Boolean.Input(
                    "pipeline", default=False,
                    tooltip="All of it in the graph, from a picture of any size to the completed "
                    "one, in bytes: for other programs. Load Inpaint Model takes networks alone.",
                ),
                io.Boolean.Input(
                    "overwrite", default=False, tooltip="Whether a file of that name is replaced."
                ),
            ],
            outputs=[io.String.Output(display_name="path", tooltip="Of the graph.")],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    @in_one_sentence
    def execute(
        cls, model: Loaded, file_name: str, precision: str, size: int, chunks: int,
        pipeline: bool, overwrite: bool,
    ) -> io.NodeOutput:  # fmt: skip
        """Export it."""
        check_exportable(model, precision, chunks, pipeline=pipeline)
        out = new_path(file_name.strip() or name_for(model, precision, size, chunks, pipeline))
        out = out if out.suffix == GRAPH_SUFFIX else out.with_name(out.name + GRAPH_SUFFIX)
        check_new(out, overwrite=overwrite)
        given = flags(precision=precision, size=size, chunks=chunks, force=overwrite)
        module = "export.pipeline" if pipeline else "export.onnx"
        lines = run_command(cls, module, [str(model.path), "-o", str(out), *given], out.parent)
        text = export_text(lines, out, precision)
        say(cls, text)
        return io.NodeOutput(str(out), ui=ui.PreviewText(text))


def check_exportable(model: Loaded, precision: str, chunks: int, *, pipeline: bool) -> None:
    """Raise ConfigError for what cannot be exported, or not so."""
    if model.path.suffix != WEIGHTS_SUFFIX:
        raise ConfigError(
            f"{model.name} is exported already; load the weights ({WEIGHTS_SUFFIX}) that it was "
            "made of"
        )
    if pipeline and (chunks or precision == "bf16"):
        raise ConfigError(
            "chunks and bf16 are for the network alone; set chunks to 0 and take fp32 or fp16, or "
            "turn pipeline off"
        )


def export_text(lines: Sequence[str], out: Path, precision: str) -> str:
    """What the command said of the graphs, and how often they were compared with PyTorch."""
    report = out.with_suffix(".report.json")
    parts = json.loads(report.read_text(encoding="utf-8"))["parts"]
    count = sum(len(part["cases"]) for part in parts)
    said = [line.replace(str(out.parent), "").lstrip("/\\") for line in lines]
    passed = f"{count} comparisons with PyTorch, all within the limits of {precision}"
    return "\n".join([*said, f"{passed}; see {report.name}"])


def name_for(model: Loaded, precision: str, size: int, chunks: int, pipeline: bool) -> str:
    """The name of a graph that tells what it is."""
    parts = {"pipeline": pipeline, precision: precision != PRECISIONS[0]}
    parts |= {str(size): size, f"{chunks}chunks": chunks}
    return "-".join([model.path.stem, *(part for part, there in parts.items() if there)])


class BuildEngine(io.ComfyNode):
    """Build TensorRT engines of a graph."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GatefillBuildEngine",
            display_name="Build TensorRT Engine (Gatefill)",
            category=CATEGORY,
            description="Build the engines of an exported graph for the NVIDIA GPU of this machine "
            "and put them beside it, where Load Inpaint Model finds them. It takes minutes. "
            "Without TensorRT or a GPU it says which command builds them elsewhere.",
            search_aliases=["tensorrt", "trt", "engine", "deploy", "accelerate", "trtexec"],
            inputs=[
                io.Combo.Input(
                    "graph", options=graph_names() or [NO_GRAPH],
                    tooltip="An ONNX graph in models/inpaint, as Export ONNX writes it.",
                ),
                io.Int.Input(
                    "min_size", **SIZES,
                    tooltip="Least side in pixels. 0: 256, or what the graph is fixed to.",
                ),
                io.Int.Input(
                    "opt_size", **SIZES,
                    tooltip="Side in pixels that it is tuned for. 0: 512, or as the graph.",
                ),
                io.Int.Input(
                    "max_size", **SIZES,
                    tooltip="Largest side in pixels. 0: 512, or as the graph. Attention at 1024 "
                    "takes 16 times the memory of 512.",
                ),
                io.Int.Input(
                    "batch", default=0, min=0, max=64, advanced=True,
                    tooltip="Most pictures at once. 0: 8, or what the graph is fixed to.",
                ),
                io.Boolean.Input(
                    "hardware_compatible", default=False, advanced=True,
                    tooltip="Whether they run on every GPU from Ampere on, somewhat slower.",
                ),
                io.Boolean.Input(
                    "version_compatible", default=False, advanced=True,
                    tooltip="Whether they run on later versions of TensorRT too.",
                ),
                io.Boolean.Input(
                    "strip_weights", default=False, advanced=True,
                    tooltip="Leave the weights out, for small files; the graph must stay beside.",
                ),
                io.Boolean.Input(
                    "overwrite", default=False, tooltip="Whether engines that are there are built "
                    "again.",
                ),
                io.String.Input(
                    "file", default="", optional=True, force_input=True,
                    tooltip="A graph by its path instead of the name, as Export ONNX gives it.",
                ),
            ],
            outputs=[io.String.Output(display_name="path", tooltip="Of the network's engine.")],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, graph: str | None, **rest: Any) -> str:
        """Builds again when the graph has changed."""
        return stamp(model_path(graph)) if graph and graph != NO_GRAPH else ""

    @classmethod
    @in_one_sentence
    def execute(
        cls, graph: str, min_size: int, opt_size: int, max_size: int, batch: int, overwrite: bool,
        file: str = "", **switches: bool,
    ) -> io.NodeOutput:  # fmt: skip
        """Build them."""
        onnx = Path(file) if file else graph_path(graph)
        folder = onnx.parent / ENGINES if (onnx.parent / ENGINES).is_dir() else onnx.parent
        sides = {"min": min_size, "opt": opt_size, "max": max_size}
        profile = {name: side and f"{side}x{side}" for name, side in sides.items()}
        given = flags(**profile, batch=batch and f"1,1,{batch}", **switches)
        args = [str(onnx), "-o", str(folder), *given]
        check_tensorrt(cls, args, folder)
        comfy.model_management.unload_all_models()  # the builder needs the card
        comfy.model_management.soft_empty_cache()
        lines = run_command(cls, "export.trt", args + flags(force=overwrite), folder)
        engines = [Path(line) for line in lines if line.endswith(ENGINE_SUFFIX)]
        text = "\n".join(f"{x.name}: {x.stat().st_size / 1e6:.1f} MB" for x in engines)
        say(cls, text)
        return io.NodeOutput(str(engines[0]), ui=ui.PreviewText(text))


def graph_path(name: str) -> Path:
    """The file of a graph. Raises ConfigError where there is none."""
    if name == NO_GRAPH:
        raise ConfigError(
            "there is no graph in models/inpaint to build an engine of; make one by Export ONNX, "
            "and refresh the page (R)"
        )
    return model_path(name)


def check_tensorrt(node: type[io.ComfyNode], args: Sequence[str], folder: Path) -> None:
    """Raise BackendError where nothing can be built here, with the command that does elsewhere."""
    try:
        load_tensorrt()
        Cuda()
    except BackendError as problem:
        raise BackendError(f"{problem}; {elsewhere(node, args, folder)}") from None


def elsewhere(node: type[io.ComfyNode], args: Sequence[str], folder: Path) -> str:
    """The commands of NVIDIA's tool that build the same engines, in words."""
    try:
        lines = run_command(node, "export.trt", [*args, "--print-trtexec"], folder)
    except BackendError as problem:
        return f"and a command for another machine cannot be told, as {problem}"
    commands = "\n".join(line for line in lines if line.startswith("trtexec"))
    return f"where both are, this builds it:\n{commands}"
