"""The flags of every command that runs a network, and the network that they name."""

from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from pathlib import Path

from ..backends import RUNTIMES, open_backend
from ..options import STRATEGIES, FillOptions
from ..pipeline import Inpainter
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
        ("seam", "pixels inside the hole over which the fill is drawn to the colours round it"),
    ):
        default = getattr(DEFAULTS, name.replace("-", "_"))
        group.add_argument(
            f"--{name}", type=int, default=default, metavar="N", help=f"{text} (default: {default})"
        )
    group.add_argument(
        "--strategy", choices=STRATEGIES, default=DEFAULTS.strategy,
        help="whole picture, crops round the holes, or all holes in a single pass (default: auto)",
    )  # fmt: skip
    group.add_argument(
        "--color-match", action=BooleanOptionalAction, default=DEFAULTS.color_match,
        help="take the broad error of colour, seen on known pixels, off the fill (default: yes)",
    )  # fmt: skip
    group.add_argument(
        "--context", type=float, default=DEFAULTS.context, metavar="SHARE",
        help=f"picture kept round a crop, in hole sides (default: {DEFAULTS.context})",
    )  # fmt: skip


def add_model(parser: ArgumentParser, *, bundled: bool = True) -> None:
    """The flags of the network and what runs it; without `bundled` it must be named."""
    group = parser.add_argument_group("network")
    group.add_argument(
        "--weights", default=str(DEFAULT_WEIGHTS) if bundled else None, required=not bundled,
        metavar="FILE",
        help="weights, an exported graph (.onnx), an engine, or the folder of a deployment bundle"
        + (" (default: the bundled weights)" if bundled else ""),
    )  # fmt: skip
    group.add_argument(
        "--backend", choices=RUNTIMES, default="auto",
        help="what runs it (default: auto, which is torch for weights, and for a graph the first "
        "that works of tensorrt, onnxruntime and torch)",
    )  # fmt: skip
    group.add_argument(
        "--device", default="",
        help="torch: cpu, cuda or mps; onnxruntime: cpu, cuda, tensorrt, rtx, directml or coreml; "
        "openvino: cpu or gpu, in bfloat16 as cpu:bf16; tensorrt: cuda; the second card is cuda:1 "
        "(default: the best there)",
    )  # fmt: skip


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
    fields = ("grow", "feather", "strategy", "context", "work_size", "color_match", "seam", "seed")
    values = {name: getattr(args, name, None) for name in fields}
    options = FillOptions(**{name: value for name, value in values.items() if value is not None})
    backend = open_backend(Path(args.weights), args.device, args.backend, say)
    say(f"{Path(args.weights).name} on {getattr(backend, 'device', 'its own device')}")
    return Inpainter(backend, options)
