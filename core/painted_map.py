"""Maps of labels painted by hand: which colour is which label, and what is not painted."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .contract import THRESHOLD, Port
from .errors import ConfigError
from .palette import made_up, parse_colour
from .semantic import UNKNOWN, has_unknown, label_count, labels_of


def brush_colours(port: Port) -> list[tuple[str, str]]:
    """Name and colour (#rrggbb) of each label, in the order of their numbers, to paint with."""
    names = port.labels or tuple(str(number) for number in range(label_count(port)))
    return list(zip(names, port.palette or made_up(len(names)), strict=True))


def painted_labels(painting: Tensor, port: Port) -> Tensor:
    """Paint in the colours of `brush_colours`, RGBA (N, 4, H, W) in [0, 1] -> (N, 1, H, W) int64.

    What is transparent is unknown where the network knows that, else as the paint near to it.
    Raises ConfigError for a colour without a label, and where nothing is painted at all.
    """
    brushes = brush_colours(port)
    painted = painting[:, 3:] > THRESHOLD
    if not painted.flatten(1).any(dim=1).all():
        raise ConfigError(
            "nothing is painted on the map of labels; paint at least what shall be in the hole, "
            f"with {', '.join(name for name, _ in brushes[:5])}, ..."
        )
    ground = parse_colour(brushes[0][1])
    colour = torch.tensor([ground >> 16, ground >> 8 & 255, ground & 255]).view(1, 3, 1, 1) / 255
    palette = {parse_colour(shade): name for name, shade in brushes}
    labels = labels_of(torch.where(painted, painting[:, :3], colour), port, palette=palette)
    if has_unknown(port):
        return torch.where(painted, labels, UNKNOWN)
    return spread(labels, painted)


def spread(labels: Tensor, known: Tensor) -> Tensor:
    """Numbers where they are known, elsewhere those of a known pixel near by: both (N, 1, H, W).

    By halves: a pixel takes what the smallest square round it that knows anything has, squares
    being of 1, 2, 4, ... pixels.
    """
    height, width = labels.shape[-2:]
    if bool(known.all()) or max(height, width) == 1:
        return labels
    room = (0, width % 2, 0, height % 2)
    four, there = (F.unfold(F.pad(x.double(), room), 2, stride=2) for x in (labels, known))
    first = there.argmax(dim=1, keepdim=True)
    half = (labels.shape[0], 1, (height + 1) // 2, (width + 1) // 2)
    coarse = spread(four.gather(1, first).to(labels.dtype).view(half), there.any(dim=1).view(half))
    near = coarse.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)[..., :height, :width]
    return torch.where(known, labels, near)
