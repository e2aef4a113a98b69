"""What the demo does: files in, files out, by the one road of `core`; no page is known here.

Every method is work for a `Job`, which says how far it is and may end it. Errors that a visitor can
cause are InpaintErrors.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.commands.guides import Reading, read_guides
from core.commands.jobs import Filled, fill_picture
from core.contract import THRESHOLD, Contract
from core.errors import ConfigError, InpaintError
from core.image import Picture, read_picture, save_pixels, write_picture
from core.model_files import stamp
from core.options import FillOptions
from core.pipeline import Inpainter
from core.sketch.draw import WORK_SIZE, Drawer, draw_lines, open_drawer
from core.sketch.files import drawer_kind, is_installed
from core.views import attention_sheet, gates_sheet
from gradio_demo.models import Models, Opened, labels_port
from gradio_demo.previews import Previews
from gradio_demo.running import FILLING, READING, WRITING, Job, Workers
from gradio_demo.sources import SEMANTIC, Source
from gradio_demo.store import Store, result_name

DRAWERS = ("detector", "canny")
"""Ways of drawing lines that need no file of the operator's."""
VIEWS: dict[str, Callable[..., Tensor]] = {"attention": attention_sheet, "gates": gates_sheet}
"""What can be seen of a network while it fills."""
MOST_SIDE = 2048
"""Pixels a side of a picture that is made of a map alone."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """How something is to be done."""

    network: str
    """One of `Models.names`."""
    backend: str | None = None
    """One of `Models.backends`; None = as the operator said."""
    options: FillOptions = field(default_factory=FillOptions)


@dataclass(frozen=True)
class Done:
    """What came of it."""

    path: Path
    report: dict[str, Any]
    """Plain values: network, what ran it, size, hole, seconds."""


class Service:
    """All that the page and its endpoints can ask for."""

    def __init__(self, models: Models, store: Store, workers: Workers):
        self.models, self.store, self.workers = models, store, workers
        self.previews = Previews(store)
        self._drawers: dict[tuple[str, str], Drawer] = {}

    def close(self) -> None:
        """End all that is being done and wait for it."""
        self.previews.close()
        self.workers.close()

    def fill(self, source: Source, order: Order, job: Job) -> Done:
        """Fill the hole of a picture; the result is of its format, size and metadata."""
        network, picture, mask, guides = self._read(source, order, job)
        job.at(FILLING)
        inpainter = Inpainter(network.backend, order.options, job.tell)
        filled = fill_picture(inpainter, picture, mask, guides)
        job.at(WRITING)
        form = self.store.picture(source.picture).form
        path = self.store.new_folder() / result_name(source.picture.name, form)
        write_picture(path, picture, filled.completed, alpha=source.alpha(picture, mask))
        return Done(path, _report(network, filled))

    def compare(
        self, source: Source, orders: Sequence[Order], job: Job
    ) -> list[Done | InpaintError]:
        """The same hole by each of the orders, or why one cannot; raises where none can."""
        found: list[Done | InpaintError] = []
        for number, order in enumerate(orders):
            with job.part(number, len(orders)):
                try:
                    found.append(self.fill(source, order, job))
                except InpaintError as problem:
                    found.append(problem)
        if all(isinstance(one, InpaintError) for one in found):
            raise found[0]  # type: ignore[misc]  # as the line before says
        return found

    def look(self, view: str, source: Source, order: Order, job: Job) -> Path:
        """A picture of what a network looks at while it fills; view: one of `VIEWS`."""
        if view not in VIEWS:
            raise ConfigError(f"there is no view {view[:40]!r}; choose one of {', '.join(VIEWS)}")
        network, picture, mask, guides = self._read(source, order, job)
        job.at(FILLING)
        with self.models.turns.turn():  # what is recorded must be of this job alone
            inpainter = Inpainter(network.backend.backend, order.options, job.tell)
            sheet = VIEWS[view](inpainter, picture.pixels, mask, **guides)
        return self._saved(f"{view}.png", sheet)

    def drawers(self) -> list[str]:
        """The ways in which lines can be drawn from pictures."""
        there = [*filter(is_installed, DRAWERS), *self.models.drawers()]
        return there or [DRAWERS[0]]  # which says what is missing

    def sketch(self, picture: Path, kind: str, job: Job, *, layer: bool = False) -> Path:
        """The lines of a picture, white on black, or on transparent ground as a layer has them."""
        job.at(READING)
        self.store.picture(picture)
        pixels = read_picture(picture).pixels
        job.at(FILLING)
        with self.models.turns.turn():
            lines = draw_lines(self._drawer(kind), pixels, work_size=WORK_SIZE)
        job.at(WRITING)
        ground = torch.ones_like(lines) if layer else lines
        return self._saved(
            f"{picture.stem[:80]}.sketch.png", ground, alpha=lines if layer else None
        )

    def synthesize(
        self, files: Mapping[str, Path], size: tuple[int, int] | None, order: Order, job: Job
    ) -> Done:
        """A whole picture of a map of labels.

        files: semantic, and instances and style if there are any; size: (height, width), None =
        that of the map.
        """
        job.at(READING)
        heads = {name: self.store.picture(path) for name, path in files.items()}
        height, width = size or (heads[SEMANTIC].height, heads[SEMANTIC].width)
        if max(height, width) > MOST_SIDE:
            raise ConfigError(
                f"the picture would have {height} x {width} pixels (height x width); up to "
                f"{MOST_SIDE} a side are made here"
            )
        network = self.models.opened(order.network, order.backend)
        if labels_port(network.contract) is None:
            other = self.models.with_labels()
            raise ConfigError(
                f"{network.name} makes no pictures of maps of labels; choose a network that does"
                + (f", as {other}" if other else "")
            )
        guides = read_guides(files, network.contract, Reading())
        job.at(FILLING)
        inpainter = Inpainter(network.backend, order.options, job.tell)
        made = inpainter.synthesize((height, width), **guides)
        job.at(WRITING)
        path = self._saved(f"{files[SEMANTIC].stem[:80]}-made.png", made)
        return Done(path, {**_runner(network), "height": height, "width": width})

    def _read(
        self, source: Source, order: Order, job: Job
    ) -> tuple[Opened, Picture, Tensor, dict[str, Tensor]]:
        """All that a fill needs. Raises InpaintError before anything large is in memory."""
        job.at(READING)
        for path in source.files().values():
            self.store.picture(path)
        network = self.models.opened(order.network, order.backend)
        picture = read_picture(source.picture)
        mask, guides = source.read(picture, network.contract)
        _check_some_known(mask, network.contract)
        return network, picture, mask, guides

    def _saved(self, name: str, pixels: Tensor, *, alpha: Tensor | None = None) -> Path:
        path = self.store.new_folder() / name
        save_pixels(path, pixels, alpha=alpha)
        return path

    def _drawer(self, kind: str) -> Drawer:
        """Opened once, and anew when its file is another one."""
        if kind not in self.drawers():
            raise ConfigError(
                f"no way of drawing lines is called {str(kind)[:80]!r}; choose one of "
                f"{', '.join(self.drawers())}"
            )
        own = self.models.drawers().get(kind)
        key = (kind, stamp(own) if own else "")
        if key not in self._drawers:
            found = open_drawer(
                drawer_kind(own) if own else kind, weights=own, device=self.models.torch_device
            )
            self._drawers = {k: v for k, v in self._drawers.items() if k[0] != kind} | {key: found}
        return self._drawers[key]


def _check_some_known(mask: Tensor, contract: Contract) -> None:
    """Raise ConfigError where a network has nothing to fill from."""
    if labels_port(contract) is None and bool((mask > THRESHOLD).all()):
        raise ConfigError(
            "the mask covers the whole picture, so there is nothing to fill from; leave some of "
            "the picture free, or invert the mask"
        )


def _runner(network: Opened) -> dict[str, Any]:
    return {
        "network": network.name,
        "runs_on": network.runs_on,
        "opening_seconds": round(network.seconds, 3),
    }


def _report(network: Opened, filled: Filled) -> dict[str, Any]:
    return {**_runner(network), **filled.facts}
