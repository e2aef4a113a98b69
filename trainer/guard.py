"""Whether training still makes sense: no loss or parameter that is no number, none that explodes.

Looking costs a device nothing until a line is logged or a checkpoint written: what is not finite
is remembered on the device, with the update at which it came first.
"""

import math
import statistics
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.errors import TrainingError

from .ranks import Ranks
from .step import TrainState

WINDOW = 100
"""Logged lines that make up the running level of a loss."""
WARM_UP = 10
"""Logged lines before a level is trusted."""
LEAST_LEVEL = 1.0
"""Hinge losses pass through 0 in good health, so a level counts as 1 at least."""
STEADY, LEAST_STEADY = "l1_", 0.05
"""How the names begin of losses that hardly vary, means over so many pixels, and their least level.
A quarter of the bound is theirs: fills that are white or black all over come to no more."""
RISING, LEAST_RISING = ("kl", "penalty"), 100.0
"""Losses that begin near 0 and rise as a network learns to use what they weigh, and their level.
(KL is a sum over all numbers of all styles.)"""
UNHARMED = 1 << 40
"""Later than any update."""


class Breakdown(TrainingError):
    """Training broke down after update `step`; going on from there would be in vain."""

    def __init__(self, message: str, step: int):
        super().__init__(message)
        self.step = step


class Guard:
    """Watches the losses of a run; every process comes to the same result."""

    def __init__(self, explosion: float, ranks: Ranks):
        self.explosion = explosion
        self.ranks = ranks
        self._harmed = torch.tensor(UNHARMED, device=ranks.device)
        self._levels: dict[str, deque[float]] = {}

    def watch(self, step: int, losses: dict[str, Tensor]) -> None:
        """Remember `step` if a loss of it is no finite number; the device is not waited for."""
        finite = torch.stack(list(losses.values())).isfinite().all()
        self._harmed = torch.where(finite, self._harmed, self._harmed.clamp(max=step))

    def check_losses(self, step: int, values: dict[str, float]) -> None:
        """Raises Breakdown if a loss is not finite, or so large that it must have exploded."""
        self._check_harm(step, values)
        for name, value in values.items():
            if not math.isfinite(value):
                raise Breakdown(f"{name} is {value} after step {step}{_shown(values)}", step)
            level = self._levels.setdefault(name, deque(maxlen=WINDOW))
            if self.explosion and len(level) >= WARM_UP and abs(value) > self._bound(name):
                usual = f"{statistics.median(level):.4g} was usual"
                told = f"{name} exploded to {value:.4g} by step {step}, where {usual}"
                raise Breakdown(told + _shown(values), step)
            level.append(abs(value))

    def check_state(self, state: TrainState) -> None:
        """Raises Breakdown if anything that a checkpoint holds, or a loss before, is not finite."""
        self._check_harm(state.step, {})
        tensors = [t for t in _tensors(state.state_dict()) if t.is_floating_point()]
        if not bool(torch.stack([t.isfinite().all() for t in tensors]).all()):
            raise Breakdown(f"the weights are not finite after step {state.step}", state.step)

    def _bound(self, name: str) -> float:
        """How large a loss may be."""
        usual = statistics.median(self._levels[name])
        if name.startswith(STEADY):
            return self.explosion / 4 * max(usual, LEAST_STEADY)
        return self.explosion * max(usual, LEAST_RISING if name in RISING else LEAST_LEVEL)

    def _check_harm(self, step: int, values: dict[str, float]) -> None:
        # The first of any process, so that all of them come to the same end.
        harmed = UNHARMED - self.ranks.highest(UNHARMED - int(self._harmed))
        if harmed != UNHARMED:
            raise Breakdown(f"a loss is not finite since step {harmed}{_shown(values)}", step)


def explained(problem: Breakdown, last: Path | None) -> str:
    """The one sentence for the user: what happened, what is safe, how to go on."""
    if last is None:
        safe = "there is no checkpoint yet; start again with a lower --lr"
    else:
        safe = (
            f"the last good checkpoint is {last}; go on with --resume --rollback, which halves the "
            "learning rates, or start a new run with a lower --lr"
        )
    return f"training broke down: {problem}; {safe}"


def _shown(values: dict[str, float]) -> str:
    listed = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    return f" ({listed})" if listed else ""


def _tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor in nested dictionaries and lists."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _tensors(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _tensors(inner)
