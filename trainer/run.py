"""Where a run lies: a folder with config.json, metrics.jsonl, samples/ and checkpoints/."""

import json
import time
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from core.contract import Contract
from core.errors import TrainingError
from core.files import plain, whole_file
from core.guides import from_output
from core.image import save_pixels
from core.semantic import paint_labels
from core.weights import save_weights

from .config import TrainConfig
from .data.samples import Batch
from .step import TrainState, complete, network_inputs

FREE = {"data", "out", "steps", "device", "workers", "cache_mib", "keep"} | {
    "accumulate",
    "cache_dir",
    "cache_gib",
    "checkpointing",
    "explosion",
    "rollback",
    "prefetch",
    "report",
    "log_every",
    "sample_every",
    "save_every",
}
"""Settings that may change when a run is resumed: they do not change what an update computes, but
for rounding. `steps` is none of them where the learning rates depend on it."""


@dataclass(frozen=True)
class Detour:
    """What roll-backs have changed."""

    shift: int = 0
    """Updates whose samples are passed over: the next update `u` takes those of `u + shift`."""
    rate: float = 1.0
    """What both learning rates are multiplied by."""

    def longer(self, updates: int) -> "Detour":
        """After one more roll-back, over so many updates."""
        return Detour(self.shift + updates, self.rate / 2)


class Run:
    """The folder of one run and what is written there; the first process of the run writes."""

    def __init__(self, config: TrainConfig, *, resume: bool, writes: bool = True):
        self.config = config
        self.folder = config.out
        self.checkpoints = self.folder / "checkpoints"
        self.started = time.monotonic()
        self._logged = (0, self.started)
        if writes:
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
            for folder in (self.folder, self.checkpoints):
                for left in folder.glob(".part-*"):  # by a process that was killed while writing
                    left.unlink()
            with whole_file(settings) as part:
                part.write_text(json.dumps(plain(asdict(self.config)), indent=2) + "\n")
        except OSError as problem:
            raise TrainingError(
                f"cannot write to {self.folder} ({problem}); name another --out"
            ) from None

    def last(self) -> Path | None:
        """The newest checkpoint, or None for a fresh run."""
        return max(self._saved(), default=None)

    def latest(self) -> dict[str, Any] | None:
        """What the newest checkpoint holds. Raises TrainingError if it cannot be read."""
        path = self.last()
        if path is None:
            return None
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, UnpicklingError) as problem:
            reason = str(problem).partition("\n")[0]
            raise TrainingError(
                f"the checkpoint {path} is damaged ({reason}); delete it to go on from the "
                "one before"
            ) from None

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

    def start_clock(self, step: int) -> None:
        """From here on, updates count for the speed that `log` writes."""
        self._logged = (step, time.monotonic())

    def log(self, step: int, values: dict[str, float]) -> dict[str, float]:
        """Append one line to metrics.jsonl, with time and speed; returns what it holds."""
        (before, then), now = self._logged, time.monotonic()
        self._logged = (step, now)
        speed = (step - before) * self.config.batch / max(now - then, 1e-9)
        clock = {"seconds": round(now - self.started, 1), "images_per_second": round(speed, 2)}
        self._append("metrics.jsonl", {"step": step, **clock, **values})
        return {"images_per_second": clock["images_per_second"], **values}

    def skip(self, name: str, reason: str) -> None:
        """Note a picture that cannot be used in skipped.jsonl, once."""
        if name not in self.skipped():
            self._append("skipped.jsonl", {"picture": name, "reason": reason})

    def skipped(self) -> list[str]:
        """The pictures that could not be used."""
        return [line["picture"] for line in self._lines("skipped.jsonl")]

    def note_rollback(self, step: int, to: int, *, rate: float, reason: str) -> None:
        """Note in rollbacks.jsonl that after update `step` the run went back to `to`."""
        line = {"step": step, "to": to, "rate_factor": rate, "reason": reason}
        self._append("rollbacks.jsonl", line)

    def rollbacks(self) -> list[dict[str, Any]]:
        """What was noted of every roll-back, the first one first."""
        return self._lines("rollbacks.jsonl")

    def detour(self) -> Detour:
        """The sum of all roll-backs."""
        detour = Detour()
        for line in self.rollbacks():
            detour = detour.longer(line["step"] - line["to"])
        return detour

    @torch.inference_mode()
    def sample(self, state: TrainState, batch: Batch) -> Tensor:
        """A grid (1, 3, H, W) in [0, 1]: one row per picture, written to samples/.

        Columns: hole, guides that can be seen, each stage's fill, completed, true.
        """
        generator = state.best
        training = generator.training
        fills = generator.eval().stages(*network_inputs(generator, batch))
        generator.train(training)
        contract = generator.contract
        masked = batch.image * (1 - batch.mask) + batch.mask * contract.output.high
        pictures = [masked, *fills, complete(fills[-1], batch), batch.image]
        columns = [from_output(picture, contract) for picture in pictures]
        columns[1:1] = shown_guides(contract, batch)
        rows = torch.cat(columns, dim=-1)
        grid = torch.cat(list(rows), dim=-2)[None].float().cpu()
        save_pixels(self.folder / "samples" / f"{state.step:09d}.png", grid)
        return grid

    def _saved(self) -> list[Path]:
        return sorted(self.checkpoints.glob("[0-9]*.pt"))

    def _append(self, name: str, line: dict[str, Any]) -> None:
        path = self.folder / name
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as problem:
            raise TrainingError(f"cannot write {path} ({problem}); go on with --resume") from None

    def _lines(self, name: str) -> list[dict[str, Any]]:
        path = self.folder / name
        try:
            content = path.read_text(encoding="utf-8") if path.exists() else ""
            return [json.loads(line) for line in content.splitlines()]
        except (OSError, ValueError) as problem:
            raise TrainingError(f"{path} is damaged ({problem}); mend or delete it") from None


def shown_guides(contract: Contract, batch: Batch) -> list[Tensor]:
    """Lines, colours and maps of labels as pictures (N, 3, H, W) in [0, 1]."""
    shown = []
    for port in contract.guides:
        guide = batch.guides[port.name]
        if port.kind == "labels":
            labels = guide.argmax(dim=1, keepdim=True)
            shown.append(paint_labels(labels, port.palette).to(guide.device))
        elif port.kind == "map":
            as_output = replace(contract, output=port)
            shown.append((from_output(guide, as_output) * batch.mask).expand_as(batch.image))
    return shown


def _check_same(path: Path, config: TrainConfig) -> None:
    try:
        old = json.loads(path.read_text())
    except (OSError, ValueError) as problem:
        raise TrainingError(f"{path} is damaged ({problem}); it belongs to the run") from None
    # A setting that is younger than the run had its default there.
    defaults = {entry.name: entry.default for entry in fields(config)}
    known = {name: x for name, x in defaults.items() if x is not MISSING}
    old = plain(known) | old
    free = FREE if config.lr_schedule == "constant" else FREE - {"steps"}
    changed = [
        f"{name} was {old.get(name)!r} and is {value!r}"
        for name, value in plain(asdict(config)).items()
        if name not in free and old.get(name) != value
    ]
    if changed:
        why = "" if "steps" in free else f" (the {config.lr_schedule} schedule ends at steps)"
        raise TrainingError(
            f"a run goes on with the settings it began with, but {'; '.join(changed)}{why}; "
            "to change them start a new run with --init on its weights.safetensors"
        )
