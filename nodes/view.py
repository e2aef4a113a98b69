"""Show Gates and Attention: what a network looks at while it fills."""

from collections.abc import Callable

from comfy_api.latest import io, ui
from torch import Tensor

from ..core.options import FillOptions
from ..core.pipeline import Inpainter
from ..core.views import attention_sheet, gates_sheet
from .kinds import CATEGORY, Model, in_one_sentence
from .loaded import Loaded
from .running import check_some_known, run
from .tensors import check_batches, image_of, lines_of, mask_of, pixels_of, size_of

LOOKS: dict[str, Callable[..., Tensor]] = {"attention": attention_sheet, "gates": gates_sheet}
"""What may be shown -> what draws it."""


class Show(io.ComfyNode):
    """Picture the gates or the attention of a network."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GatefillShow",
            display_name="Show Gates and Attention (Gatefill)",
            category=CATEGORY,
            description="Picture what a network looks at while it fills: from where the attention "
            "copies into the hole, or what the gates of its layers let through. It needs weights: "
            "exported graphs and engines do not tell.",
            search_aliases=["visualize attention", "attention map", "feature map", "explain",
                            "gated convolution", "contextual attention", "debug"],
            inputs=[
                Model.Input("model", tooltip="Weights: DeepFillv2, for gates also SC-FEGAN."),
                io.Image.Input("image"),
                io.Mask.Input("mask", tooltip="White is filled, black is kept. Any size."),
                io.Combo.Input(
                    "what", options=list(LOOKS), default="attention",
                    tooltip="attention: which known part each part of the hole is copied from, and "
                    "how much of it. gates: what some layers let through, 0 to 1.",
                ),
                io.String.Input(
                    "layers", default="", advanced=True,
                    tooltip="Of the gates: names with commas between, such as conv1, allconv* or "
                    "coarse.*; empty: some of all.",
                ),
                io.MultiType.Input(
                    "sketch", [io.Mask, io.Image], optional=True,
                    tooltip="Light lines on dark, or opaque on transparent, to follow in the hole.",
                ),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="A sheet for each picture.")],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    @in_one_sentence
    def execute(
        cls,
        model: Loaded,
        image: Tensor,
        mask: Tensor,
        what: str,
        layers: str,
        sketch: Tensor | None = None,
    ) -> io.NodeOutput:
        """Look at it."""
        size = size_of(image)
        given = {"image": pixels_of(image), "mask": mask_of(mask, size)}
        lines = None if sketch is None else lines_of(sketch, size)
        check_batches(**given, sketch=lines)
        check_some_known(given["mask"])
        names = [name for part in layers.split(",") if (name := part.strip())]
        chosen = {"layers": names} if what == "gates" else {}

        def work(inpainter: Inpainter) -> Tensor:
            return LOOKS[what](inpainter, **given, sketch=lines, **chosen)

        sheet = image_of(run(model, FillOptions(), size[0] * size[1], work))
        return io.NodeOutput(sheet, ui=ui.PreviewImage(sheet, cls=cls))
