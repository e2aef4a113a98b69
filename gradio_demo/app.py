"""The page: its tabs and their order; what they do is in each of them, and in the service."""

from pathlib import Path
from typing import Any

import gradio as gr

from gradio_demo.about_tab import AboutTab
from gradio_demo.api_tab import ApiTab
from gradio_demo.batch_tab import BatchTab
from gradio_demo.canvas import LayerCanvas
from gradio_demo.compare_tab import CompareTab
from gradio_demo.edit_tab import EditTab
from gradio_demo.page import Page, drawers_of, networks_of, quiet, words
from gradio_demo.service import Service

TITLE = "Gatefill"
STYLES = [Path(__file__).with_name(name) for name in ("page.css", "tabs.css")]

COLOURS = {
    "color_accent": "*primary_600",
    "button_primary_background_fill": "*primary_700",
    "button_primary_background_fill_dark": "*primary_700",
    "button_primary_background_fill_hover": "*primary_800",
    "button_primary_background_fill_hover_dark": "*primary_800",
    "body_text_color_subdued": "*neutral_500",
}
"""Darker than Gradio's, for contrast: text 4.5 to 1, what is no text 3 to 1 (WCAG 2)."""


def build_app(service: Service, url: str = "http://127.0.0.1:7860/") -> gr.Blocks:
    """The page of a service; url: where programs reach it, for the examples of the tab API."""
    t = words()
    store = service.store
    with Page(
        service, title=TITLE, delete_cache=(60, int(store.keep) + 60), fill_width=True
    ) as page:
        gr.Markdown(f"# {TITLE}", elem_id="title")
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab(t("edit"), id="edit"):
                edit = EditTab(service, t)
            with gr.Tab(t("batch"), id="batch"):
                batch = BatchTab(service, t)
            with gr.Tab(t("compare"), id="compare"):
                compare = CompareTab(service, edit, t)
            with gr.Tab(t("api"), id="api"):
                ApiTab(service, url)
            with gr.Tab(t("about"), id="about"):
                about = AboutTab(service, t)
        networks = [edit.settings.network, batch.settings.network, *compare.networks]

        def now() -> list[Any]:
            """What there is to choose from may have changed since the start."""
            return [*[networks_of(service)] * len(networks), drawers_of(service), *about.now()]

        page.load(now, None, [*networks, edit.kind, *about.shown], **quiet())
    return page


def functions_of(page: gr.Blocks) -> set[tuple[int, str]]:
    """Number of the component and name of each function that the editor's script calls."""
    editors = (block for block in page.blocks.values() if isinstance(block, LayerCanvas))
    return {(editor._id, function.__name__) for editor in editors for function in editor.server_fns}


def looks() -> dict[str, Any]:
    """What `launch` is told of fonts, colours and languages; nothing is fetched from elsewhere."""
    theme = gr.themes.Default(
        font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    ).set(**COLOURS)
    return {"theme": theme, "css_paths": STYLES, "i18n": words()}
