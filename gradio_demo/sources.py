"""What is to be filled: layers of the editor, or files as the command line takes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from core.commands.guides import Reading, read_guides
from core.commands.jobs import MaskSource
from core.contract import THRESHOLD, Contract, Port
from core.errors import ConfigError, ShapeError
from core.image import Picture, read_picture
from core.painted_map import painted_labels

SEMANTIC = "semantic"
"""The layer on which maps of labels are painted, whatever the network calls its port."""


def layer_of(port: Port) -> str:
    """The layer on which a port's guide is drawn."""
    return SEMANTIC if port.kind == "labels" else port.name


def layers_of(contract: Contract) -> set[str]:
    """The layers that a network takes."""
    drawn = (port for port in contract.guides if port.kind in ("map", "labels"))
    return {"mask", *map(layer_of, drawn)}


class Source(Protocol):
    """A picture with its hole and what is drawn into it."""

    @property
    def picture(self) -> Path:
        """The file that is to be filled."""
        ...

    def files(self) -> Mapping[str, Path]:
        """All its files, which are pictures, by what they are."""
        ...

    def read(self, picture: Picture, contract: Contract) -> tuple[Tensor, dict[str, Tensor]]:
        """The mask (1, 1, H, W), and guides as `Inpainter` takes them. Raises InpaintError."""
        ...

    def alpha(self, picture: Picture, mask: Tensor) -> Tensor | None:
        """The transparency (1, 1, H, W) of the result; None = that of the picture."""
        ...


@dataclass(frozen=True, kw_only=True)
class Painting:
    """Layers over a picture: RGBA files of its size, opaque where something is drawn."""

    picture: Path
    layers: Mapping[str, Path]
    """By name: mask, sketch, color, semantic; those that a network does not take are left."""
    style: Path | None = None
    """A picture whose look is taken, by networks that can."""

    def files(self) -> Mapping[str, Path]:
        """All its files, by what they are."""
        style = {"style": self.style} if self.style else {}
        return {"picture": self.picture, **self.layers, **style}

    def read(self, picture: Picture, contract: Contract) -> tuple[Tensor, dict[str, Tensor]]:
        """The mask (1, 1, H, W), and guides. Raises InpaintError where nothing is masked."""
        mask = self._drawn("mask", picture)
        if mask is None or not (mask[:, 3:] > THRESHOLD).any():
            raise ConfigError("nothing is masked; brush over what shall be filled first")
        guides = {port.name: self._guide(port, picture) for port in contract.guides}
        return mask[:, 3:], {name: guide for name, guide in guides.items() if guide is not None}

    def left(self, contract: Contract) -> list[str]:
        """The layers that a network does not take."""
        return [name for name in self.layers if name not in layers_of(contract)]

    def alpha(self, picture: Picture, mask: Tensor) -> Tensor | None:
        """None: the picture's own."""
        return None

    def _guide(self, port: Port, picture: Picture) -> Tensor | None:
        """What is given for a port, if anything is."""
        if port.kind == "labels":
            empty = torch.zeros(1, 4, *picture.size)
            drawn = self._drawn(SEMANTIC, picture)
            return painted_labels(empty if drawn is None else drawn, port)
        if port.kind == "vector":
            return read_picture(self.style).pixels if self.style and port.encoded else None
        layer = self._drawn(port.name, picture) if port.kind == "map" else None
        if layer is None or port.channels == 1:
            return layer if layer is None else layer[:, 3:]
        return layer[:, :3] * layer[:, 3:]  # colour strokes on black

    def _drawn(self, name: str, picture: Picture) -> Tensor | None:
        """A layer (1, 4, H, W) in [0, 1], if it is there. Raises ShapeError for another size."""
        if name not in self.layers:
            return None
        layer = read_picture(self.layers[name])
        if layer.size != picture.size:
            raise ShapeError(
                f"the layer {name} is {layer.size[0]} x {layer.size[1]} pixels (height x width) "
                f"but the picture is {picture.size[0]} x {picture.size[1]}; draw it on this picture"
            )
        alpha = torch.ones_like(layer.pixels[:, :1]) if layer.alpha is None else layer.alpha
        return torch.cat([layer.pixels, alpha], dim=1)


@dataclass(frozen=True, kw_only=True)
class Given:
    """Files as the command line takes them; mask and guides may be of any size."""

    picture: Path
    mask: Path | None = None
    """None: what is transparent in the picture is the hole."""
    guides: Mapping[str, Path] = field(default_factory=dict)
    """By port."""

    def files(self) -> Mapping[str, Path]:
        """All its files, by what they are."""
        mask = {"mask": self.mask} if self.mask else {}
        return {"picture": self.picture, **mask, **self.guides}

    def read(self, picture: Picture, contract: Contract) -> tuple[Tensor, dict[str, Tensor]]:
        """The mask (1, 1, H, W), and guides. Raises InpaintError for those it does not take."""
        mask = self._hole.read(picture)
        reading = Reading(size=picture.size, rescale=True)
        return mask, read_guides(self.guides, contract, reading)

    def alpha(self, picture: Picture, mask: Tensor) -> Tensor | None:
        """What was a transparent hole is transparent no longer."""
        return self._hole.alpha(picture, mask)

    @property
    def _hole(self) -> MaskSource:
        return MaskSource(path=self.mask, rescale=True)
