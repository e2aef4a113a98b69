"""Lines by HED, with weights that the user brings."""

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..backends import choose_device
from ..errors import WeightsError
from ..models.hed import Hed, from_published
from .tiles import in_tiles

MULTIPLE = 16
"""Four times the network halves the picture."""
MARGIN = 128
"""The last stage sees 98 pixels far (196 of VGG16's conv5_3 in all), scaling up adds 16."""


class HedDrawer:
    """HED; its threshold is that of Yu et al. 2019, section 3.5.

    Raises WeightsError for a file of another network, BackendError for a device.
    """

    kind = "hed"
    threshold = 0.6
    drawn = False

    def __init__(self, weights: Path, device: str = ""):
        self.device = choose_device(device)
        self.network = load_hed(weights).to(self.device)

    @torch.no_grad()
    def strength(self, pixels: Tensor) -> Tensor:
        """As `core.sketch.Drawer.strength`."""
        return in_tiles(self._run, pixels.float(), margin=MARGIN, multiple=MULTIPLE)

    def _run(self, piece: Tensor) -> Tensor:
        return self.network(piece.to(self.device)).to(piece.device)


def load_hed(path: Path) -> Hed:
    """The network with the weights of a published file, in evaluation mode on the CPU.

    Raises WeightsError for a file that is missing, damaged or of another network.
    """
    state = from_published(_tensors(path))
    if state is None:
        raise WeightsError(
            f"{path} does not hold HED in a layout known here; it needs network-bsds500.pytorch "
            "of sniklaus/pytorch-hed or ControlNetHED.pth"
        )
    with torch.device("meta"):  # its own first weights would only cost time
        network = Hed()
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as problem:
        reason = str(problem).splitlines()[-1].strip()
        raise WeightsError(f"{path} does not fit HED ({reason}); get a fresh copy") from None
    return network.float().eval().requires_grad_(False)


def _tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise WeightsError(f"no weights of HED at {path}; give the file that you downloaded")
    try:
        if path.suffix == ".safetensors":
            return load_file(str(path))
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as problem:
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise WeightsError(
            f"{path} is damaged or holds no weights ({reason}); get a fresh copy"
        ) from None
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict):
        return {}
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}
