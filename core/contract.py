"""What a generator takes and gives: read by pipeline, backends, exporters and nodes alike.

Two facts hold for every network here and stand nowhere else: a mask is 1 in the hole and 0 where
the picture is known, and a soft mask or line counts as set above `THRESHOLD`.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from .errors import ConfigError

THRESHOLD = 0.5
"""Above it a soft mask is hole and a soft line is drawn (127.5 of 255 in the official code)."""
TRUSTED = 64
"""Pixels round the hole up to which the output of a network is used, to see how it errs; further
away a backend may leave out what it likes."""


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
        raise ConfigError(f"this network takes no {name!r}; it takes {known}")

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
            ports = tuple(Port(**port) for port in values["inputs"])
            output = Port(**values["output"])
            rest = {key: values[key] for key in values if key not in ("inputs", "output")}
            return cls(inputs=ports, output=output, **rest)
        except (KeyError, TypeError) as problem:
            raise ConfigError(f"not a contract of this version ({problem}); update it") from None
