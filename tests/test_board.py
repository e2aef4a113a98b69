"""TensorBoard events are what TensorBoard itself reads; without the package a run goes on."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trainer.board import Board

ROOT = Path(__file__).parent.parent


@pytest.fixture
def read():
    module = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    def accumulate(folder: Path):
        events = module.EventAccumulator(str(folder / "tensorboard"))
        events.Reload()
        return events

    return accumulate


def points(events, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in events.Scalars(name)]


def test_scalars_and_grids_come_back_as_they_were_given(tmp_path, read):
    board = Board(tmp_path, start=0)
    board.scalars(10, {"d": 1.0, "l1_refined": 0.25})
    board.scalars(20, {"d": 0.75, "l1_refined": 0.125})
    pixels = torch.rand(1, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    board.grid(20, pixels)
    board.close()
    events = read(tmp_path)
    assert points(events, "d") == [(10, 1.0), (20, 0.75)]
    assert points(events, "l1_refined") == [(10, 0.25), (20, 0.125)]
    (image,) = events.Images("samples")
    shown = np.asarray(Image.open(io.BytesIO(image.encoded_image_string)))
    assert image.step == 20 and shown.shape == (5, 7, 3)
    # 8 bits: off by less than one level.
    assert np.abs(shown / 255 - pixels[0].movedim(0, -1).numpy()).max() < 1 / 255


def test_a_resumed_run_takes_back_what_comes_again(tmp_path, read):
    """The checkpoint was written at step 20, the run was killed after step 30."""
    board = Board(tmp_path, start=0)
    for step in (10, 20, 30):
        board.scalars(step, {"d": float(step)})
    board.close()
    board = Board(tmp_path, start=20)
    board.scalars(30, {"d": -30.0})
    board.scalars(40, {"d": -40.0})
    board.close()
    assert points(read(tmp_path), "d") == [(10, 10.0), (20, 20.0), (30, -30.0), (40, -40.0)]


def test_without_the_package_a_note_is_all_that_happens(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # as if it were missing
    board = Board(tmp_path, start=0)
    board.scalars(1, {"d": 1.0})
    board.grid(1, torch.zeros(1, 3, 4, 4))
    board.close()
    note = capsys.readouterr().err
    assert note.count("\n") == 1 and "pip install tensorboard" in note
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_it_is_loaded_before_a_board_is_opened():
    code = "import sys, trainer.board; print([m for m in sys.modules if 'tensorboard' in m])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
