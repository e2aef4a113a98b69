"""Time and memory of contextual attention, all scores at once and in chunks.

  python -m benchmarks.attention --sizes 256 512 1024
  python -m benchmarks.attention --generator --sizes 256 2048

Features are those of the generator of width 48, 96 channels at a quarter of the picture's side;
the hole is a square of half the side. Variants:
  dense     the scores of all queries and keys at once, whatever they take
  chunked   as it comes: no more scores at a time than its budget allows
  pruned    chunked, and only the query rows that matter to the hole, as when filling pictures
With --generator the one variant is the whole network, as filling pictures runs it.

Every measurement has a process of its own, round by round, each variant in turn. Seconds are CPU
time, all threads together: of one call, or the mean of as many as take half a second; over rounds
the median. Growth is by how much one call, the first of that size, raised the peak of the
process's memory, of all rounds the largest. The ratio is that of chunked or pruned to dense of the
same round, over rounds the median. What needs more memory than is free is skipped, and said so.
"""

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core.contract import TRUSTED
from core.errors import ConfigError
from core.files import write_json
from core.flags import run_command

# PyTorch is imported by the measuring processes alone: a new process counts the memory of the one
# that started it as its own peak (Linux), and a small rise would vanish below it.

MIB = 1 << 20
VARIANTS = ("dense", "chunked", "pruned")
WARM_UP = 64
"""Side of the picture of the warm-up, which loads what the first call of anything loads."""
LEAST_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """What to measure; each field is a flag of `python -m benchmarks.attention`."""

    sizes: tuple[int, ...] = field(
        default=(256, 512, 1024), metadata={"help": "sides of the pictures in pixels"}
    )
    generator: bool = field(
        default=False, metadata={"help": "measure the whole network (2048 takes minutes)"}
    )
    rounds: int = field(default=3, metadata={"help": "measurements of each variant"})
    threads: int = field(default=1, metadata={"help": "threads of PyTorch"})
    json: Path | None = field(default=None, metadata={"help": "file for all the numbers"})

    def __post_init__(self) -> None:
        for size in self.sizes:
            if size < WARM_UP or size % 8:
                raise ConfigError(
                    f"--sizes has {size}; each must be a multiple of 8, at least {WARM_UP}"
                )
        for name in ("rounds", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name} is {getattr(self, name)}; it must be at least 1")


@dataclass(frozen=True)
class Case:
    """One measurement: a variant at a size in pixels."""

    variant: str
    size: int
    threads: int


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed, 130 interrupted."""
    return run_command(argv, "benchmarks.attention", __doc__, BenchConfig, bench)


def bench(config: BenchConfig) -> None:
    """Measure and write the table to stdout, size by size, then the file of numbers."""
    variants = ("generator",) if config.generator else VARIANTS
    sys.stdout.write("| side | variant | CPU seconds | growth MiB | to dense |\n")
    sys.stdout.write("| ---: | --- | ---: | ---: | ---: |\n")
    found = []
    for size in config.sizes:
        cases = [Case(variant, size, config.threads) for variant in variants]
        rows = summary(cases, measured(cases, config.rounds))
        sys.stdout.writelines(line(row) for row in rows)
        sys.stdout.flush()
        found += rows
    if config.json is not None:
        content = {"settings": asdict(config), "results": found}
        write_json(config.json, content)


def measured(cases: list[Case], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Variant -> what each round found; the variants take turns. {"skipped": why} for one left out.

    Numbers are `seconds` and `growth`, bytes or None where they cannot be had.
    """
    found: dict[str, list[dict[str, Any]]] = {case.variant: [] for case in cases}
    for _ in range(rounds):
        for case in cases:
            before = found[case.variant]
            if before and "skipped" in before[-1]:
                continue
            before.append(in_a_process(case))
    return found


def in_a_process(case: Case) -> dict[str, Any]:
    """Measure `case` in a fresh process, if there is memory for it."""
    needed, free = memory_needed(case), free_memory()
    if needed > (free or 0) and needed > 256 * MIB:
        there = "unknown" if free is None else f"{free / MIB:.0f} MiB"
        return {"skipped": f"it needs about {needed / MIB:.0f} MiB, free: {there}"}
    # Spawned, not forked: nothing of this process is in the other one.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(measure, case).result()
        except BrokenProcessPool:
            return {"skipped": "the process was killed, probably for want of memory"}


