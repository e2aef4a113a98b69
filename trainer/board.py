"""TensorBoard events of a run: losses as scalars, sample grids as images.

The package `tensorboard` is optional, and nothing of it is imported before a board is opened.
"""

import sys
from pathlib import Path
from typing import Any

from torch import Tensor

FOLDER = "tensorboard"
"""Where the events lie in the folder of a run."""
MISSING = "note: no TensorBoard events are written ({0}); python -m pip install tensorboard\n"


class Board:
    """Writes events to `folder`/tensorboard; without the package it says so once, and does nothing.

    A run that goes on at `start` takes back what was written for later steps.
    """

    def __init__(self, folder: Path, *, start: int):
        self._writer = _open_writer(folder / FOLDER, start)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """One point of every curve."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def grid(self, step: int, pixels: Tensor) -> None:
        """One picture (1, 3, H, W) in [0, 1]."""
        if self._writer is not None:
            self._writer.add_image("samples", pixels[0].float().clamp(0, 1).cpu(), step)
            self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()


def _open_writer(folder: Path, start: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as problem:
        sys.stderr.write(MISSING.format(str(problem).partition("\n")[0]))
        return None
    # Events of this step and later ones vanish: those after `start` will come again.
    return SummaryWriter(str(folder), purge_step=start + 1)  # type: ignore[no-untyped-call]
