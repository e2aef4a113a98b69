"""The graphs of a bundle, each compared with PyTorch."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from core.errors import BackendError, ConfigError

from ..graph import GraphSettings
from ..onnx import export_files
from ..pipeline import PipelineSettings, write_pipeline

GENERATOR = "generator.onnx"
PIPELINE = "pipeline.onnx"
Size = tuple[int, int]


def export_graphs(
    weights: Path, folder: Path, out: Path, *, precision: Literal["fp32", "fp16"], size: Size | None
) -> dict[str, Any]:
    """Write generator.onnx with its parts and pipeline.onnx; returns how far they are off.

    size: (height, width) of the generator, None: any. Raises BackendError where one is too far off;
    its report then lies beside `out`, the bundle that does not come about.
    """
    settings = GraphSettings(precision=precision, size=size)
    with keeping_reports(folder, out):
        parts = export_files(weights, folder / GENERATOR, settings).reports
        whole = write_pipeline(weights, folder / PIPELINE, PipelineSettings(precision=precision))
    return {"generator": parts, "pipeline": whole}


@contextmanager
def keeping_reports(folder: Path, out: Path) -> Iterator[None]:
    """Move the report that a failure names beside `out`, for `folder` goes away."""
    try:
        yield
    except BackendError as problem:
        said = str(problem)
        for report in folder.glob("*.report.json"):
            kept = out.with_name(f"{out.name}.{report.name}")
            if str(report) in said:
                report.replace(kept)
                said = said.replace(str(report), str(kept))
        raise BackendError(said) from None


def parse_size(text: str) -> Size | None:
    """512x768 -> (512, 768), height first; nothing -> None. Raises ConfigError otherwise."""
    if not text:
        return None
    height, _, width = text.lower().partition("x")
    if not (height.isdigit() and width.isdigit()):
        raise ConfigError(f"--size is {text!r}; it must be HEIGHTxWIDTH, as 512x768")
    return int(height), int(width)
