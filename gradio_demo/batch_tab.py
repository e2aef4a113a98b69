"""The tab for many pictures at once."""

import html
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from core.errors import ConfigError
from gradio_demo.batch import fill_batch
from gradio_demo.page import (
    BATCH,
    asked_for,
    backends_of,
    cancelled,
    follow,
    going_on,
    quiet,
    settings,
    spoken,
    status,
)
from gradio_demo.service import Service
from gradio_demo.words import said

COLUMNS = ("image", "result", "size", "hole %", "seconds")


class BatchTab:
    """Files in, a zip out."""

    def __init__(self, service: Service, t: gr.I18n):
        self.service = service
        gr.Markdown(t("batch_help"))
        with gr.Row():
            with gr.Column():
                self.pictures = gr.File(
                    label=t("pictures"), file_count="multiple", elem_id="batch-pictures",
                    height=150,
                )  # fmt: skip
                self.masks = gr.File(
                    label=t("masks"), file_count="multiple", elem_id="batch-masks",
                    height=150,
                )  # fmt: skip
                self.settings = settings(service, t, "batch")
                with gr.Row():
                    self.fill = gr.Button(t("fill_all"), variant="primary", elem_id="batch-fill")
                    self.cancel = gr.Button(t("cancel"), elem_id="batch-cancel")
                self.status = gr.HTML(status(""), elem_id="batch-status")
            with gr.Column():
                self.results = gr.File(
                    label=t("results"), interactive=False, elem_id="batch-results"
                )
                self.report = gr.HTML(elem_id="batch-report", label=t("report"))
        self._connect()

    def _connect(self) -> None:
        event = self.fill.click(
            self._fill, [self.pictures, self.masks, *self.settings.inputs],
            [self.results, self.report, self.status],
            **quiet(concurrency_id=BATCH, concurrency_limit=1),
        )  # fmt: skip
        self.cancel.click(cancelled, None, self.status, cancels=[event], **quiet(queue=False))
        self.settings.network.input(
            lambda network: backends_of(self.service, network),
            self.settings.network, self.settings.backend, **quiet(),
        )  # fmt: skip

    def _fill(
        self, request: gr.Request, pictures: Any, masks: Any, *asked: Any
    ) -> Iterator[tuple[Any, Any, Any]]:
        language = spoken(request)
        files, holes = self._files(pictures, "a picture"), self._files(masks, "a mask")
        if not files:
            raise ConfigError("there are no pictures yet; add some, or a zip of them")
        order = asked_for(*asked)
        steps = self.service.workers.steps(
            lambda job: fill_batch(self.service, files, holes, order, job)
        )
        skip = gr.skip()
        done = yield from follow(steps, lambda job: (skip, skip, going_on(job, language)))
        facts = {k: done.report[k] for k in ("done", "failed", "network", "runs_on")}
        yield (
            str(done.path),
            table(done.report["lines"]),
            status(said("batch_done", language, **facts)),
        )

    def _files(self, given: Any, what: str) -> list[Path]:
        return [self.service.store.uploaded(str(path), what) for path in given or []]


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """The lines of a report, for people."""
    head = "".join(f'<th scope="col">{name}</th>' for name in COLUMNS)
    body = "".join(f"<tr>{''.join(map(_cell, _row(line)))}</tr>" for line in lines)
    return f'<div class="job-report"><table><tr>{head}</tr>{body}</table></div>'


def _row(line: Mapping[str, Any]) -> list[Any]:
    if line["status"] != "done":
        return [line["image"], line.get("error", line["status"]), "", "", ""]
    size = f"{line['width']} x {line['height']}"
    return [line["image"], line["status"], size, line["hole_percent"], line["seconds"]]


def _cell(value: Any) -> str:
    return f"<td>{html.escape(str(value))}</td>"
