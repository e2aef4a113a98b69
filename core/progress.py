"""How far a fill has come, and ending it before it is done.

The pipeline tells a `Meter` of each pass. `interruptible` lets a front end be asked all the time,
within a pass too, whether to go on.
"""

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch.overrides import TorchFunctionMode

Check = Callable[[], None]
"""Does nothing, or raises what ends the work."""
POLL = 0.05
"""Seconds between two checks while somebody else computes."""

_check: ContextVar[Check | None] = ContextVar("check", default=None)


class Meter:
    """Counts passes of a network, each weighing as much as its pixels."""

    def __init__(
        self, sizes: Sequence[tuple[int, int]], progress: Callable[[float], None] | None = None
    ):
        self._left = [height * width for height, width in reversed(sizes)]
        self._all, self._progress = sum(self._left), progress

    def passed(self) -> None:
        """Tell `progress` the share that is done, now that the next one is."""
        self._left.pop()
        if self._progress is not None:
            self._progress(1 - sum(self._left) / self._all)


class Stages:
    """Tells of the stages of a command, as each begins: "[20%] run: comparing, odd aspect".

    total: that of the weights of all stages. write: is given the lines, with their ends; None:
    nobody is told.
    """

    def __init__(self, total: int, write: Callable[[str], object] | None = None):
        self._total, self._write = total, write
        self._done = 0

    def begin(self, what: str, weight: int = 1) -> None:
        """The next stage begins; weight: how long it takes beside the others, about."""
        if self._write is not None:
            self._write(stage_line(self._done / self._total, what))
        self._done += weight


def stage_line(share: float, what: str) -> str:
    """What is said when a stage begins and a share of all is done."""
    return f"[{int(100 * share)}%] {what}\n"


def read_stage(line: str) -> tuple[float, str] | None:
    """The share that was done when a stage began, and its name; None for any other line."""
    found = re.fullmatch(r"\[(\d{1,2}|100)%\] (.+)", line.strip())
    return None if found is None else (int(found[1]) / 100, found[2])


class _Asking(TorchFunctionMode):
    """Asks before every operation of PyTorch."""

    def __init__(self, check: Check):
        self._check = check

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self._check()
        return func(*args, **(kwargs or {}))


@contextmanager
def interruptible(check: Check) -> Iterator[None]:
    """Call `check` before every operation of PyTorch inside the `with` block.

    Also every `POLL` seconds while another runtime computes. What it raises ends the work and
    comes out of the block.
    """
    token = _check.set(check)
    try:
        with _Asking(check):
            yield
    finally:
        _check.reset(token)


def current_check() -> Check | None:
    """The check in force here; None where nobody can interrupt."""
    return _check.get()


def wait_for(run: Callable[[], None], cancel: Callable[[], None]) -> None:
    """`run()`, in a thread of its own where somebody may interrupt it.

    Then `cancel` is called, and what the check raised comes out once `run` has ended. What `run`
    itself raises comes out as it is.
    """
    check = current_check()
    if check is None:
        run()
        return
    problems: list[BaseException] = []

    def work() -> None:
        try:
            run()
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=work, name="gatefill")
    thread.start()
    try:
        while thread.is_alive():
            thread.join(POLL)
            check()
    except BaseException:
        cancel()
        thread.join()
        raise
    if problems:
        raise problems[0]
