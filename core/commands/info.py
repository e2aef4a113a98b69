"""`python -m core info`: what a weights file or an exported graph says of itself."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..contract import Contract, Port
from ..graph import GraphInfo, read_graph
from ..semantic import UNKNOWN, has_unknown
from ..weights import DEFAULT_WEIGHTS, WeightsInfo, read_info

INDENT = 14
SHOWN_APART = ("labels", "palette")
"""Settings that have lines of their own."""


def add_info(parser: ArgumentParser) -> None:
    """The flags of `info`."""
    parser.set_defaults(run=info)
    parser.description = (
        "Say what a weights file or an exported graph is: its network, inputs, labels and training."
    )
    parser.add_argument("file", metavar="FILE", nargs="?", default=str(DEFAULT_WEIGHTS))
    parser.add_argument("--json", action="store_true", help="for programs")


def info(args: Namespace) -> int:
    """`info`: for a person, or as one line of JSON."""
    path = Path(args.file)
    as_json, as_text = _graph(path) if path.suffix == ".onnx" else _weights(path)
    sys.stdout.write(as_json + "\n" if args.json else as_text)
    return 0


def _weights(path: Path) -> tuple[str, str]:
    """As JSON and for a person."""
    found = read_info(path)
    facts = {
        "architecture": found.architecture,
        "parameters": found.parameters,
        "dtype": found.dtype,
        "config": vars(found.config),
        "contract": found.contract,
        "about": found.about,
    }
    return json.dumps(facts, sort_keys=True), _describe(found)


def _graph(path: Path) -> tuple[str, str]:
    """As JSON and for a person."""
    found = read_graph(path)
    return found.to_json(), _describe_graph(found)


def _describe_graph(found: GraphInfo) -> str:
    part = f"part {found.part!r} of {', '.join(found.parts)}"
    lines = {
        "architecture": found.architecture,
        "graph": "the whole pipeline" if found.kind == "pipeline" else part,
        "precision": f"{found.precision}, opset {found.opset}",
        **_contract_lines(found.contract),
        "weights": found.weights_sha256,
        "settings": _named(found.settings),
        "made by": " ".join(f"{name} {version}" for name, version in found.versions.items()),
        **{key: str(value) for key, value in sorted(found.about.items())},
    }
    return _text(lines, found.contract)


def _describe(found: WeightsInfo) -> str:
    contract = Contract.from_dict(found.contract)
    settings = {k: v for k, v in vars(found.config).items() if k not in SHOWN_APART}
    lines = {
        "architecture": found.architecture,
        "parameters": f"{found.parameters:,}, {found.dtype} on disk",
        **_contract_lines(contract),
        "settings": _named(settings),
        **{key: str(value) for key, value in sorted(found.about.items())},
    }
    return _text(lines, contract)


def _contract_lines(contract: Contract) -> dict[str, str]:
    return {
        "inputs": "; ".join(_port(port) for port in contract.inputs),
        "sizes": f"multiples of {contract.multiple_of}, best at {contract.native_size}",
        "channels": contract.order.upper(),
    }


def _named(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{k}={v}" for k, v in values.items())


def _text(lines: Mapping[str, str], contract: Contract) -> str:
    """A line each, then the labels."""
    text = "".join(f"{key:<{INDENT}}{value}\n" for key, value in lines.items() if value)
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
