"""The measuring command: formulas by hand, and the whole command on small pictures."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from core.config import PRESETS
from core.image import read_picture, save_pixels
from core.registry import build_generator
from core.weights import save_weights
from trainer.data import find_pictures
from trainer.evaluate import (
    EvaluateConfig,
    averages,
    feature_distance,
    main,
    measure,
    network_methods,
    opencv_methods,
    quantised,
    read_square,
    samples,
    table,
)
from trainer.perceptual import load_features


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


def test_feature_distance_by_hand():
    """Layer 1: units at right angles, 2 at each pixel; layer 2: along and across at half of them.

    The picture twice as bright has the same unit features: distance 0.
    """

    def features(x: torch.Tensor) -> list[torch.Tensor]:
        first, second = (x[:1] + 1) / 2, (x[1:] + 1) / 2
        layer = torch.zeros(2, 2, 4, 4)
        layer[0, 0], layer[1, 1] = first[0, 0] * 5, second[0, 0] * 7
        half = torch.ones(2, 2, 2, 2)
        half[0, 1, 0], half[1, 0, 0] = 0, 0
        return [layer, half]

    a, b = torch.full((1, 3, 4, 4), 0.5), torch.full((1, 3, 4, 4), 0.25)
    assert feature_distance(a, b, features) == pytest.approx(2 + 1)
    assert feature_distance(a, b, lambda x: [x + 1]) == pytest.approx(0, abs=1e-6)


def test_known_pixels_never_count_in_the_hole():
    image, mask = textured(), hole_of(96, rows=20)
    completed = torch.where(mask > 0, 1 - image, image)
    spoilt = torch.where(mask > 0, completed, torch.zeros(()))
    clean, dirty = measure(completed, image, mask), measure(spoilt, image, mask)
    assert all(clean[key] == dirty[key] for key in ("hole_l1", "hole_l2", "hole_psnr"))
    assert clean["l1"] < dirty["l1"]


def test_a_perfect_fill_has_perfect_numbers(tmp_path):
    features = load_features(feature_file(tmp_path))
    image = textured()
    numbers = measure(image, image.clone(), hole_of(96, rows=20), features)
    expected = dict.fromkeys(("hole_l1", "hole_l2", "l1", "l2", "features"), 0.0)
    expected |= {"hole_psnr": math.inf, "psnr": math.inf, "ssim": 1, "tv_ratio": 1}
    assert numbers == pytest.approx(expected)


def test_a_flat_picture_has_no_variation_to_compare_with():
    flat = torch.full((1, 3, 16, 16), 0.5)
    numbers = measure(flat, flat, hole_of(16, rows=4))
    assert "tv_ratio" not in numbers
    lines = [{"method": "a"} | numbers, {"method": "a"} | numbers | {"tv_ratio": 0.5}]
    assert averages(lines)["a"]["tv_ratio"] == 0.5


def test_the_mean_is_over_pictures_and_hides_no_failure():
    lines = [{"method": "a", "picture": "x", "hole_l1": v} for v in (1.0, 4.0)]
    assert averages(lines) == {"a": {"hole_l1": 2.5}}
    lines[0]["hole_l1"] = math.nan
    assert math.isnan(averages(lines)["a"]["hole_l1"])


def test_the_table_ranks_a_perfect_method_first_and_a_broken_one_last():
    image, mask = textured(), hole_of(96, rows=20)
    fills = {
        "grey": torch.where(mask > 0, torch.full((), 0.5), image),
        "broken": torch.full_like(image, math.nan),
        "perfect": image,
        **{name: fill(image, mask) for name, fill in opencv_methods().items()},
    }
    lines = [{"method": name} | measure(fill, image, mask) for name, fill in fills.items()]
    text = table("3 pictures", averages(lines)).splitlines()
    assert text[0].startswith("| 3 pictures | hole L1 % | hole L2 % |")
    assert text[1].count("---:") == 8
    assert text[2] == "| perfect | 0.000 | 0.000 | 0.000 | 0.000 | inf | inf | 1.000 | 1.000 |"
    assert text[-1].startswith("| broken | nan |")


@pytest.mark.parametrize("method", ["OpenCV Telea", "OpenCV Navier-Stokes", "tiny"])
def test_no_method_sees_the_hole_or_changes_the_rest(weights, method):
    """At 288 pixels a hole 200 across is filled coarse to fine, where scaling mixes neighbours."""
    config = EvaluateConfig(data=(), weights=(weights,), device="cpu")
    fill = (opencv_methods() | network_methods(config))[method]
    image, mask = textured(288), hole_of(288, rows=200)
    hidden = torch.where(mask > 0, torch.rand(image.shape), image)
    completed = fill(image, mask)
    assert torch.equal(completed, fill(hidden, mask))
    assert torch.equal(quantised(completed)[..., 200:, :], image[..., 200:, :])


def test_a_picture_is_scaled_by_its_short_side_and_cropped_at_its_centre(tmp_path):
    """Three vertical bands on 240 x 480 pixels; the middle 240 columns hold half of the outer."""
    wide = torch.zeros(1, 3, 240, 480)
    wide[:, 0, :, :160], wide[:, 1, :, 160:320], wide[:, 2, :, 320:] = 1, 1, 1
    save_pixels(tmp_path / "wide.png", wide)
    (entry,) = find_pictures([tmp_path])
    square = read_square(entry, 120)
    assert square.shape == (1, 3, 120, 120)
    assert square[0, :, 60].mean(dim=-1).tolist() == pytest.approx([1 / 6, 2 / 3, 1 / 6], abs=0.01)


def test_samples_are_a_function_of_the_seed(pictures):
    def masks(seed: int) -> list[torch.Tensor]:
        config = EvaluateConfig(data=(pictures,), size=96, seed=seed)
        return [mask for *_, mask in samples(find_pictures([pictures]), ["brush", "box"], config)]

    first, again, next_seed = masks(5), masks(5), masks(6)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    # Picture 1 of seed 5 has the masks of picture 0 of seed 6.
    assert all(torch.equal(a, b) for a, b in zip(first[2:], next_seed[:-2], strict=True))
    assert not torch.equal(first[0], first[2])
    assert all(0 < mask.mean() < 1 for mask in first)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    for i in range(3):
        save_pixels(folder / f"{i}.png", textured(96, seed=i))
    return folder


@pytest.fixture
def weights(tmp_path):
    """Tiny, at random, and so strong that lines tell."""
    torch.manual_seed(0)
    generator = build_generator(PRESETS["deepfillv2-tiny"])
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            parameter *= 4 if name.endswith("weight") else 1
    save_weights(tmp_path / "tiny.safetensors", generator)
    return tmp_path / "tiny.safetensors"


def feature_file(folder):
    layers = {"conv1": torch.nn.Conv2d(3, 4, 3), "conv2": torch.nn.Conv2d(4, 6, 3)}
    tensors = torch.nn.ModuleDict(layers).state_dict()
    save_file(tensors, folder / "features.safetensors")
    return folder / "features.safetensors"


def run(capsys, *flags: object) -> tuple[int, str, str]:
    code = main([str(flag) for flag in flags])
    done = capsys.readouterr()
    return code, done.out, done.err


def test_the_command_measures_writes_and_repeats_itself(tmp_path, pictures, weights, capsys):
    numbers, grid = tmp_path / "out" / "numbers.json", tmp_path / "grid.png"
    flags = ["--data", pictures, "--weights", weights, "--size", 96, "--masks", "both"]
    flags += ["--guide", "sketch", "--features", feature_file(tmp_path), "--device", "cpu"]
    code, out, err = run(capsys, *flags, "--json", numbers, "--grid", grid, "--rows", 2)
    assert code == 0
    assert "6/6" in err  # three pictures with two kinds of masks
    methods = ["OpenCV Telea", "OpenCV Navier-Stokes", "tiny", "tiny + sketch"]
    first, second, last = out.split("\n\n")
    for text, kind in ((first, "brush"), (second, "box")):
        assert text.startswith(f"| 3 pictures, {kind} masks | hole L1 %")
        assert len(text.splitlines()) == 2 + len(methods)
    assert last == f"{grid}: masked, {', '.join(methods)}, true\n"

    content = json.loads(numbers.read_text())
    assert content["settings"]["masks"] == "both"
    assert len(content["pictures"]) == 3 * 2 * len(methods)
    assert [list(means) for means in content["means"].values()] == [methods, methods]
    mine = [x for x in content["pictures"] if (x["method"], x["masks"]) == ("tiny", "box")]
    for key in ("ssim", "tv_ratio", "features"):
        mean = np.mean([x[key] for x in mine])
        assert content["means"]["box"]["tiny"][key] == pytest.approx(mean)
    steps = np.array([x["l1"] for x in mine]) / 100 * 3 * 96 * 96 * 255  # of 8 bit: whole ones
    assert np.abs(steps - steps.round()).max() < 0.05
    assert content["means"]["box"]["tiny"] != content["means"]["box"]["tiny + sketch"]
    assert read_picture(grid).size == (2 * 96 + 8, 6 * 96 + 5 * 8)  # 2 x 6 pictures, gaps of 8

    code, again, _ = run(capsys, *flags)
    assert code == 0 and again.split("\n\n") == [first, second.rstrip("\n") + "\n"]


def test_files_of_one_name_are_told_apart_and_the_limit_holds(tmp_path, pictures, weights, capsys):
    other = tmp_path / "b" / weights.name
    other.parent.mkdir()
    other.write_bytes(weights.read_bytes())
    flags = ["--data", pictures, "--weights", weights, other, "--size", 96, "--limit", 1]
    code, out, _ = run(capsys, *flags)
    assert code == 0
    assert "1 pictures" in out and f"| {weights} |" in out and f"| {other} |" in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--size", "79"], "--size is 79; it must be at least 80"),
        (["--limit", "0"], "--limit is 0"),
        (["--rows", "0"], "--rows is 0"),
        (["--seed", "-1"], "--seed is -1"),
        (["--data", "nowhere"], "nowhere is neither a folder nor a readable .tar shard"),
        (["--weights", "nowhere.safetensors"], "no weights file at nowhere.safetensors"),
        (["--weights", "weights.pth"], "no backend for weights.pth"),
        (["--features", "nowhere.safetensors"], "nowhere.safetensors is not a feature network"),
        (["--device", "abacus"], "the device 'abacus' is not here"),
        (["--grid", "grid.xyz", "--limit", "1"], "grid.xyz"),
    ],
)
def test_what_a_user_can_mend_is_one_line_and_exit_code_1(
    tmp_path, pictures, weights, capsys, monkeypatch, flags, message
):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "--data", pictures, "--weights", weights, "--size", 96, *flags)
    assert code == 1
    assert err.splitlines()[-1].startswith("error: ") and message in err.splitlines()[-1]


def test_a_guide_needs_a_network_that_takes_it(tmp_path, pictures, capsys):
    path = tmp_path / "plain.safetensors"
    save_weights(path, build_generator(PRESETS["deepfillv2-vanilla"]))
    code, _, err = run(capsys, "--data", pictures, "--weights", path, "--guide", "sketch")
    assert code == 1 and "none of the networks takes a sketch" in err


def test_a_damaged_picture_and_an_unwritable_file_are_named(tmp_path, pictures, weights, capsys):
    flags = ["--data", pictures, "--weights", weights, "--size", 96, "--limit", 1]
    (tmp_path / "file").touch()
    code, _, err = run(capsys, *flags, "--json", tmp_path / "file" / "numbers.json")
    assert code == 1 and "cannot write" in err and "--json" in err
    (pictures / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    code, _, err = run(capsys, *flags)
    assert code == 1 and "0.png" in err and "remove or replace it" in err


@pytest.mark.parametrize("flags", [[], ["--data", "x", "--masks", "star"]])
def test_wrong_usage_is_exit_code_2(flags, capsys):
    with pytest.raises(SystemExit) as stop:
        main(flags)
    assert stop.value.code == 2
    assert "python -m trainer.evaluate" in capsys.readouterr().err
