"""Command-line flags made from the fields of a dataclass, so that a default stands once.

The help of a flag is `field(metadata={"help": ...})`; a literal type gives choices.
"""

import argparse
import sys
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from .errors import InpaintError

SCALARS = (int, float, str, Path)


def add_flags(
    parser: argparse.ArgumentParser,
    settings: type,
    *,
    without: Collection[str] = (),
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """One --flag per field of the dataclass `settings`, but for those named in `without`.

    Fields without default are required; `defaults` go before those of the dataclass.
    """
    hints = get_type_hints(settings)
    for entry in [entry for entry in fields(settings) if entry.name not in without]:
        flag = "--" + entry.name.replace("_", "-")
        default = (defaults or {}).get(entry.name, entry.default)
        parser.add_argument(flag, **_options(entry, hints[entry.name], default))


def from_flags(settings: type, args: argparse.Namespace) -> Any:
    """The dataclass `settings`, filled from parsed flags; raises what its __post_init__ raises."""
    values = vars(args)
    return settings(
        **{
            entry.name: tuple(values[entry.name])
            if isinstance(values[entry.name], list)
            else values[entry.name]
            for entry in fields(settings)
        }
    )


def run_command(
    argv: list[str] | None,
    module: str,
    about: str | None,
    settings: type,
    work: Callable[[Any], Any],
) -> int:
    """`python -m module`, whose flags are the fields of `settings`: parse, work, report.

    Returns the exit code: 0 done, 1 failed with the sentence on stderr, 130 interrupted.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_flags(parser, settings)
    args = parser.parse_args(argv)

    def all_of_it() -> int:
        work(from_flags(settings, args))
        return 0

    return exit_code(all_of_it)


def exit_code(work: Callable[[], int]) -> int:
    """That of `work`, or 1 with the sentence of its error on stderr, or 130 if interrupted."""
    try:
        return work()
    except InpaintError as problem:
        sys.stderr.write(f"error: {problem}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing is half written\n")
        return 130


def _options(entry: Field[Any], hint: Any, default: Any) -> dict[str, Any]:
    text = entry.metadata.get("help", "")
    if default is not MISSING and default not in (None, (), ""):
        text += f" (default: {default})"
    options: dict[str, Any] = {"help": text.replace("%", "%%")}
    options |= {"required": True} if default is MISSING else {"default": default}
    return options | _type_options(entry.name, _without_none(hint))


def _type_options(name: str, hint: Any) -> dict[str, Any]:
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    if get_origin(hint) is tuple:
        return {"type": get_args(hint)[0], "nargs": "+", "metavar": name.rstrip("s").upper()}
    if hint in SCALARS:
        return {"type": hint, "metavar": {Path: "PATH", str: "TEXT"}.get(hint, "N")}
    raise TypeError(f"no flag can be made for the field {name} of type {hint}")


def _without_none(hint: Any) -> Any:
    """`X | None` -> X."""
    if get_origin(hint) in (Union, types.UnionType):
        (inner,) = (part for part in get_args(hint) if part is not type(None))
        return inner
    return hint
