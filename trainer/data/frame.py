"""The crop, zoom and flip of a sample, for its picture and whatever belongs to it."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from core.errors import TrainingError


@dataclass(frozen=True)
class Frame:
    """A square of a picture that becomes the sample, `crop` pixels wide, mirrored or not."""

    size: tuple[int, int]
    """(height, width) of the whole picture."""
    area: tuple[float, float, float, float]
    """Left, top, right, bottom in its pixels."""
    crop: int
    mirrored: bool

    @property
    def zoom(self) -> float:
        """Pixels of the sample per pixel of the picture."""
        return self.crop / (self.area[2] - self.area[0])

    def picture(self, pixels: np.ndarray) -> Tensor:
        """(H, W, 3) or (H, W) uint8 -> (C, crop, crop) uint8."""
        resample = Image.Resampling.BICUBIC if self.zoom > 1 else Image.Resampling.LANCZOS
        return self._resized(pixels, resample)

    def strength(self, grey: np.ndarray) -> Tensor:
        """(H', W') uint8 of a side file -> (1, crop, crop) float in [0, 1], averaged by area."""
        return self._resized(grey, Image.Resampling.BILINEAR).float() / 255

    def labels(self, labels: Tensor) -> Tensor:
        """(H', W') of a side file -> (crop, crop): the label at the centre of each pixel."""
        left, top, right, bottom = self._area_in(labels.shape[:2])
        height, width = labels.shape
        rows = _centres(top, bottom, self.crop).clamp(0, height - 1)
        columns = _centres(left, right, self.crop).clamp(0, width - 1)
        out = labels[rows][:, columns]
        return out.flip(-1) if self.mirrored else out

    def points(self, points: Tensor) -> Tensor:
        """(K, 2) of x, y in pixels of the picture -> in pixels of the sample.

        (0, 0) is the centre of the first pixel, as in `core.sketch.landmarks`.
        """
        left, top, right, bottom = self.area
        scale = torch.tensor([self.crop / (right - left), self.crop / (bottom - top)])
        moved = (points + 0.5 - torch.tensor([left, top])) * scale - 0.5
        if self.mirrored:
            moved[:, 0] = self.crop - 1 - moved[:, 0]
        return moved

    def _resized(self, pixels: np.ndarray, resample: Image.Resampling) -> Tensor:
        box = self._area_in(pixels.shape[:2])
        out = Image.fromarray(pixels).resize((self.crop, self.crop), resample, box=box)
        channels_last = torch.from_numpy(np.array(out)).reshape(self.crop, self.crop, -1)
        cut = channels_last.movedim(-1, 0)
        return cut.flip(-1) if self.mirrored else cut

    def _area_in(self, size: tuple[int, ...]) -> tuple[float, float, float, float]:
        """The area in a side file of that (height, width), which may have another scale."""
        (height, width), (high, wide) = self.size, size
        across, down = wide / width, high / height
        # Half a pixel of rounding on either side is no other shape.
        if abs(across - down) > 1 / min(height, width) + 0.01 * max(across, down):
            raise TrainingError(
                f"it is {high} x {wide} pixels and its picture {height} x {width}; it must have "
                "the picture's shape"
            )
        left, top, right, bottom = self.area
        return left * across, top * down, min(right * across, wide), min(bottom * down, high)


def _centres(first: float, last: float, count: int) -> Tensor:
    steps = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return (first + steps * (last - first)).floor().long()


def random_frame(
    size: tuple[int, int], crop: int, zoom: float, random: np.random.Generator
) -> Frame:
    """A frame anywhere in a picture of `size` (height, width), scaled by `zoom` to 1.

    Pictures smaller than the crop are enlarged to it.
    """
    height, width = size
    scale = max(crop / min(height, width), random.uniform(min(zoom, 1.0), 1.0))
    side = crop / scale
    left = random.uniform(0, max(width - side, 0))
    top = random.uniform(0, max(height - side, 0))
    area = (left, top, min(left + side, width), min(top + side, height))
    return Frame(size, area, crop, bool(random.random() < 0.5))
