"""The formulas of the measuring: by hand, by slow oracles, and beside the original LPIPS."""

import itertools
import math
import sys
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from core.errors import BackendError, ShapeError, TrainingError
from core.metrics import compare, in_words, means, measure, total_variation, variation_ratio
from trainer.measure.fid import frechet_distance, load_inception
from trainer.measure.fills import opencv_methods
from trainer.measure.lpips import load_lpips
from trainer.measure.metrics import edge_agreement, quantised
from trainer.measure.observe import Seen, compare_sets
from trainer.measure.tables import averages, guide_note, over_seeds, table
from trainer.measure.texture import PER_PICTURE, hole_vectors, squared_mmd, texture_distance
from trainer.perceptual import feature_distance, load_features


def hole_of(size: int, *, rows: int) -> torch.Tensor:
    mask = torch.zeros(1, 1, size, size)
    mask[..., :rows, :] = 1
    return mask


def textured(size: int = 96, seed: int = 0) -> torch.Tensor:
    """Coloured tiles of 12 x 12 pixels, multiples of 1 / 255."""
    random = torch.Generator().manual_seed(seed)
    tiles = torch.rand(1, 3, size // 12, size // 12, generator=random)
    return quantised(torch.nn.functional.interpolate(tiles, scale_factor=12))


def test_errors_by_hand():
    """A quarter of the pixels is hole; there red is off by 0.3 and the rest is right."""
    image = torch.full((1, 3, 16, 16), 0.5)
    completed = image.clone()
    completed[:, 0, :4] += 0.3
    numbers = measure(completed, image, hole_of(16, rows=4))
    assert numbers["hole_l1"] == pytest.approx(10)  # 0.3 / 3 channels
    assert numbers["hole_l2"] == pytest.approx(3)  # 0.09 / 3
    assert numbers["l1"] == pytest.approx(2.5)
    assert numbers["l2"] == pytest.approx(0.75)
    assert numbers["hole_psnr"] == pytest.approx(15.228787)  # 10 log10(1 / 0.03)
    assert numbers["psnr"] == pytest.approx(21.249387)  # 10 log10(1 / 0.0075)


def test_total_variation_by_hand():
    """Stripes of 0 and 1 against stripes of 0 and 0.5; then half of all steps down as well."""
    stripes = torch.zeros(1, 3, 16, 16)
    stripes[..., ::2] = 1
    assert measure(stripes / 2, stripes, hole_of(16, rows=4))["tv_ratio"] == pytest.approx(0.5)
    checks = stripes.clone()
    checks[..., ::2, :] = 1 - checks[..., ::2, :]
    assert measure(checks, stripes, hole_of(16, rows=4))["tv_ratio"] == pytest.approx(2)


def test_structural_similarity_by_hand():
    """Two flat pictures: (2ab + C1) / (a^2 + b^2 + C1) with C1 = 0.0001 (Wang et al. 2004)."""
    dark, light = torch.full((1, 3, 16, 16), 0.2), torch.full((1, 3, 16, 16), 0.6)
    expected = (2 * 0.2 * 0.6 + 0.0001) / (0.04 + 0.36 + 0.0001)
    assert measure(dark, light, hole_of(16, rows=4))["ssim"] == pytest.approx(expected, abs=1e-6)


def test_known_pixels_never_count_in_the_hole():
    image, mask = textured(), hole_of(96, rows=20)
    completed = torch.where(mask > 0, 1 - image, image)
    spoilt = torch.where(mask > 0, completed, torch.zeros(()))
    clean, dirty = measure(completed, image, mask), measure(spoilt, image, mask)
    assert all(clean[key] == dirty[key] for key in ("hole_l1", "hole_l2", "hole_psnr"))
    assert clean["l1"] < dirty["l1"]


def test_a_perfect_fill_has_perfect_numbers():
    image = textured()
    numbers = measure(image, image.clone(), hole_of(96, rows=20))
    expected = dict.fromkeys(("hole_l1", "hole_l2", "l1", "l2"), 0.0)
    expected |= {"hole_psnr": math.inf, "psnr": math.inf, "ssim": 1, "tv_ratio": 1}
    assert numbers == pytest.approx(expected)


def test_a_flat_picture_has_no_variation_to_compare_with():
    flat = torch.full((1, 3, 16, 16), 0.5)
    numbers = measure(flat, flat, hole_of(16, rows=4))
    assert "tv_ratio" not in numbers
    lines = [{"method": "a"} | numbers, {"method": "a"} | numbers | {"tv_ratio": 0.5}]
    assert averages(lines)["a"]["tv_ratio"] == 0.5


def test_the_psnr_is_that_of_scikit_image_to_the_last_digit():
    from skimage.metrics import peak_signal_noise_ratio

    a, b = textured(seed=1), textured(seed=2)
    arrays = [x[0].movedim(0, -1).double().numpy() for x in (b, a)]
    assert measure(a, b, hole_of(96, rows=9))["psnr"] == peak_signal_noise_ratio(
        *arrays, data_range=1
    )


def test_variation_inside_a_hole_by_hand():
    """Columns 0 0 1 0 and a hole over the right three: steps there 1 and 1, downwards none."""
    image = torch.zeros(1, 3, 5, 4)
    image[..., 2] = 1
    hole = torch.zeros(1, 1, 5, 4)
    hole[..., 1:] = 1
    assert total_variation(image, hole) == 1
    hole[..., 1] = 0  # 1 0: a single step across
    image[:, :, ::2, 2] = 0.5  # and 1/2 in every step down of one column of two
    assert total_variation(image, hole) == pytest.approx((3 * 0.5 + 2 * 1) / 5 + 0.5 / 2)
    assert total_variation(image, torch.ones_like(hole)) == total_variation(image)
    hole[:] = 0
    hole[..., 2, 2] = 1  # a single pixel has no neighbour
    assert total_variation(image, hole) == 0 and not variation_ratio(image, image, hole)


def test_pictures_are_compared_one_by_one_and_in_the_mean():
    """0.1 and 0.3 off in red, in the whole hole of the first and of the second picture."""
    reference = torch.full((1, 3, 16, 16), 0.5)
    image = reference.repeat(2, 1, 1, 1)
    image[0, 0, :4] += 0.1
    image[1, 0, :4] += 0.3
    found, why = compare(image, reference, 0.6 * hole_of(16, rows=4))
    assert not why and [set(one) for one in found] == 2 * [{
        "hole_l1", "hole_l2", "l1", "l2", "hole_psnr", "psnr", "ssim"
    }]  # fmt: skip
    assert found[1] == pytest.approx(measure(image[1:], reference, hole_of(16, rows=4)))
    assert means(found)["hole_l1"] == pytest.approx((0.1 + 0.3) / 3 / 2 * 100)
    assert means([{"psnr": 1.0}, {"psnr": 4.0, "ssim": 0.5}]) == {"psnr": 2.5, "ssim": 0.5}
    words = in_words({"ssim": 0.123456, "hole_l1": 12.0, "hole_psnr": 9.0})
    assert words == "hole L1 12 %, hole PSNR 9 dB, SSIM 0.1235"


def test_without_a_mask_all_of_a_picture_is_compared():
    a, b = textured(seed=1), textured(seed=2)
    (numbers,), _ = compare(a, b)
    assert numbers["hole_l1"] == numbers["l1"] and numbers["hole_psnr"] == pytest.approx(
        numbers["psnr"]
    )
    (numbers,), _ = compare(a, b, torch.zeros(1, 1, 96, 96))
    assert not {"hole_l1", "hole_l2", "hole_psnr", "tv_ratio"} & set(numbers)


def test_only_structural_similarity_needs_scikit_image(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.metrics", None)
    (numbers,), why = compare(textured(seed=1), textured(seed=2), hole_of(96, rows=20))
    assert "scikit-image" in why and "ssim" not in numbers and len(numbers) == 7
    with pytest.raises(BackendError, match="scikit-image"):
        measure(textured(), textured(), hole_of(96, rows=20))


def test_small_pictures_have_no_structural_similarity():
    (numbers,), why = compare(torch.zeros(1, 3, 10, 40), torch.ones(1, 3, 10, 40))
    assert "40 x 10" in why and "ssim" not in numbers and numbers["psnr"] == 0


def test_pictures_of_different_sizes_are_not_compared():
    with pytest.raises(ShapeError, match="30 x 20 and the reference 20 x 30"):
        compare(torch.zeros(1, 3, 20, 30), torch.zeros(1, 3, 30, 20))


def column(*places: int) -> torch.Tensor:
    """Upright lines over all 256 rows."""
    lines = torch.zeros(1, 1, 256, 256)
    lines[..., list(places)] = 1
    return lines


def test_edges_agree_within_two_pixels_by_hand():
    hole = torch.ones(1, 1, 256, 256)
    assert edge_agreement(column(100), column(100), hole) == 1
    assert edge_agreement(column(102), column(100), hole) == 1
    assert edge_agreement(column(103), column(100), hole) == 0
    # One of two found lines is right, and the one drawn is found: precision 1/2, recall 1.
    assert edge_agreement(column(99, 150), column(100), hole) == pytest.approx(2 / 3)
    # All that is found is right, a third of what is drawn: precision 1, recall 1/3.
    assert edge_agreement(column(100), column(100, 150, 200), hole) == pytest.approx(1 / 2)
    assert edge_agreement(column(), column(100), hole) == 0


def test_edges_count_inside_the_hole_alone():
    hole = torch.zeros(1, 1, 256, 256)
    hole[..., :128] = 1
    assert edge_agreement(column(50, 200), column(50, 230), hole) == 1
    assert edge_agreement(column(50), column(200), hole) is None


def test_feature_distance_by_hand():
    """Layer 1: units at right angles, 2 at each pixel; layer 2: along and across at half of them.

    The picture with features twice as large has the same unit features: distance 0.
    """
    first, second = torch.zeros(2, 2, 4, 4), torch.ones(2, 2, 2, 2)
    first[0, 0], first[1, 1] = 5, 7
    second[0, 1, 0], second[1, 0, 0] = 0, 0
    a, b = [first[:1], second[:1]], [first[1:], second[1:]]
    both = [torch.cat(pair) for pair in zip(a, [2 * layer for layer in b], strict=True)]
    assert feature_distance(a, b).tolist() == pytest.approx([2 + 1])
    assert feature_distance(both, b).tolist() == pytest.approx([2 + 1, 0], abs=1e-6)


def test_the_discrepancy_by_hand():
    """k(x, y) = (x y + 1)^3. Within {0, 1} and {0, 2}: 1 each; between: (1 + 1 + 1 + 27) / 4."""
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [2.0]])
    assert squared_mmd(x, y) == 1 + 1 - 2 * 7.5
    assert texture_distance(x, y, seed=3) == pytest.approx(-13000)  # all there is, in any order


