"""How far a completed picture is from the true one, beside its pixels: the columns, and edges.

The metrics of pixels stand in `core/metrics.py`, what needs a feature network in `perceptual.py`,
`lpips.py`, `texture.py` and `fid.py`.
"""

import torch.nn.functional as F
from torch import Tensor

from core.metrics import COLUMNS as PIXELS

COLUMNS = dict(PIXELS)
COLUMNS |= {"edges": "edges F", "features": "features", "texture": "texture"}
COLUMNS |= {"lpips": "LPIPS", "fid": "FID"}
"""Metric -> its heading in the table."""
EDGE_TOLERANCE = 2 / 256
"""How far from each other two lines are still the same, along either axis, in short sides."""


def edge_agreement(found: Tensor, drawn: Tensor, mask: Tensor) -> float | None:
    """F-measure of the lines found in a fill against the drawn ones, both inside the hole.

    All (1, 1, H, W) of 0 and 1, lines one pixel wide. Precision is the share of found lines that
    lie within the tolerance of a drawn one, recall the share of drawn lines within that of a found
    one; F is their harmonic mean. None where no line is drawn.
    """
    reach = max(1, round(EDGE_TOLERANCE * min(mask.shape[-2:])))
    found, drawn = found * mask, drawn * mask
    if not drawn.any():
        return None
    near_drawn, near_found = (
        F.max_pool2d(lines, 2 * reach + 1, stride=1, padding=reach) for lines in (drawn, found)
    )
    precision = float((found * near_drawn).sum() / found.sum().clamp(min=1))
    recall = float((drawn * near_found).sum() / drawn.sum())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def quantised(image: Tensor) -> Tensor:
    """Rounded to 8 bit, as a file would hold it: [0, 1] -> multiples of 1 / 255."""
    return (image.clamp(0, 1) * 255).round() / 255
