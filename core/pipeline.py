"""From any picture and mask to the completed picture; the one road of every front end."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .backends import Backend
from .contract import THRESHOLD, Port
from .crop import (
    Window,
    breadth,
    feather,
    grow,
    hole_groups,
    mirror_to_multiple,
    resize,
    resize_hole,
    resize_known,
    with_context,
)
from .errors import ConfigError, ShapeError
from .seam import blend, match_colours


@dataclass(frozen=True, kw_only=True)
class FillOptions:
    """How to fill; the defaults change nothing outside the mask."""

    grow: int = 0
    """Pixels by which the hole is widened, where a mask was drawn too tightly."""
    feather: int = 0
    """Pixels round the hole over which fill and picture blend; 0 leaves known pixels alone."""
    strategy: Literal["auto", "full", "crop"] = "auto"
    """full: the whole picture at once; crop: each group of holes with context round it."""
    context: float = 0.75
    """Picture kept round a cropped hole on each side, as a fraction of the hole's longer side."""
    work_size: int = 1024
    """Longest side in pixels on which the network works; larger crops are scaled to it."""

    def __post_init__(self) -> None:
        for name in ("grow", "feather"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be 0 or more pixels")
        if self.strategy not in ("auto", "full", "crop"):
            raise ConfigError(f"strategy is {self.strategy!r}; it must be auto, full or crop")
        if not 0 <= self.context <= 8:
            raise ConfigError(f"context is {self.context}; it must be from 0 to 8")
        if self.work_size < 64:
            raise ConfigError(f"work_size is {self.work_size}; it must be at least 64 pixels")


FULL_SIDES = 2
"""A picture of up to this many native sides is filled whole under "auto"."""
TRAINED_BREADTH = 0.375
"""Holes up to this fraction of the native side across are filled at once; wider ones coarse to
fine."""


class Inpainter:
    """Fill holes of any size and shape with a backend that takes only some sizes."""

    def __init__(self, backend: Backend, options: FillOptions | None = None):
        self.backend = backend
        self.options = options or FillOptions()

    @torch.inference_mode()
    def __call__(self, image: Tensor, mask: Tensor, **guides: Tensor | None) -> Tensor:
        """Image (N, 3, H, W) in [0, 1], mask (N, 1, H, W), 1 = hole -> image in [0, 1].

        Pixels where the mask (grown and feathered as the options say) is 0 are returned bit for
        bit; in between it blends, and above the threshold it is hole for the network. Image or
        mask may have N = 1 beside a larger batch. Guides by the names of the contract's ports,
        (N, C, H, W) in [0, 1]; those left out, or None, are empty.
        Raises ShapeError or ConfigError for tensors that do not fit.
        """
        given = {name: guide for name, guide in guides.items() if guide is not None}
        image, mask, given = self._checked(image, mask, given)
        result = image.clone()
        alpha = feather(grow(mask, self.options.grow), self.options.feather)
        for item in range(len(image)):
            one = slice(item, item + 1)
            if not (alpha[one] > 0).any():
                continue
            self._fill_item(result[one], alpha[one], {k: v[one] for k, v in given.items()})
        return result

    def _fill_item(self, image: Tensor, alpha: Tensor, guides: dict[str, Tensor]) -> None:
        """Fill one picture (1, 3, H, W) in place."""
        hole = (alpha > THRESHOLD).float()
        if not hole.any():
            return
        for inner, outer in self._windows(hole):
            known = outer.of(image).float()
            filled = self._fill_window(
                known, outer.of(hole), {name: outer.of(guide) for name, guide in guides.items()}
            )
            filled = match_colours(filled, known, outer.of(hole))
            # Cut what belongs to this group out of its surroundings, and blend it in.
            inside = Window(
                inner.top - outer.top,
                inner.left - outer.left,
                inner.bottom - outer.top,
                inner.right - outer.left,
            )
            blend(inner.of(image), inside.of(filled), inner.of(alpha))

    def _windows(self, hole: Tensor) -> list[tuple[Window, Window]]:
        """Pairs: what is written, and what the network sees of the picture for it."""
        height, width = hole.shape[-2:]
        whole = Window(0, 0, height, width)
        native = self.backend.contract.native_size
        fits = max(height, width) <= FULL_SIDES * native
        if self.options.strategy == "full" or (self.options.strategy == "auto" and fits):
            return [(whole, whole)]
        rim = self.options.feather
        pairs = []
        for box in hole_groups(hole, gap=max(native // 8, 2 * rim + 2)):
            side = max(box.height, box.width)
            margin = max(round(self.options.context * side), native // 4)
            outer = with_context(box, (height, width), margin=margin, least=native)
            inner = with_context(box, (height, width), margin=rim, least=1)
            pairs.append((inner, outer))
        return pairs

    def _fill_window(self, image: Tensor, hole: Tensor, guides: dict[str, Tensor]) -> Tensor:
        """Fill at the scales that suit picture and hole: (1, 3, H, W) -> the same, all pixels."""
        size = (image.shape[-2], image.shape[-1])
        filled: Tensor | None = None
        for scale in self._scales(size, breadth(hole)):
            small = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
            first = None if filled is None else resize(filled, small)
            shrunk = {name: _resize_guide(guide, small) for name, guide in guides.items()}
            filled = self._run(
                resize_known(image, hole, small), resize_hole(hole, small), shrunk, first
            )
        assert filled is not None  # there is always at least one scale
        return resize(filled, size)

    def _scales(self, size: tuple[int, int], hole_breadth: int) -> list[float]:
        """From coarse to fine; one scale alone where the hole is no wider than trained."""
        contract = self.backend.contract
        finest = min(1.0, self.options.work_size / max(size))
        trained = TRAINED_BREADTH * contract.native_size
        coarsest = min(finest, trained / max(hole_breadth, 1))
        if not contract.refines or coarsest > 0.75 * finest:
            return [coarsest if not contract.refines else finest]
        steps = math.ceil(math.log2(finest / coarsest))  # each at most twice the one before
        return [coarsest * (finest / coarsest) ** (i / steps) for i in range(steps + 1)]

    def _run(
        self, image: Tensor, hole: Tensor, guides: dict[str, Tensor], first_fill: Tensor | None
    ) -> Tensor:
        """One pass of the backend at this very size, padded to its multiple."""
        contract = self.backend.contract
        height, width = image.shape[-2:]
        values = {"image": image, "mask": hole, **guides}
        inputs = [
            mirror_to_multiple(to_port(values.get(port.name), port, hole), contract.multiple_of)
            for port in contract.inputs
        ]
        if first_fill is None:
            filled = self.backend.run(*inputs)
        else:
            first = mirror_to_multiple(to_port(first_fill, contract.output), contract.multiple_of)
            filled = self.backend.refine(first, *inputs)
        low, high = contract.output.low, contract.output.high
        return ((filled[..., :height, :width].float() - low) / (high - low)).clamp(0, 1)

    def _checked(
        self, image: Tensor, mask: Tensor, guides: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """All of one batch size, or an error that says what is wrong."""
        tensors = {"image": image, "mask": mask, **guides}
        count = max(len(tensor) for tensor in tensors.values())
        names = {port.name for port in self.backend.contract.guides}
        for port in self.backend.contract.guides:
            if not port.optional and port.name not in guides:
                raise ConfigError(f"this network needs {port.name!r} beside image and mask")
        for name, tensor in tensors.items():
            if name not in names | {"image", "mask"}:
                self.backend.contract.port(name)  # raises, naming what there is
            channels = self.backend.contract.port(name).channels
            _check(name, tensor, (count, channels, *image.shape[-2:]))
        whole = {name: t.expand(count, -1, -1, -1) for name, t in tensors.items()}
        guided = {name: whole[name].float() for name in guides}
        return whole["image"], whole["mask"].float(), guided


def to_port(x: Tensor | None, port: Port, like: Tensor | None = None) -> Tensor:
    """[0, 1] -> the range of the port, thresholded if it is binary; None -> `low` everywhere."""
    if x is None:
        assert like is not None  # every optional port is met with the hole beside it
        return torch.full_like(like, port.low).expand(-1, port.channels, -1, -1)
    if port.binary:
        x = (x > THRESHOLD).to(x.dtype)
    return x * (port.high - port.low) + port.low


def _resize_guide(guide: Tensor, size: tuple[int, int]) -> Tensor:
    """A thin line must not vanish when it shrinks: the strongest pixel of each cell stays."""
    return resize_hole(guide, size) if guide.shape[1] == 1 else resize(guide, size)


def _check(name: str, tensor: Tensor, wanted: tuple[int, ...]) -> None:
    shape = tuple(tensor.shape)
    if tensor.dim() != 4 or shape[1:] != wanted[1:] or shape[0] not in (1, wanted[0]):
        raise ShapeError(
            f"{name} has the shape {shape}; it must be {wanted} here "
            "(items, channels, height, width, as the image says)"
        )
    if not tensor.is_floating_point():
        raise ShapeError(f"{name} holds {tensor.dtype}; it must hold floats from 0 to 1")
    if not tensor.numel():
        raise ShapeError(f"{name} is empty, {shape}; it needs at least one pixel")
    low, high = tensor.aminmax()
    if not (low >= 0 and high <= 1):  # also false for NaN
        raise ConfigError(
            f"{name} has values from {float(low):.4g} to {float(high):.4g}; "
            "they must lie from 0 to 1, without NaN"
        )
