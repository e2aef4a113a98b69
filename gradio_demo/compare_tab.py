"""The tab that fills the hole of the editor in two ways, side by side."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from gradio_demo.canvas import FLUSH
from gradio_demo.edit_tab import EditTab
from gradio_demo.page import (
    DEVICE,
    asked_for,
    backends_of,
    cancelled,
    chosen_network,
    filled_words,
    follow,
    going_on,
    quiet,
    spoken,
    status,
)
from gradio_demo.service import Service
from gradio_demo.words import said

SIDES = ("first", "second")


class CompareTab:
    """Two networks, or one by two backends; how to fill is as the editor's tab says."""

    def __init__(self, service: Service, edit: EditTab, t: gr.I18n):
        self.service, self.edit = service, edit
        gr.Markdown(t("compare_help"))
        self.choices: list[Any] = []
        self.outputs: list[Any] = []
        with gr.Row():
            for side, first in zip(SIDES, service.models.names() * 2, strict=False):
                with gr.Column():
                    choice = chosen_network(service, t, side, side, first=first)
                    self.choices += choice
                    picture = gr.Image(
                        type="filepath", format="png", interactive=False, label=t(side),
                        elem_id=f"{side}-result", buttons=["download", "fullscreen"],
                    )  # fmt: skip
                    facts = gr.HTML(status(""), elem_id=f"{side}-facts")
                    self.outputs += [picture, facts]
        with gr.Row():
            self.start = gr.Button(t("compare_now"), variant="primary", elem_id="compare")
            self.cancel = gr.Button(t("cancel"), elem_id="compare-cancel")
        self.status = gr.HTML(status(""), elem_id="compare-status")
        self._connect()

    def _connect(self) -> None:
        event = self.start.click(
            self._compare, [self.edit.canvas, *self.choices, self.edit.style,
            *self.edit.settings.how], [*self.outputs, self.status], js=FLUSH,
            **quiet(concurrency_id=DEVICE, concurrency_limit=self.service.workers.count),
        )  # fmt: skip
        self.cancel.click(cancelled, None, self.status, cancels=[event], **quiet(queue=False))
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
        skips = [gr.skip()] * len(self.outputs)
        found = yield from follow(steps, lambda job: (*skips, going_on(job, language)))
        shown = [
            value
            for done in found
            for value in (str(done.path), status(filled_words(done, language)))
        ]
        yield (*shown, status(said("ready", language)))
