"""The tab that says what the networks are, and on which terms."""

import html
import re
from pathlib import Path

import gradio as gr

from core.contract import Contract
from core.errors import InpaintError
from core.model_files import WEIGHTS_SUFFIX
from core.weights import DEFAULT_EDGES, read_info
from gradio_demo.models import Models
from gradio_demo.service import Service

PICTURE = re.compile(r"!\[[^\]]*\]\([^)]*\)\n?")
LOCAL_LINK = re.compile(r"\[([^\]]+)\]\((?!https?://)[^)]*\)")
HEAD = "| network | guides | parameters | licence |\n| --- | --- | ---: | --- |\n"


class AboutTab:
    """A table of the networks, and the card of each, as they are when the page is loaded."""

    def __init__(self, service: Service, t: gr.I18n):
        self.service = service
        self.networks = gr.Markdown(table(service.models), elem_id="networks")
        self.cards = gr.Markdown(folded(service.models), elem_id="cards")
        self.shown = [self.networks, self.cards]

    def now(self) -> list[str]:
        """What is to be shown."""
        return [table(self.service.models), folded(self.service.models)]


def table(models: Models) -> str:
    """A line for each network: what it takes, how large it is, its terms."""
    return HEAD + "".join(_row(name, models) for name in models.names())


def cards(models: Models) -> list[tuple[str, Path]]:
    """Name and card of each network that has one, and of the edge detector."""
    paths = {name: models.path(name).with_suffix(".md") for name in models.names()}
    paths[DEFAULT_EDGES.stem] = DEFAULT_EDGES.with_suffix(".md")
    return [(name, path) for name, path in paths.items() if path.is_file()]


def folded(models: Models) -> str:
    """The cards, each to be opened by its name."""
    return "\n\n".join(
        f"<details><summary>{html.escape(name)}</summary>\n\n{card(path)}\n\n</details>"
        for name, path in cards(models)
    )


def card(path: Path) -> str:
    """A card without its pictures and its links into the project, which are not served."""
    text = path.read_text(encoding="utf-8", errors="replace")  # anybody's file
    return LOCAL_LINK.sub(r"\1", PICTURE.sub("", text))


def _row(name: str, models: Models) -> str:
    path = models.path(name)
    contract: Contract = models.contract(name)
    guides = ", ".join(port.name for port in contract.guides if port.given) or "none"
    size, licence = "", ""
    if path.suffix == WEIGHTS_SUFFIX:
        try:
            info = read_info(path)
        except InpaintError:
            return ""  # it has just been removed
        size, licence = f"{info.parameters:,}", str(info.about.get("licence", "see its card"))
    name = name.replace("|", "\\|")
    return f"| {name} | {guides} | {size} | {licence} |\n"
