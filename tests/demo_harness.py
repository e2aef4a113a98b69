"""A small page with the editor alone, for tests: python demo_harness.py PORT FOLDER.

It writes what arrives, so that tests read the very bytes that Python got: FOLDER/came/NUMBER/ holds
picture, layers and value.json of each event, numbered from 0. The fill turns the hole to negative.
"""

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

import gradio as gr  # noqa: E402
import numpy as np  # noqa: E402
from gradio.data_classes import FileData  # noqa: E402
from PIL import Image  # noqa: E402

from core.image import read_mask, read_picture, write_picture  # noqa: E402
from gradio_demo.canvas import (  # noqa: E402
    FLUSH,
    LAYERS,
    STOPPED,
    CanvasData,
    Layer,
    LayerCanvas,
    begins,
    shown_while_running,
)
from gradio_demo.page import cancels, running, settled, status  # noqa: E402

PALETTE = [["road", "#804080"], ["sky", "#3c28de"], ["car", "#400080"]]
SAMPLES = ROOT / "samples"
SLOW = 1.5
"""Seconds that a fill takes if the note is "slow"; one fails if it is "broken"."""
STYLE = """
@media (min-width: 641px) { #editor { --gf-below: 300px; } }
@media (max-width: 640px) { .column:has(> .tabs) { margin: 0 -22px; } }
"""
"""Room for what stands below the editor, so that nothing scrolls; on phones the page's margin."""
STEPS = 10
"""Times at which a slow fill can be cancelled."""


class Recorder:
    """What came, one folder for each event."""

    def __init__(self, folder: Path):
        self.folder, self.count = folder, 0
        self.lock = threading.Lock()  # a picture that is opened and its fill come at once

    def keep(self, event: str, data: CanvasData | None) -> int:
        with self.lock:
            return self._keep(event, data)

    def _keep(self, event: str, data: CanvasData | None) -> int:
        folder = self.folder / str(self.count)
        folder.mkdir(parents=True)
        for name, file in files_of(data):
            shutil.copy(file.path, folder / name)
        value = {"event": event, "value": data.model_dump() if data else None}
        (folder / "value.json").write_text(json.dumps(value), encoding="utf-8")
        self.count += 1
        return self.count - 1


def files_of(data: CanvasData | None) -> list[tuple[str, FileData]]:
    if data is None or data.picture is None:
        return []
    drawn = [(f"{layer.name}.png", layer.image) for layer in data.layers if layer.image]
    return [("picture" + Path(data.picture.path).suffix, data.picture), *drawn]


def filled(data: CanvasData, out: Path) -> Path:
    """The picture with its hole turned to negative, written as the demo writes: all else kept."""
    picture = data.picture
    assert picture is not None
    source = read_picture(Path(picture.path))
    mask = next(layer.image for layer in data.layers if layer.name == "mask")
    hole = read_mask(Path(mask.path), source.pixels.shape[-2:]) if mask else 0
    path = out / f"{Path(picture.orig_name or picture.path).stem}-filled{Path(picture.path).suffix}"
    write_picture(path, source, source.pixels + hole * (1 - 2 * source.pixels))
    return path


def build(folder: Path) -> gr.Blocks:
    recorder = Recorder(folder / "came")
    first = CanvasData(accepts=list(LAYERS), palette=PALETTE)

    def fill(data: CanvasData | None, note: str) -> Iterator[tuple[Any, Any, Any]]:
        number = recorder.keep("run", data)
        key = str(number)
        for _ in range(STEPS if note in ("slow", "broken") else 0):
            time.sleep(SLOW / STEPS)
            yield gr.skip(), gr.skip(), running("Filling", 0, key, "Cancelled")
        if note == "broken":
            raise gr.Error("broken", print_exception=False)
        assert data is not None and data.picture is not None
        path = filled(data, folder / "came" / str(number))
        result = FileData(path=str(path), orig_name=path.name)
        yield data.model_copy(update={"result": result}), f"{number} filled", status("Filled")

    def echo(data: CanvasData | None, note: str) -> str:
        return f"{recorder.keep('echo', data)} {note}"

    def opened(data: CanvasData | None) -> str:
        return f"{recorder.keep('opened', data)} opened"

    def sample(name: str) -> CanvasData:
        parts = {"mask": "mask", "sketch": "sketch", "color": "color", "semantic": "seg"}
        found = {key: SAMPLES / f"{name}.{part}.png" for key, part in parts.items()}
        return CanvasData(
            picture=FileData(path=str(SAMPLES / f"{name}.jpg"), orig_name=f"{name}.jpg"),
            layers=[
                Layer(name=key, image=FileData(path=str(path), orig_name=path.name))
                for key, path in found.items()
                if path.exists()
            ],
        )

    def drawn(data: CanvasData) -> CanvasData:
        """A sketch made by Python: a cross."""
        assert data.picture is not None
        with Image.open(data.picture.path) as image:
            lines = np.zeros(image.size[::-1], np.uint8)
        lines[lines.shape[0] // 2] = lines[:, lines.shape[1] // 2] = 255
        path = folder / "drawn.png"
        Image.fromarray(lines).save(path)
        layer = Layer(name="sketch", image=FileData(path=str(path), orig_name="drawn.png"))
        return data.model_copy(update={"layers": [layer]})

    with gr.Blocks(analytics_enabled=False, title="Editor") as page:
        with gr.Tabs():
            with gr.Tab("Edit"):
                canvas = LayerCanvas(first)
                with gr.Row():
                    run = gr.Button("Fill", elem_id="fill")
                    cancel = gr.Button(
                        "Cancel", elem_id="cancel", elem_classes="gf-while-running",
                        interactive=False,
                    )  # fmt: skip
                    sender = gr.Button("Echo", elem_id="echo")
                    only_mask = gr.Button("Mask only", elem_id="only-mask")
                    all_layers = gr.Button("All layers", elem_id="all-layers")
                    sketch = gr.Button("Sketch", elem_id="sketch")
                line = gr.HTML(status(""), elem_id="status")
                note = gr.Textbox("a note", label="Note", elem_id="note")
                name = gr.Dropdown(["line", "face", "street"], label="Sample", elem_id="sample")
                log = gr.Textbox(label="Log", elem_id="log")
            with gr.Tab("Other"):
                gr.Markdown("Nothing here")
        shown: dict[str, Any] = {"show_progress": "hidden"}
        job = gr.on(
            [run.click, canvas.run], fill, [canvas, note], [canvas, log, line], js=begins("fill"),
            **shown,
        )  # fmt: skip
        settled(job, line)
        shown_while_running(job, "fill")
        cancels([cancel.click, canvas.cancel], [job], line, js=STOPPED)
        canvas.opened(opened, canvas, log, **shown)
        sender.click(echo, [canvas, note], log, js=FLUSH, **shown)
        sketch.click(drawn, canvas, canvas, js=FLUSH, **shown)
        name.input(sample, name, canvas, **shown)
        only_mask.click(lambda: CanvasData(accepts=["mask"]), None, canvas, **shown)
        all_layers.click(lambda: first, None, canvas, **shown)
    return page


if __name__ == "__main__":
    port, place = int(sys.argv[1]), Path(sys.argv[2])
    build(place).queue().launch(
        server_name="127.0.0.1",
        server_port=port,
        max_file_size="24mb",
        allowed_paths=[str(SAMPLES), str(place)],
        css=STYLE,
        run_history=False,
        footer_links=[],
        theme=gr.themes.Default(font=["system-ui"], font_mono=["ui-monospace"]),
    )
