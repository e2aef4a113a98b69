"""What a job keeps in OUTPUT to go on after any death: its plan, and a record of each done shard.

A shard is done when its record is there; the record holds its lines of the report.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.errors import ConfigError
from core.files import sha256_of
from core.weights import DEFAULT_WEIGHTS

from .config import FleetConfig, Form
from .shards import Shard
from .storage import PRIVATE, STAGE, Store
from .writers import file_name

FORMAT = 1
PLAN = f"{PRIVATE}/plan.jsonl"
DONE = f"{PRIVATE}/done"
TRYING = f"{PRIVATE}/trying"
"""Notes of shards that are being worked on; see `attempts`."""
SAME = ("backend", "device", "masks", "invert", "scale_mask", "options", "palette")
"""Settings that change what comes out, so that a resumed run must have the same."""


def settings_of(config: FleetConfig, form: Form) -> dict[str, Any]:
    """What a resumed run must have in common with the first; no paths."""
    values = asdict(config)
    found = {name: values[name] for name in SAME if name != "masks"}
    found["masks"] = bool(config.masks)
    found["palette"] = config.palette is not None and str(config.palette)
    found |= {"format": config.format or form, "network": sha256_of(model_file(config.model))}
    return dict(json.loads(json.dumps(found)))


def model_file(model: Path | None) -> Path:
    """The network itself: of a bundle, its ONNX file. Raises ConfigError if it is not there."""
    model = model or DEFAULT_WEIGHTS
    path = model / "generator.onnx" if model.is_dir() else model
    if not path.is_file():
        what = "no generator.onnx in the bundle" if model.is_dir() else "no network at"
        raise ConfigError(f"{what} {model}; name a bundle, an ONNX file or weights by --model")
    return path


def write_plan(output: Store, settings: dict[str, Any], shards: list[Shard]) -> None:
    """Write the plan whole; from now on OUTPUT belongs to the job."""
    head = json.dumps({"format": FORMAT, "settings": settings}, sort_keys=True)
    lines = [head, *(shard.to_json() for shard in shards)]
    output.write(PLAN, ("\n".join(lines) + "\n").encode())


def read_plan(output: Store) -> tuple[dict[str, Any], list[Shard]]:
    """Settings and shards of the job that OUTPUT belongs to. Raises ConfigError if it has none."""
    if not output.exists(PLAN):
        raise ConfigError(
            f"{output.place} has no job to go on with (no {PLAN}); leave --resume out"
        )
    try:
        head, *lines = output.read(PLAN).decode().splitlines()
        values = json.loads(head)
        if values["format"] != FORMAT:
            raise ValueError(f"format {values['format']}, known is {FORMAT}")
        if not lines:
            raise ValueError("no shards")
        return values["settings"], [Shard.from_json(line) for line in lines]
    except (ValueError, KeyError, TypeError) as problem:
        raise ConfigError(
            f"the plan in {output.place} cannot be read ({problem}); begin anew with --force"
        ) from None


def check_same(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise ConfigError where a resumed run has other settings than the first."""
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            raise ConfigError(
                f"this OUTPUT was begun with {name} {before.get(name)}, now it is "
                f"{now.get(name)}; give the same flags as before, or begin anew with --force"
            )


def done_shards(output: Store) -> set[str]:
    """Names of the shards that are done."""
    start, end = len(DONE) + 1, len(".jsonl")
    return {name[start:-end] for name in output.names(DONE)}


def record(output: Store, shard: Shard, lines: list[dict[str, Any]]) -> None:
    """Say that a shard is done, and how each item went."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    output.write(f"{DONE}/{shard.name}.jsonl", text.encode())


def lines_of(output: Store, shard: Shard) -> Iterator[str]:
    """The report of a done shard, line by line."""
    yield from output.read(f"{DONE}/{shard.name}.jsonl").decode().splitlines(keepends=True)


def clean(output: Store) -> None:
    """Remove what workers that died left half done."""
    for folder in (STAGE, TRYING):
        output.delete_folder(folder)


def forget(output: Store) -> None:
    """Delete the results of an earlier job and its journal; files of others stay."""
    if not output.exists(PLAN):
        return
    settings, shards = read_plan(output)
    for shard in shards:
        for name in _results(output, shard, settings["format"]):
            output.delete(name)
    output.delete_folder(PRIVATE)


def _results(output: Store, shard: Shard, form: Form) -> list[str]:
    if form != "folder":
        return [shard.name + {"webdataset": ".tar", "parquet": ".parquet"}[form]]
    if shard.form != "folder":
        return output.names(shard.name)
    return [file_name(shard, item["image"], "") for item in shard.items]
