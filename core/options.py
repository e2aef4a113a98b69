"""How the pipeline fills."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from .crop import feather, grow
from .errors import ConfigError
from .seam import SEAM

STRATEGIES = ("auto", "full", "crop", "single")
FULL_SIDES = 2
"""A picture of up to this many native sides is filled whole under "auto"."""


@dataclass(frozen=True, kw_only=True)
class FillOptions:
    """How to fill; the defaults change nothing outside the mask."""

    grow: int = 0
    """Pixels by which the hole is widened, where a mask was drawn too tightly."""
    feather: int = 0
    """Pixels round the hole over which fill and picture blend; 0 leaves known pixels alone."""
    strategy: Literal["auto", "full", "crop", "single"] = "auto"
    """full: the whole picture at once; crop: each group of holes with context round it; single: all
    holes in one pass on a square of the native size, as the exported pipeline does it."""
    context: float = 0.75
    """Picture kept round a cropped hole on each side, as a fraction of the hole's longer side."""
    work_size: int = 1024
    """Longest side in pixels on which the network works; larger crops are scaled to it."""
    color_match: bool = True
    """Whether the broad error of colour, told by what the network makes of known pixels, is taken
    off the fill."""
    seam: int = SEAM
    """Pixels inside the hole over which the fill is drawn to the colours just outside; 0 = none."""
    seed: int | None = None
    """What noise and styles are drawn by, for networks that take any; each picture of a batch has
    its own, and the same seed gives the same picture. None: noise as by 0, and for a style that is
    not given that of the known picture itself, so that a fill goes with what is round it."""

    def __post_init__(self) -> None:
        for name in ("grow", "feather", "seam", "seed"):
            if (getattr(self, name) or 0) < 0:
                unit = "" if name == "seed" else " pixels"
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be 0 or more{unit}")
        if self.strategy not in STRATEGIES:
            raise ConfigError(
                f"strategy is {self.strategy!r}; it must be one of {', '.join(STRATEGIES)}"
            )
        if not 0 <= self.context <= 8:
            raise ConfigError(f"context is {self.context}; it must be from 0 to 8")
        if self.work_size < 64:
            raise ConfigError(f"work_size is {self.work_size}; it must be at least 64 pixels")

    def blending(self, mask: Tensor) -> Tensor:
        """How much of each pixel is filled: the mask (N, 1, H, W), grown and feathered."""
        return feather(grow(mask, self.grow), self.feather)
