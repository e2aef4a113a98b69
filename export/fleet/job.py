"""The job: shards through a pool of actors by Ray Data, and the report at the end.

Ray Data schedules and restarts; the shard is the unit of work and of output. Pictures go from
storage to the worker and back, and not through Ray's object store: that way a shard that is done
again, after a death, lands where it would have landed, and nothing is there twice.
"""

import json
import logging
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from core.errors import BackendError, ConfigError, ImageError
from core.extras import need
from core.files import whole_file

from .config import FleetConfig, Form
from .journal import (
    check_same,
    clean,
    done_shards,
    forget,
    lines_of,
    read_plan,
    settings_of,
    write_plan,
)
from .planning import open_input, plan
from .shards import Shard
from .storage import Store, first_line, open_store
from .worker import ShardWorker, Task

ROOT = Path(__file__).resolve().parents[2]
GPU_SHARE = 0.25
"""Of a GPU for each worker by default: a worker reads and writes files half of the time."""
OBJECT_STORE = 256 << 20
"""Bytes; only names go through it."""
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # it would tell Ray's makers
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # a warning of something to come
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # of what is not written in Python
}
"""Set where the user has not set them, unless --verbose."""


def run(config: FleetConfig) -> int:
    """Do the job; the exit code, 1 if any item failed. Raises InpaintError."""
    output = open_store(config.output)
    pictures = open_input(config.input)
    shards = _resumed(config, output) if config.resume else _begun(config, pictures, output)
    done = done_shards(output)
    left = [shard for shard in shards if shard.name not in done]
    before = f", {len(done)} of them done before" if done else ""
    say(f"{len(shards)} shards{before}")
    if left:
        task = Task.of(config, _form(config, shards), pictures, output)
        with started(config) as resources:
            _work_through(task, left, config, resources)
    clean(output)
    return _report(config, output, shards)


