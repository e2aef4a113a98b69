"""Whether a bundle is as it was made, and fills."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from core.contract import Contract, Port
from core.errors import BackendError, ConfigError

from ..model_repository import check_config, schema_version
from .manifest import differences, read_manifest

FEW = 8
"""Differences that are listed."""
PATIENCE = 600
"""Seconds for the smoke fill, which takes one or two."""
SIZE = (120, 152)
"""(height, width) of the picture of the smoke fill."""
SEAM = 16
"""Pixels round the hole that the smoke fill lets change."""


def check_bundle(folder: Path) -> str:
    """Raise ConfigError unless the bundle is whole, BackendError unless it fills; else a report."""
    content = read_manifest(folder)
    found = differences(folder, content)
    if found:
        more = f", and {len(found) - FEW} more" if len(found) > FEW else ""
        raise ConfigError(
            f"the bundle {folder} is not as it was made: {'; '.join(found[:FEW])}{more}; get it "
            "anew"
        )
    said = smoke_fill(folder, Contract.from_dict(content["contract"]))
    checked = check_configs(folder)
    return f"{len(content['files'])} files as they were made; {checked}; {said}"


def check_configs(folder: Path) -> str:
    """Read every Triton configuration by Triton's own definition, where that is there."""
    configs = sorted((folder / "model_repository").glob("*/config.pbtxt"))
    if schema_version() is None:
        return "configurations of Triton not read, as tritonclient is not installed"
    for path in configs:
        check_config(path.read_text(encoding="utf-8"), str(path))
    return f"{len(configs)} configurations of Triton read by {schema_version()}"


def smoke_fill(folder: Path, contract: Contract) -> str:
    """Fill a picture by the bundle's own infer.py, in a process of its own.

    Raises BackendError unless the hole is filled and the rest as it was.
    """
    with tempfile.TemporaryDirectory() as scratch:
        photo, hole, command = _task(Path(scratch), folder, contract)
        done = _run(command, Path(scratch))
        output = Path(scratch) / "filled.png"
        if done.returncode or not output.is_file():
            said = done.stderr.strip().splitlines() or ["no word of it"]
            raise BackendError(f"the infer.py of {folder} does not fill: {said[-1]}")
        with Image.open(output) as file:
            filled = np.asarray(file.convert("RGB"))
    _check_filled(folder, photo, hole, filled)
    return f"infer.py fills a picture of {SIZE[0]}x{SIZE[1]}"


def _check_filled(folder: Path, photo: np.ndarray, hole: np.ndarray, filled: np.ndarray) -> None:
    if filled.shape != photo.shape:
        raise BackendError(f"the infer.py of {folder} gives {filled.shape} for {photo.shape}")
    changed = (filled != photo).any(axis=-1)
    rows, columns = np.nonzero(hole)
    far = np.ones_like(hole)
    far[
        max(rows.min() - SEAM, 0) : rows.max() + SEAM + 1,
        max(columns.min() - SEAM, 0) : columns.max() + SEAM + 1,
    ] = False
    if changed[far].any():
        raise BackendError(f"the infer.py of {folder} changes pixels that are known")
    # Black stands in the hole; a graph that gives its input back leaves it so.
    if changed[hole].mean() < 0.5:
        raise BackendError(f"the infer.py of {folder} leaves the hole as it was")


def _task(
    scratch: Path, folder: Path, contract: Contract
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """A picture (H, W, 3) with its hole (H, W), and the command that fills it."""
    height, width = SIZE
    rows, columns = np.mgrid[:height, :width]
    photo = np.stack([rows * 2, columns, 255 - rows], axis=-1).clip(0, 255).astype(np.uint8)
    hole = np.zeros(SIZE, bool)
    hole[40:72, 50:90] = True
    photo[hole] = 0
    Image.fromarray(photo).save(scratch / "photo.png")
    Image.fromarray(np.where(hole, 255, 0).astype(np.uint8)).save(scratch / "mask.png")
    command = [sys.executable, str(folder.absolute() / "infer.py"), "photo.png", "mask.png"]
    command += ["-o", "filled.png"]
    for port in contract.guides:
        if port.given and port.kind != "vector":
            Image.fromarray(_drawn(port)).save(scratch / f"{port.name}.png")
            command += [f"--{port.name}", f"{port.name}.png"]
    return photo, hole, command


def _drawn(port: Port) -> np.ndarray:
    """A guide: label 0 everywhere, one line, or one stroke of colour."""
    shape = (*SIZE, 3) if port.channels == 3 else SIZE
    drawn = np.zeros(shape, np.uint8)
    if port.kind == "map":
        drawn[50:53, 40:100] = 255
    return drawn


def _run(command: list[str], folder: Path) -> Any:
    """The finished process, which finds nothing of ours."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    try:
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        raise BackendError(f"{command[1]} does not end within {PATIENCE} s") from None
