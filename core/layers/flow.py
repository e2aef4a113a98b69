"""The Middlebury colour wheel for offsets, after Baker et al. 2011; how attention is pictured."""

import math

import torch
from torch import Tensor

SEGMENTS = (("ry", 15), ("yg", 6), ("gc", 4), ("cb", 11), ("bm", 13), ("mr", 6))
"""Hues from red over yellow, green, cyan, blue, magenta back to red, and steps between them."""


def colour_wheel() -> Tensor:
    """(55, 3) RGB in [0, 1]."""
    corners = {"r": (1, 0, 0), "y": (1, 1, 0), "g": (0, 1, 0), "c": (0, 1, 1), "b": (0, 0, 1)}
    corners["m"] = (1, 0, 1)
    parts = []
    for ends, steps in SEGMENTS:
        a, b = (torch.tensor(corners[end]).float() for end in ends)
        t = torch.arange(steps)[:, None] / steps
        # The wheel is made of bytes: rounded down on the way up, hence rounded up on the way down.
        rise, fall = (255 * t).floor(), 255 - (255 * t).floor()
        parts.append(torch.where(b > a, rise, torch.where(b < a, fall, 255 * a)) / 255)
    return torch.cat(parts)


def flow_to_image(flow: Tensor) -> Tensor:
    """Offsets (N, 2, h, w) -> colours (N, 3, h, w) in [-1, 1]: hue = direction, white = none.

    Lengths are relative to the longest offset of the item and those before it in the batch: the
    official code keeps a running maximum. Give items one by one for colours of their own.
    """
    u, v = flow.double().unbind(dim=1)
    longest = (u.square() + v.square()).sqrt().amax((1, 2), keepdim=True).cummax(dim=0).values
    longest = longest + torch.finfo(torch.float64).eps
    u, v = u / longest, v / longest
    radius = (u.square() + v.square()).sqrt()[:, None]
    wheel = colour_wheel().double().to(flow.device)
    position = (torch.atan2(-v, -u) / math.pi + 1) / 2 * (len(wheel) - 1)
    first = position.floor().long()
    share = (position - first)[..., None]
    hue = (1 - share) * wheel[first] + share * wheel[(first + 1) % len(wheel)]
    colour = 1 - radius * (1 - hue.movedim(-1, 1))
    return ((255 * colour).floor() / 127.5 - 1).to(torch.float32)
