"""The endpoints for programs, and the tab that says how they are called.

Gradio hands their values over as the request has them, so each is checked here (`asked`, `Store`).
"""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import GenericAlias
from typing import Any

import gradio as gr
from gradio.data_classes import FileData

from core.errors import ConfigError
from gradio_demo.asked import order_of, text, whole
from gradio_demo.page import DEVICE, follow
from gradio_demo.running import FILLING, Job
from gradio_demo.service import MOST_SIDE, Service
from gradio_demo.sources import SEMANTIC, Given

GUIDE = Path(__file__).with_name("api.md")
"""What the tab says; {url} stands for the address of the page."""


class ApiTab:
    """fill, sketch and semantic, for `gradio_client`, curl and the like."""

    def __init__(self, service: Service, url: str):
        self.service = service
        gr.Markdown(GUIDE.read_text(encoding="utf-8").replace("{url}", url), elem_id="api-guide")
        for name, work, kinds in (
            ("fill", self._fill(), (FileData, dict)),
            ("sketch", self._sketch(), (FileData,)),
            ("semantic", self._semantic(), (FileData, dict)),
        ):
            gr.api(
                _returning(work, kinds),
                api_name=name,
                concurrency_id=DEVICE,
                concurrency_limit=service.workers.count,
            )

    def _fill(self) -> Callable[..., Any]:
        service = self.service

        def fill(
            picture: FileData,
            mask: FileData | None = None,
            sketch: FileData | None = None,
            color: FileData | None = None,
            semantic: FileData | None = None,
            instances: FileData | None = None,
            style: FileData | None = None,
            network: str = service.models.first,
            backend: str = "",
            strategy: str = "auto",
            grow: int = 0,
            feather: int = 0,
            seed: int | None = None,
        ) -> Iterator[tuple[Any, dict[str, Any]]]:
            """Fill the white part of `mask`, or without one what is transparent in `picture`.

            The result is of the picture's format, size and metadata, and every pixel outside of
            the mask is as it was. sketch, color, semantic, instances and style are guides, for
            networks that take them. backend "" is that of the service. Comes with a report.
            """
            order = order_of(network, backend, strategy, grow, feather, seed)
            guides = {
                "sketch": sketch, "color": color, SEMANTIC: semantic, "instances": instances,
                "style": style,
            }  # fmt: skip
            source = Given(
                picture=self._file(picture, "picture"),
                mask=None if mask is None else self._file(mask, "mask"),
                guides=self._files(guides),
            )
            steps = service.workers.steps(lambda job: service.fill(source, order, job))
            done = yield from follow(steps, lambda job: (None, _facts(job)))
            yield _given(done.path), done.report

        return fill

    def _sketch(self) -> Callable[..., Any]:
        service = self.service

        def sketch(picture: FileData, kind: str = service.drawers()[0]) -> Iterator[Any]:
            """Draw the lines of `picture`, white on black, as `fill` takes them for a sketch."""
            path, name = self._file(picture, "picture"), text(kind, "kind")
            steps = service.workers.steps(lambda job: service.sketch(path, name, job))
            done = yield from follow(steps, lambda job: None)
            yield _given(done)

        return sketch

    def _semantic(self) -> Callable[..., Any]:
        service = self.service

        def semantic(
            semantic: FileData,
            instances: FileData | None = None,
            style: FileData | None = None,
            network: str = service.models.with_labels() or "",
            backend: str = "",
            height: int = 0,
            width: int = 0,
            seed: int | None = None,
        ) -> Iterator[tuple[Any, dict[str, Any]]]:
            """Make a whole picture of `semantic`, a map of labels; of its size if none is given.

            The map is grey values, palette indices, or the colours of the network's labels.
            """
            order = order_of(network, backend, seed=seed)
            files = self._files({SEMANTIC: semantic, "instances": instances, "style": style})
            sides = whole(height, "height", MOST_SIDE), whole(width, "width", MOST_SIDE)
            if any(sides) and not all(sides):
                raise ConfigError("height and width go together; give both, or neither")
            size = sides if all(sides) else None
            steps = service.workers.steps(lambda job: service.synthesize(files, size, order, job))
            done = yield from follow(steps, lambda job: (None, _facts(job)))
            yield _given(done.path), done.report

        return semantic

    def _file(self, value: Any, name: str) -> Path:
        return self.service.store.uploaded(value, name)

    def _files(self, values: dict[str, Any]) -> dict[str, Path]:
        return {name: self._file(x, name) for name, x in values.items() if x is not None}


def _returning(work: Callable[..., Any], kinds: tuple[Any, ...]) -> Callable[..., Any]:
    """`work`, of which Gradio is told that it gives those kinds and not an iterator."""
    hint = GenericAlias(tuple, kinds) if len(kinds) > 1 else kinds[0]
    signature = inspect.signature(work).replace(return_annotation=hint)
    work.__signature__ = signature  # type: ignore[attr-defined]  # where `inspect` looks first
    return work


def _given(path: Path) -> dict[str, Any]:
    return FileData(path=str(path), orig_name=path.name).model_dump()


def _facts(job: Job) -> dict[str, Any]:
    """What is told of work that goes on."""
    return {"doing": job.doing, "share": round(job.share if job.doing == FILLING else 0.0, 3)}
