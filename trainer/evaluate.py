"""Measure how well networks fill pictures, beside OpenCV's classical methods.

  python -m trainer.evaluate --data val.tar --weights a.safetensors b.safetensors --masks both
  python -m trainer.evaluate --data val.tar --run runs/first --masks bins --seeds 3
  python -m trainer.evaluate --data faces/ --weights scfegan.safetensors --guide sketch color
  python -m trainer.evaluate --data streets/ --weights spade.safetensors --masks whole

Every picture is scaled so that its short side is --size and cropped at its centre. Picture i gets
the mask of seed + i: an official one, one for each share of the picture that is hole (bins), one
of your files, white = hole, or the whole of it, for networks that make pictures of a map of labels
alone. All methods get the mean known colour in the hole. Networks fill through the pipeline with
its default options. Each is measured without guides, and with those of --guide that it takes, which
come from the true picture: a sketch of its lines, strokes in its colours (of the same seeds as the
masks; along the label map, if there is one) and KEY.seg.png, the label map beside it. What a
network cannot do without, as the map of SPADE, it is always given.
Results are rounded to 8 bit, measured on [0, 1]:
  hole L1, hole L2   mean absolute and mean squared difference over the hole and 3 channels, %
  L1, L2             the same over the whole picture, as the papers have it, %
  hole PSNR, PSNR    decibels, from hole L2 and from L2
  SSIM               Wang et al. 2004: Gaussian window of sigma 1.5, 11 pixels wide, population
                     covariance, mean over pixels and channels, by scikit-image
  TV ratio           total variation, mean |dx| + mean |dy| over all pixels and channels, of the
                     completed picture divided by that of the true one; below 1 = too smooth
  edges F            with --guide sketch: F-measure of the lines of the fill against those of the
                     true picture, in the hole, within 2 pixels along either axis at --size 256
  features           with --features: squared difference of unit-length features, summed over
                     channels and layers, mean over pixels, x100 (LPIPS without learned weights)
  texture            with --features: unbiased squared MMD with the kernel of the KID between
                     features inside the holes of the filled and of the true set, x1000
  LPIPS, FID         with --lpips and --inception, of whole pictures
The table holds the mean of each over the pictures, best hole L1 first; texture and FID belong to
the set. With --seeds the masks are drawn anew from seed + 1000, seed + 2000, ..., and the table
has mean and standard deviation of the means of each seed. Flat pictures have no TV ratio, holes
without lines no edges F, and neither counts for its mean. In JSON, null is an infinite PSNR.
"""

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from core.errors import ConfigError
from core.files import write_json
from core.flags import run_command
from core.image import save_pixels
from core.weights import DEFAULT_WEIGHTS, read_info

from .config import setting
from .data.samples import find_pictures
from .measure.fills import (
    Fill,
    NetworkFill,
    given_ports,
    named,
    network_methods,
    opencv_methods,
    suited,
)
from .measure.guides import GUIDES, check_guides
from .measure.observe import open_observer
from .measure.survey import Findings, Task, survey
from .measure.tables import Means, guide_note, labelled, table
from .measure.trials import hole_kinds

LEAST = {"size": 80, "limit": 1, "seed": 0, "seeds": 1, "rows": 1}
"""Smallest values; the official box is half the side, less up to 32 pixels."""
SEED_STEP = 1000
"""From seed to seed; picture i has the masks of seed + i."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What to measure; each field is a flag of `python -m trainer.evaluate`."""

    data: tuple[Path, ...] = field(metadata={"help": "image folders and .tar shards"})
    weights: tuple[Path, ...] = setting((), "model files to compare (default: the bundled one)")
    run: Path | None = field(
        default=None, metadata={"help": "run folder: its weights, and its evaluation-STEP.json"}
    )
    masks: Literal["brush", "box", "both", "bins", "folder", "whole"] = setting(
        "brush",
        "official masks (both = two tables), bins = 0-10 ... 50-60 %, --mask-folder, or whole = "
        "nothing is known but a map of labels",
    )
    mask_folder: Path | None = field(
        default=None,
        metadata={"help": "with --masks folder: masks for the pictures by name, else in order"},
    )
    size: int = setting(256, "side of the pictures in pixels")
    limit: int | None = setting(None, "only the first N pictures")
    seed: int = setting(0, "seed of the mask of the first picture")
    seeds: int = setting(1, "how often everything is measured, with masks of other seeds")
    guide: tuple[str, ...] = setting(
        (), f"also measure with these of the true picture: {', '.join(GUIDES)}"
    )
    lines: Literal["detector", "canny"] = setting(
        "detector", "with --guide sketch: what draws lines"
    )
    features: Path | None = field(
        default=None, metadata={"help": "network of the metrics features and texture"}
    )
    lpips: tuple[Path, ...] = setting((), "AlexNet or VGG16, then the heads of LPIPS 0.1")
    inception: Path | None = field(
        default=None, metadata={"help": "TorchScript network of the FID"}
    )
    json: Path | None = field(default=None, metadata={"help": "file for all the numbers"})
    grid: Path | None = field(default=None, metadata={"help": "picture of all the fills"})
    rows: int = setting(8, "most rows of the grid")
    device: str = setting("", "cpu, cuda or mps; by default the best there is")

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"--{name} is {value}; it must be at least {least}")
        for name in self.guide:
            if name not in GUIDES:
                raise ConfigError(f"--guide has {name!r}; it must be of {', '.join(GUIDES)}")
        if (self.masks == "folder") != (self.mask_folder is not None):
            raise ConfigError("--masks folder and --mask-folder DIR need each other; give both")
        if len(self.lpips) not in (0, 2):
            raise ConfigError(
                f"--lpips has {len(self.lpips)} files; it needs two, the backbone and the heads"
            )


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed, 130 interrupted."""
    return run_command(argv, "trainer.evaluate", __doc__, EvaluateConfig, evaluate)


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Measure, write the tables to stdout, then the files that `config` names; returns the JSON.

    Raises InpaintError for everything that a user can mend.
    """
    networks = named(_weights(config))
    methods = _methods(config, networks)
    task = _task(config, methods)
    found = survey(task)
    pairs = {kind: found.means(kind) for kind in dict.fromkeys(x["masks"] for x in found.lines)}
    if not pairs:
        raise ConfigError(
            f"no mask of {config.mask_folder} has both hole and known in its central square; "
            "white must be the hole and black what is known"
        )
    sys.stdout.write("\n".join(_texts(config, task, found, pairs)))
    unsuited = [name for name in methods if name not in task.methods]
    if unsuited:
        sys.stdout.write(
            f"\nleft out, as they take no map of labels and nothing else is known: "
            f"{', '.join(unsuited)}\n"
        )
    results = {
        "settings": asdict(config),
        "networks": _about(networks),
        "guides": _guides(task.methods),
        "means": {kind: means for kind, (means, _) in pairs.items()},
        "spread": {kind: spread for kind, (_, spread) in pairs.items()},
        "sets": found.sets,
        "pictures": found.lines,
    }
    _write(config, found.columns, results)
    return results


