"""What a generator takes and gives: read by pipeline, backends, exporters and nodes alike.

Two facts hold for every network here and stand nowhere else: a mask is 1 in the hole and 0 where
the picture is known, and a soft mask or line counts as set above `THRESHOLD`.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from .errors import ConfigError
from .files import with_tuples

THRESHOLD = 0.5
"""Above it a soft mask is hole and a soft line is drawn (127.5 of 255 in the official code)."""
TRUSTED = 64
"""Pixels round the hole up to which the output of a network is used, to see how it errs; further
away a backend may leave out what it likes."""


Kind = Literal["map", "labels", "instances", "noise", "vector"]
"""What a port takes, and how a front end comes by it.

map: a picture of values. labels: a map of whole numbers, one channel for each label in the network
(one-hot). instances: a map of whole numbers that differ from thing to thing, in the network their
edges. noise: drawn by seed. vector: (N, channels), drawn from N(0, 1) by seed or, with an encoder,
looked up of a reference picture.
"""


@dataclass(frozen=True)
class Port:
    """One float tensor (N, channels, H, W) with values from `low` to `high`."""

    name: str
    channels: int
    low: float = 0.0
    high: float = 1.0
    binary: bool = False
    """Only `low` and `high` occur; the pipeline thresholds what it is given."""
    optional: bool = False
    """A guide that may be left out; `low` everywhere then stands for "nothing drawn"."""
    kind: Kind = "map"
    density: float = 0.5
    """Noise: the share of `high` among its values."""
    labels: tuple[str, ...] = ()
    """Labels: their names; one channel more than names stands for "unknown"."""
    palette: tuple[str, ...] = ()
    """Labels: the colour (#rrggbb) in which each is drawn; may be empty."""
    encoded: bool = False
    """Vector: whether a backend can make it of a reference picture (`Backend.encode`)."""

    @property
    def given(self) -> bool:
        """Whether it is a guide that a user can give, and not drawn by seed alone."""
        return self.kind != "noise" and (self.kind != "vector" or self.encoded)


@dataclass(frozen=True)
class Contract:
    """The inputs in call order, the output, and the sizes that the network accepts."""

    inputs: tuple[Port, ...]
    output: Port
    multiple_of: int
    """Height and width must be divisible by this."""
    native_size: int = 256
    """Side in pixels at which the weights are at their best; the pipeline scales crops to it."""
    refines: bool = False
    """Whether the network can start from a given first fill (see `Backend.refine`)."""
    widest_hole: float = 0.375
    """Holes up to this fraction of `native_size` across are filled at once; wider ones coarse to
    fine, or at a smaller scale. The border of a picture counts as the middle of a hole there."""
    order: Literal["rgb", "bgr"] = "rgb"
    """Order of the channels of pictures inside the network; whoever runs it turns them."""

    @property
    def guides(self) -> tuple[Port, ...]:
        """The inputs beside picture and mask: sketch, colour, segmentation, ..."""
        return tuple(port for port in self.inputs if port.name not in ("image", "mask"))

    def port(self, name: str) -> Port:
        """The input called `name`. Raises ConfigError if the network has none."""
        for port in self.inputs:
            if port.name == name:
                return port
        known = ", ".join(port.name for port in self.inputs)
        raise ConfigError(
            f"this network takes no {name!r}; it takes {known}; leave it out, or take another one"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def to_json(self) -> str:
        """One line of JSON; travels in the metadata of weights, ONNX files and engines."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Contract":
        """The inverse of `to_dict`. Raises ConfigError for anything else."""
        try:
            ports = tuple(Port(**with_tuples(port)) for port in values["inputs"])
            output = Port(**with_tuples(values["output"]))
            rest = {key: values[key] for key in values if key not in ("inputs", "output")}
            return cls(inputs=ports, output=output, **rest)
        except (KeyError, TypeError) as problem:
            raise ConfigError(f"not a contract of this version ({problem}); update it") from None
