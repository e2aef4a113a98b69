"""Load Inpaint Model."""

from typing import Any

from comfy_api.latest import io

from ..core.backends import RUNTIMES
from ..core.model_files import stamp
from .files import DEFAULT, model_names, model_path, name_of
from .kinds import CATEGORY, Model, in_one_sentence
from .loaded import load

DEVICES = ("auto", "cpu", "cuda", "cuda:1", "mps", "tensorrt", "rtx", "directml", "coreml", "gpu")
DEVICES += ("cpu:bf16",)
"""As the runtimes call them; auto: ComfyUI's own for weights, the best there for the rest."""


class LoadModel(io.ComfyNode):
    """A network from weights, an exported graph or an engine."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GatefillLoadModel",
            display_name="Load Inpaint Model (Gatefill)",
            category=CATEGORY,
            description="Load a network that fills holes: bundled weights, or weights, ONNX graphs "
            "and TensorRT engines from models/inpaint.",
            search_aliases=["deepfill", "sc-fegan", "spade", "inpaint model", "load onnx", "lama"],
            inputs=[
                io.Combo.Input(
                    "model_name", options=model_names(), default=DEFAULT,
                    tooltip="DeepFillv2 for photos, SC-FEGAN for faces, SPADE for street scenes.",
                ),
                io.Combo.Input(
                    "backend", options=list(RUNTIMES), default="auto", advanced=True,
                    tooltip="What runs it. auto: PyTorch for weights, and for a graph the first of "
                    "TensorRT, ONNX Runtime and PyTorch that works.",
                ),
                io.Combo.Input(
                    "device", options=list(DEVICES), default="auto", advanced=True,
                    tooltip="auto: where ComfyUI runs its models; for graphs the best there is.",
                ),
                io.String.Input(
                    "file", default="", optional=True, force_input=True,
                    tooltip="A file below models/inpaint instead of the name, as Export ONNX and "
                    "Build TensorRT Engine give it.",
                ),
            ],
            outputs=[Model.Output(display_name="model")],
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, model_name: str | None, **rest: Any) -> str:
        """Loads again when the file has changed; a name that comes by a link is not known yet."""
        return stamp(model_path(model_name)) if model_name else ""

    @classmethod
    @in_one_sentence
    def execute(cls, model_name: str, backend: str, device: str, file: str = "") -> io.NodeOutput:
        """Open it."""
        place = "" if device == "auto" else device
        name = name_of(file) if file else model_name
        return io.NodeOutput(load(name, model_path(name), backend, place))
