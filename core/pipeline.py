"""From any picture and mask to the completed picture; the one road of every front end."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .backends import Backend
from .contract import THRESHOLD
from .crop import (
    Window,
    breadth,
    hole_groups,
    in_mean_colour,
    mirror_to_multiple,
    nearest,
    resize,
    resize_hole,
    resize_known,
    with_context,
)
from .errors import ConfigError
from .guides import (
    NUMBERED,
    Guides,
    Size,
    check_guide,
    check_map,
    check_names,
    from_output,
    to_port,
)
from .options import FULL_SIDES, FillOptions
from .progress import Meter
from .seam import blend, match_colours
from .single import Canvas, bounding_box, canvas_of, fill_on_canvas, needed_window


class Task(NamedTuple):
    """One part of a picture that is filled by itself."""

    inner: Window
    """What is written."""
    outer: Window
    """What the network sees of the picture for it."""
    sizes: tuple[Size, ...]
    """At which it sees it, from coarse to fine; each is a pass of the network."""


class Inpainter:
    """Fill holes of any size and shape with a backend that takes only some sizes.

    progress: is told after each pass of the network which share of all its work is done, above 0
    and 1 at the end. What it raises ends the work (to end it within a pass, see `core.progress`).
    """

    def __init__(
        self,
        backend: Backend,
        options: FillOptions | None = None,
        progress: Callable[[float], None] | None = None,
    ):
        self.backend = backend
        self.options = options or FillOptions()
        self.progress = progress

    @torch.inference_mode()
    def __call__(self, image: Tensor, mask: Tensor, **guides: Tensor | None) -> Tensor:
        """Image (N, 3, H, W) in [0, 1], mask (N, 1, H, W), 1 = hole -> image in [0, 1].

        Pixels where the mask (grown and feathered as the options say) is 0 are returned bit for
        bit; in between it blends, and above the threshold it is hole for the network. Image or
        mask may have N = 1 beside a larger batch.

        Guides go by the names of the contract's ports; those left out, or None, are empty, or as
        `FillOptions.seed` says. By the kind of the port: map, (N, C, H, W) in [0, 1]; labels,
        their numbers (N, 1, H, W), 255 = unknown, or one-hot (N, C, H, W); instances, numbers
        (N, 1, H, W); vector, (N, C), or a reference picture (N, 3, h, w) in [0, 1].
        Raises ShapeError or ConfigError for tensors that do not fit.
        """
        given = {name: guide for name, guide in guides.items() if guide is not None}
        image, mask, given = self._checked(image, mask, given)
        result = image.clone()
        alpha = self.options.blending(mask)
        plan = {item: self.tasks(alpha[item : item + 1]) for item in range(len(image))}
        sizes = [size for tasks in plan.values() for task in tasks for size in task.sizes]
        meter = Meter(sizes, self.progress)
        for item, tasks in plan.items():
            one = slice(item, item + 1)
            if tasks:
                own = self._guides(
                    {name: x[one] for name, x in given.items()}, item, image[one], alpha[one]
                )
                fill = self._fill_single if self._single else self._fill_item
                fill(result[one], alpha[one], own, tasks, meter)
        return result

    def synthesize(self, size: Size, **guides: Tensor | None) -> Tensor:
        """A whole picture of `size` from a map of labels: -> (N, 3, H, W) in [0, 1].

        Guides as for a call, but for their size: maps are scaled to `size`.
        Raises ConfigError where the network takes no map of labels, otherwise as a call.
        """
        contract = self.backend.contract
        if min(size) < 1:
            raise ConfigError(f"the size is {size[0]} x {size[1]}; it must be at least 1 x 1")
        given = {name: guide for name, guide in guides.items() if guide is not None}
        check_names(contract, given)
        for name in given:
            if contract.port(name).kind in NUMBERED:
                given[name] = nearest(given[name], size)
        labels = [given[port.name] for port in contract.guides if port.kind == "labels"]
        if not labels:
            raise ConfigError(
                "this network makes no pictures of a map of labels alone; give one that does, as "
                "SPADE"
            )
        shape, device = (1, *size), labels[0].device
        image, mask = torch.zeros(3, *size, device=device), torch.ones(shape, device=device)
        return self(image[None], mask[None], **given)

    def _guides(self, given: dict[str, Tensor], item: int, image: Tensor, alpha: Tensor) -> Guides:
        """Those of one picture; a style that is not given is its own, or drawn."""
        random = np.random.default_rng((self.options.seed or 0, item))
        known = (alpha == 0).float()
        for port in self.backend.contract.guides:
            if port.kind != "vector" or port.name in given:
                continue
            if self._single and self.options.seed is None:
                continue  # made of what the canvas shows
            if port.encoded and self.options.seed is None and known.any():
                given[port.name] = self._encoded(in_mean_colour(image.float(), known))
            else:
                drawn = random.standard_normal((1, port.channels), dtype=np.float32)
                given[port.name] = torch.from_numpy(drawn)
        return Guides(self.backend.contract, given, random)

    def _fill_item(
        self, image: Tensor, alpha: Tensor, guides: Guides, tasks: list[Task], meter: Meter
    ) -> None:
        """Fill one picture (1, 3, H, W) in place."""
        hole = (alpha > THRESHOLD).float()
        for task in tasks:
            inner, outer = task.inner, task.outer
            known = outer.of(image).float()
            filled = self._fill_window(known, outer.of(hole), guides.of(outer), task.sizes, meter)
            filled = match_colours(
                filled, known, outer.of(hole),
                tint=self.options.color_match, seam=self.options.seam,
            )  # fmt: skip
            # Cut what belongs to this group out of its surroundings, and blend it in.
            inside = Window(
                inner.top - outer.top,
                inner.left - outer.left,
                inner.bottom - outer.top,
                inner.right - outer.left,
            )
            blend(inner.of(image), inside.of(filled), inner.of(alpha))

    @property
    def _single(self) -> bool:
        return self.options.strategy == "single"

    @property
    def _canvas(self) -> Canvas:
        canvas = canvas_of(self.backend.contract, context=self.options.context)
        return replace(canvas, color_match=self.options.color_match, seam=self.options.seam)

    def _fill_single(
        self, image: Tensor, alpha: Tensor, guides: Guides, tasks: list[Task], meter: Meter
    ) -> None:
        """As `_fill_item`, in one pass."""
        window = tasks[0].outer
        part, soft = window.of(image), window.of(alpha)
        filled = fill_on_canvas(self.backend, self._canvas, part.float(), soft, guides.of(window))
        blend(part, filled, soft)
        meter.passed()

    def tasks(self, alpha: Tensor) -> list[Task]:
        """What there is to do for one mask (1, 1, H, W), as `FillOptions.blending` has it."""
        hole = (alpha > THRESHOLD).float()
        if not hole.any():
            return []
        if self._single:
            canvas = self._canvas
            top, left, bottom, right = (int(edge) for edge in bounding_box(alpha)[0])
            size = (alpha.shape[-2], alpha.shape[-1])
            window = needed_window(Window(top, left, bottom, right), size, canvas)
            return [Task(window, window, ((canvas.size, canvas.size),))]
        return [
            Task(inner, outer, self._sizes((outer.height, outer.width), breadth(outer.of(hole))))
            for inner, outer in self._windows(hole)
        ]

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

    def _fill_window(
        self, image: Tensor, hole: Tensor, guides: Guides, sizes: Sequence[Size], meter: Meter
    ) -> Tensor:
        """Fill at the sizes that suit picture and hole: (1, 3, H, W) -> the same, all pixels."""
        filled = image
        for number, small in enumerate(sizes):
            first = resize(filled, small) if number else None
            known = resize_known(image, hole, small)
            filled = self._run(known, resize_hole(hole, small), guides.at(small), first)
            meter.passed()
        return resize(filled, (image.shape[-2], image.shape[-1]))

    def _sizes(self, size: Size, hole_breadth: int) -> tuple[Size, ...]:
        """`size` at the scales that suit picture and hole, from coarse to fine."""
        scales = self._scales(size, hole_breadth)
        return tuple((max(1, round(size[0] * s)), max(1, round(size[1] * s))) for s in scales)

    def _scales(self, size: Size, hole_breadth: int) -> list[float]:
        """From coarse to fine; one scale alone where the hole is no wider than trained.

        A network without coarse to fine is given the size that it was trained at as well as it can
        be: small pictures are enlarged to the native side, and wide holes made smaller.
        """
        contract, longest = self.backend.contract, max(size)
        # The widest hole there is eats from a border: twice the picture across.
        hole_breadth = min(max(hole_breadth, 1), 2 * longest)
        trained = contract.widest_hole * contract.native_size / hole_breadth
        if not contract.refines:
            fits = min(max(longest, contract.native_size), self.options.work_size) / longest
            return [min(fits, trained)]
        finest = min(1.0, self.options.work_size / longest)
        coarsest = min(finest, trained)
        if coarsest > 0.75 * finest:
            return [finest]
        steps = math.ceil(math.log2(finest / coarsest))  # each at most twice the one before
        return [coarsest * (finest / coarsest) ** (i / steps) for i in range(steps + 1)]

    def _run(
        self, image: Tensor, hole: Tensor, guides: Guides, first_fill: Tensor | None
    ) -> Tensor:
        """One pass of the backend at this very size, padded to its multiple."""
        contract = self.backend.contract
        inputs = guides.inputs(image, hole)
        if first_fill is None:
            filled = self.backend.run(*inputs)
        else:
            first = mirror_to_multiple(
                to_port(first_fill, contract.output, contract), contract.multiple_of
            )
            filled = self.backend.refine(first, *inputs)
        return from_output(filled[..., : image.shape[-2], : image.shape[-1]], contract)

    def _checked(
        self, image: Tensor, mask: Tensor, guides: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """All of one batch size, or an error that says what is wrong."""
        contract = self.backend.contract
        check_names(contract, guides)
        count = max(len(tensor) for tensor in (image, mask, *guides.values()))
        check_map("image", image, (count, 3, *image.shape[-2:]))
        check_map("mask", mask, (count, 1, *image.shape[-2:]))
        size = (image.shape[-2], image.shape[-1])
        checked = {
            name: check_guide(contract.port(name), guide, count, size).to(image.device)
            for name, guide in guides.items()
        }
        for name, guide in checked.items():
            if guide.dim() == 4 and contract.port(name).kind == "vector":
                checked[name] = self._encoded(guide)
        whole = {k: x.expand(count, *x.shape[1:]) for k, x in checked.items()}
        return (
            image.expand(count, *image.shape[1:]),
            mask.float().expand(count, *mask.shape[1:]),
            whole,
        )

    def _encoded(self, picture: Tensor) -> Tensor:
        """The vector of a reference picture (N, 3, h, w) in [0, 1]."""
        contract = self.backend.contract
        return self.backend.encode(to_port(picture, contract.port("image"), contract))
