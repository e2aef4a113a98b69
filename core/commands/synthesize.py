"""`python -m core synthesize`: whole pictures from maps of labels."""

import json
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ..backends import Backend
from ..errors import ConfigError, ImageError, InpaintError
from ..image import save_pixels
from ..image.write import SUFFIXES
from ..palette import Palette
from ..pipeline import FillOptions, Inpainter
from .folder import check_folder, say, work_through
from .guides import (
    GUIDES,
    Reading,
    add_guides,
    check_guides,
    given_guides,
    given_palette,
    own_guides,
    read_guides,
)
from .masks import Size, check_count, parse_size
from .network import add_folder_flags, add_model, open_inpainter

MAP = "semantic"
"""The guide that the maps are given for."""


@dataclass(frozen=True, kw_only=True)
class MapJob:
    """One picture to make of a map."""

    guides: Mapping[str, Path]
    """By port, the map among them."""
    output: Path
    size: Size | None
    """None = that of the map."""
    seed: int
    palette: Palette | None = None


def add_synthesize(parser: ArgumentParser) -> None:
    """The flags of `synthesize`."""
    parser.set_defaults(run=synthesize)
    parser.description = (
        "Make a picture of MAP, a map of labels, with a network that takes such maps. Of a folder "
        "every map becomes a picture; where some are called NAME.seg or NAME.semantic, those alone."
    )
    parser.add_argument("map", metavar="MAP", help="map of labels, or folder of maps")
    parser.add_argument(
        "-o", "--output", required=True, metavar="OUT", help="file; folder for many pictures"
    )
    parser.add_argument("--size", help="HEIGHTxWIDTH (default: that of the map)")
    parser.add_argument(
        "--count", type=int, default=1, metavar="N",
        help="pictures of each map, as NAME_SEED.png, with seeds counting up (default: 1)",
    )  # fmt: skip
    add_guides(parser, ("instances", "style"))
    add_model(parser, bundled=False)
    add_folder_flags(parser)


def synthesize(args: Namespace) -> int:
    """`synthesize`: one map, or a folder of maps with a report."""
    source, output = Path(args.map), Path(args.output)
    if not source.exists():
        raise ImageError(f"no map or folder of maps at {source}")
    check_count(args.count)
    size = parse_size(args.size) if args.size else None
    guides = {MAP: source, **given_guides(args)}
    if source.is_dir():
        check_folder(source, output)
    else:
        _check_files(source, output, guides, many=args.count > 1)
    inpainter = open_inpainter(args)
    _check_network(inpainter.backend, guides, args)
    plain = MapJob(
        guides=guides, output=output, size=size,
        seed=inpainter.options.seed or 0, palette=given_palette(args),
    )  # fmt: skip
    if source.is_dir():
        jobs = [one for job in _pair(source, plain) for one in _counted(job, args.count)]
        return work_through(jobs, lambda job: _attempt_or_skip(inpainter, job, args), args,
                            did="made")  # fmt: skip
    if args.count > 1 or output.is_dir():
        plain = replace(plain, output=output / f"{_name(source)}.png")
    return _make_all(inpainter, _counted(plain, args.count), as_json=args.json)


def _make_all(inpainter: Inpainter, jobs: list[MapJob], *, as_json: bool) -> int:
    """Of one map; the exit code."""
    failed = False
    for job in jobs:
        if as_json:
            line = _attempt(inpainter, job)
            sys.stdout.write(json.dumps(line) + "\n")
            failed |= line["status"] == "failed"
        else:
            _, seconds = _make_file(inpainter, job)
            say(f"{job.output}: made in {seconds:.2f} s")
    return 1 if failed else 0


def _pair(maps: Path, plain: MapJob) -> Iterator[MapJob]:
    """A job per map below `maps`, with its own instances and style if those are folders."""
    others = {name: path for name, path in plain.guides.items() if name != MAP}
    for path in map_files(maps):
        name = path.relative_to(maps).with_name(f"{_name(path)}.png")
        guides = {MAP: path, **own_guides(path, name, others)}
        if plain.output.resolve() not in path.resolve().parents:  # a result of an earlier run
            yield replace(plain, guides=guides, output=plain.output / name)


