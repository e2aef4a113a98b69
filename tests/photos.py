"""Pictures to train on, made by seed."""

from pathlib import Path

import numpy as np
from PIL import Image


def smooth(seed: int, size: tuple[int, int] = (90, 120)) -> Image.Image:
    """Smooth colours, other ones for every seed; size = (height, width)."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    return small.resize(size[::-1], Image.Resampling.BICUBIC)


def save_smooth(folder: Path, count: int) -> Path:
    """`count` pictures of 80 x 96 pixels (height x width) as 0.png, 1.png, ... in `folder`."""
    for seed in range(count):
        smooth(seed, (80, 96)).save(folder / f"{seed}.png")
    return folder
