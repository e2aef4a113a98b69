"""Inpaint Metrics: its numbers, its words, and pictures that do not fit."""

import math
import sys

import pytest
import torch

from core.metrics import measure

NAMES = ("hole_l1", "hole_l2", "hole_psnr", "tv_ratio", "psnr", "ssim")


def metrics(pack, image, reference, **inputs):
    """Name -> value, and the words."""
    output = pack.run("GatefillMetrics", image=image, reference=reference, **inputs)
    *values, text = output.args
    # In lines, for Markdown too.
    lines = text.replace("\n", "  \n")
    assert output.ui.as_dict() == {"text": (text,)} and pack.comfy.said[-1] == (lines, "7")
    return dict(zip(NAMES, values, strict=True)), text


def noise(count: int = 1, seed: int = 0, channels: int = 3) -> torch.Tensor:
    """An IMAGE."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 24, 20, channels, generator=generator)


def top(rows: int, size: tuple[int, int] = (24, 20)) -> torch.Tensor:
    """A MASK of the first rows."""
    mask = torch.zeros(1, *size)
    mask[:, :rows] = 1
    return mask


def test_the_numbers_by_hand(pack):
    """In a quarter of the rows red is off by 0.3; steps in the hole are 1 and not 0.5."""
    reference = torch.zeros(1, 24, 20, 3)
    reference[:, :, ::2] = 0.5
    image = reference.clone()
    image[:, :6] *= 2
    numbers, text = metrics(pack, image, reference, mask=top(6))
    assert numbers["hole_l1"] == pytest.approx(25)  # 0.5 in every other column
    assert numbers["hole_l2"] == pytest.approx(12.5)
    assert numbers["hole_psnr"] == pytest.approx(10 * math.log10(8))
    assert numbers["psnr"] == pytest.approx(10 * math.log10(32))
    assert numbers["tv_ratio"] == pytest.approx(2)
    lines = text.splitlines()
    assert lines[0] == "hole L1 25 %" and "TV ratio 2" in lines and "PSNR 15.05 dB" in lines


def test_similarity_is_that_of_the_evaluation(pack):
    image, reference = noise(seed=1), noise(seed=2)
    numbers, _ = metrics(pack, image, reference, mask=top(6))
    pixels = (x.movedim(-1, 1) for x in (image, reference))
    expected = measure(*pixels, top(6)[:, None])
    assert numbers["ssim"] == expected["ssim"] and numbers["psnr"] == expected["psnr"]


def test_without_a_mask_all_is_hole(pack):
    numbers, _ = metrics(pack, noise(seed=1), noise(seed=2))
    assert numbers["hole_psnr"] == pytest.approx(numbers["psnr"])


def test_a_mask_of_another_size_is_scaled_to_the_picture(pack):
    image, reference = noise(seed=1), noise(seed=2)
    one = metrics(pack, image, reference, mask=top(6))
    assert metrics(pack, image, reference, mask=top(3, (12, 10))) == one


def test_a_batch_gives_means_and_a_line_for_each(pack):
    image, reference = noise(3, seed=1), noise(seed=2)
    numbers, text = metrics(pack, image, reference, mask=top(6))
    each = [metrics(pack, image[i : i + 1], reference, mask=top(6)) for i in range(3)]
    for name in NAMES:
        assert numbers[name] == pytest.approx(sum(one[name] for one, _ in each) / 3)
    lines = text.splitlines()
    assert lines[0] == "mean of 3 pictures"
    assert [line.partition(":")[0] for line in lines[-3:]] == ["1", "2", "3"]
    assert lines[-1] == "3: " + each[2][1].replace("\n", ", ")


def test_transparency_is_not_compared(pack):
    image, reference = noise(seed=1, channels=4), noise(seed=2)
    assert metrics(pack, image, reference) == metrics(pack, image[..., :3], reference)


def test_equal_pictures_are_infinitely_alike(pack):
    numbers, text = metrics(pack, noise(), noise(), mask=top(6))
    assert numbers["hole_l1"] == 0 and numbers["psnr"] == numbers["hole_psnr"] == math.inf
    assert numbers["ssim"] == pytest.approx(1) and "PSNR inf dB" in text


def test_only_similarity_is_missing_without_scikit_image(pack, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.metrics", None)
    numbers, text = metrics(pack, noise(seed=1), noise(seed=2), mask=top(6))
    assert math.isnan(numbers["ssim"]) and "scikit-image" in text.splitlines()[-1]
    assert all(math.isfinite(numbers[name]) for name in NAMES if name != "ssim")


def test_what_cannot_be_compared_is_refused(pack):
    with pytest.raises(ValueError, match="20 x 24 and the reference 10 x 12"):
        metrics(pack, noise(), noise()[:, ::2, ::2])
    with pytest.raises(ValueError, match="2 of image, 3 of reference"):
        metrics(pack, noise(2), noise(3))
    with pytest.raises(ValueError, match="mask is empty"):
        metrics(pack, noise(), noise(), mask=top(0))