def map_files(folder: Path) -> list[Path]:
    """The maps below `folder`, sorted: those that are called so, or all but instances and styles.

    Raises ImageError if there are none.
    """
    suffixes = GUIDES[MAP].suffixes
    found = [p for p in folder.rglob("*") if p.suffix.lower() in suffixes and p.is_file()]
    called = [path for path in found if path.stem.endswith(GUIDES[MAP].endings)]
    others = (*GUIDES["instances"].endings, *GUIDES["style"].endings)
    maps = called or [path for path in found if not path.stem.endswith(others)]
    if not maps:
        raise ImageError(f"no maps in {folder}; it needs files ending in {', '.join(suffixes)}")
    return sorted(maps)


def _name(path: Path) -> str:
    """cat.seg.png -> cat."""
    for ending in GUIDES[MAP].endings:
        if path.stem.endswith(ending) and path.stem != ending:
            return path.stem.removesuffix(ending)
    return path.stem


def _counted(job: MapJob, count: int) -> list[MapJob]:
    """The job for each seed; more than one have the seed in their names."""
    if count == 1:
        return [job]
    return [
        replace(job, seed=seed, output=job.output.with_stem(f"{job.output.stem}_{seed:06d}"))
        for seed in range(job.seed, job.seed + count)
    ]


def _make_file(inpainter: Inpainter, job: MapJob) -> tuple[Tensor, float]:
    """The picture, which is written, and the seconds without files. Raises InpaintError."""
    backend = inpainter.backend
    guides = read_guides(job.guides, backend.contract, Reading(palette=job.palette))
    height, width = guides[MAP].shape[-2:]
    options: FillOptions = replace(inpainter.options, seed=job.seed)
    started = time.perf_counter()
    made = Inpainter(backend, options).synthesize(job.size or (height, width), **guides)
    seconds = time.perf_counter() - started
    save_pixels(job.output, made)
    return made, seconds


def _attempt_or_skip(inpainter: Inpainter, job: MapJob, args: Namespace) -> dict[str, Any]:
    if args.resume and job.output.exists():  # results appear whole or not at all
        return {**_line(job), "status": "skipped"}
    return _attempt(inpainter, job)


def _attempt(inpainter: Inpainter, job: MapJob) -> dict[str, Any]:
    """Do the job and say in a report line how it went; only a user's errors are caught."""
    try:
        made, seconds = _make_file(inpainter, job)
    except InpaintError as problem:
        return {**_line(job), "status": "failed", "error": str(problem)}
    height, width = made.shape[-2:]
    facts = {"height": height, "width": width, "seconds": round(seconds, 3)}
    return {**_line(job), "status": "done", **facts}


def _line(job: MapJob) -> dict[str, Any]:
    guides = {name: str(path) for name, path in job.guides.items()}
    return {"image": guides.pop(MAP), "output": str(job.output), "seed": job.seed, "guides": guides}


def _check_network(backend: Backend, guides: Mapping[str, Path], args: Namespace) -> None:
    """Raise ConfigError for a network that makes no pictures of maps, and as `check_guides`."""
    if MAP not in [port.name for port in backend.contract.guides if port.kind == "labels"]:
        raise ConfigError(
            f"{Path(args.weights).name} makes no pictures of maps of labels; name the --weights "
            "of a network that does, as SPADE"
        )
    check_guides(backend.contract, guides, args)


def _check_files(source: Path, output: Path, guides: Mapping[str, Path], *, many: bool) -> None:
    """Raise ImageError for what does not go with a single map."""
    for name, path in guides.items():
        if path.is_dir():
            raise ImageError(f"{source} is one map but {path} is a folder; name its --{name}")
    if many and (output.is_file() or output.suffix.lower() in SUFFIXES):
        raise ImageError(f"-o is {output}, but --count makes several pictures; name a folder")
    if output.resolve() == source.resolve():
        raise ImageError(f"-o is the map itself, {source}; name another file")
