"""Masks: drawn by chance or by measure, widened, taken of a colour, measured."""

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ..core.crop import feather as feathered
from ..core.image import colour_mask
from ..core.masks.drawn import KINDS
from ..core.masks.shape import (
    facts_of,
    facts_of_all,
    filled_in,
    over_picture,
    rectangle,
    widened,
)
from .inpaint import MOST_SEED
from .kinds import CATEGORY, in_one_sentence
from .shown import say
from .tensors import (
    Size,
    alpha_of,
    any_mask_of,
    check_batches,
    image_of,
    mask_from,
    pixels_of,
    size_of,
)

LARGEST = 16384
"""Pixels a side."""


def size_inputs() -> list[io.Int.Input | io.Image.Input]:
    """The size of a new mask: of a picture, or said."""
    return [
        io.Int.Input(
            "picture_width", default=512, min=16, max=LARGEST,
            tooltip="Width of the picture that the mask is for.",
        ),
        io.Int.Input(
            "picture_height", default=512, min=16, max=LARGEST,
            tooltip="Height of the picture that the mask is for.",
        ),
        io.Image.Input("image", optional=True, tooltip="Take its size instead."),
    ]  # fmt: skip


def chosen_size(width: int, height: int, image: Tensor | None) -> Size:
    """(height, width) of the picture, or else as said."""
    return (height, width) if image is None else size_of(image)


class FreeFormMask(io.ComfyNode):
    """A mask drawn by seed."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GatefillFreeFormMask",
            display_name="Free-form Mask (Gatefill)",
            category=CATEGORY,
            description="Draw holes by chance, as those that the networks are trained on: to try "
            "out and to compare.",
            search_aliases=["random mask", "irregular mask", "brush strokes", "test mask"],
            inputs=[
                io.Combo.Input(
                    "kind", options=list(KINDS), default="brush",
                    tooltip="brush: strokes. box: a rectangle. official-...: as in the code of "
                    "DeepFillv2. 10-20: strokes over 10 to 20 % of the picture. bins: any share.",
                ),
                io.Int.Input(
                    "seed", default=0, min=0, max=MOST_SEED, control_after_generate=True,
                    tooltip="The same seed draws the same mask.",
                ),
                io.Int.Input(
                    "count", default=1, min=1, max=256,
                    tooltip="How many masks; each next one is that of the next seed.",
                ),
                *size_inputs(),
            ],
            outputs=[io.Mask.Output(display_name="mask")],
        )  # fmt: skip

    @classmethod
    @in_one_sentence
    def execute(
        cls,
        kind: str,
        seed: int,
        count: int,
        picture_width: int,
        picture_height: int,
        image: Tensor | None = None,
    ) -> io.NodeOutput:
        """Draw them."""
        size = chosen_size(picture_width, picture_height, image)
        seeds = [(seed + i) % (MOST_SEED + 1) for i in range(count)]
        return io.NodeOutput(mask_from(torch.cat([KINDS[kind](size, one) for one in seeds])))


class BoxMask(io.ComfyNode):
    """A rectangle where it is said."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GatefillBoxMask",
            display_name="Box Mask (Gatefill)",
            category=CATEGORY,
            description="A rectangular hole, in pixels from the upper left corner.",
            search_aliases=["rectangle mask", "bounding box to mask", "bbox", "crop mask"],
            inputs=[
                io.Int.Input("x", default=128, min=-LARGEST, max=LARGEST,
                             tooltip="Pixels from the left border to the box."),
                io.Int.Input("y", default=128, min=-LARGEST, max=LARGEST,
                             tooltip="Pixels from the upper border to the box."),
                io.Int.Input("width", default=256, min=1, max=LARGEST,
                             tooltip="Of the box; what is outside of the picture is cut off."),
                io.Int.Input("height", default=256, min=1, max=LARGEST,
                             tooltip="Of the box; what is outside of the picture is cut off."),
                *size_inputs(),
            ],
            outputs=[io.Mask.Output(display_name="mask")],
        )  # fmt: skip

    @classmethod
    @in_one_sentence
    def execute(
        cls,
        x: int,
        y: int,
        width: int,
        height: int,
        picture_width: int,
        picture_height: int,
        image: Tensor | None = None,
    ) -> io.NodeOutput:
        """Draw it."""
        size = chosen_size(picture_width, picture_height, image)
        return io.NodeOutput(mask_from(rectangle(size, x=x, y=y, width=width, height=height)))


