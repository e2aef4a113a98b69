"""Compare kinds of convolution, after table 1 of Yu et al. 2019: vanilla, partial and gated.

  python -m trainer.ablate --data photos/ --val val.tar --out runs/ablation --steps 20000 --width 16

Every kind is trained alike: the same number of updates, seed, pictures, masks, losses and other
settings (all flags of `python -m trainer` but --preset and --init, with the defaults of DeepFillv2
for all of them), each in its own run folder below --out. Then all are measured as by `python -m
trainer.evaluate`, on the masks that the paper measures on.

vanilla and gated are one topology. Their layers have the same number of output channels, so that
gated convolution has about twice as many parameters; the numbers stand below the table. partial is
another topology: the paper puts partial convolutions into its own framework, which is not built
here, and this is the U-Net of Liu et al. 2018, in one stage, without attention, and as deep as
--crop allows (presets pconv-512, pconv, pconv-small). It is therefore called partial-unet, and its
row compares networks that learn from the same losses and pictures, not the convolution alone. Its
pictures count from 0 to 1 where those of the others count from -1 to 1, so --l1-weight and
--tv-weight are doubled for it, for the terms to weigh alike. --width goes to all; without it each
has that of its preset.

The same command goes on where it was stopped; runs that are done are not trained again. Results:
--out/ablation.json, --out/ablation.png and the tables on stdout.
"""

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from core.config import PRESETS
from core.errors import ConfigError, InpaintError
from core.files import write_json
from core.flags import add_flags, from_flags
from core.registry import contract_of

from .config import TrainConfig, setting
from .data.samples import find_pictures
from .evaluate import EvaluateConfig, evaluate
from .loop import train
from .measure.fills import opencv_methods
from .measure.observe import open_observer


class Variant(NamedTuple):
    """A kind of convolution, as it is trained here."""

    name: str
    """Of its run folder and in the tables."""
    presets: tuple[str, ...]
    """Large to small; the first that suits the crop is trained, or else the last."""
    note: str = ""
    """What the tables must not hide."""


VARIANTS = {
    "vanilla": Variant("vanilla", ("deepfillv2-vanilla",)),
    "partial": Variant(
        "partial-unet",
        ("pconv-512", "pconv", "pconv-small"),
        "the U-Net of Liu et al. 2018, another topology than that of the others (one stage, no "
        "attention): its row compares networks, not the convolution alone",
    ),
    "gated": Variant("gated", ("deepfillv2",)),
}
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
        return ablate(config, {kind: _run(VARIANTS[kind], args) for kind in _wanted(config)})
    except InpaintError as problem:
        sys.stderr.write(f"error: {problem}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted a second time; the same command goes on from there\n")
        return 130


def _wanted(config: AblateConfig) -> tuple[str, ...]:
    return config.variants or tuple(VARIANTS)


def _run(variant: Variant, args: argparse.Namespace) -> TrainConfig:
    preset = suited(variant, args.crop)
    own: dict[str, Any] = {"preset": preset, "init": None, "out": args.out / variant.name}
    output = contract_of(PRESETS[preset]).output
    for name in ("l1_weight", "tv_weight"):
        own[name] = getattr(args, name) * 2 / (output.high - output.low)
    own["cache_dir"] = args.cache_dir or args.out / "shards"  # fetched once for all
    return from_flags(TrainConfig, argparse.Namespace(**{**vars(args), **own}))


def suited(variant: Variant, crop: int) -> str:
    """The preset for crops of `crop` pixels. Raises ConfigError where none can halve them."""
    for preset in variant.presets:
        contract = contract_of(PRESETS[preset])
        last = preset == variant.presets[-1]
        if crop % contract.multiple_of == 0 and (last or contract.native_size <= crop):
            return preset
    raise ConfigError(
        f"--crop is {crop}; {variant.name} needs a multiple of {contract.multiple_of}, or leave it "
        "out by --variants"
    )


def ablate(config: AblateConfig, runs: dict[str, TrainConfig]) -> int:
    """Train what is not trained yet, measure all, write; returns the exit code."""
    out = next(iter(runs.values())).out.parent
    evaluation = _evaluation(config, runs, out)
    _check_measurable(evaluation)
    for kind, run in runs.items():
        sys.stderr.write(f"training {kind} in {run.out}\n")
        if signal_number := train(run, resume=True):
            sys.stderr.write("stopped; the same command goes on from there\n")
            return 128 + signal_number
    results: dict[str, Any] = evaluate(evaluation)
    for name, about in results["networks"].items():
        sys.stdout.write(
            f"{name}: {about['parameters']:,} parameters, {about['steps']:,} updates of "
            f"{about['batch']} pictures\n"
        )
    notes = {VARIANTS[kind].name: VARIANTS[kind].note for kind in runs if VARIANTS[kind].note}
    for name, note in notes.items():
        sys.stdout.write(f"{name}: {note}\n")
    write_json(out / "ablation.json", results | {"notes": notes}, flag="--out")
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
