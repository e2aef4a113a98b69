"""The flags of every command that runs a network, and the network that they name."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..backends import open_backend
from ..pipeline import FillOptions, Inpainter
from ..weights import DEFAULT_WEIGHTS
from .folder import say

DEFAULTS = FillOptions()


def add_options(parser: ArgumentParser) -> None:
    """The flags of `FillOptions`, but for the seed."""
    group = parser.add_argument_group("how to fill")
    for name, text in (
        ("grow", "pixels to widen the hole"),
        ("feather", "pixels round the hole to blend over; 0 keeps them bit for bit"),
        ("work-size", "longest side on which the network works"),
    ):
        default = getattr(DEFAULTS, name.replace("-", "_"))
        group.add_argument(
            f"--{name}", type=int, default=default, metavar="N", help=f"{text} (default: {default})"
        )
    group.add_argument(
        "--strategy", choices=("auto", "full", "crop"), default=DEFAULTS.strategy,
        help="whole picture, or crops round the holes (default: auto)",
    )  # fmt: skip
    group.add_argument(
        "--context", type=float, default=DEFAULTS.context, metavar="SHARE",
        help=f"picture kept round a crop, in hole sides (default: {DEFAULTS.context})",
    )  # fmt: skip


def add_model(parser: ArgumentParser, *, bundled: bool = True) -> None:
    """The flags of the weights and the device; without `bundled` weights must be named."""
    group = parser.add_argument_group("network")
    group.add_argument(
        "--weights", default=str(DEFAULT_WEIGHTS) if bundled else None, required=not bundled,
        metavar="FILE", help="default: the bundled ones" if bundled else "weights of the network",
    )  # fmt: skip
    group.add_argument("--device", default="", help="cpu, cuda or mps (default: the best there)")


def add_folder_flags(parser: ArgumentParser) -> None:
    """The flags of every command that works through a folder."""
    group = parser.add_argument_group("folders and programs")
    group.add_argument(
        "--resume", action="store_true", help="folders: skip what has its result already"
    )
    group.add_argument("--report", metavar="FILE", help="folders: default OUT/report.jsonl")
    group.add_argument("--json", action="store_true", help="report on stdout, a line of JSON each")


def open_inpainter(args: Namespace) -> Inpainter:
    """The network of the flags, with the options that the command has flags for."""
    fields = ("grow", "feather", "strategy", "context", "work_size", "seed")
    values = {name: getattr(args, name, None) for name in fields}
    options = FillOptions(**{name: value for name, value in values.items() if value is not None})
    backend = open_backend(Path(args.weights), args.device)
    say(f"{Path(args.weights).name} on {getattr(backend, 'device', 'its own device')}")
    return Inpainter(backend, options)
