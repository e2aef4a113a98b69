"""Inpaint Metrics: how far a completed picture is from the true one."""

import math

from comfy_api.latest import io, ui
from torch import Tensor

from ..core.metrics import compare, in_words, means
from .kinds import CATEGORY, in_one_sentence
from .shown import say
from .tensors import check_batches, mask_of, pixels_of, size_of

OUTPUTS = {
    "hole_l1": "Mean absolute difference in the hole, in per cent.",
    "hole_l2": "Mean squared difference in the hole, in per cent.",
    "hole_psnr": "Peak signal to noise ratio in the hole, in decibels.",
    "tv_ratio": "Total variation in the hole over that of the reference; below 1 is blurred.",
    "psnr": "Peak signal to noise ratio of the whole picture, in decibels.",
    "ssim": "Structural similarity of the whole picture, 1 at most; needs scikit-image.",
}
"""Metric -> what it is."""


class Metrics(io.ComfyNode):
    """Compare a completed picture with the true one."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GatefillMetrics",
            display_name="Inpaint Metrics (Gatefill)",
            category=CATEGORY,
            description="Measure how far a filled picture is from the true one, in the hole and as "
            "a whole. Of several pictures the outputs are the means, and the text has a line for "
            "each. A value that cannot be told, such as that of a picture without a hole, is nan.",
            search_aliases=["psnr", "ssim", "l1", "compare images", "image quality", "difference"],
            inputs=[
                io.Image.Input("image", tooltip="What was filled."),
                io.Image.Input("reference", tooltip="What it should have been, of the same size."),
                io.Mask.Input(
                    "mask", optional=True,
                    tooltip="White is the hole. Without it all of the picture counts as hole.",
                ),
            ],
            outputs=[
                *(io.Float.Output(display_name=x, tooltip=says) for x, says in OUTPUTS.items()),
                io.String.Output(display_name="text", tooltip="All of it in words."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    @in_one_sentence
    def execute(cls, image: Tensor, reference: Tensor, mask: Tensor | None = None) -> io.NodeOutput:
        """Measure it."""
        hole = None if mask is None else mask_of(mask, size_of(image))
        check_batches(image=image, reference=reference, mask=hole)
        each, missing = compare(pixels_of(image), pixels_of(reference), hole)
        mean = means(each)
        lines = [in_words(mean, between="\n")]
        if len(each) > 1:
            lines = [f"mean of {len(each)} pictures", *lines]
            lines += [f"{number}: {in_words(one)}" for number, one in enumerate(each, 1)]
        text = "\n".join([*lines, missing]).strip()
        say(cls, text)
        values = [mean.get(name, math.nan) for name in OUTPUTS]
        return io.NodeOutput(*values, text, ui=ui.PreviewText(text))
