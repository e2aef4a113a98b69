"""Help pages and translations of the nodes as data: tables, and words by their place."""

import json
import re
from pathlib import Path
from typing import Any

from fake_comfy import Schema, Slot

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "web" / "docs"
LANGUAGES = ("en", "zh", "ko", "ja")
INPUTS, OUTPUTS = 0, 1
"""Which table of a page."""
ADVANCED = {"en": "advanced", "zh": "高级", "ko": "고급", "ja": "詳細"}
OPTIONAL = {"en": "optional", "zh": "可选", "ko": "선택", "ja": "任意"}
"""How a page says so; the first are the page's own words for such inputs."""

ON_OFF = {"en": ("off", "on"), "zh": ("关", "开"), "ko": ("끔", "켬"), "ja": ("オフ", "オン")}
DEFAULT = {"en": "default", "zh": "默认", "ko": "기본값", "ja": "既定値"}
EMPTY = {"en": "empty", "zh": "空", "ko": "비어 있음", "ja": "空"}

Row = tuple[str, ...]
"""The cells of a line of a table."""


def page(node: str, language: str) -> str:
    """A help page."""
    return (DOCS / node / f"{language}.md").read_text(encoding="utf-8")


def tables(text: str) -> list[list[Row]]:
    """The rows of each table, without those of the headings."""
    found = []
    for block in re.findall(r"(?:^\|.*\|\n)+", text, flags=re.MULTILINE):
        rows = [
            tuple(cell.strip() for cell in line[1:-1].split(" | ")) for line in block.split("\n")
        ]
        found.append([row for row in rows if any(row)][2:])
    return found


def facts_of(slot: Slot, language: str) -> str:
    """The last cell of an input: its type, or else default and range; optional, advanced."""
    marks = [OPTIONAL[language]] if slot.optional else []
    marks += [ADVANCED[language]] if slot.given.get("advanced") else []
    return ", ".join([_value(slot, language), *marks])


def _value(slot: Slot, language: str) -> str:
    given = slot.given
    default, low, high = (given.get(name) for name in ("default", "min", "max"))
    if isinstance(default, bool):
        fact = ON_OFF[language][default]
    elif low is not None:
        fact = f"{default:.10g} ({low:.10g} … {high:.10g})"
    elif default is None or given.get("force_input"):
        return slot.get_io_type().replace(",", " / ")
    else:
        fact = f"`{default}`" if default else EMPTY[language]
    return f"{DEFAULT[language]} {fact}"


def words_of(schema: Schema) -> dict[str, Any]:
    """What a schema says of itself, as ComfyUI's translations have it."""
    inputs = {
        slot.id: _with_tooltip(slot.given.get("display_name") or slot.id, slot.given.get("tooltip"))
        for slot in schema.inputs
    }
    outputs = {
        str(i): _with_tooltip(slot.given["display_name"], slot.given.get("tooltip"))
        for i, slot in enumerate(schema.outputs)
    }
    return {
        "display_name": schema.display_name,
        "description": schema.description,
        "inputs": inputs,
        "outputs": outputs,
    }


def _with_tooltip(name: str, tooltip: str | None) -> dict[str, str]:
    return {"name": name} | ({"tooltip": tooltip} if tooltip else {})


def paths_of(words: Any, prefix: str = "") -> set[str]:
    """Where words stand: "GatefillInpaint/inputs/mask/tooltip"."""
    if not isinstance(words, dict):
        return {prefix}
    return {path for key, x in words.items() for path in paths_of(x, f"{prefix}/{key}".strip("/"))}


def locale(language: str) -> dict[str, Any]:
    """The translation of the nodes."""
    path = ROOT / "locales" / language / "nodeDefs.json"
    return json.loads(path.read_text(encoding="utf-8"))
