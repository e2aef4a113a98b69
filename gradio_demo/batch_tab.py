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
    cancels,
    follow,
    going_on,
    quiet,
    settings,
    settled,
    spoken,
    status,
)
from gradio_demo.service import Service
from gradio_demo.words import said

COLUMNS = ("image", "size", "hole", "seconds")
"""Of the table, named in `words`; in place of all but the first stands what went wrong."""


class BatchTab:
    """Files in, a zip out."""

    def __init__(self, service: Service, t: gr.I18n):
        self.service = service
        gr.Markdown(t("batch_help"))
        with gr.Row():
            with gr.Column():
                with gr.Row():
                    self.pictures, self.masks = (self._drop(t, x) for x in ("pictures", "masks"))
                self.settings = settings(service, t, "batch")
                with gr.Row():
                    self.fill = gr.Button(t("fill_all"), variant="primary", elem_id="batch-fill")
                    self.cancel = gr.Button(t("cancel"), elem_id="batch-cancel")
                self.status = gr.HTML(status(""), elem_id="batch-status")
            with gr.Column():
                self.hint = gr.Markdown(t("batch_results"), elem_id="batch-hint")
                self.results = gr.File(
                    label=t("results"), interactive=False, elem_id="batch-results", visible=False
                )
                self.report = gr.HTML(elem_id="batch-report", label=t("report"))
        self._connect()

    @staticmethod
    def _drop(t: gr.I18n, name: str) -> gr.File:
        """Where files are dropped."""
        with gr.Column(min_width=240):
            return gr.File(
                label=t(name), file_count="multiple", elem_id=f"batch-{name}", height=170
            )

    def _connect(self) -> None:
        event = self.fill.click(
            self._fill, [self.pictures, self.masks, *self.settings.inputs],
            [self.hint, self.results, self.report, self.status],
            **quiet(concurrency_id=BATCH, concurrency_limit=1),
        )  # fmt: skip
        settled(event, self.status)
        cancels([self.cancel.click], [event], self.status)
        self.settings.network.input(
            lambda network: backends_of(self.service, network),
            self.settings.network, self.settings.backend, **quiet(),
        )  # fmt: skip

    def _fill(
        self, request: gr.Request, pictures: Any, masks: Any, *asked: Any
    ) -> Iterator[tuple[Any, ...]]:
        language = spoken(request)
        files, holes = self._files(pictures, "a picture"), self._files(masks, "a mask")
        if not files:
            raise ConfigError("there are no pictures yet; add some, or a zip of them")
        order = asked_for(*asked)
        steps = self.service.workers.steps(
            lambda job: fill_batch(self.service, files, holes, order, job)
        )
        skips = [gr.skip()] * 3
        done = yield from follow(steps, lambda job: (*skips, going_on(job, language)))
        facts = {k: done.report[k] for k in ("done", "failed", "network", "runs_on")}
        yield (
            gr.Markdown(visible=False),
            gr.File(value=str(done.path), visible=True),
            table(done.report["lines"], language),
            status(said("batch_done", language, **facts)),
        )

    def _files(self, given: Any, what: str) -> list[Path]:
        return [self.service.store.uploaded(str(path), what) for path in given or []]


def table(lines: Sequence[Mapping[str, Any]], language: str = "en") -> str:
    """The lines of a report, for people; what went wrong stands first."""
    names = (html.escape(said(f"column_{name}", language)) for name in COLUMNS)
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "".join(map(_row, sorted(lines, key=lambda line: line["status"] == "done")))
    return (
        '<div class="job-report" tabindex="0" role="region"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(line: Mapping[str, Any]) -> str:
    name = f'<th scope="row">{html.escape(str(line["image"]))}</th>'
    if line["status"] != "done":
        words = html.escape(str(line.get("error", line["status"])))
        return f'<tr class="job-failed">{name}<td colspan="{len(COLUMNS) - 1}">{words}</td></tr>'
    size = f"{line['width']} x {line['height']}"
    values = (size, line["hole_percent"], line["seconds"])
    return f"<tr>{name}{''.join(f'<td>{html.escape(str(value))}</td>' for value in values)}</tr>"
