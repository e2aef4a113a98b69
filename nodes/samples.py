"""Sample Picture: a photo to begin with, its mask and what is drawn into it."""

from pathlib import Path

import torch
from comfy_api.latest import io, ui

from ..core.image import read_guide, read_mask, read_picture
from ..core.image.write import SUFFIXES
from .kinds import CATEGORY, in_one_sentence
from .tensors import image_of, mask_from

SAMPLES = Path(__file__).resolve().parent.parent / "samples"


def sample_names() -> list[str]:
    """The names of the photos that have a mask."""
    return sorted(path.stem for path in SAMPLES.glob("*.jpg"))


def file_of(name: str, what: str) -> Path | None:
    """The file that lies beside a sample, if there is one: mask, sketch, color or seg."""
    return next((p for s in SUFFIXES if (p := SAMPLES / f"{name}.{what}{s}").is_file()), None)


class Sample(io.ComfyNode):
    """A photo with its task."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GatefillSample",
            display_name="Sample Picture (Gatefill)",
            category=CATEGORY,
            description="A photo that comes with the pack, with a mask and, where the task has "
            "them, lines, colours and a map of labels; what it has not is empty.",
            search_aliases=["example image", "demo picture", "test image"],
            inputs=[
                io.Combo.Input(
                    "name", options=sample_names(), default="object",
                    tooltip="object: remove a tower. scratch: repair. line: go on along a line. "
                    "face: lines and colours. street: a car by a map of labels.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image"),
                io.Mask.Output(display_name="mask"),
                io.Mask.Output(display_name="sketch"),
                io.Image.Output(display_name="color"),
                io.Image.Output(display_name="semantic"),
            ],
        )  # fmt: skip

    @classmethod
    @in_one_sentence
    def execute(cls, name: str) -> io.NodeOutput:
        """Read it."""
        picture = read_picture(SAMPLES / f"{name}.jpg")
        size, empty = picture.size, torch.zeros(1, 1, *picture.size)
        mask, sketch, color, seg = (file_of(name, x) for x in ("mask", "sketch", "color", "seg"))
        drawn = torch.cat([empty] * 4, dim=1) if color is None else with_alpha(color)
        image = image_of(picture.pixels)
        return io.NodeOutput(
            image,
            mask_from(empty if mask is None else read_mask(mask, size)),
            mask_from(empty if sketch is None else read_guide(sketch, size, channels=1)),
            image_of(drawn[:, :3], drawn[:, 3:]),
            image_of(torch.cat([empty] * 3, dim=1) if seg is None else read_picture(seg).pixels),
            # Also what a painting node after it has below its brush.
            ui=ui.PreviewImage(image, cls=cls),
        )


def with_alpha(path: Path) -> torch.Tensor:
    """A picture with its transparency: (1, 4, H, W)."""
    picture = read_picture(path)
    alpha = picture.alpha if picture.alpha is not None else torch.ones_like(picture.pixels[:, :1])
    return torch.cat([picture.pixels, alpha], dim=1)
