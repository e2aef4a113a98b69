"""Progress of a TensorRT build, which has phases within phases, and how Ctrl-C ends it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from core.progress import stage_line


class Bars:
    """A bar for each phase, on stderr, only on a terminal; lines for whoever is no terminal.

    tell: is given a line when a step of an outermost phase begins, as `core.progress.Stages` writes
    it, or None.
    TensorRT's binding prints the exceptions of its callbacks and goes on; so Ctrl-C is remembered
    in `interrupted`, and the next step asks the builder to stop.
    """

    def __init__(self, title: str, tell: Callable[[str], object] | None = None):
        self.title = title
        self._tell = tell
        self._outermost: dict[str, int] = {}
        self.interrupted = False
        self._bars: dict[str, Any] = {}

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """A phase of so many steps begins; parent: the phase that it is within."""
        from tqdm import tqdm

        name = phase if parent else f"{self.title}: {phase}"
        with self._remembered():
            self._bars[phase] = tqdm(
                total=steps, desc=name, leave=False, file=sys.stderr, disable=None
            )
            if parent is None:
                self._outermost[phase] = steps
                self._begin(phase, 0)

    def step(self, phase: str, number: int) -> bool:
        """Step `number`, from 0, is done; returns whether to go on."""
        with self._remembered():
            if phase in self._bars:
                bar = self._bars[phase]
                bar.update(number + 1 - bar.n)
            self._begin(phase, number + 1)
        return not self.interrupted

    def finish(self, phase: str) -> None:
        """A phase is over, done or not."""
        with self._remembered():
            if phase in self._bars:
                self._bars.pop(phase).close()

    def close(self) -> None:
        """Take away what is left of a build that failed."""
        for phase in list(self._bars):
            self.finish(phase)

    def _begin(self, phase: str, number: int) -> None:
        """Tell that step `number`, from 0, of an outermost phase begins."""
        steps = self._outermost.get(phase, 0)
        if self._tell is not None and number < steps:
            self._tell(stage_line(number / steps, f"{self.title}: {phase}"))

    @contextmanager
    def _remembered(self) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            self.interrupted = True


def monitor_of(trt: Any, bars: Bars) -> Any:
    """The progress monitor that TensorRT's builder reports to."""

    class Progress(trt.IProgressMonitor):  # type: ignore[misc]  # its module is loaded late
        def __init__(self) -> None:
            # Without this the binding has no object behind it.
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            bars.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return bars.step(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            bars.finish(phase_name)

    return Progress()
