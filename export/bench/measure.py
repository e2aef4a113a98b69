"""Time and memory of cases that take turns, each in a process of its own.

A process holds one case from first to last and is idle while others have their turn, so that no
runtime's threads or memory stand in the way of another's.
"""

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import BackendError, InpaintError
from core.graph import read_graph
from core.pipeline import FillOptions

from .cases import BASELINE, Case
from .paths import Bound, bound_case, device_free, versions
from .settings import GRAPHS

MOST = FillOptions().work_size
"""Longest side of what the pipeline gives a network."""
KILLED = "the process was killed, probably for want of memory"


@dataclass
class Found:
    """What was measured of one case."""

    case: Case
    facts: dict[str, Any] = field(default_factory=dict)
    """What `prepare` gives; or {"skipped": why}."""
    turns: list[dict[str, Any]] = field(default_factory=list)
    """Of each round: `latencies`, `cpu_seconds` of all its runs together, `copies` in seconds."""


def measured(group: list[Case], *, rounds: int, runs: int, seconds: float) -> list[Found]:
    """Measure `group`; each case ends after `runs` runs or `seconds`, whichever comes first.

    Processes stay open from round to round, unless all of them together would need too much memory.
    """
    founds = [Found(case) for case in group]
    needed, free = sum(dense_bytes(case) for case in group), free_memory()
    keep = free is None or needed < free / 2
    pools: dict[str, ProcessPoolExecutor] = {}
    try:
        for number in range(rounds):
            for found in rotated(founds, number):
                if "skipped" not in found.facts:
                    _turn(found, pools, -(-runs // rounds), seconds / rounds)
                if not keep or "skipped" in found.facts:
                    _close(pools, found)
    finally:
        for found in founds:
            _close(pools, found)
    return founds


def _turn(found: Found, pools: dict[str, ProcessPoolExecutor], runs: int, seconds: float) -> None:
    name = found.case.subject.name
    if name not in pools:
        pools[name] = one_process()
        facts = outcome(pools[name], prepare, found.case)
        found.facts = facts | found.facts
    if "skipped" not in found.facts:
        wake = found.facts["first_seconds"] < seconds
        turn = outcome(pools[name], take_turn, runs, seconds, wake)
        if "skipped" in turn:
            found.facts |= turn
        else:
            found.turns.append(turn)


def _close(pools: dict[str, ProcessPoolExecutor], found: Found) -> None:
    pool = pools.pop(found.case.subject.name, None)
    if pool is not None:
        pool.shutdown()


def rotated(founds: list[Found], number: int) -> Iterator[Found]:
    """Another one begins in each round: what comes first may find a cooler processor."""
    start = number % len(founds) if founds else 0
    yield from founds[start:]
    yield from founds[:start]


def one_process() -> ProcessPoolExecutor:
    """A fresh process; spawned, not forked: nothing of this one is in it."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=context, initializer=end_with_parent)


def end_with_parent() -> None:
    """In a process of a pool: end when the one that started it was killed, not wait for ever."""

    def wait() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def outcome(pool: ProcessPoolExecutor, work: Callable[..., Any], *args: Any) -> dict[str, Any]:
    """What `work` gives in the process, or {"skipped": why it could not}."""
    try:
        return pool.submit(work, *args).result()
    except BrokenProcessPool:
        return {"skipped": KILLED}
    except InpaintError as problem:
        return {"skipped": str(problem)}
    except Exception as problem:  # a runtime's own errors, and those of a user's callable
        first = (str(problem).strip() or "no reason given").splitlines()[0]
        return {"skipped": f"{type(problem).__name__}: {first[:200]}"}


_held: dict[str, Bound] = {}
"""What this process measures."""


def prepare(case: Case) -> dict[str, Any]:
    """Open `case` in this very process, which should be a fresh one, and run it for the first time.

    Gives `opened_seconds`, `first_seconds`, `growth` (by how many bytes the first run raised the
    memory of the process above what it took when opened), `resident` (the peak of all its memory),
    `device_growth` (bytes of the accelerator, all together), `runs_on`, `precision`, `versions`.
    """
    check_memory(case)
    free = device_free(case.subject.device)
    started = time.perf_counter()
    bound = bound_case(case)
    opened = time.perf_counter()
    before = reset_peak()
    bound.call()
    first = time.perf_counter()
    after = peak_memory()
    taken = device_free(case.subject.device)
    _held["bound"] = bound
    return {
        "opened_seconds": opened - started,
        "first_seconds": first - opened,
        "growth": None if before is None or after is None else max(after - before, 0),
        "resident": after,
        "device_growth": None if free is None or taken is None else free - taken,
        "runs_on": bound.runs_on,
        "precision": bound.precision,
        "versions": versions(case.subject.runtime),
    }


def take_turn(runs: int, seconds: float, wake: bool = True) -> dict[str, Any]:
    """Run what was prepared: with `wake` once for nothing, and then for the watch."""
    bound = _held["bound"]
    if wake:
        bound.call()
    latencies: list[float] = []
    cpu, started = time.process_time(), time.perf_counter()
    while not latencies or (len(latencies) < runs and time.perf_counter() - started < seconds):
        begun = time.perf_counter()
        bound.call()
        latencies.append(time.perf_counter() - begun)
    cpu_seconds = time.process_time() - cpu
    return {"latencies": latencies, "cpu_seconds": cpu_seconds, "copies": _copies(bound)}


def _copies(bound: Bound) -> float | None:
    """Seconds of what goes to the accelerator and back, the least of three; None without one."""
    if bound.copies is None:
        return None
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        bound.copies()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def check_memory(case: Case) -> None:
    """Raise BackendError where all scores at once need more memory than is free."""
    needed, free = dense_bytes(case), free_memory()
    if free is not None and needed > free:
        raise BackendError(f"it needs about {needed >> 20} MiB, free: {free >> 20} MiB")


def dense_bytes(case: Case) -> int:
    """Bytes, roughly, of all scores of attention at once; 0 for what bounds its memory by itself.

    The baseline does one picture after the other and holds about seven float32 matrices of scores,
    runtimes about fourteen for each picture.
    """
    runtime, path = case.subject.runtime, Path(case.subject.model)
    height, width = case.size
    if case.hole is not None:
        height, width = (min(side, 4 * case.hole, MOST) for side in case.size)
    matrix = 4 * ((height // 8) * (width // 8)) ** 2
    if runtime == BASELINE:
        return 7 * matrix
    if runtime not in GRAPHS or case.subject.whole or not path.is_file():
        return 0
    try:
        info = read_graph(path)
    except InpaintError:
        return 0  # said when it is opened
    if not info.contract.refines:
        return 0  # what has attention has a second stage
    return 14 * matrix * case.batch // max(info.settings.get("attention_chunks") or 1, 1)


def free_memory() -> int | None:
    """Bytes that can be had without swapping (Linux), or None where that is not known."""
    return next(_numbers(Path("/proc/meminfo"), "MemAvailable:"), None)


def reset_peak() -> int | None:
    """Forget the peak so far, where the system can (Linux); bytes held now, or None."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return peak_memory()
    return next(_numbers(Path("/proc/self/status"), "VmRSS:"), None)


def peak_memory() -> int | None:
    """Most bytes that this process held since `reset_peak`, or None where nothing says so."""
    peak = next(_numbers(Path("/proc/self/status"), "VmHWM:"), None)
    if peak is not None:
        return peak
    try:
        import resource
    except ImportError:  # Windows
        return None
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage if sys.platform == "darwin" else usage << 10


def _numbers(path: Path, key: str) -> Iterator[int]:
    """The bytes of lines `key N kB`; none where there is no such file."""
    try:
        lines: Iterable[str] = path.read_text().splitlines()
    except OSError:
        return
    yield from (int(line.split()[1]) << 10 for line in lines if line.startswith(key))