def test_the_discrepancy_agrees_with_its_sums():
    """Binkowski et al. 2018, equation 4, term by term."""
    random = torch.Generator().manual_seed(0)
    x = torch.rand(7, 5, generator=random, dtype=torch.float64)
    y = torch.rand(7, 5, generator=random, dtype=torch.float64) + 0.3

    def k(a, b):
        return (sum(float(p) * float(q) for p, q in zip(a, b, strict=True)) / 5 + 1) ** 3

    pairs = list(itertools.permutations(range(7), 2))
    expected = sum(k(x[i], x[j]) + k(y[i], y[j]) for i, j in pairs) / len(pairs)
    expected -= 2 * sum(k(a, b) for a in x for b in y) / 49
    assert squared_mmd(x, y) == pytest.approx(expected)


def test_texture_tells_sets_apart_and_repeats_itself():
    random = torch.Generator().manual_seed(0)
    a, b, far = (torch.randn(400, 4, generator=random) + shift for shift in (0, 0, 1))
    assert abs(texture_distance(a, b, seed=0)) < 200 < 1000 < texture_distance(far, b, seed=0)
    assert texture_distance(far, b, seed=0) == texture_distance(far, b, seed=0)
    assert texture_distance(far, b[:300], seed=0) != texture_distance(far, b[:300], seed=1)


