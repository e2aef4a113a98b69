"""Example workflows, from the form in which the page saves them, and run without a server."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from packs import Pack

FOLDER = Path(__file__).resolve().parents[1] / "example_workflows"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COLOR")
SHOWN = ("PreviewImage", "SaveImage")
"""ComfyUI's own nodes that the examples use, beside notes."""
MUTED = 2


class Widget(NamedTuple):
    """A value of a node that is set in the page."""

    name: str
    followed: bool
    """Whether the page saves another value after it: what is done to a seed after a run."""


Known = Mapping[str, list[Widget]]
"""The widgets of each node, in the order in which the page saves them."""


def known_by_server(object_info: dict[str, Any]) -> Known:
    """Of all nodes of a running server."""
    found: dict[str, list[Widget]] = {}
    for node, facts in object_info.items():
        found[node] = []
        for group in ("required", "optional"):
            for name, (kind, *rest) in facts["input"].get(group, {}).items():
                settings = rest[0] if rest else {}
                if (isinstance(kind, list) or kind in WIDGETS) and not settings.get("forceInput"):
                    found[node].append(Widget(name, bool(settings.get("control_after_generate"))))
    return found


def known_by_pack(pack: Pack) -> Known:
    """Of the nodes of the pack, and of those of ComfyUI that the examples use."""
    found = {"PreviewImage": [], "SaveImage": [Widget("filename_prefix", False)]}
    for node in pack.nodes:
        slots = sorted(pack.schema(node).inputs, key=lambda slot: bool(slot.optional))
        found[node] = [
            Widget(slot.id, bool(slot.given.get("control_after_generate")))
            for slot in slots
            if slot.get_io_type() in WIDGETS and not slot.given.get("force_input")
        ]
    return found


def read(name: str) -> dict[str, Any]:
    """An example as it is saved."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def to_prompt(workflow: dict[str, Any], known: Known) -> dict[str, Any]:
    """As the page posts it: without notes and what is switched off."""
    sources = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    prompt = {}
    for node in workflow["nodes"]:
        if node["type"] not in known or node["mode"] == MUTED:
            continue
        values = iter(node["widgets_values"])
        inputs: dict[str, Any] = {}
        for widget in known[node["type"]]:
            inputs[widget.name] = next(values)
            if widget.followed:
                next(values)
        assert next(values, None) is None, f"{node['type']} has other widgets than it had"
        for slot in node["inputs"]:
            if slot["link"] is not None:
                inputs[slot["name"]] = sources[slot["link"]]
        title = node.get("title", node["type"])
        facts = {"class_type": node["type"], "inputs": inputs, "_meta": {"title": title}}
        prompt[str(node["id"])] = facts
    return prompt


def evaluated(prompt: dict[str, Any], pack: Pack) -> dict[str, torch.Tensor]:
    """What the nodes that show pictures are given, by id: IMAGEs as the pack makes them."""
    results: dict[str, Any] = {}
    shown: dict[str, torch.Tensor] = {}

    def value_of(value: Any) -> Any:
        if not (isinstance(value, list) and len(value) == 2):
            return value
        source, output = value
        if source not in results:
            run(source)
        return results[source][output]

    def run(number: str) -> None:
        node = prompt[number]
        values = {name: value_of(value) for name, value in node["inputs"].items()}
        if node["class_type"] in SHOWN:
            shown[number] = values["images"]
            results[number] = ()
        else:
            results[number] = tuple(pack.run(node["class_type"], **values))

    for number in prompt:
        if number not in results:
            run(number)
    return shown
