"""The tab that fills the hole of the editor in two ways, side by side."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from core.errors import InpaintError
from gradio_demo.canvas import FLUSH
from gradio_demo.edit_tab import EditTab
from gradio_demo.page import (
    DEVICE,
    asked_for,
    backends_of,
    cancels,
    chosen_network,
    filled_words,
    follow,
    going_on,
    quiet,
    sentence,
    settled,
    spoken,
    status,
)
from gradio_demo.service import Done, Service
from gradio_demo.sources import Painting
from gradio_demo.words import said

SIDES = ("first", "second")
TALLEST = 600
"""Pixels of the screen for the picture with the slider."""


class CompareTab:
    """Two networks, or one by two backends; how to fill is as the editor's tab says."""

    def __init__(self, service: Service, edit: EditTab, t: gr.I18n):
        self.service, self.edit, self.t = service, edit, t
        gr.Markdown(t("compare_help"))
        with gr.Row():
            self.choices = self._choices()
        with gr.Row():
            self.start = gr.Button(t("compare_now"), variant="primary", elem_id="compare")
            self.cancel = gr.Button(t("cancel"), elem_id="compare-cancel")
        gr.Markdown(t("compare_empty"), elem_id="compare-empty")  # in sight as tabs.css says
        self.status = gr.HTML(status(""), elem_id="compare-status")
        with gr.Row():
            self.outputs = [part for side in SIDES for part in self._result(side)]
        caption: Any = t("compare_slider")
        self.slider = gr.ImageSlider(
            type="filepath", format="png", interactive=False, visible=False, elem_id="compare-both",
            label=caption, max_height=TALLEST, buttons=["fullscreen"],
        )  # fmt: skip
        self._connect()

    @property
    def networks(self) -> list[gr.Dropdown]:
        """The dropdowns of the networks."""
        return [self.choices[0], self.choices[2]]

    def _choices(self) -> list[Any]:
        """Network and backend of each side."""
        network, runtime = self.service.models.other()
        with gr.Column():
            first = chosen_network(self.service, self.t, "first", "first")
        with gr.Column():
            second = chosen_network(
                self.service, self.t, "second", "second", first=network, runtime=runtime
            )
        return [*first, *second]

    def _result(self, side: str) -> tuple[Any, ...]:
        """Where the result of a side is shown: picture, words, and the file to download."""
        with gr.Column():
            picture = gr.Image(
                type="filepath", format="png", interactive=False, label=self.t(side),
                elem_id=f"{side}-result", buttons=["fullscreen"],
            )  # fmt: skip
            facts = gr.HTML(status(""), elem_id=f"{side}-facts")
            label: Any = self.t("download")
            file = gr.DownloadButton(label, visible=False, size="sm", elem_id=f"{side}-download")
        return picture, facts, file

    def _connect(self) -> None:
        event = self.start.click(
            self._compare, [self.edit.canvas, *self.choices, self.edit.style,
            *self.edit.settings.how], [*self.outputs, self.slider, self.status], js=FLUSH,
            **quiet(concurrency_id=DEVICE, concurrency_limit=self.service.workers.count),
        )  # fmt: skip
        settled(event, self.status)
        cancels([self.cancel.click], [event], self.status)
        for network, backend in (self.choices[:2], self.choices[2:]):
            network.input(lambda name: backends_of(self.service, name), network, backend, **quiet())

    def _compare(
        self,
        request: gr.Request,
        canvas: Any,
        network_1: Any,
        backend_1: Any,
        network_2: Any,
        backend_2: Any,
        style: Any,
        *how: Any,
    ) -> Iterator[tuple[Any, ...]]:
        language = spoken(request)
        source = self.edit.painting(canvas, style)
        pairs = ((network_1, backend_1), (network_2, backend_2))
        orders = [asked_for(network, backend, *how) for network, backend in pairs]
        steps = self.service.workers.steps(lambda job: self.service.compare(source, orders, job))
        skips = [gr.skip()] * (len(self.outputs) + 1)
        found = yield from follow(steps, lambda job: (*skips, going_on(job, language)))
        seen = [self._seen(one) for one in found]
        shown = [
            value
            for one, path in zip(found, seen, strict=True)
            for value in self._shown(one, path, source, language)
        ]
        both = tuple(path for path in seen if path)
        slider = gr.ImageSlider(value=both if len(both) == 2 else None, visible=len(both) == 2)
        yield (*shown, slider, status(said("ready", language)))

    def _seen(self, one: Done | InpaintError) -> str | None:
        """A picture that browsers show, if there is a result."""
        return str(self.service.previews.shown(one.path)) if isinstance(one, Done) else None

    def _shown(
        self, one: Done | InpaintError, seen: str | None, source: Painting, language: str
    ) -> tuple[Any, ...]:
        """What is shown of a side; see `_result`."""
        if isinstance(one, InpaintError):
            words = sentence(self.service.store.plain(str(one)))
            return None, status(words), gr.DownloadButton(visible=False)
        words = filled_words(one, language)
        left = source.left(self.service.models.contract(one.report["network"]))
        if left:
            layers = ", ".join(said(f"layer_{name}", language) for name in left)
            words += ". " + said("not_taken", language, layers=layers)
        return seen, status(words), gr.DownloadButton(value=str(one.path), visible=True)
