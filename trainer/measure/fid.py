"""FID (Heusel et al. 2017): how far apart two sets of pictures lie as Gaussians of features.

The network is a TorchScript file that the user gives. `inception-2015-12-05.pt`, which StyleGAN
and others measure with, gives numbers that can be compared with published ones; any other that
maps uint8 pictures (N, 3, H, W) to features (N, D) will do to compare methods with each other.
With fewer pictures than some thousands, numbers are too high and only compare within one table.
"""

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from core.errors import TrainingError

Inception = Callable[[Tensor], Tensor]
"""Pictures (N, 3, H, W) in [0, 1] -> features (N, D)."""
RAW_FEATURES = "return_features"
"""What the forward function of the usual file takes, to give features instead of classes."""


def load_inception(path: Path, device: torch.device) -> Inception:
    """The network in `path` as a function. Raises TrainingError if it cannot be used."""
    try:
        with warnings.catch_warnings():
            # The file that the world measures with is TorchScript, deprecated or not.
            warnings.simplefilter("ignore", DeprecationWarning)
            network = torch.jit.load(str(path), map_location=device).eval()
    except (OSError, RuntimeError, ValueError) as problem:
        reason = str(problem).strip().partition(". ")[0]
        raise TrainingError(
            f"{path} is no TorchScript file that can be read ({reason}); --inception needs "
            "inception-2015-12-05.pt or another that maps uint8 (N, 3, H, W) to (N, D)"
        ) from None
    names = [argument.name for argument in network.forward.schema.arguments]
    options = {RAW_FEATURES: True} if RAW_FEATURES in names else {}

    @torch.inference_mode()
    def features(pixels: Tensor) -> Tensor:
        try:
            found = network((pixels * 255).round().to(device, torch.uint8), **options)
        except RuntimeError as problem:
            reason = str(problem).strip().rpartition("\n")[2]
            raise TrainingError(f"{path} does not take uint8 (N, 3, H, W) ({reason})") from None
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(pixels):
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise TrainingError(f"{path} gives {shape}; it must give features (N, D)")
        return found.cpu()

    return features


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """|mean a - mean b|^2 + tr(A + B - 2 (A B)^(1/2)) with the covariances A and B.

    a (n, D), b (m, D), n and m at least 2. With centred and scaled rows X, A = X'X, and Y, B = Y'Y,
    the trace of the root is the sum of the singular values of X Y': exact, and quick where there
    are fewer pictures than features.
    """
    means = [x.double().mean(dim=0) for x in (a, b)]
    rows = [
        (x.double() - mean) / (len(x) - 1) ** 0.5 for x, mean in zip((a, b), means, strict=True)
    ]
    # Any X with the same X'X will do; the triangle of the QR decomposition has fewest rows.
    slim = [torch.linalg.qr(x, mode="r").R if len(x) > x.shape[1] else x for x in rows]
    root = torch.linalg.svdvals(slim[0] @ slim[1].T).sum()
    variances = sum(x.square().sum() for x in rows)
    return float((means[0] - means[1]).square().sum() + variances - 2 * root)
