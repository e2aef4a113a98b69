"""A command of the project in a process of its own: watched, interrupted, its errors passed on.

For a front end that may not import the command, or wants to be able to end it at any moment.
"""

import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from .errors import BackendError
from .files import part_prefix, remove_parts
from .progress import POLL, Check, read_stage

log = logging.getLogger("gatefill")

ROOT = Path(__file__).resolve().parents[1]
START = (
    "import os, runpy, sys; print(os.getpid(), flush=True); root, module = sys.argv[1:3]; "
    "del sys.argv[1:3]; sys.path[:] = [root, *filter(None, sys.path)]; "
    "runpy.run_module(module, run_name='__main__', alter_sys=True)"
)
"""As `python -m module` in `root`, which an embedded Python does not do: its ._pth file keeps the
working directory and PYTHONPATH off the path. First it says which process it is: on Windows the
Python of a virtual environment starts another one."""
ERROR = "error: "
"""What a command says before the sentence of its error."""
KEPT = 200
"""Lines of a command that are remembered."""
PATIENCE = 2.0
"""Seconds until what a killed process had open can be taken away, at most; Windows needs some."""

Tell = Callable[[float, str], None]
"""Is told the share that was done when a stage began, and its name."""


def run_module(
    module: str,
    args: Sequence[str],
    folder: Path,
    *,
    tell: Tell | None = None,
    check: Check | None = None,
) -> list[str]:
    """Run `python -m module *args` in a process of its own; returns what it said besides stages.

    folder: where it writes. check is called every `POLL` seconds; what it raises ends the process,
    and nothing half written is left in `folder`. Raises BackendError with the sentence of an error.
    """
    command = [sys.executable, *_flags(), "-c", START, str(ROOT), module, *args]
    started = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # of Windows
    )
    child = _Child(started)
    try:
        child.watch(tell or (lambda share, what: None), check or (lambda: None))
    except BaseException:
        child.kill(folder)
        raise
    if started.returncode:
        raise BackendError(_sentence(module, started.returncode, list(child.lines)))
    return list(child.lines)


def _flags() -> list[str]:
    """Those by which the process finds the same packages as this one, and speaks UTF-8."""
    isolated, alone = sys.flags.isolated, sys.flags.no_user_site
    return [*(["-I"] if isolated else ["-s"] if alone else []), "-X", "utf8"]


class _Child:
    """A process whose lines are read as they come, so that it never waits for a reader."""

    def __init__(self, process: subprocess.Popen[str]):
        self.process, self.pid = process, process.pid
        self.lines: deque[str] = deque(maxlen=KEPT)
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="gatefill", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None  # it is piped
        with self.process.stdout as lines:
            for line in lines:
                self._said.put(line.rstrip())

    def watch(self, tell: Tell, check: Check) -> None:
        """Until the process has ended."""
        while not self._has_ended():
            self._pass_on(tell)
            check()
        self._pass_on(tell)

    def _has_ended(self) -> bool:
        """Whether it has, after waiting for a moment."""
        self._reader.join(POLL)
        if self._reader.is_alive():
            return False
        try:
            self.process.wait(POLL)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _pass_on(self, tell: Tell) -> None:
        """Take what was said since."""
        while not self._said.empty():
            line = self._said.get()
            if (stage := read_stage(line)) is not None:
                tell(*stage)
            elif line.isdigit() and not self.lines:
                self.pid = int(line)
            elif line:
                self.lines.append(line)

    def kill(self, folder: Path) -> None:
        """End the process at once, and take away what it left half written in `folder`."""
        self._pass_on(lambda share, what: None)  # it may just have said which process it is
        if self.process.poll() is None:
            self.process.kill()
            if self.pid != self.process.pid:
                _end(self.pid)
        self.process.wait()
        self._reader.join(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        remove_parts(folder, self.pid)
        while any(folder.glob(part_prefix(self.pid) + "*")) and time.monotonic() < deadline:
            time.sleep(POLL)
            remove_parts(folder, self.pid)


def _end(pid: int) -> None:
    """End a process that another one started."""
    with suppress(OSError):  # it may have ended with the one that started it
        os.kill(pid, signal.SIGTERM)  # which is final on Windows, where alone there is one


def _sentence(module: str, code: int, lines: list[str]) -> str:
    """The error of a command that ended with `code`."""
    for line in reversed(lines):
        _, found, sentence = line.partition(ERROR)
        if found and (line.startswith(ERROR) or "python -m" in line):
            return sentence
    for line in lines:
        log.error("%s: %s", module, line)
    last = lines[-1] if lines else "it said nothing"
    if code < 0:
        return (
            f"the process of {module} was ended by signal {-code} ({last}); if memory is short, "
            "close something or take a smaller size"
        )
    return f"{module} ended with the exit code {code} ({last}); the log has all that it said"
