"""ComfyUI's tensors to those of `core` and back; nothing else in the pack knows of (B, H, W, C).

An IMAGE is (B, H, W, 3 or 4) in [0, 1], a MASK (B, H, W), 1 = hole.
"""

import comfy.model_management
import torch
from torch import Tensor

from ..core.errors import ConfigError, ShapeError
from ..core.image import alpha_of_bhwc, from_bhw, from_bhwc, grey_of, to_bhw, to_bhwc
from ..core.masks.fit import fit_color, fit_lines, fit_mask

Size = tuple[int, int]
"""(height, width) in pixels."""


def pixels_of(image: Tensor) -> Tensor:
    """IMAGE -> RGB (B, 3, H, W), float32.

    Other nodes leave values a little out of range, as by scaling; NaN is left for `core` to refuse.
    """
    return from_bhwc(image).float().clamp(0, 1)


def alpha_of(image: Tensor) -> Tensor | None:
    """IMAGE -> its transparency (B, 1, H, W), float32, or None if it has none."""
    alpha = alpha_of_bhwc(image)
    return None if alpha is None else alpha.float().clamp(0, 1)


def size_of(image: Tensor) -> Size:
    """IMAGE -> (height, width)."""
    return image.shape[1], image.shape[2]


def mask_of(mask: Tensor, size: Size) -> Tensor:
    """MASK -> (B, 1, *size), scaled if it has another size. Raises ConfigError for an empty one.

    LoadImage gives an empty mask of 64x64 for any picture without transparency.
    """
    if not (mask > 0).any():
        raise ConfigError(
            "the mask is empty: draw one, for example in the mask editor (right click on the "
            "image of Load Image)"
        )
    return any_mask_of(mask, size)


def any_mask_of(mask: Tensor, size: Size) -> Tensor:
    """As `mask_of`, but it may be empty."""
    return fit_mask(from_bhw(mask).float().clamp(0, 1), size)


def lines_of(drawn: Tensor, size: Size) -> Tensor:
    """MASK or IMAGE of light lines on dark, or opaque ones on transparent -> (B, 1, *size)."""
    return fit_lines(drawing_of(drawn), size)


def is_mask(x: Tensor) -> bool:
    """Whether it is a MASK, and not an IMAGE."""
    return x.ndim != 4 or (x.shape[1] == 1 and x.shape[-1] not in (3, 4))


def mask_numbers(mask: Tensor) -> Tensor:
    """MASK whose values are the numbers of 8-bit grey -> (B, 1, H, W) int64."""
    return (from_bhw(mask) * 255).round().long()


def drawing_of(drawn: Tensor) -> Tensor:
    """MASK, or IMAGE -> (B, 1, H, W): its transparency where it has any, else how light it is."""
    if is_mask(drawn):
        return from_bhw(drawn).float().clamp(0, 1)
    alpha = alpha_of(drawn)
    return grey_of(pixels_of(drawn)) if alpha is None or has_ground(drawn) else alpha


def has_ground(drawn: Tensor) -> bool:
    """Whether a drawing is on some ground, as paper, and not on a transparent one."""
    alpha = None if is_mask(drawn) else alpha_of(drawn)
    return alpha is None or not (alpha < 1).any()


def color_of(drawn: Tensor, size: Size) -> Tensor:
    """IMAGE of strokes on black or transparent ground -> (B, 3, *size), on black."""
    alpha = alpha_of(drawn)
    color = pixels_of(drawn)
    return fit_color(color if alpha is None else color * alpha, size)


def painting_of(drawn: Tensor) -> Tensor:
    """IMAGE of strokes on black or transparent ground -> (B, 4, H, W), RGBA."""
    alpha, color = alpha_of(drawn), pixels_of(drawn)
    return torch.cat([color, (color.amax(1, True) > 0).float() if alpha is None else alpha], dim=1)


def image_of(pixels: Tensor, alpha: Tensor | None = None) -> Tensor:
    """(B, 3, H, W), and (B, 1, H, W) if there is transparency -> IMAGE, where ComfyUI wants it."""
    if alpha is not None:
        pixels = torch.cat([pixels, alpha.expand(len(pixels), -1, -1, -1)], dim=1)
    return _placed(to_bhwc(pixels))


def mask_from(mask: Tensor) -> Tensor:
    """(B, 1, H, W) -> MASK, where ComfyUI wants it."""
    return _placed(to_bhw(mask))


def check_batches(**tensors: Tensor | None) -> None:
    """Raise ShapeError unless all that are there have one item, or the same number of them."""
    counts = {name: len(x) for name, x in tensors.items() if x is not None and len(x) > 1}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise ShapeError(
            f"the batches do not fit together: {found}; give as many of each, or a single one"
        )


def _placed(x: Tensor) -> Tensor:
    device = comfy.model_management.intermediate_device()
    dtype = comfy.model_management.intermediate_dtype()
    return x.clamp(0, 1).to(device, dtype).contiguous()
