"""Masks and guides from files, or from a picture's transparency or colour."""

from pathlib import Path

import torch
from PIL import ImageColor
from torch import Tensor

from ..errors import ConfigError, ImageError, ShapeError
from ..image.modes import luma
from ..image.read import Picture, read_picture
from .fit import fit_color, fit_lines, fit_mask


def read_mask(
    path: Path, size: tuple[int, int], *, invert: bool = False, rescale: bool = False
) -> Tensor:
    """Read a mask file of any mode for a picture of `size` (height, width).

    Returns (1, 1, H, W) in [0, 1], 1 = hole: how white and how opaque the file is. `invert`
    makes black the hole. `rescale` fits another size by nearest neighbours.
    Raises ShapeError for another size without `rescale`, ImageError for a bad file.
    """
    picture = read_picture(path)
    mask = grey_of(picture.pixels)
    if picture.alpha is not None:
        mask = mask * picture.alpha
    check_size(path, mask, size, rescale=rescale)
    mask = fit_mask(mask, size)
    return 1 - mask if invert else mask


def alpha_mask(picture: Picture) -> Tensor:
    """The picture's transparency, (1, 1, H, W) in [0, 1]: transparent = hole = 1."""
    if picture.alpha is None:
        raise ImageError("the picture has no transparency to take the mask from; give a mask file")
    return 1 - picture.alpha


def colour_mask(pixels: Tensor, colour: str, *, tolerance: float = 0.0) -> Tensor:
    """The pixels of one colour, such as "#ff00ff" or "magenta": (N, 3, H, W) -> (N, 1, H, W).

    Pictures in [0, 1] -> masks of 0 and 1, 1 = hole.

    Each channel may differ by `tolerance` (0 to 1) and half an 8-bit step.
    Raises ConfigError for an unknown colour.
    """
    return (colour_distance(pixels, colour) <= tolerance + 0.5 / 255).float()


def colour_distance(pixels: Tensor, colour: str) -> Tensor:
    """How far each pixel is from a colour, in the channel where it is furthest.

    (N, 3, H, W) in [0, 1] -> (N, 1, H, W) in [0, 1]. Raises ConfigError for an unknown colour.
    """
    try:
        wanted = ImageColor.getrgb(colour)[:3]
    except ValueError:
        raise ConfigError(
            f"{colour!r} is no colour; give it as '#ff00ff' or by name, as 'magenta'"
        ) from None
    furthest = torch.zeros_like(pixels[:, :1])
    for channel, value in enumerate(wanted):
        distance = (pixels[:, channel : channel + 1] - value / 255).abs()
        torch.maximum(furthest, distance, out=furthest)
    return furthest


def read_guide(
    path: Path, size: tuple[int, int], *, channels: int, rescale: bool = False
) -> Tensor:
    """Read a sketch (1 channel) or a colour drawing (3 channels) for a picture of `size`.

    Returns (1, channels, H, W) in [0, 1], 0 = nothing drawn. A sketch has light lines on dark;
    where the file has transparency, its lines are what is opaque, of whatever colour. Colour
    strokes on transparent ground are laid over black. `rescale` fits another size, lines smoothly,
    and strokes so that thin ones stay as bright.
    Raises ShapeError for another size without `rescale`, ImageError for a bad file.
    """
    if channels not in (1, 3):
        raise ShapeError(f"a guide file gives 1 or 3 channels, but {channels} are wanted")
    picture = read_picture(path)
    alpha = picture.alpha
    if channels == 3:
        color = picture.pixels if alpha is None else picture.pixels * alpha
        check_size(path, color, size, rescale=rescale)
        return fit_color(color, size)
    drawn_in_alpha = alpha is not None and bool((alpha < 1).any())
    guide = alpha if alpha is not None and drawn_in_alpha else grey_of(picture.pixels)
    check_size(path, guide, size, rescale=rescale)
    return fit_lines(guide, size)


def grey_of(pixels: Tensor) -> Tensor:
    """How light each pixel is: RGB (N, 3, H, W) in [0, 1] -> (N, 1, H, W); grey stays as it is."""
    return luma(pixels.movedim(1, 0))[:, None].clamp(0, 1)


def check_size(path: Path, layer: Tensor, size: tuple[int, int], *, rescale: bool) -> None:
    """Raise ShapeError for a layer (..., H, W) of another size, unless it may be scaled."""
    height, width = layer.shape[-2:]
    if (height, width) != tuple(size) and not rescale:
        raise ShapeError(
            f"{path} is {height} x {width} pixels (height x width) but the picture is "
            f"{size[0]} x {size[1]}; give one of the same size or ask for rescaling (--scale-mask)"
        )
