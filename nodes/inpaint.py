"""Inpaint: picture and mask, and guides where the network takes them."""

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..core.options import STRATEGIES, FillOptions
from .kinds import CATEGORY, Model, in_one_sentence
from .loaded import Loaded
from .running import check_some_known, fill
from .tensors import (
    alpha_of,
    check_batches,
    color_of,
    image_of,
    lines_of,
    mask_from,
    mask_of,
    pixels_of,
    size_of,
)

DEFAULTS = FillOptions()
MOST_SEED = 2**32 - 1


def picture_inputs() -> list[Any]:
    """The inputs of every node that fills: with what, and what."""
    return [
        Model.Input("model"),
        io.Image.Input("image"),
        io.Mask.Input("mask", tooltip="White is filled, black is kept. Any size."),
    ]


def filled_outputs() -> list[Any]:
    """What they give, as `completed` does."""
    return [
        io.Image.Output(display_name="image"),
        io.Mask.Output(display_name="changed", tooltip="What was filled or blended."),
    ]


def option_inputs() -> list[Any]:
    """The inputs of how to fill, by the names of `FillOptions`."""
    return [
        io.Int.Input(
            "seed", default=0, min=0, max=MOST_SEED, control_after_generate=False,
            tooltip="For networks that do something by chance. 0: noise as it comes, and the "
            "style of what is round the hole.",
        ),
        io.Int.Input(
            "grow", default=DEFAULTS.grow, min=0, max=256, display_mode=io.NumberDisplay.slider,
            tooltip="Pixels by which the hole is widened, where a mask was drawn too tightly.",
        ),
        io.Int.Input(
            "feather", default=DEFAULTS.feather, min=0, max=256,
            display_mode=io.NumberDisplay.slider,
            tooltip="Pixels round the hole over which fill and picture blend. 0 leaves every "
            "pixel outside of the mask exactly as it is.",
        ),
        io.Combo.Input(
            "strategy", options=list(STRATEGIES), default=DEFAULTS.strategy, advanced=True,
            tooltip="full: the whole picture at once. crop: each hole with what is round it. "
            "single: all holes in one pass, as the exported pipeline. auto: whatever suits.",
        ),
        io.Float.Input(
            "context", default=DEFAULTS.context, min=0.0, max=8.0, step=0.05, advanced=True,
            tooltip="Picture kept round a cropped hole, in sides of the hole.",
        ),
        io.Int.Input(
            "work_size", default=DEFAULTS.work_size, min=64, max=8192, step=8, advanced=True,
            tooltip="Longest side on which the network works; larger crops are scaled to it.",
        ),
        io.Boolean.Input(
            "color_match", default=DEFAULTS.color_match, advanced=True,
            tooltip="Take the network's error of colour, seen on known pixels, off the fill.",
        ),
        io.Int.Input(
            "seam", default=DEFAULTS.seam, min=0, max=64, advanced=True,
            tooltip="Pixels inside the hole over which the fill is drawn to the colours round it.",
        ),
    ]  # fmt: skip


def options_of(seed: int, **values: Any) -> FillOptions:
    """The options of those inputs."""
    return FillOptions(seed=seed or None, **values)


def completed(
    model: Loaded, options: FillOptions, image: Tensor, mask: Tensor, **guides: Tensor | None
) -> io.NodeOutput:
    """What every filling node gives: the picture, with its own transparency, and what is new."""
    pixels, hole = pixels_of(image), mask_of(mask, size_of(image))
    check_batches(image=pixels, mask=hole, **guides)
    filled = fill(model, options, pixels, hole, **guides)
    changed = options.blending(hole)
    return io.NodeOutput(image_of(filled, alpha_of(image)), mask_from(changed))


class Inpaint(io.ComfyNode):
    """Fill the hole of a picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GatefillInpaint",
            display_name="Inpaint (Gatefill)",
            category=CATEGORY,
            description="Fill what is white in the mask; every other pixel stays as it is, bit for "
            "bit. Draw lines or colours into the hole to say what shall be there.",
            search_aliases=["remove object", "object removal", "erase", "fill hole", "clean up",
                            "content aware fill", "heal", "deepfill", "sketch inpaint"],
            inputs=[
                *picture_inputs(),
                io.MultiType.Input(
                    "sketch", [io.Mask, io.Image], optional=True,
                    tooltip="Light lines on dark, or opaque on transparent, to follow in the hole.",
                ),
                io.Image.Input(
                    "color", optional=True,
                    tooltip="Strokes of colour on black or transparent ground (SC-FEGAN).",
                ),
                *option_inputs(),
            ],
            outputs=filled_outputs(),
        )  # fmt: skip

    @classmethod
    @in_one_sentence
    def execute(
        cls,
        model: Loaded,
        image: Tensor,
        mask: Tensor,
        sketch: Tensor | None = None,
        color: Tensor | None = None,
        **options: Any,
    ) -> io.NodeOutput:
        """Fill it."""
        size = size_of(image)
        check_some_known(mask_of(mask, size))
        return completed(
            model,
            options_of(**options),
            image,
            mask,
            sketch=None if sketch is None else lines_of(sketch, size),
            color=None if color is None else color_of(color, size),
        )
