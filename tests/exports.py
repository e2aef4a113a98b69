"""Tiny networks with weights by seed, exported for the tests of everything that runs graphs."""

import contextlib
import io
from pathlib import Path

import torch
from filelock import FileLock

from core.config import PRESETS
from core.models.base import Generator
from core.registry import build_generator
from core.weights import save_weights
from export.onnx import main

LIVELIER = {"deepfillv2-tiny": 4.0}
"""By what fresh weights are multiplied: gates that start half shut let so little through that the
output would differ by 2e-8 from input to input, and nothing could be told of it."""


def tiny(preset: str) -> Generator:
    """A network of `preset`, the same at every call, whose output depends on its inputs."""
    torch.manual_seed(0)
    generator = build_generator(PRESETS[preset]).eval()
    with torch.no_grad():
        for parameter in generator.parameters():
            if parameter.dim() > 1:
                parameter.mul_(LIVELIER.get(preset, 1.0))
    return generator


def write_export(preset: str, folder: Path) -> Path:
    """All parts of a tiny network in `folder`, by the command; the path of "run".

    Its weights and the report are beside them.
    """
    weights = folder / f"{preset}.safetensors"
    save_weights(weights, tiny(preset), about={"licence": "CC0"})
    path, said = weights.with_suffix(".onnx"), io.StringIO()
    with contextlib.redirect_stderr(said):  # else it would be what the first test says
        assert main([str(weights), "-o", str(path)]) == 0, said.getvalue()
    return path


def write_once(preset: str, shared: Path) -> Path:
    """`write_export` in a folder of `shared`, by the first process that asks for it."""
    folder, unfinished = shared / preset, shared / f"{preset}.unfinished"
    with FileLock(shared / f"{preset}.lock"):
        if not folder.exists():
            unfinished.mkdir(exist_ok=True)
            write_export(preset, unfinished)
            unfinished.rename(folder)
    return folder / f"{preset}.onnx"