def test_texture_is_taken_where_the_centre_lies_in_the_hole():
    """Layer 4 of 64 x 64 pixels: 8 x 8 cells with centres at 4, 12, 20, ..."""
    places = torch.arange(64.0).view(1, 1, 8, 8).expand(2, 3, 8, 8)
    layers = [torch.zeros(2, 1, 64 >> i, 64 >> i) for i in range(3)]
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 12:21, 5:45] = 1  # centres: rows 12 and 20, columns 12, 20, 28, 36, 44
    found = hole_vectors([*layers, places, torch.zeros(2, 9, 4, 4)], mask, np.random.default_rng(0))
    assert found.shape == (2, 10, 3)
    expected = [row * 8 + column for row in (1, 2) for column in range(1, 6)]
    assert sorted(found[0, :, 0].tolist()) == sorted(found[1, :, 2].tolist()) == expected
    many = hole_vectors([torch.rand(1, 3, 64, 64)], torch.ones_like(mask), np.random.default_rng(0))
    assert many.shape == (1, PER_PICTURE, 3)


def test_the_frechet_distance_by_hand():
    """Means 1 and 7, variances 2 and 8: 6^2 + (sqrt 2 - sqrt 8)^2."""
    a, b = torch.tensor([[0.0], [2.0]]), torch.tensor([[5.0], [9.0]])
    assert frechet_distance(a, b) == pytest.approx(36 + 2)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("n", "m"), [(60, 40), (5, 60), (6, 4)])
