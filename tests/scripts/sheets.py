"""A workflow as the page of ComfyUI saves it, made of short descriptions."""

from typing import Any

TOP, GAP = 40, 64
"""Pixels: above the first node of a column, and between two, for their titles."""
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COLOR")


class Sheet:
    """One workflow in the making."""

    def __init__(self, nodes: dict[str, Any]):
        self.known = nodes
        self.nodes: list[dict[str, Any]] = []
        self.links: list[list[Any]] = []
        self._ends: dict[int, int] = {}

    def _below(self, column: int, size: tuple[int, int]) -> list[int]:
        """Where the next node of a column goes."""
        top = self._ends.get(column, TOP)
        self._ends[column] = top + size[1] + GAP
        return [column, top]

    def note(self, text: str, column: int, size: tuple[int, int]) -> None:
        """A text for people."""
        self.nodes.append({
            "id": len(self.nodes) + 1, "type": "MarkdownNote", "flags": {}, "order": 0, "mode": 0,
            "pos": self._below(column, size), "size": list(size), "properties": {},
            "inputs": [], "outputs": [], "widgets_values": [text],
            "color": "#432", "bgcolor": "#653",
        })  # fmt: skip

    def node(
        self, kind: str, column: int, size: tuple[int, int], /, *, mode: int = 0,
        title: str = "", **values: Any,
    ) -> "Source":  # fmt: skip
        """A node; values are those of widgets, or a `Source[...]` for a link."""
        facts = self.known[kind]
        number = len(self.nodes) + 1
        inputs, widgets = [], []
        for name, (type_, settings) in _slots(facts).items():
            given = values.pop(name, None)
            if isinstance(given, tuple):
                inputs.append(self._linked(name, type_, given, number, len(inputs)))
            elif not _has_widget(type_, settings):
                inputs.append({"name": name, "type": type_, "link": None})
            if _has_widget(type_, settings):
                default = settings.get("default", _first(type_, settings))
                linked = isinstance(given, tuple) or given is None
                widgets.append(default if linked else given)
                if settings.get("control_after_generate"):
                    widgets.append("fixed")
                if settings.get("image_upload") and kind.startswith("Load"):
                    widgets.append("image")
        if values:
            raise KeyError(f"{kind} has no {sorted(values)}")
        outputs = [
            {"name": name, "type": type_, "links": []}
            for name, type_ in zip(facts["output_name"], facts["output"], strict=True)
        ]
        self.nodes.append({
            "id": number, "type": kind, "pos": self._below(column, size), "size": list(size),
            "flags": {}, "order": number, "mode": mode, "inputs": inputs, "outputs": outputs,
            "properties": {"Node name for S&R": kind}, "widgets_values": widgets,
            **({"title": title} if title else {}),
        })  # fmt: skip
        return Source(number, facts["output_name"])

    def _linked(
        self, name: str, type_: str, source: tuple[int, int], target: int, slot: int
    ) -> dict[str, Any]:
        link = len(self.links) + 1
        output = self.nodes[source[0] - 1]["outputs"][source[1]]
        self.links.append([link, source[0], source[1], target, slot, output["type"]])
        output["links"].append(link)
        entry = {"name": name, "type": type_, "link": link}
        return entry | ({"widget": {"name": name}} if type_ in WIDGETS else {})

    def saved(self) -> dict[str, Any]:
        """As the page saves it."""
        return {
            "last_node_id": len(self.nodes), "last_link_id": len(self.links), "nodes": self.nodes,
            "links": self.links, "groups": [], "config": {}, "extra": {}, "version": 0.4,
        }  # fmt: skip


class Source:
    """The outputs of a node, by name."""

    def __init__(self, number: int, names: list[str]):
        self.number, self.names = number, names

    def __getitem__(self, name: str) -> tuple[int, int]:
        return self.number, self.names.index(name)


def _slots(facts: dict[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Type and settings of each input, in order."""
    found = {}
    for group in ("required", "optional"):
        for name in facts["input_order"].get(group, []):
            kind, *rest = facts["input"][group][name]
            settings = dict(rest[0]) if rest else {}
            if isinstance(kind, list):
                kind, settings = "COMBO", {"options": kind, **settings}
            found[name] = (kind, settings)
    return found


def _has_widget(kind: str, settings: dict[str, Any]) -> bool:
    return kind in WIDGETS and not settings.get("forceInput")


def _first(kind: str, settings: dict[str, Any]) -> Any:
    if kind == "COMBO":
        return settings["options"][0]
    return {"STRING": "", "BOOLEAN": False}.get(kind, 0)
