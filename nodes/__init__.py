"""The nodes: thin shells round `core`, which ComfyUI finds by `comfy_entrypoint`.

Nothing here pads, scales or composites: a node turns ComfyUI's tensors into those of `core`, calls
it, and turns back. The ids of nodes never change; a renamed one gets a line in `REPLACED`.
"""

from comfy_api.latest import ComfyAPI, ComfyExtension, io

from .color import ColorStrokes
from .deploy import BuildEngine, ExportOnnx
from .draw import Draw
from .files import add_folder
from .inpaint import Inpaint
from .masks import BoxMask, FreeFormMask, GrowFeatherMask, MaskFromColor, MaskStatistics
from .metrics import Metrics
from .model import LoadModel
from .samples import Sample
from .semantic import SemanticFill, SemanticToImage
from .sketch import CleanSketch, SketchFromImage
from .view import Show

NODES: list[type[io.ComfyNode]] = [
    *(LoadModel, Sample, Inpaint, SemanticFill, SemanticToImage),
    *(Draw, SketchFromImage, CleanSketch, ColorStrokes),
    *(FreeFormMask, BoxMask, GrowFeatherMask, MaskFromColor, MaskStatistics),
    *(Metrics, Show, ExportOnnx, BuildEngine),
]
REPLACED: list[io.NodeReplace] = []
"""For each node that is no longer there, the one that workflows get in its place. Only inputs that
were required can be mapped: ComfyUI looks each of them up."""


class Gatefill(ComfyExtension):
    """The pack."""

    async def on_load(self) -> None:
        """Before any schema is asked for."""
        add_folder()
        for replacement in REPLACED:
            await ComfyAPI().node_replacement.register(replacement)

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """All nodes."""
        return NODES


async def comfy_entrypoint() -> ComfyExtension:
    """What ComfyUI calls when it has loaded the folder."""
    return Gatefill()
