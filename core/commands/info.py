"""`python -m core info`: what a weights file says of itself."""

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..contract import Contract, Port
from ..semantic import UNKNOWN, has_unknown
from ..weights import DEFAULT_WEIGHTS, WeightsInfo, read_info

INDENT = 14
SHOWN_APART = ("labels", "palette")
"""Settings that have lines of their own."""


def add_info(parser: ArgumentParser) -> None:
    """The flags of `info`."""
    parser.set_defaults(run=info)
    parser.description = "Say what a weights file is: its network, inputs, labels and training."
    parser.add_argument("file", metavar="FILE", nargs="?", default=str(DEFAULT_WEIGHTS))
    parser.add_argument("--json", action="store_true", help="for programs")


def info(args: Namespace) -> int:
    """`info`: for a person, or as one line of JSON."""
    found = read_info(Path(args.file))
    facts = {
        "architecture": found.architecture,
        "parameters": found.parameters,
        "dtype": found.dtype,
        "config": vars(found.config),
        "contract": found.contract,
        "about": found.about,
    }
    if args.json:
        sys.stdout.write(json.dumps(facts, sort_keys=True) + "\n")
    else:
        sys.stdout.write(_describe(found))
    return 0


def _describe(found: WeightsInfo) -> str:
    contract = Contract.from_dict(found.contract)
    settings = {k: v for k, v in vars(found.config).items() if k not in SHOWN_APART}
    lines = {
        "architecture": found.architecture,
        "parameters": f"{found.parameters:,}, {found.dtype} on disk",
        "inputs": "; ".join(_port(port) for port in contract.inputs),
        "sizes": f"multiples of {contract.multiple_of}, best at {contract.native_size}",
        "channels": contract.order.upper(),
        "settings": ", ".join(f"{k}={v}" for k, v in settings.items()),
        **{key: str(value) for key, value in sorted(found.about.items())},
    }
    text = "".join(f"{key:<{INDENT}}{value}\n" for key, value in lines.items())
    return text + "".join(_labels(port) for port in contract.inputs if port.labels)


def _port(port: Port) -> str:
    notes = {
        "map": "",
        "labels": "labels, see below",
        "instances": "numbers of things; else edges of the labels",
        "noise": "drawn by seed",
        "vector": "style of a picture or by seed" if port.encoded else "drawn by seed",
    }
    parts = [f"{port.name} ({port.channels})", "optional" if port.optional else ""]
    return ", ".join(part for part in (*parts, notes[port.kind]) if part)


def _labels(port: Port) -> str:
    """A line for each label: its number, its colour where it has one, its name."""
    rows = [
        f"{number:>4}  {port.palette[number] + '  ' if port.palette else ''}{name}"
        for number, name in enumerate(port.labels)
    ]
    if has_unknown(port):
        rows.append(f"{UNKNOWN:>4}  {'         ' if port.palette else ''}unknown")
    return f"labels of {port.name}\n" + "".join(f"{row}\n" for row in rows)
