"""Work that others can watch and end: jobs in threads of their own, and turns at the device.

A `Job` is told to stop at any time; the work inside is asked before every operation of PyTorch and
while other runtimes compute (`core.progress.interruptible`), so that it ends within its pass.
"""

import ctypes
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar
from uuid import uuid4

from core.progress import POLL, current_check, interruptible

WATCH = 0.15
"""Seconds between two looks at a job that goes on."""
WAITING, READING, FILLING, WRITING = "waiting", "reading", "filling", "writing"
"""What a job is doing; keys of `words`."""

BATCHES = 1
"""Threads beside, for what takes long."""

Result = TypeVar("Result")


class Stopped(Exception):
    """The job was told to end; nobody waits for its result."""


class Job:
    """One piece of work: how far it is, and whether it is to go on."""

    def __init__(self) -> None:
        self.key = uuid4().hex
        self.doing = WAITING
        self.share = 0.0
        """Of all that is done, from 0 to 1."""
        self.place: tuple[int, int] | None = None
        """Which of how many parts is being done, from 1."""
        self._part = (0.0, 1.0)
        self._stop = threading.Event()

    def stop(self) -> None:
        """Tell it to end; returns at once."""
        self._stop.set()

    def check(self) -> None:
        """Raise Stopped if it was told to end."""
        if self._stop.is_set():
            raise Stopped

    def at(self, doing: str) -> None:
        """Say what is being done from now on; raises Stopped as `check`."""
        self.check()
        self.doing = doing

    def tell(self, share: float) -> None:
        """Say how far the present part is, from 0 to 1."""
        start, length = self._part
        self.share = start + length * share

    @contextmanager
    def part(self, number: int, count: int) -> Iterator[None]:
        """Within it, what is told is that of one part of `count` equal ones."""
        before, place = self._part, self.place
        start, length = before
        self._part = (start + length * number / count, length / count)
        self.place = (number + 1, count)
        try:
            yield
        finally:
            self._part, self.place = before, place
        self.share = start + length * (number + 1) / count


class Workers:
    """Threads that do `count` jobs at once.

    They are always the same ones: PyTorch keeps memory for each thread that computes.
    """

    def __init__(self, count: int):
        self.count = count
        self._pool = ThreadPoolExecutor(count + BATCHES, thread_name_prefix="gatefill-job")
        self._jobs: set[Job] = set()

    def steps(self, work: Callable[[Job], Result]) -> Generator[Job, None, Result]:
        """Do `work`: yields its job every `WATCH` seconds, returns or raises what it does.

        Closing the generator ends the work, which nobody waits for then.
        """
        job = Job()
        future = self._pool.submit(self._run, work, job)
        self._jobs.add(job)
        try:
            while not _done(future):
                yield job
            return future.result()
        finally:
            job.stop()
            future.cancel()
            self._jobs.discard(job)

    def close(self) -> None:
        """End all jobs and wait for them."""
        for job in list(self._jobs):
            job.stop()
        self._pool.shutdown(cancel_futures=True)

    @staticmethod
    def _run(work: Callable[[Job], Result], job: Job) -> Result:
        job.check()
        try:
            with interruptible(job.check):
                return work(job)
        finally:
            give_back()


def give_back() -> None:
    """Return freed memory to the system, where the C library is one that otherwise keeps it.

    That of Linux keeps what large pictures took, for each thread, and would grow for hours.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def result_of(steps: Generator[Job, None, Result]) -> Result:
    """What the steps come to, watched by nobody."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


class Turns:
    """A lock that is had in the order in which it was asked for, and waited for interruptibly."""

    def __init__(self) -> None:
        self._line: deque[object] = deque()
        self._moved = threading.Condition()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until all who came before are done, then have it to oneself."""
        me, check = object(), current_check()
        with self._moved:
            self._line.append(me)
        try:
            with self._moved:
                while self._line[0] is not me:
                    self._moved.wait(POLL)
                    if check is not None:
                        check()
            yield
        finally:
            with self._moved:
                self._line.remove(me)
                self._moved.notify_all()

    @property
    def waiting(self) -> int:
        """How many have it or wait for it."""
        return len(self._line)


def _done(future: "Future[Result]") -> bool:
    return bool(wait([future], timeout=WATCH).done)
