"""How far the texture of fills is from that of true pictures, over a whole set of them.

The maximum mean discrepancy between feature vectors from inside the holes of the filled and of
the true pictures, with the kernel of the KID (Binkowski et al. 2018, "Demystifying MMD GANs",
section 4): k(x, y) = (x . y / C + 1)^3 for vectors of C channels. It asks whether what stands in
the holes could be pieces of photographs, not whether each fill is the very picture that was there:
a sharp fill of another kind does well, a smooth mean of all possibilities does not.
"""

import numpy as np
import torch
from torch import Tensor

LAYER = 4
"""Which layer of the feature network is compared; of a shorter network it is the last one."""
PER_PICTURE = 128
"""Most vectors kept of one picture: holes of every size count alike, and memory is bounded."""
SUBSETS, SUBSET = 20, 1000
"""The estimate is the mean over so many random subsets of so many vectors, as for the KID."""


def hole_vectors(layers: list[Tensor], mask: Tensor, random: np.random.Generator) -> Tensor:
    """Vectors of the layer whose receptive centre lies in the hole, at random places.

    layers (N, C, h, w), each half as large as the one before; mask (1, 1, H, W), 1 = hole ->
    (N, n, C), n <= `PER_PICTURE`, at the same places in all N.
    """
    depth = min(LAYER, len(layers))
    layer, stride = layers[depth - 1], 2 ** (depth - 1)
    height, width = layer.shape[-2:]
    centres = mask[0, 0, stride // 2 :: stride, stride // 2 :: stride][:height, :width]
    places = centres.flatten().nonzero()[:, 0].numpy()
    chosen = torch.from_numpy(random.permutation(places)[:PER_PICTURE])
    return layer.flatten(2).movedim(1, 2)[:, chosen.to(layer.device)]


def texture_distance(filled: Tensor, true: Tensor, *, seed: int) -> float:
    """x1000, the mean over subsets drawn by `seed`; filled (n, C), true (m, C), both at least 2."""
    random = np.random.default_rng(seed)
    size = min(SUBSET, len(filled), len(true))
    values = []
    for _ in range(SUBSETS):
        mine, theirs = (
            vectors[random.choice(len(vectors), size, replace=False)].double()
            for vectors in (filled, true)
        )
        values.append(squared_mmd(mine, theirs))
    return 1000 * sum(values) / len(values)


def squared_mmd(x: Tensor, y: Tensor) -> float:
    """The unbiased estimate for (n, C) and (m, C), which can be below 0 (equation 4 there)."""
    within = 0.0
    for z in (x, y):
        values = kernel(z, z)
        within += float((values.sum() - values.trace()) / (len(z) * (len(z) - 1)))
    return within - 2 * float(kernel(x, y).mean())


def kernel(x: Tensor, y: Tensor) -> Tensor:
    """(n, C), (m, C) -> (n, m)."""
    return (x @ y.T / x.shape[1] + 1) ** 3
