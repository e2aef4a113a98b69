"""The nodes: thin shells round `core`, which ComfyUI finds by `comfy_entrypoint`.

Nothing here pads, scales or composites: a node turns ComfyUI's tensors into those of `core`, calls
it, and turns back. The ids of nodes never change; a renamed one gets a line in `REPLACED`.
"""

from comfy_api.latest import ComfyExtension, io

from .files import add_folder
from .inpaint import Inpaint
from .model import LoadModel
from .semantic import SemanticFill, SemanticToImage

NODES: list[type[io.ComfyNode]] = [LoadModel, Inpaint, SemanticFill, SemanticToImage]


class Gatefill(ComfyExtension):
    """The pack."""

    async def on_load(self) -> None:
        """Before any schema is asked for."""
        add_folder()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """All nodes."""
        return NODES


async def comfy_entrypoint() -> ComfyExtension:
    """What ComfyUI calls when it has loaded the folder."""
    return Gatefill()
