r"""Measure edge detectors against boundaries drawn by people, beside Canny.

  python -m trainer.evaluate_edges --data edges-val.tar --weights edges.safetensors

Every picture needs its map beside it (KEY.edge.png): grey, the share of the annotators that drew a
boundary there. A strength map is thinned by non-maximum suppression and cut at 33 thresholds.
  precision  share of the lines' pixels within --tolerance of a boundary that anyone drew
  recall     share of the boundary pixels of all annotators within --tolerance of a line
  ODS        F-measure at the one threshold that is best for the whole set
  OIS        F-measure when every picture has its own best threshold
The tolerance is a fraction of the diagonal, 0.0075 as in the BSDS benchmark. Pixels are matched by
distance alone, not one to one, so that numbers compare within this table, not with published
ones. Canny runs at every --sigma and high threshold; its best pair is chosen on these very
pictures, the detector's threshold too.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from core.errors import ConfigError
from core.files import write_json
from core.flags import run_command
from core.image import save_pixels, side_by_side
from core.models.edges import EdgeDetector
from core.sketch.thin import suppress
from core.weights import DEFAULT_EDGES, load_edges

from .config import setting
from .edges import read_pairs

THRESHOLDS = np.linspace(0.01, 0.99, 33)
CANNY_HIGHS = np.linspace(20, 500, 25)
"""Canny's high thresholds in grey levels per pixel times 4 (Sobel's scale); low = 0.4 high."""


@dataclass(frozen=True, kw_only=True)
class EdgesTest:
    """What to measure; each field is a flag of `python -m trainer.evaluate_edges`."""

    data: tuple[str, ...] = field(metadata={"help": "folders and .tar shards with .edge.png files"})
    weights: tuple[Path, ...] = setting((DEFAULT_EDGES,), "detectors to measure")
    tolerance: float = setting(0.0075, "distance of a match as a fraction of the diagonal")
    sigma: tuple[float, ...] = setting((1.0, 1.5, 2.0, 3.0, 4.0), "smoothings of Canny in pixels")
    limit: int | None = setting(None, "only the first N pictures")
    json: Path | None = field(default=None, metadata={"help": "file for all the numbers"})
    grid: Path | None = field(default=None, metadata={"help": "picture of the first lines"})
    rows: int = setting(4, "most rows of the grid")

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < 0.1:
            raise ConfigError(f"--tolerance is {self.tolerance}; it must be above 0 and below 0.1")
        if not all(0.1 <= sigma <= 20 for sigma in self.sigma):
            raise ConfigError(f"--sigma is {self.sigma}; each must be from 0.1 to 20 pixels")


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed, 130 interrupted."""
    return run_command(argv, "trainer.evaluate_edges", __doc__, EdgesTest, evaluate_edges)


def evaluate_edges(config: EdgesTest) -> dict[str, dict[str, float]]:
    """Measure, write the table to stdout, then the files that `config` names; returns the table."""
    pairs = read_pairs(config.data)[: config.limit]
    detectors = {path.stem: load_edges(path) for path in config.weights}
    methods = detector_methods(detectors) | canny_methods(config.sigma)
    counts: dict[str, list[np.ndarray]] = {name: [] for name in methods}
    rows: list[Tensor] = []
    for picture, edges in tqdm(pairs, unit="picture", dynamic_ncols=True):
        truth = Truth(edges, config.tolerance)
        for name, levels in methods.items():
            counts[name].append(np.stack([truth.count(lines) for lines in levels(picture)]))
        if config.grid is not None and len(rows) < config.rows:
            rows.append(shown(picture, edges, next(iter(detectors.values()))))
    found = {name: scores(np.stack(numbers)) for name, numbers in counts.items()}
    best_canny = max((name for name in found if "Canny" in name), key=lambda n: found[n]["ODS"])
    table = {name: found[name] for name in found if "Canny" not in name or name == best_canny}
    sys.stdout.write(markdown(table, len(pairs)))
    if config.grid is not None:
        save_pixels(config.grid, torch.cat(rows, dim=-2))
    if config.json is not None:
        write_json(config.json, {"settings": asdict(config), "scores": found})
    return table


Levels = Callable[[np.ndarray], Iterable[np.ndarray]]
"""Picture (H, W, 3) uint8 -> lines (H, W) bool at one threshold after the other."""


