"""The graphs of a bundle, each compared with PyTorch."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import ConfigError

from ..graph import GraphSettings
from ..onnx import export_files

if TYPE_CHECKING:
    from .make import BundleConfig

GENERATOR = "generator.onnx"
PIPELINE = "pipeline.onnx"


def export_graphs(config: "BundleConfig", folder: Path) -> dict[str, Any]:
    """Write generator.onnx with its parts and pipeline.onnx; returns how far they are off."""
    settings = GraphSettings(precision=config.precision, size=parse_size(config.size))
    parts = export_files(config.weights, folder / GENERATOR, settings).reports
    return {"generator": parts, "pipeline": _pipeline(config, folder / PIPELINE, settings)}


def _pipeline(config: "BundleConfig", file: Path, settings: GraphSettings) -> Any:
    from dataclasses import asdict
    from core.single import canvas_of
    from core.weights import load_weights
    from core.graph import GraphInfo
    from core.registry import architecture_of
    from core.files import sha256_of
    from ..pipeline import export_pipeline
    from ..graph import stamp, to_bytes, versions
    g = load_weights(config.weights)
    canvas = canvas_of(g.contract, context=0.75, feather=4)
    m = export_pipeline(g, canvas, GraphSettings(precision=config.precision))
    info = GraphInfo(kind="pipeline", contract=g.contract, architecture=architecture_of(g.config), weights_sha256=sha256_of(config.weights), precision=config.precision, opset=18, settings=asdict(canvas), versions=versions())
    file.write_bytes(to_bytes(stamp(m, info)))
    return None


def parse_size(text: str) -> tuple[int, int] | None:
    """512x768 -> (512, 768), height first; nothing -> None. Raises ConfigError otherwise."""
    if not text:
        return None
    height, _, width = text.lower().partition("x")
    if not (height.isdigit() and width.isdigit()):
        raise ConfigError(f"--size is {text!r}; it must be HEIGHTxWIDTH, as 512x768")
    return int(height), int(width)
