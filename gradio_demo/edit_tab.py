"""The tab with the editor: fill, sketch from the picture, samples, views of the network."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData

from core.contract import Contract
from core.errors import ConfigError
from core.painted_map import brush_colours
from gradio_demo.asked import text
from gradio_demo.canvas import (
    LAYERS,
    STOPPED,
    CanvasData,
    Layer,
    LayerCanvas,
    begins,
    shown_while_running,
)
from gradio_demo.models import labels_port
from gradio_demo.page import (
    DEVICE,
    Settings,
    asked_for,
    backends_of,
    cancels,
    drawers_of,
    filled_words,
    follow,
    going_on,
    quiet,
    settings,
    settled,
    spoken,
    status,
)
from gradio_demo.samples import Sample, caption, previews, sample_of
from gradio_demo.service import Service
from gradio_demo.sources import Painting, layers_of
from gradio_demo.words import said


class EditTab:
    """The editor and all that stands beside it."""

    def __init__(self, service: Service, t: gr.I18n):
        self.service, self.t = service, t
        with gr.Row(elem_id="edit-tab"):
            with gr.Column(scale=4, min_width=320):
                self.canvas = LayerCanvas(
                    self.empty(), elem_id="editor", label=t("editor"), samples=previews(),
                    server_functions=[service.previews.function()],
                )  # fmt: skip
            with gr.Column(scale=1, min_width=280):
                with gr.Column(elem_id="act"):
                    with gr.Row():
                        self.fill = gr.Button(
                            t("fill"), variant="primary", elem_id="fill", min_width=80
                        )
                        self.cancel = gr.Button(
                            t("cancel"), elem_id="cancel", elem_classes="gf-while-running",
                            interactive=False, min_width=80,
                        )  # fmt: skip
                    self.status = gr.HTML(status(""), elem_id="status")
                self.settings: Settings = settings(service, t, "edit")
                self.style = gr.File(
                    label=t("style"), file_types=["image"], elem_id="style", height=120,
                    visible=self._takes_style(service.models.contract(service.models.first)),
                )  # fmt: skip
                with gr.Accordion(t("lines"), open=False):
                    self.kind = gr.Dropdown(
                        service.drawers(), value=service.drawers()[0], label=t("kind"),
                        elem_id="sketch-kind", allow_custom_value=True,  # as that of networks
                    )  # fmt: skip
                    self.sketch = gr.Button(t("sketch"), elem_id="sketch")
                with gr.Accordion(t("views"), open=False):
                    with gr.Row():
                        self.attention = gr.Button(
                            t("attention"), elem_id="attention", min_width=80
                        )
                        self.gates = gr.Button(t("gates"), elem_id="gates", min_width=80)
                    self.view = gr.Image(
                        type="filepath", format="png", interactive=False, elem_id="view",
                        label=t("views"), buttons=["download", "fullscreen"],
                    )  # fmt: skip
        self._connect()

    @property
    def inputs(self) -> list[Any]:
        """What a fill needs, the canvas first."""
        return [self.canvas, self.style, *self.settings.inputs]

    def empty(self) -> CanvasData:
        """An editor without a picture, for the network that is chosen at first."""
        contract = self.service.models.contract(self.service.models.first)
        return CanvasData(**_for_network(contract))

    def painting(self, canvas: CanvasData | None, style: str | None = None) -> Painting:
        """What is in the editor. Raises ConfigError where no picture is, or a file is not ours."""
        if canvas is None or canvas.picture is None:
            raise ConfigError(said("no_picture").lower())
        store = self.service.store
        layers = {
            layer.name: store.uploaded(layer.image.path, f"the layer {layer.name[:20]}")
            for layer in canvas.layers
            if layer.image is not None and layer.name in LAYERS
        }
        return Painting(
            picture=store.uploaded(canvas.picture.path, "the picture"),
            layers=layers,
            style=store.uploaded(style, "the style picture") if style else None,
        )

    def _connect(self) -> None:
        both = [self.canvas, self.status]
        views = [self.view, self.status]
        jobs = [
            self._job("fill", [self.fill.click, self.canvas.run], self._fill, self.inputs, both),
            self._job("sketch", [self.sketch.click], self._sketch, [self.canvas, self.kind], both),
            self._job("attention", [self.attention.click], self._attention, self.inputs, views),
            self._job("gates", [self.gates.click], self._gates, self.inputs, views),
        ]
        self.kind.focus(lambda: drawers_of(self.service), None, self.kind, **quiet())
        cancels([self.cancel.click, self.canvas.cancel], jobs, self.status, js=STOPPED)
        self.settings.network.input(
            self._network, [self.settings.network],
            [self.canvas, self.settings.backend, self.style], **quiet(),
        )  # fmt: skip
        self.canvas.sample(
            self._sample, None,
            [*both, self.settings.network, self.settings.backend, self.style], **quiet(),
        )  # fmt: skip

    def _job(
        self, name: str, triggers: list[Any], work: Any, inputs: list[Any], outputs: list[Any]
    ) -> Any:
        """What takes a while and can be cancelled; a second press while it runs does nothing."""
        event = gr.on(
            triggers, work, inputs, outputs, js=begins(name), concurrency_id=DEVICE,
            concurrency_limit=self.service.workers.count, **quiet(),
        )  # fmt: skip
        settled(event, self.status)
        return shown_while_running(event, name)

    def _fill(
        self, request: gr.Request, canvas: CanvasData | None, style: str | None, *asked: Any
    ) -> Iterator[tuple[Any, Any]]:
        language = spoken(request)
        source, order = self.painting(canvas, style), asked_for(*asked)
        assert canvas is not None  # or there was no painting
        steps = self.service.workers.steps(lambda job: self.service.fill(source, order, job))
        done = yield from follow(steps, lambda job: (gr.skip(), going_on(job, language)))
        result = FileData(path=str(done.path), orig_name=done.path.name)
        yield canvas.model_copy(update={"result": result}), status(filled_words(done, language))

    def _sketch(
        self, request: gr.Request, canvas: CanvasData | None, kind: Any
    ) -> Iterator[tuple[Any, Any]]:
        language, source = spoken(request), self.painting(canvas)
        assert canvas is not None  # or there was no painting
        name = text(kind, "the way of drawing lines")
        steps = self.service.workers.steps(
            lambda job: self.service.sketch(source.picture, name, job, layer=True)
        )
        path = yield from follow(steps, lambda job: (gr.skip(), going_on(job, language)))
        drawn = Layer(name="sketch", image=FileData(path=str(path), orig_name=path.name))
        new = CanvasData(layers=[drawn], opened=canvas.opened)
        yield new, status(said("drawn", language))

    def _attention(self, request: gr.Request, *given: Any) -> Iterator[tuple[Any, Any]]:
        yield from self._look("attention", request, *given)

    def _gates(self, request: gr.Request, *given: Any) -> Iterator[tuple[Any, Any]]:
        yield from self._look("gates", request, *given)

    def _look(
        self, view: str, request: gr.Request, canvas: Any, style: Any, *asked: Any
    ) -> Iterator[tuple[Any, Any]]:
        language = spoken(request)
        source, order = self.painting(canvas, style), asked_for(*asked)
        steps = self.service.workers.steps(lambda job: self.service.look(view, source, order, job))
        path = yield from follow(steps, lambda job: (gr.skip(), going_on(job, language)))
        yield str(path), status(said("looked", language, network=order.network))

    def _network(self, network: Any) -> tuple[Any, Any, Any]:
        """What changes with the network; the drawing is kept."""
        contract = self.service.models.contract(network)
        return (
            CanvasData(**_for_network(contract)),
            backends_of(self.service, network),
            gr.File(visible=self._takes_style(contract)),
        )

    def _sample(self, request: gr.Request, event: gr.EventData) -> tuple[Any, ...]:
        """A sample in the editor, and a network that can do its task."""
        store = self.service.store
        name, language = text(_given(event, "name"), "the sample"), spoken(request)
        sample: Sample = sample_of(name, store.new_folder(), self.service.models)
        contract = self.service.models.contract(sample.network)
        value = CanvasData(
            picture=_file(sample.picture),
            layers=[Layer(name=key, image=_file(path)) for key, path in sample.layers.items()],
            **_for_network(contract),
        )
        return (
            value,
            status(said("loaded", language, task=caption(name, language))),
            sample.network,
            backends_of(self.service, sample.network),
            gr.File(visible=self._takes_style(contract)),
        )

    @staticmethod
    def _takes_style(contract: Contract) -> bool:
        return any(port.kind == "vector" and port.encoded for port in contract.guides)


def _given(event: gr.EventData, name: str) -> Any:
    """What an event brought under a name; None if nothing: programs can send what they like."""
    try:
        return getattr(event, name)
    except (AttributeError, TypeError):
        return None


def _file(path: Path) -> FileData:
    return FileData(path=str(path), orig_name=path.name)


def _for_network(contract: Contract) -> dict[str, Any]:
    """Which layers the editor shows for a network, and the colours of its map of labels."""
    port, names = labels_port(contract), layers_of(contract)
    return {
        "accepts": [name for name in LAYERS if name in names],
        "palette": [list(pair) for pair in brush_colours(port)] if port else [],
    }
