"""What metrics.jsonl tells: one value per step, where the run was broken, how long it took."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import TrainingError

CLOCK = {"step", "seconds"}
"""Keys of a line that are no measurements."""
MOST_STEPS = 10**15


@dataclass(frozen=True)
class Break:
    """The run went on at `step`: resumed by a new process, or rolled back by the same one."""

    step: int
    resumed: bool


@dataclass
class History:
    """The lines that count, in the order of their steps.

    Where the steps go back, what was written from there on belongs to a branch that was given up.
    """

    steps: list[int] = field(default_factory=list)
    lines: list[dict[str, float]] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)
    damaged: int = 0
    """Lines of the file that are no metrics, whole or in part."""
    seconds: float = 0.0
    """Time of all processes, given-up branches included."""

    @property
    def names(self) -> list[str]:
        """Every measurement, in order of appearance."""
        return list(dict.fromkeys(name for line in self.lines for name in line))

    def values(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of one measurement; nan and infinities are kept."""
        pairs = zip(self.steps, self.lines, strict=True)
        points = [(step, line[name]) for step, line in pairs if name in line]
        return [step for step, _ in points], [value for _, value in points]


def read_history(path: Path) -> History:
    """Read metrics.jsonl, as far as it is written; a missing file is an empty history.

    Raises TrainingError if the file is there and cannot be read.
    """
    try:
        content = path.read_bytes() if path.exists() else b""
    except OSError as problem:
        raise TrainingError(f"cannot read {path} ({problem}); check its rights") from None
    history = History()
    clock = 0.0
    for raw in content.splitlines():
        values, whole = _parse(raw)
        history.damaged += not whole
        if values is None:
            continue
        step, now = int(values["step"]), values.get("seconds", clock)
        now = now if math.isfinite(now) else clock
        resumed = now < clock
        _go_back(history, step, resumed)
        history.seconds += now if resumed else now - clock
        clock = now
        history.steps.append(step)
        history.lines.append({name: x for name, x in values.items() if name not in CLOCK})
    return history


def _parse(raw: bytes) -> tuple[dict[str, float] | None, bool]:
    """The numbers of a line, or None; and whether the line is as it should be.

    A line cut short by a crash is continued by the first one of the resumed run, which is saved.
    """
    if not raw.strip():
        return None, True
    for whole, text in ((True, raw), (False, raw[max(raw.rfind(b"{"), 0) :])):
        try:
            values = _numbers(json.loads(text))
        except (ValueError, OverflowError):
            continue
        if 0 <= values.get("step", -1.0) < MOST_STEPS:
            return values, whole
    return None, False


def _numbers(values: Any) -> dict[str, float]:
    """The entries that are numbers; null stands for one that JSON cannot hold."""
    if not isinstance(values, dict):
        return {}
    return {
        str(name): math.nan if value is None else float(value)
        for name, value in values.items()
        if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
    }


def _go_back(history: History, step: int, resumed: bool) -> None:
    """Drop what is superseded by a line for `step` and mark the place."""
    if not resumed and (not history.steps or step > history.steps[-1]):
        return
    while history.steps and history.steps[-1] >= step:
        history.steps.pop()
        history.lines.pop()
    history.breaks = [mark for mark in history.breaks if mark.step < step]
    history.breaks.append(Break(step, resumed))