class GrowFeatherMask(io.ComfyNode):
    """A mask made wider or narrower, and softer."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GatefillGrowFeatherMask",
            display_name="Grow and Feather Mask (Gatefill)",
            category=CATEGORY,
            description="Invert a mask, fill its gaps, make it wider or narrower and its edge "
            "soft, in this order.",
            search_aliases=["expand mask", "shrink mask", "dilate", "erode", "blur mask",
                            "fill holes in mask", "invert mask"],
            inputs=[
                io.Mask.Input("mask", tooltip="White is hole. Soft masks stay soft."),
                io.Int.Input(
                    "grow", default=8, min=-512, max=512,
                    tooltip="Pixels by which the hole grows to each side; below 0 it shrinks.",
                ),
                io.Int.Input(
                    "feather", default=0, min=0, max=512,
                    tooltip="Pixels outside of the hole over which it fades; the hole stays whole.",
                ),
                io.Boolean.Input(
                    "fill_gaps", default=False,
                    tooltip="Whether what the hole encloses becomes hole: draw an outline, and "
                    "all of it is meant.",
                ),
                io.Boolean.Input(
                    "invert", default=False,
                    tooltip="Whether black is the hole, first of all.",
                ),
            ],
            outputs=[io.Mask.Output(display_name="mask")],
        )  # fmt: skip

    @classmethod
    @in_one_sentence
    def execute(
        cls, mask: Tensor, grow: int, feather: int, fill_gaps: bool, invert: bool
    ) -> io.NodeOutput:
        """Change it."""
        hole = any_mask_of(mask, mask.shape[-2:])
        hole = 1 - hole if invert else hole
        hole = filled_in(hole) if fill_gaps else hole
        return io.NodeOutput(mask_from(feathered(widened(hole, grow), feather)))


class MaskFromColor(io.ComfyNode):
    """The mask of what has one colour."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GatefillMaskFromColor",
            display_name="Mask from Color (Gatefill)",
            category=CATEGORY,
            description="Make a hole of all pixels of one colour, as a mark painted into the "
            "picture with another program.",
            search_aliases=["color to mask", "magic wand", "chroma key", "select color"],
            inputs=[
                io.Image.Input("image"),
                io.Color.Input("color", default="#ff00ff", tooltip="What is to be hole."),
                io.Float.Input(
                    "tolerance", default=0.05, min=0.0, max=1.0, step=0.01,
                    tooltip="How far red, green and blue may each be from it, 0 to 1. Pictures "
                    "from JPEG files need some.",
                ),
            ],
            outputs=[io.Mask.Output(display_name="mask")],
        )  # fmt: skip

    @classmethod
    @in_one_sentence
    def execute(cls, image: Tensor, color: str, tolerance: float) -> io.NodeOutput:
        """Find it; what is transparent has no colour."""
        mask, alpha = colour_mask(pixels_of(image), color, tolerance=tolerance), alpha_of(image)
        return io.NodeOutput(mask_from(mask if alpha is None else mask * alpha))


class MaskStatistics(io.ComfyNode):
    """How much of a picture is hole, and where."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GatefillMaskStatistics",
            display_name="Mask Statistics (Gatefill)",
            category=CATEGORY,
            description="Say how much of the picture is hole, in how many pieces and where, and "
            "show it. Of several masks the box is that round all of them, the holes are counted "
            "together, the share is the mean and the breadth the largest.",
            search_aliases=["mask info", "mask area", "bounding box", "mask preview", "measure"],
            inputs=[
                io.Mask.Input("mask", tooltip="White is hole; of a soft mask, what is above half."),
                io.Image.Input("image", optional=True, tooltip="To show the mask on."),
            ],
            outputs=[
                io.Image.Output(display_name="preview"),
                io.Float.Output(display_name="percent", tooltip="Share of the picture, 0 to 100."),
                io.Int.Output(display_name="x", tooltip="Left edge of the box round all holes."),
                io.Int.Output(display_name="y", tooltip="Upper edge of the box round all holes."),
                io.Int.Output(display_name="width", tooltip="Of the box round all holes."),
                io.Int.Output(display_name="height", tooltip="Of the box round all holes."),
                io.Int.Output(display_name="holes", tooltip="That do not touch one another."),
                io.Int.Output(
                    display_name="breadth", tooltip="Pixels across the widest place, about."
                ),
                io.String.Output(display_name="text", tooltip="All of it in words."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    @in_one_sentence
    def execute(cls, mask: Tensor, image: Tensor | None = None) -> io.NodeOutput:
        """Measure it."""
        picture = None if image is None else pixels_of(image)
        hole = any_mask_of(mask, mask.shape[-2:] if image is None else size_of(image))
        check_batches(image=picture, mask=hole)
        each = [facts_of(one[None]) for one in hole]
        facts, text = facts_of_all(each), "\n".join(map(str, each))
        shown = hole.expand(-1, 3, -1, -1) if picture is None else over_picture(picture, hole)
        preview = image_of(shown)
        say(cls, text)
        box = facts.box
        return io.NodeOutput(
            preview, 100 * facts.share, box.left, box.top, box.width, box.height, facts.holes,
            facts.breadth, text,
            ui=ui.PreviewImage(preview).as_dict() | ui.PreviewText(text).as_dict(),
        )  # fmt: skip
