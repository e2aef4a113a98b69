"""`python -m core import`: a checkpoint that other people released, as weights of this project."""

from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from dataclasses import fields
from pathlib import Path

from ..config import SPADE_CHOICES
from ..errors import ConfigError
from ..legacy.known import RELEASES, Imported, import_release
from ..legacy.release import ImportOptions
from ..weights import read_info, save_weights
from .folder import say


def add_import(parser: ArgumentParser) -> None:
    """The flags of `import`."""
    parser.set_defaults(run=import_checkpoint)
    known = "; ".join(release.title for release in RELEASES)
    parser.description = (
        "Convert FILE, a checkpoint that other people released, into weights that every command "
        "here takes. What it is is seen by its names and shapes, all of which are checked; "
        "source and terms stand in the result (python -m core info). Nothing is downloaded. Known "
        f"are: {known}."
    )
    parser.add_argument(
        "file", metavar="FILE", help=".pth, .pt, .safetensors; or a TensorFlow checkpoint: prefix, "
        ".index or folder",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", required=True, metavar="OUT", help="weights/NAME.safetensors"
    )
    parser.add_argument(
        "--order", choices=("rgb", "bgr"),
        help="order of the channels that it has learnt (default: as its own code feeds it)",
    )  # fmt: skip
    _add_spade(parser)


def _add_spade(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("what a file of SPADE does not say")
    group.add_argument(
        "--encoder", type=Path, metavar="FILE", help="of styles (default: latest_net_E.pth beside)"
    )
    group.add_argument(
        "--labels", type=Path, metavar="FILE", help="names of the labels, a line each in the order "
        "of their numbers, perhaps with a colour: sky #808080; or a palette, .gpl or .json",
    )  # fmt: skip
    group.add_argument(
        "--unknown", action=BooleanOptionalAction, help="a channel of its map is for no label"
    )
    group.add_argument(
        "--instance-edges", action=BooleanOptionalAction,
        help="the last channel of its map is for edges between things",
    )  # fmt: skip
    group.add_argument("--upsampling", choices=SPADE_CHOICES["upsampling"])
    group.add_argument(
        "--native-size", type=int, metavar="SIDE", help="width of the pictures of its training"
    )
    group.add_argument("--aspect", type=float, metavar="A", help="their width over height")


def import_checkpoint(args: Namespace) -> int:
    """`import`: one file in, one out."""
    output = Path(args.output)
    if output.suffix != ".safetensors":
        raise ConfigError(f"-o is {output}; it must end in .safetensors")
    if output.resolve() == Path(args.file).resolve():
        raise ConfigError(f"-o is the checkpoint itself, {output}; name another file")
    options = ImportOptions(
        **{entry.name: getattr(args, entry.name) for entry in fields(ImportOptions)}
    )
    imported = import_release(Path(args.file), options)
    save_weights(output, imported.network, about=imported.about)
    say(_summary(imported))
    found = read_info(output)
    say(f"{output}: {found.architecture}, {found.parameters:,} numbers; all names and shapes fit")
    return 0


def _summary(imported: Imported) -> str:
    """What was found, what of it was left out, and the terms."""
    lines = [f"this is {imported.release.title}"]
    for what, names in imported.left_out.items():
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        lines.append(f"left out: {what} ({len(names)}: {shown})")
    if "notes" in imported.about:
        lines.append(f"note: {imported.about['notes']}")
    lines += [f"{key}: {imported.about[key]}" for key in ("source", "paper", "terms")]
    return "\n".join(lines)
