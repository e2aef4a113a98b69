"""What many visitors at once cost the browser demo, on this machine alone.

  python -m benchmarks.demo_load
  python -m benchmarks.demo_load --fills 40 --clients 4 --json load.json

A server of its own is started, and so many clients fill a sample picture each, again and again: the
picture is uploaded anew, filled by the bundled weights, and the result fetched and compared. Given
are failures, seconds from upload to the last byte, and what the server's memory grew after the
warm-up; the exit code is 1 where one failed or memory grew by 5 % or more.
"""

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.demo_client import ROOT, Client, Server, served

SAMPLES = ROOT / "samples"
PHOTO, MASK = SAMPLES / "object.jpg", SAMPLES / "object.mask.png"
MOST_GROWTH = 5.0
"""Per cent of memory after the warm-up."""
MIB = 1024**2


@dataclass
class Load:
    """What was seen."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    """Bytes of the server after each fill."""


def main(argv: list[str] | None = None) -> int:
    """Measure, and write a table; 1 where it is not as it should be."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.demo_load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--fills", type=int, default=200, help="after the warm-up (default: 200)")
    parser.add_argument("--clients", type=int, default=8, help="at once (default: 8)")
    parser.add_argument("--warm-up", type=int, default=60, help="fills before (default: 60)")
    parser.add_argument("--workers", type=int, default=2, help="of the server (default: 2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    args = parser.parse_args(argv)
    if min(args.fills, args.clients, args.warm_up, args.workers) < 1:
        sys.exit("error: --fills, --clients, --warm-up and --workers must be at least 1")
    with tempfile.TemporaryDirectory() as folder:
        with served(Path(folder), "--workers", args.workers, "--queue", 4 * args.clients) as server:
            warm = fill_often(server, args.warm_up, args.clients)
            started = time.perf_counter()
            load = fill_often(server, args.fills, args.clients)
            passed = time.perf_counter() - started
            ended = server.end()
        log = Path(folder, "server.log").read_text(encoding="utf-8")
    facts = summary(load, warm, passed) | {"clients": args.clients, "exit_code": ended}
    facts["failures"] += warm.failures
    if "Traceback" in log:
        facts["failures"].append("in the log: Traceback" + log.split("Traceback", 1)[1])
    print(table(facts))
    if args.json:
        args.json.write_text(
            json.dumps(
                facts | {"all_seconds": load.seconds, "all_memory": [*warm.memory, *load.memory]},
                indent=1,
            )
            + "\n"
        )
    return 1 if facts["failures"] or facts["growth_percent"] >= MOST_GROWTH or ended else 0


def fill_often(server: Server, count: int, clients: int) -> Load:
    """So many fills by so many clients at once."""
    load, left, lock = Load(), iter(range(count)), threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(left, None)
            if number is None:
                return
            started = time.perf_counter()
            problem = _attempt(server.client, number)
            taken, memory = time.perf_counter() - started, _memory(server)
            with lock:
                load.seconds.append(taken)
                load.memory.append(memory)
                load.failures += [problem] if problem else []

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return load


def fill(client: Client, number: int) -> None:
    """One visit. Raises ValueError where something is not as it should be."""
    # What stands after the end of a JPEG is no part of it, but makes another file of it.
    photo = PHOTO.read_bytes() + b"%020d %020d" % (number, time.time_ns())
    values = {
        "picture": client.given(f"photo{number}.jpg", photo),
        "mask": client.given("mask.png", MASK.read_bytes()),
    }
    kind, data = client.call("fill", values).events[-1]
    if kind != "complete":
        raise ValueError(f"the fill ended as {kind}: {data}")
    result, report = data
    answer = client.file(result["path"])
    if answer.status != 200 or report["network"] != "deepfillv2-photos":
        raise ValueError(f"status {answer.status} of the result, and the report {report}")


def summary(load: Load, warm: Load, passed: float) -> dict[str, Any]:
    """The numbers: growth is that of the median of the last quarter over that of the warm-up's."""
    before, after = (_late(memory) for memory in (warm.memory, load.memory))
    cuts = statistics.quantiles(load.seconds, n=20, method="inclusive")
    return {
        "fills": len(load.seconds),
        "failures": load.failures,
        "p50_seconds": round(statistics.median(load.seconds), 3),
        "p95_seconds": round(cuts[-1], 3),
        "fills_per_minute": round(60 * len(load.seconds) / passed, 1),
        "memory_mib": round(after / MIB, 1),
        "growth_percent": round(100 * (after / before - 1), 2),
    }


def table(facts: dict[str, Any]) -> str:
    """For people."""
    head = "| fills | clients | failed | p50 s | p95 s | fills a minute | memory MiB | growth % |\n"
    rule = "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
    names = ("p50_seconds", "p95_seconds", "fills_per_minute", "memory_mib", "growth_percent")
    cells = [facts["fills"], facts["clients"], len(facts["failures"]), *(facts[n] for n in names)]
    lines = "".join(f"\nfailed: {problem}" for problem in facts["failures"][:5])
    return head + rule + "| " + " | ".join(map(str, cells)) + " |" + lines


def _late(memory: list[int]) -> float:
    return statistics.median(memory[-max(len(memory) // 4, 1) :])


def _attempt(client: Client, number: int) -> str:
    """What went wrong, or nothing."""
    try:
        fill(client, number)
    except (ValueError, OSError, KeyError, IndexError) as problem:
        return f"{type(problem).__name__}: {problem}"
    return ""


def _memory(server: Server) -> int:
    import psutil

    return int(psutil.Process(server.process.pid).memory_info().rss)


if __name__ == "__main__":
    sys.exit(main())
