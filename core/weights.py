"""Weights as safetensors that say what they are: architecture, configuration and contract inside.

The metadata has one key, `gatefill`, holding JSON: format, architecture, config, contract, and
`about`, free facts of the training. A file is therefore enough to build and run a network.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .errors import ConfigError, WeightsError
from .files import whole_file
from .models.base import Generator, Network
from .models.edges import EdgeDetector
from .registry import architecture_of, build_network, config_from_dict, config_to_dict

FORMAT = 1
"""Raised when older code could no longer read the file rightly."""
METADATA_KEY = "gatefill"
BUNDLED = Path(__file__).resolve().parent.parent / "weights"
DEFAULT_WEIGHTS = BUNDLED / "deepfillv2-photos.safetensors"
"""The weights that come with the project."""
DEFAULT_EDGES = BUNDLED / "edges.safetensors"
"""The edge detector that comes with the project."""


@dataclass(frozen=True)
class WeightsInfo:
    """What a weights file says of itself."""

    architecture: str
    config: Any
    contract: dict[str, Any]
    about: dict[str, Any]
    parameters: int
    dtype: str


def save_weights(
    path: Path,
    network: Network,
    *,
    about: dict[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write `network` to `path`, whole or not at all; `dtype` is that of the numbers on disk.

    Raises WeightsError if the file cannot be written.
    """
    header = {
        "format": FORMAT,
        "architecture": architecture_of(network.config),
        "config": config_to_dict(network.config),
        "contract": network.contract.to_dict(),
        "about": about or {},
    }
    tensors = {
        name: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else None).contiguous()
        for name, tensor in network.state_dict().items()
    }
    try:
        with whole_file(path) as part:  # straight to the file: no second copy in memory
            save_file(tensors, part, {METADATA_KEY: json.dumps(header, sort_keys=True)})
    except (OSError, SafetensorError) as problem:
        raise WeightsError(f"cannot write {path} ({problem}); name another place") from None


def load_weights(path: Path) -> Generator:
    """Build the network that `path` describes and load it, float32, evaluation mode, CPU.

    Raises WeightsError for a file that is missing, damaged, foreign, of a newer format or of a
    network that does not fill pictures.
    """
    network = load_network(path)
    if not isinstance(network, Generator):
        raise WeightsError(
            f"{path} is of the kind {architecture_of(network.config)!r}, which does not fill "
            "pictures; give the weights of one that does"
        )
    return network


def load_edges(path: Path) -> EdgeDetector:
    """An edge detector, otherwise as `load_weights`."""
    network = load_network(path)
    if not isinstance(network, EdgeDetector):
        raise WeightsError(
            f"{path} is of the kind {architecture_of(network.config)!r}; drawing lines needs "
            f"an edge detector, as {DEFAULT_EDGES.name}"
        )
    return network


def load_network(path: Path) -> Network:
    """A network of any kind, otherwise as `load_weights`."""
    info, tensors = _read(path, with_tensors=True)
    network = build_network(info.config)
    _check_fit(path, network.state_dict(), tensors)
    network.load_state_dict(tensors)
    return network.float().eval()


def read_info(path: Path) -> WeightsInfo:
    """What the file says of itself, without building the network. Raises as `load_weights`."""
    return _read(path, with_tensors=False)[0]


def _read(path: Path, *, with_tensors: bool) -> tuple[WeightsInfo, dict[str, Tensor]]:
    if not path.is_file():
        raise WeightsError(
            f"no weights file at {path}; give a .safetensors file of this project, "
            f"or none for the bundled {DEFAULT_WEIGHTS.name}"
        )
    try:
        with safe_open(str(path), "pt") as file:
            metadata = file.metadata() or {}
            names = list(file.keys())
            slices = {name: file.get_slice(name) for name in names}
            shapes = [part.get_shape() for part in slices.values()]
            dtypes = sorted({part.get_dtype() for part in slices.values()})
            tensors = {name: file.get_tensor(name) for name in names} if with_tensors else {}
    except (SafetensorError, OSError, ValueError) as problem:
        raise WeightsError(
            f"{path} is damaged or not a safetensors file ({problem}); get a fresh copy"
        ) from None
    header = _header(path, metadata)
    return WeightsInfo(
        architecture=header["architecture"],
        config=_config(path, header),
        contract=header["contract"],
        about=header.get("about", {}),
        parameters=sum(torch.Size(shape).numel() for shape in shapes),
        dtype="+".join(dtypes),
    ), tensors


def _header(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    if METADATA_KEY not in metadata:
        raise WeightsError(
            f"{path} does not say which network it belongs to (no {METADATA_KEY!r} in its "
            "metadata); it needs to be a file written by this project"
        )
    try:
        header = json.loads(metadata[METADATA_KEY])
        version = int(header["format"])
        _ = header["architecture"], header["contract"]["inputs"]
    except (ValueError, KeyError, TypeError):
        raise WeightsError(f"{path} has damaged metadata; get a fresh copy") from None
    if version > FORMAT:
        raise WeightsError(
            f"{path} has format {version}, newer than {FORMAT}, the newest known here; "
            "update Gatefill"
        )
    return header


def _config(path: Path, header: dict[str, Any]) -> Any:
    try:
        return config_from_dict(header["architecture"], header["config"])
    except (ConfigError, KeyError) as problem:
        raise WeightsError(
            f"{path} is of a network unknown here ({problem}); update Gatefill"
        ) from None


def _check_fit(path: Path, wanted: dict[str, Tensor], found: dict[str, Tensor]) -> None:
    missing, extra = wanted.keys() - found.keys(), found.keys() - wanted.keys()
    if missing or extra:
        example = min(missing or extra)
        raise WeightsError(
            f"{path} lacks {len(missing)} and has {len(extra)} foreign tensors, for example "
            f"{example}; it is damaged or of another architecture, get a fresh copy"
        )
    for name, tensor in found.items():
        if tensor.shape != wanted[name].shape:
            raise WeightsError(
                f"{path}: {name} has the shape {tuple(tensor.shape)} but its configuration needs "
                f"{tuple(wanted[name].shape)}; the file is damaged, get a fresh copy"
            )
