"""How long each way of running a network takes, and what half precision loses.

  python -m export.bench --onnx net.onnx net.int8.onnx --json F.json --markdown F.md --plot F.png
  python -m export.bench --bundle OUT --batches 1 --pipeline 1080p 4K
  python -m export.bench --backends torch torch-graph-bf16 --device cuda --batches 1 16
  python -m export.bench --bundle OUT --quality photos/ --against mymodule:fill

The first row of each table is what the others are compared with: `straightforward`, DeepFillv2 as
public ports write it in eager float32 PyTorch (benchmarks/straightforward.py), unless it is left
out. Every case has a process of its own; those of one size take turns, round by round, so that a
busy machine is busy for all. Inputs lie in place; an accelerator's copies are measured apart.
What cannot run here stays in the table with its reason.

With --pipeline: bytes to bytes, a picture with a square hole in its middle, through the pipeline
over each backend and through the graph of the whole pipeline. With --quality: hole L1 and hole PSNR
of every backend on photographs, beside those of float32.
"""

import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from core.errors import BackendError, ConfigError
from core.files import whole_file, write_json
from core.flags import run_command
from core.weights import DEFAULT_WEIGHTS, read_info

from .cases import AGAINST, Case, Subject, cases, subjects
from .measure import measured, one_process, outcome
from .plot import write_plot
from .quality import qualities
from .rates import machine_rates, network_work
from .rows import rows, with_rates
from .settings import BenchConfig
from .table import quality_table, text

REFERENCE = "torch, float32"


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed, 130 interrupted."""
    return run_command(argv, "export.bench", __doc__, BenchConfig, bench)


def bench(config: BenchConfig) -> dict[str, Any]:
    """Measure, write tables to stdout and the files that `config` names; returns the JSON."""
    threads = config.threads or cores()
    weights = config.weights or DEFAULT_WEIGHTS
    read_info(weights)  # raises where they cannot be used
    groups = cases(config, weights, threads) if config.runs else []
    machine = machine_facts(config, threads)
    found = latencies(config, groups, str(weights), machine)
    for row in found:
        machine["versions"] |= row.get("versions", {})
    written = text(found, machine) if found else ""
    results = {"settings": asdict(config), "machine": machine, "results": found}
    if config.quality is not None:
        quality = measured_quality(config, weights, threads)
        results["quality"] = quality
        written += "\n" + quality_table(quality)
    sys.stdout.write(written)
    write_files(config, written, results)
    return results


def latencies(
    config: BenchConfig, groups: list[list[Case]], weights: str, machine: dict[str, Any]
) -> list[dict[str, Any]]:
    """Rows of all groups, with the shares of the machine's rates."""
    found = []
    for group in tqdm(groups, desc="sizes and batches", disable=None):
        counted = measured(group, rounds=config.rounds, runs=config.runs, seconds=config.seconds)
        work: dict[str, Any] = {}
        if config.rates and group and group[0].hole is None:
            work = in_one_process(network_work, weights, group[0])
        found += [with_rates(row, machine["rates"], work) for row in rows(counted)]
    return found


def measured_quality(config: BenchConfig, weights: Path, threads: int) -> dict[str, Any]:
    """In a process of its own, as all that loads a runtime."""
    assert config.quality is not None
    reference = Subject(name=REFERENCE, runtime="torch", model=str(weights), threads=threads)
    known = [one for one in subjects(config, weights, threads) if one.runtime != AGAINST]
    given = [one for one in known if one.runtime not in ("torch", "straightforward")]
    with one_process() as pool:
        found = outcome(
            pool, qualities, reference, given, config.quality, config.limit, config.seed
        )
    if "skipped" in found:
        raise BackendError(f"the quality cannot be measured: {found['skipped']}")
    return found


def in_one_process(work: Callable[..., dict[str, Any]], *args: Any) -> dict[str, Any]:
    """What `work` finds; nothing where it cannot be done."""
    with one_process() as pool:
        found = outcome(pool, work, *args)
    return {} if "skipped" in found else found


def machine_facts(config: BenchConfig, threads: int) -> dict[str, Any]:
    """What it is measured on."""
    return {
        "processor": processor(),
        "card": card(config.device),
        "cores": cores(),
        "threads": threads,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {},
        "rates": in_one_process(machine_rates, config.device, threads)
        if config.rates and config.runs
        else {},
    }


def processor() -> str:
    """Its name (Linux), or what the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def card(device: str) -> str:
    """The accelerator's name, or nothing without one."""
    if not device.startswith("cuda") or not torch.cuda.is_available():
        return ""
    facts = torch.cuda.get_device_properties(device)
    return f"{facts.name}, {facts.total_memory >> 20} MiB, CUDA {torch.version.cuda}"


def cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def write_files(config: BenchConfig, written: str, results: dict[str, Any]) -> None:
    """Whole or not at all."""
    if config.json is not None:
        write_json(config.json, results)
    if config.markdown is not None:
        try:
            with whole_file(config.markdown) as part:
                part.write_text(written, encoding="utf-8")
        except OSError as problem:
            raise ConfigError(
                f"cannot write {config.markdown} ({problem}); name another --markdown"
            ) from None
    if config.plot is not None and results["results"]:
        write_plot(config.plot, results["results"])


if __name__ == "__main__":
    sys.exit(main())
