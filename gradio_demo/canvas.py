"""The editor of the demo: layers on a picture, drawn in the browser, as a component of Gradio.

What happens in the browser stands in the folder `editor`. Python gets files: the picture as the
visitor gave it, and a PNG of each layer that something is drawn on.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import component_meta
from gradio.components.base import Component
from gradio.data_classes import FileData, GradioModel
from gradio.events import EventListener, Events
from pydantic import Field

from gradio_demo.page import when_over

LAYERS = ("mask", "sketch", "color", "semantic")
HERE = Path(__file__).parent / "editor"
SCRIPTS = (
    *("words", "shapes", "tiles", "stroke", "picture", "history", "view", "paint", "hand"),
    *(
        "pointer",
        "keys",
        "layerfiles",
        "sending",
        "keep",
        "bars",
        "results",
        "desk",
        "filling",
        "samples",
        "main",
        "start",
    ),
)
"""In the order in which they run: each may use at once what those before it define."""
EVENTS = [
    Events.change,
    *(EventListener(name) for name in ("run", "cancel", "opened", "sample")),
]
FLUSH = "async (...inputs) => [await window.gatefill.flush(), ...inputs.slice(1)]"
"""The `js` of every event that takes the canvas as its first input: sends what changed, and gives
the canvas's value in place of the one that Gradio knows. If that fails, the editor says why, and
nothing runs."""
STOPPED = "window.gatefill.stopped()"
"""What the `js` of an event does that cancels what `shown_while_running` shows."""


def begins(job: str) -> str:
    """FLUSH for a job that the editor shows as running, under a name."""
    return f"async (...inputs) => [await window.gatefill.begin('{job}'), ...inputs.slice(1)]"


def shown_while_running(event: Any, job: str) -> Any:
    """Tell the editor when an event whose `js` is `begins(job)` has ended, however; the event."""
    when_over(event, f"() => window.gatefill.end('{job}')")
    return event


class Layer(GradioModel):
    """A layer of the editor."""

    name: str
    """One of `LAYERS`."""
    image: FileData | None = None
    """RGBA, of the size of the picture (turned as its EXIF says); None = nothing is drawn.

    mask and sketch: white, and alpha is how much of a hole or a line a pixel is, so that
    `core.image.read_mask` and `read_guide` read them as they are. color and semantic: a colour
    where alpha is 255; a soft brush of color leaves less at its rim.
    To the editor any picture can be given that the command line takes for such a layer.
    """


class CanvasData(GradioModel):
    """The value of the editor, in both directions.

    From Python, only what is set changes something: None and empty lists leave all as it is, and no
    value takes a drawing away. A picture that is not there yet is opened, and layers are put in;
    undo takes back either.
    """

    picture: FileData | None = None
    """The original file as uploaded; the browser never encodes it anew."""
    layers: list[Layer] = Field(default_factory=list)
    result: FileData | None = None
    """From Python: shown with before and after, and as a link to download under its `orig_name`."""
    accepts: list[str] = Field(default_factory=list)
    """From Python: which layers the network takes, mask always; others are kept out of sight."""
    palette: list[list[str]] = Field(default_factory=list)
    """From Python: [name, "#rrggbb"] of each label of the semantic layer, by number."""
    opened: str = ""
    """From the browser: to which picture the rest belongs. Hand it back with a result, as
    `data.model_copy(update={"result": ...})` does: the editor then knows one that comes too late.
    """


@contextmanager
def without_stub() -> Iterator[None]:
    """Keep Gradio from writing canvas.pyi, which would hide this module from type checkers."""
    write: Any = getattr(component_meta, "create_or_modify_pyi", None)
    component_meta.create_or_modify_pyi = lambda *_: None
    try:
        yield
    finally:
        component_meta.create_or_modify_pyi = write


def script() -> str:
    """The body of the function that starts the editor."""
    files = [HERE / f"{name}.js" for name in SCRIPTS]
    return "'use strict';\n" + "\n".join(file.read_text(encoding="utf-8") for file in files)


with without_stub():

    class LayerCanvas(gr.HTML):
        """An editor for layers on a picture. There can be one on a page.

        Events: `run` when a fill is asked for by the keyboard or by lifting the brush, and `cancel`
        when it is to end; `opened` when another picture is there; `sample` when one of `samples`
        is chosen, with its `name` as event data; `change` whenever the value changed, by Python
        too. Those that need the value, and those of buttons, take `js=FLUSH` or `js=begins(...)`.
        """

        EVENTS = EVENTS
        data_model = CanvasData

        def __init__(
            self,
            value: CanvasData | None = None,
            *,
            label: Any = "Editor",
            samples: Sequence[Mapping[str, Any]] = (),
            elem_id: str | None = "editor",
            **settings: Any,
        ):
            """samples: pictures to begin with, as `gradio_demo.samples.previews` gives them."""
            super().__init__(
                value,
                samples=list(samples),
                label=label,
                elem_id=elem_id,
                html_template=(HERE / "editor.html").read_text(encoding="utf-8"),
                css_template=(HERE / "editor.css").read_text(encoding="utf-8"),
                js_on_load=script(),
                apply_default_css=False,
                **settings,
            )

        def preprocess(self, payload: Any) -> Any:
            """CanvasData or None; its files lie in Gradio's cache, which Gradio has checked."""
            return payload

        def postprocess(self, value: Any) -> Any:
            """CanvasData or None, which changes nothing."""
            return value

        def api_info(self) -> dict[str, Any]:
            """What a client is to send."""
            info: dict[str, Any] = Component.api_info(self)
            return info