def _texts(
    config: EvaluateConfig, task: Task, found: Findings, pairs: dict[str, tuple[Means, Means]]
) -> Iterator[str]:
    """A table for each kind of hole, and the notes below."""
    fills = [method for method in task.methods.values() if isinstance(method, NetworkFill)]
    worth = {fill.network: [port.name for port in fill.asked] for fill in fills if fill.asked}
    for kind, (means, spread) in pairs.items():
        count = len({line["picture"] for line in found.lines if line["masks"] == kind})
        seeds = f", {config.seeds} seeds" if spread else ""
        yield table(f"{count} pictures, {kind} masks{seeds}", means, spread)
        if worth:
            yield guide_note(means, worth)
    always = {fill.network: fill.always for fill in fills if fill.always}
    for name, ports in always.items():
        names = ", ".join(port.name for port in ports)
        yield f"{name} is always given of the true picture: {names}\n"
    if found.left_out:
        yield f"{found.left_out} left out: no hole, or nothing but, in the central square\n"


def _methods(config: EvaluateConfig, networks: dict[str, Path]) -> dict[str, Fill]:
    """All that are named, and OpenCV's."""
    mine = network_methods(networks, guides=config.guide, device=config.device)
    return {**opencv_methods(), **mine}


def _task(config: EvaluateConfig, methods: dict[str, Fill]) -> Task:
    """Everything opened that the survey needs, so that what is missing shows at once."""
    methods = suited(methods, config.masks)
    pictures = find_pictures(config.data)
    for name, reason in pictures.damaged:
        sys.stderr.write(f"note: {name}: {reason}\n")
    entries = pictures[: config.limit]
    for name, method in methods.items():
        check_guides(name, given_ports([method]), entries)
    drawn = any(port.name == "sketch" for port in given_ports(methods.values()))
    observer = open_observer(
        features=config.features,
        lpips=config.lpips,
        inception=config.inception,
        lines=config.lines if drawn else None,
        device=config.device,
    )
    return Task(
        entries=entries,
        kinds=hole_kinds(config.masks, config.size, config.mask_folder, entries),
        methods=methods,
        observer=observer,
        seeds=tuple(config.seed + SEED_STEP * i for i in range(config.seeds)),
        size=config.size,
        rows=config.rows if config.grid else 0,
    )


def _weights(config: EvaluateConfig) -> list[Path]:
    """The model files: that of the run first; the bundled one where none is named."""
    of_run = [config.run / "weights.safetensors"] if config.run else []
    return [*of_run, *config.weights] or [DEFAULT_WEIGHTS]


def _guides(methods: dict[str, Fill]) -> dict[str, list[str]]:
    """Method -> ports at which it is given something of the true picture."""
    ports = {name: given_ports([method]) for name, method in methods.items()}
    return {name: [port.name for port in given] for name, given in ports.items() if given}


def _about(networks: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """What weights files say of themselves: size and training."""
    infos = {n: read_info(path) for n, path in networks.items() if path.suffix == ".safetensors"}
    return {
        name: {"file": networks[name], "parameters": info.parameters, **info.about}
        for name, info in infos.items()
    }


def _write(
    config: EvaluateConfig, columns: dict[str, list[Tensor]], results: dict[str, Any]
) -> None:
    if config.grid is not None:
        save_pixels(config.grid, labelled(columns))
        sys.stdout.write(f"\n{config.grid}: {', '.join(columns)}\n")
    if config.json is not None:
        write_json(config.json, results)
    if config.run is not None:
        steps = read_info(_weights(config)[0]).about.get("steps", 0)
        path = config.run / f"evaluation-{steps:09d}.json"
        write_json(path, results)
        sys.stdout.write(f"\n{path}\n")


if __name__ == "__main__":
    sys.exit(main())
