"""Color Strokes from Image: what a hand would paint of a picture."""

from comfy_api.latest import io
from torch import Tensor

from ..core.contract import THRESHOLD
from ..core.sketch.colors import color_drawing
from .inpaint import MOST_SEED
from .kinds import CATEGORY, in_one_sentence
from .running import stoppable
from .tensors import check_batches, image_of, mask_from, mask_of, pixels_of, size_of


class ColorStrokes(io.ComfyNode):
    """Strokes of a pen in the colours of a picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GatefillColorStrokes",
            display_name="Color Strokes from Image (Gatefill)",
            category=CATEGORY,
            description="Paint over a picture in its own colours as a hand would, on transparent "
            "ground, as the input color of Inpaint takes it: to try out a network that follows "
            "colours, or to give the colours of another picture.",
            search_aliases=["color hint", "scribble colors", "color guide", "sc-fegan color"],
            inputs=[
                io.Image.Input("image"),
                io.Float.Input(
                    "amount", default=0.4, min=0.0, max=1.0, step=0.05,
                    display_mode=io.NumberDisplay.slider,
                    tooltip="How much is painted, up to areas over all of it. 0: by chance, as "
                    "the networks are trained.",
                ),
                io.Int.Input(
                    "seed", default=0, min=0, max=MOST_SEED, control_after_generate=True,
                    tooltip="The same seed paints the same strokes.",
                ),
                io.Mask.Input(
                    "mask", optional=True, tooltip="Only the strokes where it is white are kept."
                ),
            ],
            outputs=[
                io.Image.Output(display_name="color", tooltip="With transparent ground."),
                io.Mask.Output(display_name="painted", tooltip="Where there is a stroke."),
            ],
        )  # fmt: skip

    @classmethod
    @in_one_sentence
    def execute(
        cls, image: Tensor, amount: float, seed: int, mask: Tensor | None = None
    ) -> io.NodeOutput:
        """Paint them."""
        with stoppable():
            drawing = color_drawing(pixels_of(image), seed, amount or None)
        if mask is not None:
            inside = mask_of(mask, size_of(image))
            check_batches(image=drawing, mask=inside)
            drawing = drawing * (inside > THRESHOLD)
        return io.NodeOutput(image_of(drawing[:, :3], drawing[:, 3:]), mask_from(drawing[:, 3:]))
