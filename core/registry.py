"""From the name of an architecture to its configuration and network: one line per architecture."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from .config import DeepFillConfig, PConvConfig, ScFeganConfig, SpadeConfig
from .contract import Contract
from .errors import ConfigError
from .files import with_tuples
from .models.base import Generator, Network
from .models.deepfill import DeepFill
from .models.edges import EdgeConfig, EdgeDetector
from .models.pconv import PConvUNet
from .models.scfegan import ScFegan
from .models.spade import SpadeGenerator


@dataclass(frozen=True)
class Architecture:
    """What builds one kind of network."""

    config: Callable[..., Any]
    network: Callable[[Any], Network]


ARCHITECTURES: dict[str, Architecture] = {
    "deepfillv2": Architecture(DeepFillConfig, DeepFill),
    "pconv": Architecture(PConvConfig, PConvUNet),
    "scfegan": Architecture(ScFeganConfig, ScFegan),
    "spade": Architecture(SpadeConfig, SpadeGenerator),
    "edges": Architecture(EdgeConfig, EdgeDetector),
}


def build_network(config: Any) -> Network:
    """A fresh network of `config`, in training mode on the CPU, weights at random."""
    return ARCHITECTURES[architecture_of(config)].network(config)


def contract_of(config: Any) -> Contract:
    """The contract of a network of `config`, which is not really built."""
    with torch.device("meta"):
        return build_network(config).contract


def build_generator(config: Any) -> Generator:
    """A fresh network that fills pictures. Raises ConfigError for a network of another kind."""
    network = build_network(config)
    if not isinstance(network, Generator):
        raise ConfigError(
            f"{architecture_of(config)} is not a network that fills pictures; "
            "it needs one with an image and a mask"
        )
    return network


def architecture_of(config: Any) -> str:
    """The name under which the class of `config` is registered."""
    for name, architecture in ARCHITECTURES.items():
        if isinstance(config, architecture.config):  # type: ignore[arg-type]  # a class, called
            return name
    raise ConfigError(f"no architecture has settings of the type {type(config).__name__}")


def config_to_dict(config: Any) -> dict[str, Any]:
    """Plain values, for JSON."""
    return asdict(config)


def config_from_dict(name: str, values: dict[str, Any]) -> Any:
    """The inverse of `config_to_dict`. Raises ConfigError if name or settings are unknown."""
    if name not in ARCHITECTURES:
        raise ConfigError(f"the architecture {name!r} is not one of {', '.join(ARCHITECTURES)}")
    try:
        return ARCHITECTURES[name].config(**with_tuples(values))
    except TypeError as problem:
        raise ConfigError(f"settings of another version of {name}: {problem}") from None
