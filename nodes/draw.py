"""Draw Mask, Sketch and Color: ComfyUI's own painter, whose one painting says several things."""

import os
from pathlib import Path

import folder_paths
import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ..core.errors import ConfigError
from ..core.files import sha256_of
from ..core.image import read_picture
from ..core.sketch.painting import HOLE, LAYERS, LINE, Painted, fitted
from .kinds import CATEGORY, in_one_sentence
from .masks import LARGEST
from .tensors import (
    Size,
    any_mask_of,
    check_batches,
    image_of,
    lines_of,
    mask_from,
    painting_of,
    pixels_of,
    size_of,
)


def file_of(name: str) -> Path | None:
    """The file of a painting; None where nothing was painted. Raises ConfigError for a strange one.

    name: as the painter gives it, "painter/painter-7-1700000000.png [temp]".
    """
    if not name.strip():
        return None
    path = Path(os.path.abspath(folder_paths.get_annotated_filepath(name.strip())))
    homes = (
        folder_paths.get_input_directory(),
        folder_paths.get_temp_directory(),
        folder_paths.get_output_directory(),
    )
    if not any(path.is_relative_to(os.path.abspath(home)) for home in homes):
        raise ConfigError(f"the painting {name!r} is not in a folder of ComfyUI; paint it anew")
    return path


def read_painting(name: str, size: Size) -> Tensor:
    """The painting, (1, 4, H, W), RGBA, of its own size; an empty one of `size` for no name.

    Raises ConfigError where the file is gone, ImageError where it is no picture.
    """
    path = file_of(name)
    if path is None:
        return torch.zeros(1, 4, *size)
    if not path.is_file():
        raise ConfigError(
            f"the painting {name!r} is no longer there (older versions of ComfyUI keep it only "
            "until they end); press Clear below the painting, and paint anew"
        )
    picture = read_picture(path)
    alpha = picture.alpha if picture.alpha is not None else torch.ones_like(picture.pixels[:, :1])
    return torch.cat([picture.pixels, alpha], dim=1)


def earlier(
    size: Size, mask: Tensor | None, sketch: Tensor | None, color: Tensor | None
) -> Painted:
    """What was painted before."""
    empty = torch.zeros(1, 1, *size)
    return Painted(
        empty if mask is None else any_mask_of(mask, size),
        empty if sketch is None else lines_of(sketch, size),
        empty.expand(-1, 4, -1, -1) if color is None else fitted(painting_of(color), size),
    )


class Draw(io.ComfyNode):
    """A picture to paint on."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        # The page looks for the painting by the name mask, and for width and height by theirs; the
        # first socket is what it shows below the painting.
        return io.Schema(
            node_id="GatefillDraw",
            display_name="Draw Mask, Sketch and Color (Gatefill)",
            category=CATEGORY,
            description="Paint on the picture what is to be filled, and with what. White (the "
            "brush's first color) is hole, black is lines to follow in it, any other color is "
            "that color there; all that is painted is hole. Or paint one thing only, chosen by "
            "layer, and chain several of these nodes. Below the brush you see what the node "
            "before shows itself: connect Load Image, or one that has shown its picture. The "
            "painter needs Nodes 2.0 (Settings); without it, connect masks and pictures instead.",
            search_aliases=["painter", "paint mask", "draw mask", "scribble", "doodle",
                            "sketch input", "mask editor", "color strokes"],
            inputs=[
                io.Image.Input("image", tooltip="The picture to paint on; it stays as it is."),
                io.Combo.Input(
                    "layer", options=list(LAYERS), default="by color",
                    tooltip="by color: white is hole, black is lines, other colors are colors, "
                    "and all of it is hole. mask, sketch, color: all that is painted is that, in "
                    "whatever color.",
                ),
                io.String.Input(
                    "mask", display_name="painting", default="", socketless=True,
                    extra_dict={"widgetType": "PAINTER", "image_upload": True},
                    tooltip="Hole: broad strokes in white. Lines: a thin brush in black. Colors: "
                    "a brush of at least 4 pixels. The eraser takes away, Clear all of it.",
                ),
                *(
                    io.Int.Input(
                        name, default=512, min=1, max=LARGEST, socketless=True,
                        extra_dict={"hidden": True},
                        tooltip="Of the painting; the painter takes it from the picture.",
                    )
                    for name in ("width", "height")
                ),
                io.Color.Input(
                    "hole_color", default=HOLE, advanced=True,
                    tooltip="What stands for the hole under by color: another than white, to "
                    "paint with white.",
                ),
                io.Color.Input(
                    "line_color", default=LINE, advanced=True,
                    tooltip="What stands for lines under by color: another than black, to paint "
                    "with black.",
                ),
                io.Mask.Input(
                    "more_mask", optional=True,
                    tooltip="A mask to add to: of another Draw node, or of the mask editor.",
                ),
                io.MultiType.Input(
                    "more_sketch", [io.Mask, io.Image], optional=True,
                    tooltip="Lines to add to: light on dark, or opaque on transparent.",
                ),
                io.Image.Input(
                    "more_color", optional=True,
                    tooltip="Strokes to paint over: on transparent or black ground.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="As it came."),
                io.Mask.Output(display_name="mask"),
                io.Mask.Output(display_name="sketch"),
                io.Image.Output(display_name="color", tooltip="With transparent ground."),
            ],
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, mask: str = "", **rest: object) -> str:
        """Another painting may have the same name."""
        path = file_of(mask or "")
        return sha256_of(path) if path is not None and path.is_file() else ""

    @classmethod
    @in_one_sentence
    def execute(
        cls,
        image: Tensor,
        layer: str,
        mask: str,
        width: int,
        height: int,
        hole_color: str,
        line_color: str,
        more_mask: Tensor | None = None,
        more_sketch: Tensor | None = None,
        more_color: Tensor | None = None,
    ) -> io.NodeOutput:
        """Take the painting apart, and add it to what there is."""
        size, pixels = size_of(image), pixels_of(image)
        before = earlier(size, more_mask, more_sketch, more_color)
        check_batches(image=pixels, **before._asdict())
        now = LAYERS[layer](read_painting(mask, size), hole=hole_color, line=line_color)
        painted = now.at(size).onto(before)
        return io.NodeOutput(
            image,
            mask_from(painted.mask),
            mask_from(painted.sketch),
            image_of(painted.color[:, :3], painted.color[:, 3:]),
            # So that the next of these nodes shows what this one has painted.
            ui=ui.PreviewImage(image_of(painted.shown(pixels)[:1])),
        )
