"""The texts of a bundle, from the templates in export/deploy and the facts of its manifest."""

import re
from importlib import metadata
from pathlib import Path
from string import Template

from core.contract import Contract, Port

from ..model_repository import ANY, Signature, Slot

TEMPLATES = Path(__file__).resolve().parent.parent / "deploy"
COMMAND = ("infer.py", "pictures.py")
REQUIRED = ("numpy", "pillow", "onnxruntime")
RANGES = {"TYPE_UINT8": "0 to 255", "TYPE_INT32": "whole numbers"}
MEANINGS = {
    "image": "photo",
    "first_fill": "what was filled before",
    "completed": "the photo with its holes filled",
}


def from_template(name: str, **values: object) -> str:
    """The template `name`.in, filled; every `$$name` in it must be given."""
    text = (TEMPLATES / f"{name}.in").read_text(encoding="utf-8")
    return Template(text).substitute({key: str(value) for key, value in values.items()})


def requirements() -> dict[str, str]:
    """Package -> the version here, which filled the picture of the smoke test."""
    return {name: _version(name) for name in REQUIRED}


def _version(name: str) -> str:
    """Without what a build adds after a plus, which no registry has."""
    import importlib

    module = {"pillow": "PIL"}.get(name, name)
    return str(importlib.import_module(module).__version__).partition("+")[0]


def gatefill_version() -> str:
    """Of this checkout, as pyproject.toml has it."""
    text = (TEMPLATES.parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^version = "(.+)"$', text, flags=re.MULTILINE)
    return found[1] if found else "unknown"


def package_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Of those that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def pipeline_table(signature: Signature, contract: Contract) -> str:
    """Inputs and output of the graph of bytes."""
    rows = []
    for slot in (*signature.inputs, *signature.outputs):
        port = next((port for port in contract.inputs if port.name == slot.name), None)
        rows.append((slot, _bytes_meaning(slot, port)))
    return _table(rows)


def generator_table(signature: Signature, contract: Contract) -> str:
    """Inputs and output of the network."""
    ports = {port.name: port for port in (*contract.inputs, contract.output)}
    slots = (*signature.inputs, *signature.outputs)
    return _table([(slot, _float_meaning(ports[slot.name], contract)) for slot in slots])


def card_without_pictures(text: str) -> str:
    """A model card for another folder: pictures that stay behind are named by their text."""
    return re.sub(r"!\[([^\]]*)\]\((?!https?:)[^)]*\)", r"*(picture: \1)*", text)


def sections(card: str) -> dict[str, str]:
    """Heading -> text, of the second level."""
    parts = re.split(r"^## +(.+?) *$", card, flags=re.MULTILINE)
    return {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def _table(rows: list[tuple[Slot, str]]) -> str:
    lines = ["| name | type | shape | what |", "|---|---|---|---|"]
    for slot, meaning in rows:
        kind = slot.data_type.removeprefix("TYPE_").lower()
        lines.append(f"| `{slot.name}` | {kind} | {_shape(slot)} | {meaning} |")
    return "\n".join(lines)


def _shape(slot: Slot) -> str:
    axes = ("N", "C", "H", "W")
    sides = [
        name if side == ANY else str(side) for name, side in zip(axes, slot.dims, strict=False)
    ]
    return f"({', '.join(sides)})"


def _bytes_meaning(slot: Slot, port: Port | None) -> str:
    if slot.name == "mask":
        return "hole where above 127"
    if port is None or slot.name == "image":
        return MEANINGS.get(slot.name, "")
    if port.kind == "labels":
        unknown = "; 255 = unknown" if port.channels > len(port.labels) else ""
        return f"number of each pixel's label: {_named(port)}{unknown}"
    if port.kind == "instances":
        return "numbers that differ from thing to thing; those of the labels will do"
    if port.kind == "vector":
        return "drawn from N(0, 1)"
    drawn = "line where above 127" if port.binary or port.channels == 1 else "colour strokes"
    return f"{drawn}; 0 = nothing drawn"


def _float_meaning(port: Port, contract: Contract) -> str:
    order = contract.order.upper() if port.channels == 3 else ""
    what = {
        "labels": f"one channel for each label, 0 or 1: {_named(port)}",
        "instances": "1 at the edges of things",
        "noise": f"{port.density:.0%} of the values at the upper end, drawn at random",
        "vector": "a style, drawn from N(0, 1) or made by generator.encode.onnx",
    }.get(port.kind, ", ".join(filter(None, (MEANINGS.get(port.name, ""), order))))
    hole = "1 = hole, 0 = known" if port.name == "mask" else ""
    empty = f"{port.low:g} = nothing drawn" if port.optional and port.kind == "map" else ""
    return "; ".join(filter(None, (f"{port.low:g} to {port.high:g}", what, hole, empty)))


def _named(port: Port) -> str:
    names = port.labels
    listed = ", ".join(f"{i} {name}" for i, name in enumerate(names[:20]))
    return listed + (", ... (manifest.json has them all)" if len(names) > 20 else "")