def test_the_frechet_distance_agrees_with_the_root_of_the_matrix(n, m):
    """Heusel et al. 2017, with the root of the product of both covariances by scipy."""
    import scipy.linalg

    random = np.random.default_rng(0)
    a, b = random.normal(size=(n, 8)), random.normal(size=(m, 8)) @ random.normal(size=(8, 8)) + 1
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # Eigenvalues of the product, as the root of a singular matrix is not well defined.
    root = np.sqrt(np.maximum(scipy.linalg.eigvals(cov_a @ cov_b).real, 0)).sum()
    if min(n, m) > 8:
        assert scipy.linalg.sqrtm(cov_a @ cov_b).trace().real == pytest.approx(root)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b) - 2 * root
    got = frechet_distance(torch.from_numpy(a), torch.from_numpy(b))
    assert got == pytest.approx(expected, rel=1e-6)


def test_sets_too_small_for_a_distance_have_none():
    one = [{"fid": torch.zeros(1, 3), "texture": torch.rand(5, 3)}]
    assert list(compare_sets(one, one, seed=0)) == ["texture"]
    assert list(compare_sets(2 * one, 2 * one, seed=0)) == ["fid", "texture"]
    seen = Seen(count=2)
    assert seen.vectors(hole_of(16, rows=4), np.random.default_rng(0)) == [{}, {}]


def draws(seed: int, shape: tuple[int, ...], gain: float) -> torch.Tensor:
    """Normal numbers that are the same with every version of NumPy."""
    return torch.from_numpy(gain * np.random.RandomState(seed).standard_normal(shape)).float()


ALEXNET = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
PLAN = (64, 64, None, 128, 128, None, 256, 256, 256, None, 512, 512, 512, None, 512, 512, 512)


def vgg16() -> dict[int, tuple[int, int, int]]:
    """Number in `features` -> outputs, inputs, kernel."""
    layers, index, before = {}, 0, 3
    for width in PLAN:
        if width:
            layers[index] = (width, before, 3)
            before = width
        index += 2 if width else 1
    return layers


def lpips_files(folder, layers, widths):
    """Files of the published form, filled with `draws`."""
    trunk = {}
    for i, (index, (outputs, inputs, kernel)) in enumerate(layers.items()):
        shape, gain = (outputs, inputs, kernel, kernel), (2 / (inputs * kernel**2)) ** 0.5
        trunk[f"features.{index}.weight"] = draws(2 * i, shape, gain)
        trunk[f"features.{index}.bias"] = draws(2 * i + 1, (outputs,), 0.1)
    heads = {
        f"lin{i}.model.1.weight": draws(100 + i, (1, width, 1, 1), 1).abs()
        for i, width in enumerate(widths)
    }
    torch.save(trunk, folder / "trunk.pth")
    save_file(heads, folder / "heads.safetensors")
    return folder / "trunk.pth", folder / "heads.safetensors"


@pytest.mark.parametrize(
    ("layers", "widths", "expected"),
    [
        (ALEXNET, (64, 192, 384, 256, 256), 1.344966173171997),
        (vgg16(), (64, 128, 256, 512, 512), 1.3764568567276),
    ],
    ids=["AlexNet", "VGG16"],
)
def test_lpips_agrees_with_the_original(tmp_path, layers, widths, expected):
    """The numbers are those of github.com/richzhang/PerceptualSimilarity (082bb24), same draws."""
    network = load_lpips(*lpips_files(tmp_path, layers, widths))
    a, b = (draws(seed, (1, 3, 64, 80), 0.5) for seed in (201, 202))
    with torch.inference_mode():
        seen, other = network(torch.cat([a, b])), network(b)
        found = network.distance(seen, other)
    assert found[0].item() == pytest.approx(expected, rel=1e-5)
    assert found[1].item() == pytest.approx(0, abs=1e-6)


def test_lpips_files_that_cannot_be_used_are_named(tmp_path):
    trunk, heads = lpips_files(tmp_path, ALEXNET, (64, 192, 384, 256, 256))
    (tmp_path / "text.pth").write_text("hello")
    torch.save({"a": np.zeros(3)}, tmp_path / "objects.pth")
    for path in (tmp_path / "none.pth", tmp_path / "text.pth", tmp_path / "objects.pth", heads):
        with pytest.raises(TrainingError, match=f"{path.name} cannot be used for LPIPS"):
            load_lpips(path, heads)
    save_file({f"lin{i}.model.1.weight": torch.ones(1, 64, 1, 1) for i in range(5)}, heads)
    with pytest.raises(TrainingError, match="do not belong together"):
        load_lpips(trunk, heads)