def memory_needed(case: Case) -> int:
    """Bytes, roughly and rather too many; 0 for what bounds its memory by itself."""
    cells = (case.size // 8) ** 2
    return 7 * 4 * cells**2 if case.variant == "dense" else 0


def free_memory() -> int | None:
    """Bytes that can be had without swapping (Linux), or None where that is not known."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(x.split()[1]) << 10 for x in lines if x.startswith("MemAvailable:")), None)


def measure(case: Case) -> dict[str, Any]:
    """Run `case` in this very process, which should be a fresh one."""
    import torch

    torch.set_num_threads(case.threads)
    torch.manual_seed(0)
    prepare = generator_call if case.variant == "generator" else attention_call
    prepare(case.variant, WARM_UP)()
    call = prepare(case.variant, case.size)
    before = peak_memory()
    started = time.process_time()
    call()
    seconds = [time.process_time() - started]
    after = peak_memory()
    while sum(seconds) < LEAST_SECONDS:
        started = time.process_time()
        call()
        seconds.append(time.process_time() - started)
    growth = None if before is None or after is None else after - before
    return {"seconds": statistics.mean(seconds), "growth": growth}


def attention_call(variant: str, size: int) -> Callable[[], Any]:
    """One call of contextual attention on features of a picture of `size` pixels."""
    import torch

    from core.layers.attention import ContextualAttention

    attention = ContextualAttention().eval()
    attention.prune = TRUSTED if variant == "pruned" else None
    if variant == "dense":
        attention.memory_budget = 1 << 62
    # As the ReLU before it gives them in a trained network: two thirds zeros, deviation 0.24.
    # Larger ones make softmax weights so small (denormal) that products take several times longer.
    features = (torch.randn(1, 96, size // 4, size // 4) - 0.4).relu() / 2
    mask = square_hole(size // 4)
    return torch.inference_mode()(lambda: attention(features, features, mask))


def generator_call(variant: str, size: int) -> Callable[[], Any]:
    """One pass of a DeepFillv2 of width 48 over a picture of `size` pixels."""
    import torch

    from core.backends.eager import TorchBackend
    from core.config import DeepFillConfig
    from core.registry import build_generator

    backend = TorchBackend(build_generator(DeepFillConfig(width=48, padding="symmetric")))
    image, mask = torch.rand(1, 3, size, size) * 2 - 1, square_hole(size)
    return lambda: backend.run(image, mask)


def square_hole(side: int) -> Any:
    """(1, 1, side, side), 1 in the middle half of both directions."""
    import torch

    mask = torch.zeros(1, 1, side, side)
    mask[..., side // 4 : side - side // 4, side // 4 : side - side // 4] = 1
    return mask


def peak_memory() -> int | None:
    """Most bytes that this process ever held in memory, or None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


def summary(cases: list[Case], found: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """One row per case: medians of seconds and ratios, the largest growth, and every round."""
    rows = []
    for case in cases:
        rounds = [one for one in found[case.variant] if "skipped" not in one]
        skipped = [one["skipped"] for one in found[case.variant] if "skipped" in one]
        row: dict[str, Any] = asdict(case) | {"rounds": rounds, "skipped": "; ".join(skipped)}
        if rounds:
            growths = [one["growth"] for one in rounds if one["growth"] is not None]
            row["seconds"] = statistics.median(one["seconds"] for one in rounds)
            row["growth"] = max(growths, default=None)
            pairs = list(zip(rounds, found.get("dense", []), strict=False))
            ratios = [a["seconds"] / b["seconds"] for a, b in pairs if "seconds" in b]
            row["to_dense"] = statistics.median(ratios) if ratios else None
        rows.append(row)
    return rows


def line(row: dict[str, Any]) -> str:
    """A row of the Markdown table."""
    cells = [str(row["size"]), row["variant"]]
    if "seconds" not in row:
        cells += ["skipped: " + row["skipped"], "", ""]
    else:
        growth, ratio = row["growth"], row["to_dense"]
        cells.append(f"{row['seconds']:.3f}")
        cells.append("not known here" if growth is None else f"{growth / MIB:.0f}")
        cells.append("" if ratio is None else f"{ratio:.2f}")
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    sys.exit(main())
