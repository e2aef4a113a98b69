"""The guides of a training sample, one for each port of the network beside picture and mask."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from core.contract import Contract, Port
from core.errors import ConfigError
from core.semantic import checked

from ..config import TrainConfig
from .colours import draw_colours
from .frame import Frame
from .holes import Report
from .lines import Lines
from .sides import labels, read_side
from .sources import Entry

STREAMS = {"sketch": 3, "color": 5, "noise": 6, "vector": 7}
"""Of random numbers, by the name or the kind of a port; each sample has its own of each. Other
numbers are those of the crop, the hole and the loss."""


class Cut(NamedTuple):
    """The picture of a sample: (3, crop, crop) uint8, where it comes from and how it was cut."""

    image: Tensor
    entry: Entry
    frame: Frame


Draw = Callable[[Port, Cut, np.random.Generator, Report], Tensor]


def check_label_maps(entries: Sequence[Entry], network: str) -> None:
    """Raise ConfigError if a picture has no label map, which `network` cannot do without."""
    without = [entry.name for entry in entries if entry.seg is None]
    if without:
        raise ConfigError(
            f"{len(without)} of {len(entries)} pictures have no label map, the first being "
            f"{without[0]}; {network} needs one beside each (KEY.seg.png)"
        )


class Guides:
    """Draws what a user would give, and what nobody gives."""

    def __init__(self, config: TrainConfig, contract: Contract):
        self.config = config
        self.ports = contract.guides
        self.lines = Lines(config)
        self.by_name: dict[str, Draw] = {"sketch": self._sketch, "color": self._color}
        self.by_kind: dict[str, Draw] = {
            "labels": self._labels,
            "instances": self._instances,
            "noise": self._noise,
            "vector": self._vector,
        }
        for port in self.ports:
            if port.name not in self.by_name and port.kind not in self.by_kind:
                raise ConfigError(f"nothing here makes the guide {port.name!r} of this network")

    def check(self, entries: Sequence[Entry]) -> None:
        """Raise ConfigError if these pictures lack what the network cannot do without."""
        if any(port.kind == "labels" for port in self.ports):
            check_label_maps(entries, "this network")

    def draw(self, k: int, cut: Cut, report: Report) -> dict[str, Tensor]:
        """The guides of sample k by port, as `Sample` has them."""
        drawn = {}
        for port in self.ports:
            draw = self.by_name.get(port.name) or self.by_kind[port.kind]
            stream = STREAMS.get(port.name) or STREAMS.get(port.kind, 0)
            random = np.random.default_rng((self.config.seed, stream, k))
            drawn[port.name] = draw(port, cut, random, report)
        return drawn

    def _sketch(self, port: Port, cut: Cut, random: np.random.Generator, report: Report) -> Tensor:
        if random.random() >= self.config.sketch_share:
            return torch.zeros_like(cut.image[:1])
        return self.lines.draw(cut.image, cut.entry, cut.frame, random, report)

    def _color(self, port: Port, cut: Cut, random: np.random.Generator, report: Report) -> Tensor:
        if random.random() >= self.config.color_share:
            return torch.zeros_like(cut.image)
        return draw_colours(cut.image, cut.entry, cut.frame, random, report)

    def _labels(self, port: Port, cut: Cut, random: np.random.Generator, report: Report) -> Tensor:
        """Read from the side file; a damaged one is unknown all over, if the network knows that."""
        found = read_side(cut.entry.seg, labels, cut.frame, report)
        if found is None:
            raise ConfigError(
                f"{cut.entry.name} has no label map that can be read; this network needs one "
                "beside each picture (KEY.seg.png)"
            )
        try:
            checked(found[None, None], port)
        except ConfigError as problem:
            raise ConfigError(f"{cut.entry.name}: {problem}") from None
        return found[None]

    def _instances(
        self, port: Port, cut: Cut, random: np.random.Generator, report: Report
    ) -> Tensor:
        """Numbers of the things; without a file for them those of the labels."""
        place = cut.entry.instances or cut.entry.seg
        found = read_side(place, labels, cut.frame, report)
        if found is None:
            raise ConfigError(f"{cut.entry.name} has no map of things that can be read")
        return found[None]

    def _noise(self, port: Port, cut: Cut, random: np.random.Generator, report: Report) -> Tensor:
        size = (port.channels, *cut.image.shape[-2:])
        return torch.from_numpy((random.random(size) < port.density).astype(np.uint8))

    def _vector(self, port: Port, cut: Cut, random: np.random.Generator, report: Report) -> Tensor:
        return torch.from_numpy(random.standard_normal(port.channels, dtype=np.float32))
