"""Where a run lies: a folder with config.json, metrics.jsonl, samples/ and checkpoints/."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from core.errors import TrainingError
from core.files import whole_file
from core.image import save_pixels
from core.weights import save_weights

from .config import TrainConfig
from .data import Batch
from .step import TrainState, complete, network_inputs

FREE = {"data", "out", "steps", "device", "workers", "cache_mib", "keep"} | {
    "log_every",
    "sample_every",
    "save_every",
}
"""Settings that may change when a run is resumed: they do not change what an update computes."""


class Run:
    """The folder of one run and what is written there."""

    def __init__(self, config: TrainConfig, *, resume: bool):
        self.config = config
        self.folder = config.out
        self.checkpoints = self.folder / "checkpoints"
        self.started = time.monotonic()
        self._open(resume)

    def _open(self, resume: bool) -> None:
        settings = self.folder / "config.json"
        if settings.exists() and not resume:
            raise TrainingError(
                f"{self.folder} already holds a run; go on with --resume or name another --out"
            )
        if resume and settings.exists():
            _check_same(settings, self.config)
        try:
            with whole_file(settings) as part:
                part.write_text(json.dumps(_plain(self.config), indent=2) + "\n")
        except OSError as problem:
            raise TrainingError(
                f"cannot write to {self.folder} ({problem}); name another --out"
            ) from None

    def latest(self) -> dict[str, Any] | None:
        """The newest checkpoint that can be read, or None for a fresh run."""
        for path in reversed(self._saved()):
            try:
                return torch.load(path, map_location="cpu", weights_only=True)
            except (OSError, RuntimeError, EOFError, UnpicklingError) as problem:
                reason = str(problem).partition("\n")[0]
                raise TrainingError(
                    f"the checkpoint {path} is damaged ({reason}); delete it to go on from the "
                    "one before"
                ) from None
        return None

    def save(self, state: TrainState) -> Path:
        """Write a checkpoint, whole or not at all, and the weights to use; drop old ones."""
        path = self.checkpoints / f"{state.step:09d}.pt"
        try:
            with whole_file(path) as part:
                torch.save(state.state_dict(), part)
        except (OSError, RuntimeError) as problem:  # torch reports a full disk as RuntimeError
            raise TrainingError(
                f"cannot write the checkpoint {path} ({problem}); those before are whole, make "
                "room and go on with --resume"
            ) from None
        for old in self._saved()[: -self.config.keep]:
            old.unlink()
        about = {"steps": state.step, "batch": self.config.batch, "crop": self.config.crop}
        save_weights(self.folder / "weights.safetensors", state.best, about=about)
        return path

    def log(self, step: int, losses: dict[str, Tensor]) -> dict[str, float]:
        """Append one line to metrics.jsonl; the one place where losses leave the device."""
        values = {name: float(loss) for name, loss in losses.items()}
        line = {"step": step, "seconds": round(time.monotonic() - self.started, 1), **values}
        path = self.folder / "metrics.jsonl"
        try:
            with path.open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as problem:
            raise TrainingError(f"cannot write {path} ({problem}); go on with --resume") from None
        return values

    @torch.inference_mode()
    def sample(self, state: TrainState, batch: Batch) -> None:
        """A grid: hole, lines, each stage's fill, completed, true; one row per picture."""
        generator = state.best
        training = generator.training
        fills = generator.eval().stages(*network_inputs(generator, batch))
        generator.train(training)
        masked = batch.image * (1 - batch.mask) + batch.mask
        lines = (batch.sketch * 2 - 1).expand_as(batch.image)
        columns = [masked, lines, *fills, complete(fills[-1], batch), batch.image]
        rows = torch.cat([(column.clamp(-1, 1) + 1) / 2 for column in columns], dim=-1)
        grid = torch.cat(list(rows), dim=-2)[None]
        save_pixels(self.folder / "samples" / f"{state.step:09d}.png", grid.float().cpu())

    def _saved(self) -> list[Path]:
        return sorted(self.checkpoints.glob("*.pt"))


def _plain(config: TrainConfig) -> dict[str, Any]:
    return json.loads(json.dumps(asdict(config), default=str))


def _check_same(path: Path, config: TrainConfig) -> None:
    try:
        old = json.loads(path.read_text())
    except (OSError, ValueError) as problem:
        raise TrainingError(f"{path} is damaged ({problem}); it belongs to the run") from None
    changed = [
        f"{name} was {old.get(name)!r} and is {value!r}"
        for name, value in _plain(config).items()
        if name not in FREE and old.get(name) != value
    ]
    if changed:
        raise TrainingError(
            f"a run goes on with the settings it began with, but {'; '.join(changed)}; "
            "to change them start a new run with --init on its weights.safetensors"
        )
