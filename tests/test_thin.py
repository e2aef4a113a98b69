"""Thinning: what is left lies on the ridge and is one pixel wide."""

import math

import pytest
import torch

from core.sketch.thin import suppress, thin


def ridge(angle: float, size: int = 41, width: float = 2.0) -> torch.Tensor:
    """A smooth ridge through the centre in the direction `angle` from x: (1, 1, size, size)."""
    at = torch.arange(size) - size // 2
    y, x = torch.meshgrid(at, at, indexing="ij")
    off = -x * math.sin(angle) + y * math.cos(angle)
    return torch.exp(-0.5 * (off / width) ** 2)[None, None]


@pytest.mark.parametrize("degrees", [0, 20, 45, 70, 90, 110, 135, 160])
def test_suppression_keeps_the_crest_of_a_ridge(degrees):
    angle = math.radians(degrees)
    strength = ridge(angle)
    kept = suppress(strength)[0, 0, 5:-5, 5:-5]
    assert ((kept == 0) | (kept == strength[0, 0, 5:-5, 5:-5])).all()
    rows, columns = kept.nonzero(as_tuple=True)
    off = -(columns - 15) * math.sin(angle) + (rows - 15) * math.cos(angle)
    assert off.abs().max() <= 0.71  # within half a pixel's diagonal of the crest
    # A line of touching pixels from border to border has 31; no gaps, no second row.
    assert 28 <= len(rows) <= 46


def test_a_plateau_two_pixels_wide_keeps_one_row():
    strength = torch.zeros(1, 1, 20, 20)
    strength[..., 9:11, :] = 1
    kept = suppress(strength)[0, 0, :, 3:-3]
    assert (kept.sum(dim=0) == 1).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 1)])
def test_suppression_takes_the_smallest_pictures(size):
    assert suppress(torch.rand(2, 1, *size)).shape == (2, 1, *size)


def test_a_thick_line_becomes_one_pixel_wide_and_keeps_its_type():
    lines = torch.zeros(2, 1, 20, 30)
    lines[..., 8:13, 4:26] = 1
    skeleton = thin(lines)
    assert skeleton.dtype == lines.dtype and skeleton.shape == lines.shape
    assert set(skeleton[0, 0, :, 8:22].sum(dim=0).tolist()) == {1.0}
    assert torch.equal(thin(skeleton), skeleton)
    assert thin(lines[:0]).shape == (0, 1, 20, 30)
