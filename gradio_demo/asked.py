"""What a request says, made into settings: nothing in it is believed before it is checked."""

from typing import Any, cast

from core.errors import ConfigError
from core.options import STRATEGIES, FillOptions
from gradio_demo.service import Order

MOST_GROW, MOST_FEATHER = 128, 64
"""Pixels; more would take so long in one operation that nobody could end it."""
MOST_SEED = 2**32 - 1


def order_of(
    network: Any,
    backend: Any = None,
    strategy: Any = "auto",
    grow: Any = 0,
    feather: Any = 0,
    seed: Any = None,
) -> Order:
    """The order of a request. Raises ConfigError, naming the value that cannot be.

    backend: "" and None = as the operator said; seed: None = the style of the picture.
    """
    name = text(strategy, "strategy")
    if name not in STRATEGIES:
        raise ConfigError(f"strategy is {name[:40]!r}; it must be one of {', '.join(STRATEGIES)}")
    options = FillOptions(
        strategy=cast(Any, name),
        grow=whole(grow, "grow", MOST_GROW),
        feather=whole(feather, "feather", MOST_FEATHER),
        seed=None if seed is None else whole(seed, "seed", MOST_SEED),
    )
    runtime = text(backend, "backend") if backend not in (None, "") else None
    return Order(network=text(network, "network"), backend=runtime, options=options)


def whole(value: Any, name: str, most: int) -> int:
    """A whole number from 0 to `most`. Raises ConfigError for anything else."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or value != value or not 0 <= value <= most or int(value) != value:
        raise ConfigError(f"{name} is {str(value)[:40]!r}; it must be a whole number up to {most}")
    return int(value)


def text(value: Any, name: str) -> str:
    """A short text. Raises ConfigError for anything else."""
    if not isinstance(value, str) or len(value) > 400:
        raise ConfigError(f"{name} is {str(value)[:40]!r}; it must be a text")
    return value
