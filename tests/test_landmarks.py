"""Facial landmarks as lines."""

import os
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from core.errors import ConfigError, ShapeError, WeightsError
from core.masks.components import components
from core.sketch.draw import draw_lines, open_drawer
from core.sketch.faces import to_points
from core.sketch.landmarks import IBUG_68, MEDIAPIPE, join_points, landmark_lines

FACE_TASK = os.environ.get("GATEFILL_FACE_TASK", "")
"""A face_landmarker.task, to run the real library; it is not among our files."""


def drawn(lines: torch.Tensor) -> set[tuple[int, int]]:
    """The set pixels as (x, y)."""
    return {(x, y) for _, y, x in lines.nonzero().tolist()}


def test_a_straight_line_has_one_pixel_for_each_step_of_its_longer_way():
    """By hand: slope 1/2 from (0, 0) to (4, 2); halves are rounded down, the ends are exact."""
    points = torch.tensor([[0.0, 0.0], [4.0, 2.0]])
    lines = join_points(points, [(0, 1)], (5, 6))
    assert lines.shape == (1, 5, 6) and lines.dtype == torch.float32
    assert drawn(lines) == {(0, 0), (1, 0), (2, 1), (3, 1), (4, 2)}
    assert torch.equal(lines, join_points(points, [(1, 0)], (5, 6)))


def test_a_diagonal_is_a_diagonal_both_ways():
    down = join_points(torch.tensor([[0.0, 0.0], [3.0, 3.0]]), [(0, 1)], (4, 4))
    up = join_points(torch.tensor([[0.0, 3.0], [3.0, 0.0]]), [(0, 1)], (4, 4))
    assert torch.equal(down[0], torch.eye(4)) and torch.equal(up[0], torch.eye(4).flip(0))


def test_what_lies_outside_the_picture_is_left_out():
    lines = join_points(torch.tensor([[-3.0, 1.0], [9.0, 1.0]]), [(0, 1)], (3, 4))
    assert drawn(lines) == {(0, 1), (1, 1), (2, 1), (3, 1)}
    lines = join_points(torch.tensor([[1.0, -5.0], [1.0, 5.0]]), [(0, 1)], (3, 4))
    assert drawn(lines) == {(1, 0), (1, 1), (1, 2)}


def test_the_68_points_are_joined_as_the_mark_up_says():
    """Points on a circle, far apart: joined ones touch along their chords, groups do not mix."""
    assert sorted(i for path in IBUG_68 for i in set(path)) == list(range(68))
    pairs = [(a, b) for path in IBUG_68 for a, b in pairwise(path)]
    # jaw 16, brows 4 + 4, nose 3 + 4, eyes 6 + 6, lips 12 + 8
    assert len(pairs) == len(set(pairs)) == 63
    assert {(41, 36), (47, 42), (59, 48), (67, 60)} <= set(pairs)
    assert not {(16, 17), (21, 22), (26, 27), (30, 31), (35, 36), (16, 0)} & set(pairs)


def test_a_face_of_68_points_becomes_its_nine_lines():
    """Every group on a row of its own: nine rows, each without a gap."""
    points = torch.zeros(68, 2)
    for row, path in enumerate(IBUG_68):
        for place, i in enumerate(dict.fromkeys(path)):
            points[i] = torch.tensor([4.0 * place, 3.0 * row])
    lines = landmark_lines(points, (30, 70))
    groups = components(lines[None])[1]
    assert len(groups.unique()) == 9
    assert [int(row.sum()) for row in lines[0, ::3]][:9] == [65, 17, 17, 13, 17, 21, 21, 45, 29]


def test_mediapipes_contours_are_the_published_ones():
    vision = pytest.importorskip("mediapipe.tasks.python.vision")
    published = vision.FaceLandmarksConnections.FACE_LANDMARKS_CONTOURS
    ours = [pair for path in MEDIAPIPE for pair in pairwise(path)]
    assert sorted(ours) == sorted((line.start, line.end) for line in published)


@pytest.mark.parametrize("count", [468, 478])
def test_mediapipes_points_become_lines(count):
    """Lips, eyes, brows and outline: 124 joints; the outline's point 10 lies highest."""
    assert sum(len(path) - 1 for path in MEDIAPIPE) == 124
    angle = torch.arange(count) * 0.4
    points = torch.stack([30 + 20 * angle.sin(), 30 + 20 * angle.cos()], dim=1)
    lines = landmark_lines(points, (61, 61))
    assert lines.shape == (1, 61, 61) and set(lines.unique().tolist()) == {0.0, 1.0}


def test_other_points_are_told_in_one_sentence():
    with pytest.raises(ShapeError, match=r"K one of 68, 468, 478, but got \(5, 2\)"):
        landmark_lines(torch.zeros(5, 2), (8, 8))
    with pytest.raises(ShapeError, match=r"got \(68, 3\)"):
        landmark_lines(torch.zeros(68, 3), (8, 8))
    for wrong in (float("nan"), float("inf"), 1e9):
        with pytest.raises(ConfigError, match="within 100000 pixels"):
            landmark_lines(torch.full((68, 2), wrong), (8, 8))


def test_points_from_0_to_1_become_pixels():
    """0 is the left rim of the first pixel, 1 the right rim of the last."""
    face = [SimpleNamespace(x=0.125, y=0.25), SimpleNamespace(x=0.875, y=0.75)]
    (points,) = to_points([face], (2, 4))
    assert torch.equal(points, torch.tensor([[0.0, 0.0], [3.0, 1.0]]))


def test_a_model_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"landmarks needs a file of weights: face_land"):
        open_drawer("landmarks")
    with pytest.raises(WeightsError, match="no model of facial landmarks at"):
        open_drawer("landmarks", weights=tmp_path / "absent.task")


def test_a_missing_library_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mediapipe.tasks.python", None)
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    (tmp_path / "face.task").write_bytes(b"PK")
    with pytest.raises(ConfigError, match="install mediapipe"):
        open_drawer("landmarks", weights=tmp_path / "face.task")


@pytest.mark.skipif(not FACE_TASK, reason="GATEFILL_FACE_TASK names no face_landmarker.task")
def test_a_real_face_is_found_by_the_real_library():
    """The eyes of skimage's astronaut lie near (205, 105) and (245, 105)."""
    pytest.importorskip("mediapipe")
    from skimage.data import astronaut

    pixels = torch.from_numpy(np.array(astronaut())).movedim(-1, 0)[None].float() / 255
    drawer = open_drawer("landmarks", weights=Path(FACE_TASK))
    (points,) = drawer.landmarks(pixels[0])
    eyes = torch.stack([points[[33, 133]].mean(0), points[[263, 362]].mean(0)])
    assert (eyes - torch.tensor([[205.0, 105], [245, 105]])).abs().max() < 10
    lines = draw_lines(drawer, pixels)
    assert 300 < lines.sum() < 1500 and lines[..., 60:190, 170:280].sum() == lines.sum()
    two = torch.cat([pixels[..., :300, :400], pixels[..., :300, :400]], dim=-1)
    assert len(drawer.landmarks(two[0])) == 2
    assert not draw_lines(drawer, torch.rand(2, 3, 30, 40)).any()


@pytest.mark.skipif(not FACE_TASK, reason="GATEFILL_FACE_TASK names no face_landmarker.task")
def test_a_file_that_is_no_model_is_told(tmp_path):
    pytest.importorskip("mediapipe")
    (tmp_path / "bad.task").write_bytes(b"no model")
    with pytest.raises(WeightsError, match="is not a model of MediaPipe's Face Landmarker"):
        open_drawer("landmarks", weights=tmp_path / "bad.task")