class Means(torch.nn.Module):
    """Mean colours; with `return_features` as they are, else as shares."""

    def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        mean = x.float().mean(dim=(2, 3))
        return mean if return_features else mean.softmax(dim=1)


class Corner(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, 0, 0].float()


class Map(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.float()


def torchscript(folder, module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(module), folder / "network.pt")
    return folder / "network.pt"


def test_a_torchscript_network_gives_features_of_8_bit_pictures(tmp_path):
    pixels = torch.tensor([0.2, 0.4, 0.6]).view(1, 3, 1, 1).expand(2, 3, 8, 8)
    for module in (Means(), Corner()):
        features = load_inception(torchscript(tmp_path, module), torch.device("cpu"))(pixels)
        assert features.tolist() == [[51, 102, 153]] * 2


def test_a_network_that_does_not_suit_the_fid_is_named(tmp_path):
    (tmp_path / "text.pt").write_text("hello")
    for path in (tmp_path / "none.pt", tmp_path / "text.pt"):
        with pytest.raises(TrainingError, match=f"{path.name} is no TorchScript file"):
            load_inception(path, torch.device("cpu"))
    features = load_inception(torchscript(tmp_path, Map()), torch.device("cpu"))
    with pytest.raises(TrainingError, match=r"gives \(1, 3, 8, 8\); it must give features"):
        features(torch.zeros(1, 3, 8, 8))


def test_a_feature_file_of_another_form_is_named(tmp_path):
    save_file({"conv1.weight": torch.zeros(4, 3, 3, 3)}, tmp_path / "features.safetensors")
    with pytest.raises(TrainingError, match="is not a feature network"):
        load_features(tmp_path / "features.safetensors")


def test_the_mean_is_over_pictures_and_hides_no_failure():
    lines = [{"method": "a", "picture": "x", "hole_l1": v} for v in (1.0, 4.0)]
    assert averages(lines) == {"a": {"hole_l1": 2.5}}
    lines[0]["hole_l1"] = math.nan
    assert math.isnan(averages(lines)["a"]["hole_l1"])


def test_the_spread_over_seeds_by_hand():
    """Means of 1, 2 and 6: mean 3, variance (4 + 1 + 9) / 2."""
    seeds = [{"a": {"hole_l1": v, "psnr": math.inf}} for v in (1.0, 2.0, 6.0)]
    means, spread = over_seeds(seeds)
    assert means == {"a": {"hole_l1": 3, "psnr": math.inf}}
    assert spread["a"]["hole_l1"] == pytest.approx(math.sqrt(7))
    assert math.isnan(spread["a"]["psnr"])
    assert "| a | 3.000 ± 2.6 | inf ± nan |" in table("x", means, spread)
    assert over_seeds(seeds[:1]) == (seeds[0], {})


def test_what_a_method_has_no_number_of_is_a_dash():
    means = {"a": {"hole_l1": 2.0}, "b": {"hole_l1": 1.0, "edges": 0.5}}
    assert table("x", means).splitlines()[2:] == ["| b | 1.000 | 0.5000 |", "| a | 2.000 | - |"]


def test_the_worth_of_a_guide_by_hand():
    means = {name: {"hole_l1": x} for name, x in (("a", 8.0), ("a + sketch", 6.0), ("b", 1.0))}
    assert guide_note(means, {"a": ["sketch"]}) == (
        "a: hole L1 8 % without the true sketch, 6 % with it (-25.0 %)\n"
    )
    means["b + sketch + color"] = {"hole_l1": 0.5}
    assert guide_note(means, {"b": ["sketch", "color"]}) == (
        "b: hole L1 1 % without the true sketch and color, 0.5 % with them (-50.0 %)\n"
    )


def test_the_table_ranks_a_perfect_method_first_and_a_broken_one_last():
    image, mask = textured(), hole_of(96, rows=20)
    fills = {
        "grey": torch.where(mask > 0, torch.full((), 0.5), image),
        "broken": torch.full_like(image, math.nan),
        "perfect": image,
        **{name: fill(image, mask, {}) for name, fill in opencv_methods().items()},
    }
    lines = [{"method": name} | measure(fill, image, mask) for name, fill in fills.items()]
    text = table("3 pictures", averages(lines)).splitlines()
    assert text[0].startswith("| 3 pictures | hole L1 % | hole L2 % |")
    assert text[1].count("---:") == 8
    assert text[2] == "| perfect | 0.000 | 0.000 | 0.000 | 0.000 | inf | inf | 1.000 | 1.000 |"
    assert text[-1].startswith("| broken | nan |")
