"""Many pictures at once: masks and guides are found by name, as `python -m core fill` does it."""

import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.commands.guides import GUIDES, MASK_ENDINGS, find_partner, is_side_file
from core.commands.jobs import Job as FileJob
from core.commands.jobs import MaskSource, attempt, pair_folder, picture_files, report_line
from core.contract import Contract
from core.errors import ConfigError, InpaintError
from core.pipeline import Inpainter
from gradio_demo.running import FILLING, READING, WRITING, Job
from gradio_demo.service import Done, Order, Service
from gradio_demo.store import MOST_KEPT
from gradio_demo.unpack import MOST_TOTAL, unpack

PICTURES, RESULTS, MASKS = "pictures", "results", "masks"
REPORT = "report.jsonl"
"""In the zip of the results: a line of JSON for each picture."""


def fill_batch(
    service: Service, files: Sequence[Path], masks: Sequence[Path], order: Order, job: Job
) -> Done:
    """Fill every picture among `files`, loose or in zip files; the results come as one zip.

    masks: none = they lie among `files`; a single picture serves all. The mask of cat.jpg is
    cat.mask.png, cat_mask.png, ..., or cat.png of `masks`; a guide is cat.sketch.png, ... of
    `files`, where the network takes it. Where there are no masks, what is transparent is the hole.
    Raises InpaintError where nothing can be done; what is wrong with one picture is in the report.
    """
    job.at(READING)
    with _folder(service) as folder:
        pictures, results = folder / PICTURES, folder / RESULTS
        unpack(files, pictures, service.store.limits)
        source = _masks(service, masks, pictures, folder / MASKS)
        network = service.models.opened(order.network, order.backend)
        guides = _guides(network.contract, pictures)
        jobs = list(pair_folder(pictures, source, results, guides=guides))
        inpainter = Inpainter(network.backend, order.options, job.tell)
        job.at(FILLING)
        lines = [_plain(service, line, folder) for line in _lines(service, inpainter, jobs, job)]
        job.at(WRITING)
        path = _packed(folder / "filled.zip", results, lines)
    done = sum(line["status"] == "done" for line in lines)
    facts = {"network": network.name, "runs_on": network.runs_on}
    return Done(path, {**facts, "done": done, "failed": len(lines) - done, "lines": lines})


@contextmanager
def _folder(service: Service) -> Iterator[Path]:
    """A folder to work in; afterwards, failed or not, only the zip of the results is left."""
    most = MOST_TOTAL * service.store.limits.bytes
    folder = service.store.new_folder(min(most, MOST_KEPT // 4))
    parts = [folder / name for name in (PICTURES, RESULTS, MASKS)]
    for part in parts:
        part.mkdir()
    try:
        yield folder
    finally:  # at once: a small zip can hold a lot
        for part in parts:
            shutil.rmtree(part, ignore_errors=True)


def _masks(service: Service, masks: Sequence[Path], pictures: Path, folder: Path) -> MaskSource:
    """Where the masks come from."""
    if masks:
        names = unpack(masks, folder, service.store.limits)
        single = len(names) == 1 and not _serves_one(pictures, folder / names[0])
        return MaskSource(path=folder / names[0] if single else folder)
    found = any(
        find_partner(path, path, MASK_ENDINGS).is_file()
        for path in picture_files(pictures)
        if not is_side_file(path)
    )
    return MaskSource(path=pictures if found else None)


def _serves_one(pictures: Path, mask: Path) -> bool:
    """Whether a single mask is, by its name, that of one picture among several."""
    stems = {path.stem for path in picture_files(pictures)}
    names = {mask.stem.removesuffix(ending) for ending in ("", *MASK_ENDINGS)}
    return len(stems) > 1 and bool(names & stems)


def _guides(contract: Contract, pictures: Path) -> dict[str, Path]:
    """The folder, for each guide that the network takes and that lies there."""
    stems = [path.stem for path in picture_files(pictures)]
    return {
        port.name: pictures
        for port in contract.guides
        if port.name in GUIDES and any(s.endswith(GUIDES[port.name].endings) for s in stems)
    }


def _lines(
    service: Service, inpainter: Inpainter, jobs: Sequence[FileJob], job: Job
) -> Iterator[dict[str, Any]]:
    """Fill one after the other; a line of report each."""
    if not jobs:
        raise ConfigError(
            "all of these files are masks or guides by their names; add the pictures to fill"
        )
    for number, one in enumerate(jobs):
        with job.part(number, len(jobs)):
            job.check()
            try:
                for path in (one.image, one.mask.path, *one.guides.values()):
                    if path is not None and path.is_file():
                        service.store.picture(path)
            except InpaintError as problem:
                yield report_line(one, status="failed", error=str(problem))
                continue
            yield attempt(inpainter, one)


def _plain(service: Service, value: Any, folder: Path) -> Any:
    """A line of report without the folders of this machine."""
    if isinstance(value, dict):
        return {name: _plain(service, inner, folder) for name, inner in value.items()}
    if not isinstance(value, str):
        return value
    for below in (folder / PICTURES, folder / RESULTS, folder):
        value = value.replace(f"{below}{os.sep}", "")
    return service.store.plain(value)


def _packed(path: Path, results: Path, lines: Sequence[dict[str, Any]]) -> Path:
    """Zip the results, which are compressed already, with the report."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for result in sorted(results.rglob("*")):
            if result.is_file():
                archive.write(result, result.relative_to(results).as_posix())
        text = "".join(json.dumps(line) + "\n" for line in lines)
        archive.writestr(REPORT, text)
    return path
