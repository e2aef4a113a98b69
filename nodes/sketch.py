"""Sketches: lines found in a picture, and drawings by hand made clean."""

from collections import OrderedDict
from pathlib import Path

import comfy.model_management
import comfy.utils
import torch
from comfy_api.latest import io
from torch import Tensor

from ..core.contract import THRESHOLD
from ..core.errors import ConfigError
from ..core.model_files import stamp
from ..core.sketch.clean import clean_sketch
from ..core.sketch.draw import KINDS, SOURCES, WORK_SIZE, Drawer, draw_lines, open_drawer
from .files import FOLDER, drawer_names, drawer_path
from .kinds import CATEGORY, in_one_sentence
from .running import stoppable
from .tensors import (
    check_batches,
    drawing_of,
    has_ground,
    image_of,
    mask_from,
    mask_of,
    pixels_of,
    size_of,
)

OWN = "of the kind"
DRAWERS = 2
"""Kept open; the one used longest ago makes room for a new one."""
INKS: dict[str, bool | None] = {"auto": None, "dark": True, "light": False}
"""Choice -> whether ink is darker than paper."""

_drawers: OrderedDict[tuple[str, str, str, str], Drawer] = OrderedDict()


def drawer_of(kind: str, weights: Path | None) -> Drawer:
    """The drawer of a kind; one that is open is used again. Raises InpaintError as it does."""
    if kind in SOURCES and weights is None:
        raise ConfigError(
            f"{kind} needs {SOURCES[kind]}; put it into models/{FOLDER}, refresh the page (R), and "
            "choose it as weights"
        )
    place = comfy.model_management.get_torch_device()
    device = str(place) if place.type in ("cuda", "mps") else "cpu"
    key = (kind, str(weights), stamp(weights) if weights else "", device)
    if key not in _drawers:
        while len(_drawers) >= DRAWERS:
            _drawers.popitem(last=False)
        _drawers[key] = open_drawer(kind, weights=weights, device=device)
    _drawers.move_to_end(key)
    return _drawers[key]


def close_drawers() -> None:
    """Forget every open drawer."""
    _drawers.clear()


class SketchFromImage(io.ComfyNode):
    """The lines of a picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GatefillSketchFromImage",
            display_name="Sketch from Image (Gatefill)",
            category=CATEGORY,
            description="Draw the lines of a picture, light on dark and one pixel wide, as the "
            "input sketch of Inpaint takes them: those of the picture itself, changed by you, or "
            "of another one.",
            search_aliases=["edge detection", "canny", "hed", "line art", "face landmarks",
                            "image to sketch"],
            inputs=[
                io.Image.Input("image"),
                io.Combo.Input(
                    "kind", options=list(KINDS), default="detector",
                    tooltip="detector: the bundled network. canny: by OpenCV. hed and landmarks: "
                    "with weights that you bring; landmarks are lines of faces by MediaPipe, which "
                    "reports its use, though no pictures, to Google.",
                ),
                io.Float.Input(
                    "threshold", default=0.0, min=0.0, max=1.0, step=0.01,
                    tooltip="How strong an edge must be. 0: as suits the kind. canny and "
                    "landmarks have none.",
                ),
                io.Int.Input(
                    "work_size", default=WORK_SIZE, min=0, max=8192, step=8, advanced=True,
                    tooltip="Longest side on which lines are found; larger pictures are scaled to "
                    "it, which is faster and leaves out what is fine. 0: full size.",
                ),
                io.Combo.Input(
                    "weights", options=[OWN, *drawer_names()], default=OWN, advanced=True,
                    tooltip="A file in models/inpaint. hed: network-bsds500.pytorch or "
                    "ControlNetHED.pth. landmarks: face_landmarker.task.",
                ),
                io.Mask.Input(
                    "mask", optional=True, tooltip="Only the lines where it is white are kept."
                ),
            ],
            outputs=[
                io.Mask.Output(display_name="sketch"),
                io.Image.Output(display_name="image", tooltip="The same to look at."),
            ],
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, weights: str | None = None, **rest: object) -> str:
        """Draws again when the file of weights has changed."""
        return "" if weights in (None, OWN) else stamp(drawer_path(weights))

    @classmethod
    @in_one_sentence
    def execute(
        cls,
        image: Tensor,
        kind: str,
        threshold: float,
        work_size: int,
        weights: str,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        """Draw it, picture by picture."""
        drawer = drawer_of(kind, None if weights == OWN else drawer_path(weights))
        if threshold and drawer.drawn:
            raise ConfigError(f"{kind} knows no strength of lines; set the threshold to 0")
        pixels, drawn = pixels_of(image), []
        bar = comfy.utils.ProgressBar(len(pixels))
        with stoppable():
            for one in pixels.split(1):
                drawn.append(
                    draw_lines(drawer, one, threshold=threshold or None, work_size=work_size)
                )
                bar.update(1)
        lines = torch.cat(drawn)
        if mask is not None:
            inside = mask_of(mask, size_of(image))
            check_batches(image=lines, mask=inside)
            lines = lines * (inside > THRESHOLD)
        return sketch_output(lines)


class CleanSketch(io.ComfyNode):
    """Lines of a drawing by hand."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GatefillCleanSketch",
            display_name="Clean Sketch (Gatefill)",
            category=CATEGORY,
            description="Make clean lines of a scanned or photographed drawing, or of one by hand: "
            "black and white, one pixel wide, without specks.",
            search_aliases=["binarize", "thin lines", "skeleton", "scan to line art", "despeckle"],
            inputs=[
                io.MultiType.Input(
                    "drawing", [io.Image, io.Mask],
                    tooltip="Ink on paper, chalk on a board, or lines on transparent ground.",
                ),
                io.Combo.Input(
                    "ink", options=list(INKS), default="auto",
                    tooltip="Whether the lines are dark or light. auto: whatever there is less "
                    "of. On transparent ground they are what is opaque.",
                ),
                io.Boolean.Input(
                    "thin", default=True, tooltip="Whether lines are made one pixel wide."
                ),
                io.Int.Input(
                    "specks", default=8, min=0, max=100_000,
                    tooltip="What has fewer pixels than this is left out.",
                ),
            ],
            outputs=[
                io.Mask.Output(display_name="sketch"),
                io.Image.Output(display_name="image", tooltip="The same to look at."),
            ],
        )  # fmt: skip

    @classmethod
    @in_one_sentence
    def execute(cls, drawing: Tensor, ink: str, thin: bool, specks: int) -> io.NodeOutput:
        """Clean it."""
        dark = INKS[ink] if has_ground(drawing) else False
        with stoppable():
            lines = clean_sketch(drawing_of(drawing), least=specks, dark=dark, thinned=thin)
        return sketch_output(lines)


def sketch_output(lines: Tensor) -> io.NodeOutput:
    """Lines (B, 1, H, W) -> MASK, and IMAGE of light on dark."""
    return io.NodeOutput(mask_from(lines), image_of(lines.expand(-1, 3, -1, -1)))