def detector_methods(detectors: Mapping[str, EdgeDetector]) -> dict[str, Levels]:
    """One method per detector."""

    def levels(detector: EdgeDetector, picture: np.ndarray) -> Iterable[np.ndarray]:
        strength = suppress(detect(detector, picture))[0, 0].numpy()
        return (strength > threshold for threshold in THRESHOLDS)

    return {name: partial(levels, detector) for name, detector in detectors.items()}


@torch.inference_mode()
def detect(detector: EdgeDetector, picture: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 -> strength (1, 1, H, W)."""
    pixels = torch.from_numpy(picture.astype(np.float32)).movedim(-1, 0)[None]
    return detector(pixels / 127.5 - 1)


def canny_methods(sigmas: Sequence[float]) -> dict[str, Levels]:
    """OpenCV's Canny after Gaussian smoothing, one method per sigma."""
    try:
        import cv2
    except ImportError:
        raise ConfigError("OpenCV is missing; install opencv-python-headless") from None

    def levels(sigma: float, picture: np.ndarray) -> Iterable[np.ndarray]:
        grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
        grey = cv2.GaussianBlur(grey, (0, 0), sigma)
        return (cv2.Canny(grey, 0.4 * high, high, L2gradient=True) > 0 for high in CANNY_HIGHS)

    return {f"Canny, sigma {sigma:g}": partial(levels, sigma) for sigma in sigmas}


class Truth:
    """Boundaries of all annotators of one picture, ready to be compared with lines."""

    def __init__(self, edges: np.ndarray, tolerance: float):
        self.share = edges / 255
        self.reach = tolerance * float(np.hypot(*edges.shape))
        self.near = distance(edges > 0) <= self.reach

    def count(self, lines: np.ndarray) -> np.ndarray:
        """(matched line pixels, line pixels, matched boundary pixels, boundary pixels)."""
        reached = distance(lines) <= self.reach
        return np.array(
            [
                (lines & self.near).sum(),
                lines.sum(),
                (self.share * reached).sum(),
                self.share.sum(),
            ]
        )


def distance(lines: np.ndarray) -> np.ndarray:
    """Euclidean distance in pixels to the nearest set pixel; infinite where none is set."""
    import cv2

    if not lines.any():
        return np.full(lines.shape, np.inf)
    return cv2.distanceTransform((~lines).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def scores(counts: np.ndarray) -> dict[str, float]:
    """(pictures, thresholds, 4) counts -> ODS, OIS, and precision, recall, level at the ODS."""
    f, precision, recall = f_measure(counts.sum(axis=0))
    best = int(f.argmax())
    own = f_measure(counts)[0].argmax(axis=1)
    ois = f_measure(counts[np.arange(len(counts)), own].sum(axis=0))[0]
    return {
        "ODS": float(f[best]),
        "OIS": float(ois),
        "precision": float(precision[best]),
        "recall": float(recall[best]),
        "level": float(best),
    }


def f_measure(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """F-measure, precision and recall along the last axis of (..., 4) counts."""
    precision = counts[..., 0] / np.maximum(counts[..., 1], 1)
    recall = counts[..., 2] / np.maximum(counts[..., 3], 1e-9)
    return 2 * precision * recall / np.maximum(precision + recall, 1e-9), precision, recall


def markdown(table: dict[str, dict[str, float]], pictures: int) -> str:
    """A Markdown table, best ODS first."""
    rows = [f"| {pictures} pictures | ODS | OIS | precision | recall | threshold |"]
    rows.append("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, numbers in sorted(table.items(), key=lambda item: -item[1]["ODS"]):
        levels = CANNY_HIGHS if "Canny" in name else THRESHOLDS
        cells = [f"{numbers[key]:.3f}" for key in ("ODS", "OIS", "precision", "recall")]
        rows.append(f"| {name} | {' | '.join(cells)} | {levels[int(numbers['level'])]:.3g} |")
    return "\n".join(rows) + "\n"


def shown(picture: np.ndarray, edges: np.ndarray, detector: EdgeDetector) -> Tensor:
    """Picture, boundaries, strength and the thinned strength of a detector, side by side."""
    side = min(edges.shape)
    strength = detect(detector, picture)
    pixels = torch.from_numpy(picture.astype(np.float32) / 255).movedim(-1, 0)[None]
    people = torch.from_numpy(edges.astype(np.float32) / 255)[None, None]
    row = [pixels, people, strength, suppress(strength)]
    return side_by_side([part[..., :side, :side].expand(-1, 3, -1, -1) for part in row])


if __name__ == "__main__":
    sys.exit(main())
