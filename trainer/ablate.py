"""Compare kinds of convolution, as table 1 of the paper does: vanilla, partial and gated.

  python -m trainer.ablate --data photos/ --val val.tar --out runs/ablation --steps 20000 --width 16

Every kind is trained alike: the same number of updates, seed, pictures, masks, width and other
settings (all flags of `python -m trainer` but --preset and --init), each in its own run folder
below --out. The layers have the same number of output channels, so that gated convolution has
about twice as many parameters as vanilla; the numbers stand below the table. Then all are
measured as by `python -m trainer.evaluate`, on the masks that the paper measures on.

The same command goes on where it was stopped; runs that are done are not trained again. Results:
--out/ablation.json, --out/ablation.png and the tables on stdout.
"""

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from core.config import PRESETS
from core.errors import ConfigError, InpaintError
from core.files import write_json
from core.flags import add_flags, from_flags

from .config import TrainConfig, setting
from .data.samples import find_pictures
from .evaluate import EvaluateConfig, evaluate
from .loop import train
from .measure.fills import opencv_methods
from .measure.observe import open_observer

VARIANTS = {"vanilla": "deepfillv2-vanilla", "partial": "deepfillv2-partial", "gated": "deepfillv2"}
"""Kind of convolution -> preset."""
OWN = {"preset", "init"}
"""Settings of a training run that make the difference, or would undo it."""
SMALLEST = 80
"""Least side of the pictures that can be measured with official masks."""


@dataclass(frozen=True, kw_only=True)
class AblateConfig:
    """What is compared on what; the other flags are those of `python -m trainer`."""

    val: tuple[Path, ...] = field(metadata={"help": "pictures to measure on, none of --data"})
    variants: tuple[str, ...] = setting((), "kinds of " + " ".join(VARIANTS) + " (default: all)")
    val_masks: Literal["brush", "box", "both", "bins"] = setting("both", "holes to measure on")
    val_size: int | None = field(
        default=None, metadata={"help": "side of the measured pictures (default: --crop)"}
    )
    val_limit: int | None = field(
        default=None, metadata={"help": "only the first N pictures of --val"}
    )
    val_seeds: int = setting(3, "how often it is measured, with masks of other seeds")
    val_features: Path | None = field(
        default=None, metadata={"help": "network of the metrics features and texture"}
    )

    def __post_init__(self) -> None:
        for name in self.variants:
            if name not in VARIANTS:
                raise ConfigError(f"--variants has {name!r}; it must be of {', '.join(VARIANTS)}")


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed, 128 + n stopped by signal n."""
    parser = argparse.ArgumentParser(
        prog="python -m trainer.ablate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_flags(parser, AblateConfig)
    add_flags(parser, TrainConfig, without=OWN)
    args = parser.parse_args(argv)
    try:
        config = from_flags(AblateConfig, args)
        return ablate(config, {name: _run(name, args) for name in _present(config)})
    except InpaintError as problem:
        sys.stderr.write(f"error: {problem}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted a second time; the same command goes on from there\n")
        return 130


def _wanted(config: AblateConfig) -> tuple[str, ...]:
    return config.variants or tuple(VARIANTS)


def _present(config: AblateConfig) -> list[str]:
    present = [name for name in _wanted(config) if VARIANTS[name] in PRESETS]
    if not present:
        raise ConfigError(f"no network for {', '.join(config.variants)}; name other --variants")
    return present


def _run(name: str, args: argparse.Namespace) -> TrainConfig:
    own = {"preset": VARIANTS[name], "init": None, "out": args.out / name}
    own["cache_dir"] = args.cache_dir or args.out / "shards"  # fetched once for all
    return from_flags(TrainConfig, argparse.Namespace(**{**vars(args), **own}))


def ablate(config: AblateConfig, runs: dict[str, TrainConfig]) -> int:
    """Train what is not trained yet, measure all, write; returns the exit code."""
    out = next(iter(runs.values())).out.parent
    evaluation = _evaluation(config, runs, out)
    _check_measurable(evaluation)
    for name, run in runs.items():
        sys.stderr.write(f"training {name} in {run.out}\n")
        if signal_number := train(run, resume=True):
            sys.stderr.write("stopped; the same command goes on from there\n")
            return 128 + signal_number
    results: dict[str, Any] = evaluate(evaluation)
    missing = [name for name in _wanted(config) if name not in runs]
    for name in missing:
        sys.stdout.write(f"{name}: not present (there is no preset {VARIANTS[name]})\n")
    for name, about in results["networks"].items():
        sys.stdout.write(
            f"{name}: {about['parameters']:,} parameters, {about['steps']:,} updates of "
            f"{about['batch']} pictures\n"
        )
    write_json(out / "ablation.json", results | {"missing": missing}, flag="--out")
    sys.stdout.write(f"{out / 'ablation.json'}\n")
    return 0


def _evaluation(config: AblateConfig, runs: dict[str, TrainConfig], out: Path) -> EvaluateConfig:
    first = next(iter(runs.values()))
    return EvaluateConfig(
        data=config.val,
        weights=tuple(run.out / "weights.safetensors" for run in runs.values()),
        masks=config.val_masks,
        size=config.val_size or max(first.crop, SMALLEST),
        limit=config.val_limit,
        seeds=config.val_seeds,
        features=config.val_features,
        grid=out / "ablation.png",
        device=first.device,
    )


def _check_measurable(config: EvaluateConfig) -> None:
    """Raise now what would be raised after days of training."""
    opencv_methods()
    open_observer(features=config.features, device=config.device)
    for entry in find_pictures(config.data)[: config.limit]:
        entry.decode()


if __name__ == "__main__":
    sys.exit(main())