def _hush() -> None:
    """Keep Ray from writing; what it has to say to users comes as errors."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    need("ray.data", "cluster")  # it sets its logger up
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _begun(config: FleetConfig, pictures: Store, output: Store) -> list[Shard]:
    """The plan of a new job, written; OUTPUT is empty, or emptied by --force."""
    if not (output.is_empty() or config.force):
        raise ConfigError(
            f"{config.output} is not empty; name another OUTPUT, or go on with --resume, or begin "
            "anew with --force"
        )
    shards = plan(config, pictures, output)
    settings = settings_of(config, _form(config, shards))
    forget(output)
    write_plan(output, settings, shards)
    return shards


def _resumed(config: FleetConfig, output: Store) -> list[Shard]:
    """The plan of the job that is gone on with; its shards, whatever INPUT holds now."""
    settings, shards = read_plan(output)
    check_same(settings, settings_of(config, _form(config, shards)))
    clean(output)
    return shards


def _form(config: FleetConfig, shards: list[Shard]) -> Form:
    return config.format or shards[0].form


def _work_through(
    task: Task, shards: list[Shard], config: FleetConfig, resources: dict[str, float]
) -> None:
    """All shards by Ray, with a bar. Raises InpaintError if the job cannot go on."""
    done = failed = 0
    seen: set[str] = set()
    with tqdm(total=len(shards), unit="shard", file=sys.stderr, dynamic_ncols=True) as bar:
        for row in rows(task, shards, config, resources):
            if row["runs_on"] not in seen:
                seen.add(row["runs_on"])
                tqdm.write(row["runs_on"], file=sys.stderr)
            done, failed = done + row["done"], failed + row["failed"]
            bar.set_postfix_str(f"{done} pictures, {failed} failed", refresh=False)
            bar.update()


def rows(
    task: Task, shards: list[Shard], config: FleetConfig, resources: dict[str, float]
) -> Iterator[dict[str, Any]]:
    """What `ShardWorker` returns for each shard, as they come. Raises InpaintError."""
    data = need("ray.data", "cluster")
    ray_error = need("ray.exceptions", "cluster").RayError
    count, gpus = pool_size(config, resources)
    count = min(count, len(shards))
    pool = f"{count} workers, each with {config.cpus_per_worker:g} CPU and {gpus:g} GPU"
    tqdm.write(pool, file=sys.stderr)
    context = data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.max_errored_blocks = 0  # what fails is never dropped
    context.execution_no_progress_timeout_s = -1  # a shard may take hours
    items = [{"shard": shard.to_json()} for shard in shards]
    # Actors are restarted and their shards done again however often, which Ray Data does by
    # default; `attempts` sees to it that this ends.
    dataset = data.from_items(items, override_num_blocks=len(items)).map(
        ShardWorker,
        fn_constructor_args=(task,),
        compute=data.ActorPoolStrategy(size=count, max_tasks_in_flight_per_actor=1),
        num_cpus=config.cpus_per_worker,
        num_gpus=gpus,
    )
    try:
        for row in dataset.iter_rows():
            if row["stopped_by"]:
                raise BackendError(row["stopped_by"])
            yield row
    except ray_error as problem:
        raise BackendError(
            f"Ray gave up ({first_line(problem)}); what is done is kept: run again with --resume, "
            "and --verbose to see why"
        ) from None


def pool_size(config: FleetConfig, resources: dict[str, float]) -> tuple[int, float]:
    """How many workers at most, and the GPUs of each. Raises ConfigError if none has room."""
    there = {"CPU": resources.get("CPU", 0.0), "GPU": resources.get("GPU", 0.0)}
    gpus = config.gpus_per_worker
    if gpus is None:
        gpus = GPU_SHARE if there["GPU"] and config.device != "cpu" else 0.0
    room = there["CPU"] // config.cpus_per_worker
    if gpus:
        room = min(room, there["GPU"] // gpus)
    if room < 1:
        raise ConfigError(
            f"a worker needs {config.cpus_per_worker:g} CPU and {gpus:g} GPU, and Ray has "
            f"{there['CPU']:g} and {there['GPU']:g}; give --cpus-per-worker and --gpus-per-worker "
            "that fit"
        )
    return config.workers or int(room), gpus


def check_python(path: str) -> None:
    """Raise ConfigError for a Python that Ray cannot start: it would try for ever, in silence."""
    if len(path.split()) != 1:
        raise ConfigError(
            f"Ray starts no workers where there is a space in the path of Python ({path}); make "
            "the environment in a folder without one"
        )


@contextmanager
def started(config: FleetConfig) -> Iterator[dict[str, float]]:
    """A running Ray, and its resources: the one of this process, of --address, or a new one."""
    if not config.verbose:
        _hush()
    check_python(sys.executable)
    ray = need("ray", "cluster")
    if ray.is_initialized():
        yield ray.cluster_resources()
        return
    level = "INFO" if config.verbose else "CRITICAL"
    options: dict[str, Any] = {"logging_level": level, "log_to_driver": config.verbose}
    if config.address:
        # Other machines get our code with the job.
        modules = [str(ROOT / "core"), str(ROOT / "export")]
        options |= {"address": config.address, "runtime_env": {"py_modules": modules}}
    else:
        cores = max(os.cpu_count() or 1, config.workers * config.cpus_per_worker)
        options |= {
            "num_cpus": math.ceil(cores),
            "object_store_memory": OBJECT_STORE,
            "include_dashboard": False,
            "runtime_env": {"env_vars": {"PYTHONPATH": str(ROOT)}},
        }
    try:
        ray.init(**options)
    except (ConnectionError, OSError, RuntimeError, ValueError) as problem:
        raise BackendError(
            f"Ray does not start ({first_line(problem)}); check --address, or leave it out"
        ) from None
    try:
        yield ray.cluster_resources()
    finally:
        ray.shutdown()


def _report(config: FleetConfig, output: Store, shards: list[Shard]) -> int:
    """Join what was recorded of each shard, and say how it went; the exit code."""
    place = config.report or f"report.jsonl of {config.output}"
    counts = {"done": 0, "failed": 0}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for shard in shards:
                for line in lines_of(output, shard):
                    file.write(line)
                    counts[json.loads(line)["status"]] += 1
        if config.report is None:
            output.write("report.jsonl", path)
        else:
            _copy(path, config.report)
    say(f"{counts['done']} filled, {counts['failed']} failed; report: {place}")
    return 1 if counts["failed"] else 0


def _copy(source: Path, target: Path) -> None:
    try:
        with whole_file(target) as part:
            shutil.copyfile(source, part)
    except OSError as problem:
        raise ImageError(f"cannot write the report {target} ({problem}); name another") from None


def say(text: str) -> None:
    """For a person."""
    sys.stderr.write(text + "\n")
