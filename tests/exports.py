"""Tiny networks with weights by seed, exported for the tests of everything that runs graphs."""

from pathlib import Path

import torch

from core.config import PRESETS
from core.files import sha256_of
from core.graph import GraphInfo, part_path
from core.models.base import Generator
from core.parts import parts_of
from core.registry import architecture_of, build_generator
from core.weights import save_weights
from export.graph import GraphSettings, export_part, stamp, to_bytes

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
    """All parts of a tiny network in `folder`, its weights beside them; the path of "run"."""
    generator = tiny(preset)
    weights = folder / f"{preset}.safetensors"
    save_weights(weights, generator)
    path, settings = weights.with_suffix(".onnx"), GraphSettings()
    parts = parts_of(generator.contract)
    for part in parts:
        info = GraphInfo(
            kind="generator",
            contract=generator.contract,
            architecture=architecture_of(generator.config),
            weights_sha256=sha256_of(weights),
            part=part,
            parts=parts,
            opset=settings.set_of_operators,
        )
        model = stamp(export_part(generator, part, settings), info)
        part_path(path, part).write_bytes(to_bytes(model))
    return path
