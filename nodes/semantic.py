"""Semantic Fill and Semantic to Image: what shall be there is said by a map of labels."""

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..core.config import CAMVID
from ..core.contract import Port
from ..core.crop import nearest
from ..core.errors import ConfigError
from ..core.options import FillOptions
from ..core.palette import Palette, parse_colour, read_palette
from ..core.semantic import labels_of, numbers_of
from .files import palette_names, palette_path
from .inpaint import (
    MOST_SEED,
    completed,
    filled_outputs,
    option_inputs,
    options_of,
    picture_inputs,
)
from .kinds import CATEGORY, Model, in_one_sentence
from .loaded import Loaded
from .running import run
from .tensors import Size, check_batches, image_of, is_mask, mask_numbers, pixels_of, size_of

OWN, NUMBERS, STREETS = "of the network", "label numbers (grey)", "camvid (streets)"
PALETTES: dict[str, Palette | None] = {
    OWN: None,
    NUMBERS: {},
    STREETS: {parse_colour(colour): name for name, colour in CAMVID.items()},
}


def guide_inputs() -> list[Any]:
    """The inputs of a map and what goes with it."""
    return [
        io.MultiType.Input(
            "semantic", [io.Image, io.Mask],
            tooltip="Map of labels: flat colours of the palette, or grey values that are numbers.",
        ),
        io.Combo.Input(
            "palette", options=[*PALETTES, *palette_names()], default=OWN,
            tooltip="Which colour is which label. Files of your own (.gpl of GIMP, or JSON) go "
            "into models/inpaint/palettes.",
        ),
        io.MultiType.Input(
            "instances", [io.Image, io.Mask], optional=True,
            tooltip="Map whose colours differ from thing to thing, where the network takes one.",
        ),
        io.Image.Input(
            "style", optional=True, tooltip="A picture whose look is taken, instead of the seed."
        ),
    ]  # fmt: skip


def palette_called(name: str) -> Palette | None:
    """The palette of a name; None is the network's own."""
    return PALETTES[name] if name in PALETTES else read_palette(palette_path(name))


def labels_port(model: Loaded) -> Port:
    """The port of the map. Raises ConfigError for a network that takes none."""
    for port in model.contract.guides:
        if port.kind == "labels":
            return port
    raise ConfigError(
        f"{model.name} takes no map of labels; load a network that does, as "
        "bundled/spade-streets-small.safetensors"
    )


def map_guides(
    model: Loaded,
    semantic: Tensor,
    palette: str,
    instances: Tensor | None,
    style: Tensor | None,
    size: Size | None = None,
) -> dict[str, Tensor]:
    """The guides that are there by the names of the network's ports, at `size` if given."""
    port = labels_port(model)
    if is_mask(semantic):
        labels = mask_numbers(semantic)
    else:
        labels = labels_of(pixels_of(semantic), port, palette=palette_called(palette))
    guides = {port.name: labels}
    if instances is not None:
        known = is_mask(instances)
        guides["instances"] = mask_numbers(instances) if known else numbers_of(pixels_of(instances))
    if size is not None:
        guides = {name: nearest(x, size) for name, x in guides.items()}
    if style is not None:
        guides["style"] = pixels_of(style)
    return guides


class SemanticFill(io.ComfyNode):
    """Fill the hole of a picture by a map of labels."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GatefillSemanticFill",
            display_name="Semantic Fill (Gatefill)",
            category=CATEGORY,
            description="Fill what is white in the mask with what a map of labels says: a car "
            "here, a tree there (SPADE).",
            search_aliases=["spade", "gaugan", "segmentation to image", "label map", "semantic"],
            inputs=[
                *picture_inputs(),
                *guide_inputs(),
                *option_inputs(),
            ],
            outputs=filled_outputs(),
        )

    @classmethod
    @in_one_sentence
    def execute(
        cls,
        model: Loaded,
        image: Tensor,
        mask: Tensor,
        semantic: Tensor,
        palette: str,
        instances: Tensor | None = None,
        style: Tensor | None = None,
        **options: Any,
    ) -> io.NodeOutput:
        """Fill it."""
        guides = map_guides(model, semantic, palette, instances, style, size_of(image))
        return completed(model, options_of(**options), image, mask, **guides)


class SemanticToImage(io.ComfyNode):
    """Make a whole picture of a map of labels."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GatefillSemanticToImage",
            display_name="Semantic to Image (Gatefill)",
            category=CATEGORY,
            description="Make a picture of a map of labels (SPADE).",
            search_aliases=["spade", "gaugan", "segmentation to image", "label map", "semantic"],
            inputs=[
                Model.Input("model"),
                *guide_inputs(),
                io.Int.Input(
                    "seed", default=0, min=0, max=MOST_SEED,
                    tooltip="Another look for each, where no style is given.",
                ),
                io.Int.Input(
                    "width", default=0, min=0, max=8192,
                    tooltip="Of the picture; 0: that of the map.",
                ),
                io.Int.Input(
                    "height", default=0, min=0, max=8192,
                    tooltip="Of the picture; 0: that of the map.",
                ),
            ],
            outputs=[io.Image.Output(display_name="image")],
        )  # fmt: skip

    @classmethod
    @in_one_sentence
    def execute(
        cls,
        model: Loaded,
        semantic: Tensor,
        palette: str,
        seed: int,
        width: int,
        height: int,
        instances: Tensor | None = None,
        style: Tensor | None = None,
    ) -> io.NodeOutput:
        """Make it."""
        guides = map_guides(model, semantic, palette, instances, style)
        check_batches(**guides)
        own = next(iter(guides.values())).shape[-2:]
        size = height or own[0], width or own[1]
        options = FillOptions(seed=seed)
        made = run(model, options, size[0] * size[1], lambda one: one.synthesize(size, **guides))
        return io.NodeOutput(image_of(made))
