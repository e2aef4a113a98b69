"""What the page must know of the network that a run trains, read without building it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.config import PRESETS
from core.contract import Contract
from core.errors import InpaintError
from core.registry import contract_of
from core.weights import read_info

from ..widen import initial_contract

ENDS = ("completed", "true")
"""The last columns of every sample grid; the first one is the hole."""
BEFORE = ("hole", "lines", "coarse", "refined", *ENDS)
"""Columns of the grids of all networks, before there were other guides than lines."""
SHOWN = {"sketch": "lines", "color": "colours"}
"""Port -> its column; a map of labels is called by its kind."""


def network_of(run: Path, settings: Mapping[str, Any]) -> Contract | None:
    """The contract of the run's network, by its weights or settings; None if neither tells."""
    weights, init = run / "weights.safetensors", settings.get("init")
    try:
        if weights.exists():
            return contract_of(read_info(weights).config)
        return initial_contract(Path(init) if init else None, PRESETS[settings["preset"]])
    except (InpaintError, KeyError):
        return None


def grid_columns(contract: Contract | None, crop: int, width: int) -> tuple[str, ...]:
    """What the columns of a sample grid `width` pixels wide are, as `Run.sample` writes them.

    crop: the side of its pictures, as the settings say. Columns that nothing tells have empty
    names.
    """
    by_network = _columns(contract) if contract else BEFORE
    least = 1 + len(ENDS)
    if crop < 1 or width % crop or width // crop < least:
        return by_network  # the settings are not those of this grid
    count = width // crop
    for names in (by_network, BEFORE):
        if len(names) == count:
            return names
    return ("hole", *[""] * (count - least), *ENDS)


def _columns(contract: Contract) -> tuple[str, ...]:
    seen = [port for port in contract.guides if port.kind in ("map", "labels")]
    guides = [
        "labels" if port.kind == "labels" else SHOWN.get(port.name, port.name) for port in seen
    ]
    stages = ("coarse", "refined") if contract.refines else ("filled",)
    return ("hole", *guides, *stages, *ENDS)
