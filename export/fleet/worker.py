"""What a worker does: hold one session, and fill shard after shard by the one road of `core`."""

import os
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core.backends import open_backend
from core.commands.jobs import Job, MaskSource, attempt
from core.errors import InpaintError
from core.palette import Palette
from core.pipeline import FillOptions, Inpainter

from .attempts import Attempt
from .config import FleetConfig, Form
from .journal import model_file, record
from .readers import read_items
from .shards import File, Item, Shard
from .storage import Store, open_store
from .writers import WRITERS, Writer

FACTS = ("status", "error", "height", "width", "hole_percent", "seconds")
"""Of a line of `core`'s report, those that say something without its paths."""
WANTED = {
    "image": "put NAME.jpg, or one of the other formats, beside its mask",
    "mask": "put NAME.mask.png beside the picture, or fill the column mask",
}
NO_MEMORY = "it needs more memory than there is; try it alone, or with a smaller --work-size"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What all workers of a job are told."""

    pictures: Store
    masks: Store
    """Of folders."""
    output: Store
    form: Form
    """Of the output."""
    model: Path
    backend: str
    device: str
    threads: int
    options: FillOptions
    palette: Palette | None
    invert: bool
    scale_mask: bool

    @classmethod
    def of(cls, config: FleetConfig, form: Form, pictures: Store, output: Store) -> "Task":
        """That of a job."""
        return cls(
            pictures=pictures,
            masks=open_store(config.masks) if config.masks else pictures,
            output=output,
            form=form,
            model=model_file(config.model).resolve(),
            backend=config.backend,
            device=config.device,
            threads=max(1, int(config.cpus_per_worker)),
            options=config.options,
            palette=config.palette,
            invert=config.invert,
            scale_mask=config.scale_mask,
        )


class ShardWorker:
    """An actor of Ray Data: called with a shard, it returns what came of it."""

    def __init__(self, task: Task):
        self.task = task
        self._inpainter: Inpainter | None = None
        self._said: list[str] = []
        """What was refused and taken when the session was opened."""

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Fill {"shard": its JSON}; the output and then the record appear whole.

        "stopped_by" of what is returned: why the job cannot go on, if it cannot; "" otherwise.
        """
        shard = Shard.from_json(row["shard"])
        try:
            lines = self._fill_shard(shard)
        except InpaintError as problem:
            # Said as a value: raised, Ray would wrap it in a screenful of its own.
            return _came_of(shard, [], stopped_by=str(problem))
        except OSError as problem:
            trouble = f"a worker cannot use its disk ({problem.strerror or problem})"
            return _came_of(
                shard, [], stopped_by=f"{trouble}; mend that and run again with --resume"
            )
        return _came_of(shard, lines, runs_on=self.runs_on)

    def _fill_shard(self, shard: Shard) -> list[dict[str, Any]]:
        """The lines of its report. Raises InpaintError for what concerns more than one item."""
        turn = Attempt(self.task.output, shard)
        with tempfile.TemporaryDirectory() as folder:
            writer = WRITERS[self.task.form](self.task.output, shard, Path(folder))
            lines = list(self._fill_all(shard, turn, writer))
            writer.finish()
        record(self.task.output, shard, lines)
        turn.finish()
        return lines

    @property
    def inpainter(self) -> Inpainter:
        """The session; opened by the first shard, as only then its errors reach the user."""
        if self._inpainter is None:
            torch.set_num_threads(self.task.threads)
            task = self.task
            backend = open_backend(task.model, task.device, task.backend, self._said.append)
            self._inpainter = Inpainter(backend, self.task.options)
        return self._inpainter

    @property
    def runs_on(self) -> str:
        """In words, and how it came to that."""
        device = getattr(self.inpainter.backend, "device", "its own device")
        return "\n".join([*self._said, f"{self.task.model.name} on {device}"])

    def _fill_all(self, shard: Shard, turn: Attempt, writer: Writer) -> Iterator[dict[str, Any]]:
        """The line of the report for each item, the completed ones given to `writer`."""
        inpainter = self.inpainter
        for item in read_items(shard, self.task.pictures, self.task.masks):
            problem = item.problem or writer.refusal(item.id) or turn.begin(item.id)
            if problem:
                yield _line(shard, item, {"status": "failed", "error": problem})
                continue
            try:
                facts, completed = fill_item(inpainter, item, self.task)
            except OSError:
                raise  # of the disk, and not of the item
            except Exception as unexpected:
                # What is broken now, such as the GPU's context, would fail every item after this
                # one: a fresh process takes the shard, and learns of the note who was to blame.
                traceback.print_exc()
                turn.died_of(item.id, unexpected)
                os._exit(1)
            line = _line(shard, item, facts)
            if completed is not None:
                writer.add(line, completed)
            yield line


def fill_item(inpainter: Inpainter, item: Item, task: Task) -> tuple[dict[str, Any], File | None]:
    """What the report says of an item, and the completed picture if it could be filled."""
    for port in ("image", "mask"):
        if port not in item.files:
            return {"status": "failed", "error": f"there is no {port}; {WANTED[port]}"}, None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = {port: folder / (port + file.suffix) for port, file in item.files.items()}
        for port, file in item.files.items():
            paths[port].write_bytes(file.content)
        mask = MaskSource(path=paths["mask"], invert=task.invert, rescale=task.scale_mask)
        taken = [port.name for port in inpainter.backend.contract.guides if port.given]
        job = Job(
            image=paths["image"],
            mask=mask,
            output=folder / f"completed{item.files['image'].suffix}",
            guides={port: paths[port] for port in taken if port in paths},
            palette=task.palette,
        )
        try:
            line = attempt(inpainter, job)
        except (MemoryError, torch.OutOfMemoryError):
            return {"status": "failed", "error": NO_MEMORY}, None
        facts = {key: value for key, value in line.items() if key in FACTS}
        if facts["status"] == "failed":
            # Files have names of their own here; a place on this machine says nothing to anyone.
            facts["error"] = facts["error"].replace(f"{folder}{os.sep}", "")
            return facts, None
        return facts, File(job.output.suffix, job.output.read_bytes())


def _came_of(shard: Shard, lines: list[dict[str, Any]], **facts: str) -> dict[str, Any]:
    failed = sum(line["status"] == "failed" for line in lines)
    counts = {"shard": shard.name, "done": len(lines) - failed, "failed": failed}
    return {"runs_on": "", "stopped_by": "", **counts, **facts}


def _line(shard: Shard, item: Item, facts: dict[str, Any]) -> dict[str, Any]:
    return {"id": item.id, "shard": shard.name, **facts}
