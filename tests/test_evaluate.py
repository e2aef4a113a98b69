"""The measuring command on small pictures: which holes, which methods, what is written."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from core.config import PRESETS
from core.image import read_picture, save_pixels
from core.masks.drawn import BINS
from core.registry import build_generator
from core.weights import save_weights
from trainer.data.samples import find_pictures
from trainer.evaluate import main
from trainer.measure.fills import named, network_methods, opencv_methods
from trainer.measure.metrics import quantised
from trainer.measure.observe import open_observer
from trainer.measure.tables import labelled
from trainer.measure.trials import hole_kinds, read_square


def hole_of(size: int, *, rows: int) -> torch.Tensor:
    mask = torch.zeros(1, 1, size, size)
    mask[..., :rows, :] = 1
    return mask


def textured(size: int = 96, seed: int = 0) -> torch.Tensor:
    """Coloured tiles of 12 x 12 pixels, multiples of 1 / 255."""
    random = torch.Generator().manual_seed(seed)
    tiles = torch.rand(1, 3, size // 12, size // 12, generator=random)
    return quantised(torch.nn.functional.interpolate(tiles, scale_factor=12))


@pytest.mark.parametrize("method", ["OpenCV Telea", "OpenCV Navier-Stokes", "tiny"])
def test_no_method_sees_the_hole_or_changes_the_rest(weights, method):
    """At 288 pixels a hole 200 across is filled coarse to fine, where scaling mixes neighbours."""
    networks = network_methods({"tiny": weights}, guides=(), device="cpu")
    fill = (opencv_methods() | networks)[method]
    image, mask = textured(288), hole_of(288, rows=200)
    hidden = torch.where(mask > 0, torch.rand(image.shape), image)
    completed = fill(image, mask, {})
    assert torch.equal(completed, fill(hidden, mask, {}))
    assert torch.equal(quantised(completed)[..., 200:, :], image[..., 200:, :])


def test_a_picture_is_scaled_by_its_short_side_and_cropped_at_its_centre(tmp_path):
    """Three vertical bands on 240 x 480 pixels; the middle 240 columns hold half of the outer."""
    wide = torch.zeros(1, 3, 240, 480)
    wide[:, 0, :, :160], wide[:, 1, :, 160:320], wide[:, 2, :, 320:] = 1, 1, 1
    save_pixels(tmp_path / "wide.png", wide)
    (entry,) = find_pictures([tmp_path])
    square = read_square(entry, 120).image
    assert square.shape == (1, 3, 120, 120)
    assert square[0, :, 60].mean(dim=-1).tolist() == pytest.approx([1 / 6, 2 / 3, 1 / 6], abs=0.01)


@pytest.mark.parametrize("kind", ["brush", "box", "0-10%", "50-60%"])
def test_holes_are_a_function_of_the_seed(kind):
    draw = (hole_kinds("both", 96, None, []) | hole_kinds("bins", 96, None, []))[kind]
    assert torch.equal(draw(0, 5), draw(0, 5))
    assert torch.equal(draw(1, 5), draw(0, 6))  # picture 1 of seed 5 has that of picture 0 of 6
    assert not torch.equal(draw(0, 5), draw(1, 5))
    assert 0 < draw(0, 5).mean() < 1


def test_each_bin_holds_the_share_that_it_says():
    kinds = hole_kinds("bins", 96, None, [])
    assert list(kinds) == ["0-10%", "10-20%", "20-30%", "30-40%", "40-50%", "50-60%"]
    for draw, (low, high) in zip(kinds.values(), BINS, strict=True):
        assert all(low < draw(number, 0).mean() <= high for number in range(3))


def mask_file(path, *, rows: int, size: tuple[int, int] = (96, 96)) -> None:
    """White in the first rows."""
    mask = torch.zeros(1, 3, *size)
    mask[..., :rows, :] = 1
    save_pixels(path, mask)


def test_masks_of_a_folder_go_by_name_or_else_in_order(tmp_path, pictures):
    entries = find_pictures([pictures])  # 0, 1, 2
    for name, rows in (("2", 20), ("1", 30), ("0", 40)):
        mask_file(tmp_path / "masks" / f"{name}.png", rows=rows)
    (draw,) = hole_kinds("folder", 96, tmp_path / "masks", entries).values()
    assert [int(draw(i, 0)[..., 0].sum()) for i in range(3)] == [40, 30, 20]
    assert torch.equal(draw(0, 1000), draw(0, 0))  # belongs to its picture, whatever the seed
    (tmp_path / "masks" / "1.png").rename(tmp_path / "masks" / "1_mask.png")
    mask_file(tmp_path / "masks" / "0.mask.png", rows=10)  # more of a mask than 0.png
    (draw,) = hole_kinds("folder", 96, tmp_path / "masks", entries).values()
    assert [int(draw(i, 0)[..., 0].sum()) for i in range(3)] == [10, 30, 20]
    (tmp_path / "masks" / "0.mask.png").unlink()
    (tmp_path / "masks" / "1_mask.png").rename(tmp_path / "masks" / "3.png")
    (draw,) = hole_kinds("folder", 96, tmp_path / "masks", entries).values()
    assert [int(draw(i, 0)[..., 0].sum()) for i in range(5)] == [40, 20, 30, 40, 20]  # 0, 2, 3
    assert sorted(int(draw(i, 1000)[..., 0].sum()) for i in range(3)) == [20, 30, 40]
    orders = {tuple(int(draw(i, seed)[..., 0].sum()) for i in range(3)) for seed in range(9)}
    assert len(orders) > 1


def test_a_mask_is_cropped_as_its_picture_is(tmp_path):
    """96 x 192: the middle half of the columns stays, and the hole is the right half of that."""
    mask = torch.zeros(1, 3, 96, 192)
    mask[..., 96:] = 1
    save_pixels(tmp_path / "m" / "a.png", mask)
    mask_file(tmp_path / "m" / "b.png", rows=0)
    mask_file(tmp_path / "m" / "c.png", rows=96)
    (draw,) = hole_kinds("folder", 48, tmp_path / "m", []).values()
    assert draw(0, 0).shape == (1, 1, 48, 48)
    assert draw(0, 0)[0, 0, 0].tolist() == [0] * 24 + [1] * 24
    assert draw(1, 0) is None and draw(2, 0) is None  # nothing to fill, nothing to fill from


def test_names_are_short_and_tell_runs_apart(tmp_path):
    paths = [tmp_path / "a" / "weights.safetensors", tmp_path / "b" / "weights.safetensors"]
    assert list(named(paths)) == ["a", "b"]
    twice = [tmp_path / "a" / "x.safetensors", tmp_path / "b" / "x.safetensors"]
    assert list(named(twice)) == [str(path) for path in twice]


def test_a_grid_has_its_names_over_its_columns():
    flat = [torch.zeros(1, 3, 40, 64), torch.full((1, 3, 40, 64), 0.5)]
    grid = labelled({"masked": flat, "a name that is much too long for this": flat, "x": flat})
    head = grid.shape[-2] - (40 + 8 + 40)
    assert grid.shape[-1] == 3 * 64 + 2 * 8 and head >= 8 + 14
    assert (grid[..., head : head + 40, :64] == 0).all()
    for left in (0, 72, 144):
        dark = (grid[0, 0, : head - 8, left : left + 64] < 0.5).float()
        assert dark.any() and not dark[:, [0, -1]].all()


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
    flags += ["--guide", "sketch", "--lines", "canny", "--device", "cpu"]
    flags += ["--features", feature_file(tmp_path)]
    code, out, err = run(capsys, *flags, "--json", numbers, "--grid", grid, "--rows", 2)
    assert code == 0
    assert "6/6" in err  # three pictures with two kinds of masks
    methods = ["OpenCV Telea", "OpenCV Navier-Stokes", "tiny", "tiny + sketch"]
    first, note, second, other, last = out.split("\n\n")
    for text, kind in ((first, "brush"), (second, "box")):
        assert text.startswith(f"| 3 pictures, {kind} masks | hole L1 %")
        assert text.splitlines()[0].endswith("| edges F | features | texture |")
        assert len(text.splitlines()) == 2 + len(methods)
    assert note.startswith("tiny: hole L1 ") and other.startswith("tiny: hole L1 ")
    assert last == f"{grid}: masked, lines, {', '.join(methods)}, true\n"

    content = json.loads(numbers.read_text())
    assert content["settings"]["masks"] == "both"
    assert content["networks"]["tiny"]["parameters"] > 1000
    assert len(content["pictures"]) == 3 * 2 * len(methods)
    assert [list(means) for means in content["means"].values()] == [methods, methods]
    assert content["spread"] == {"brush": {}, "box": {}}
    mine = [x for x in content["pictures"] if (x["method"], x["masks"]) == ("tiny", "box")]
    for key in ("ssim", "tv_ratio", "features", "edges"):
        mean = np.mean([x[key] for x in mine if key in x])
        assert content["means"]["box"]["tiny"][key] == pytest.approx(mean)
    (whole,) = [x for x in content["sets"] if (x["method"], x["masks"]) == ("tiny", "box")]
    assert content["means"]["box"]["tiny"]["texture"] == whole["texture"]
    steps = np.array([x["l1"] for x in mine]) / 100 * 3 * 96 * 96 * 255  # of 8 bit: whole ones
    assert np.abs(steps - steps.round()).max() < 0.05
    assert content["means"]["box"]["tiny"] != content["means"]["box"]["tiny + sketch"]
    height, width = read_picture(grid).size
    assert width == 7 * 96 + 6 * 8 and height > 2 * 96 + 2 * 8  # names above 2 x 7 pictures
    masked, lines = (read_picture(grid).pixels[..., -96:, left : left + 96] for left in (0, 104))
    assert (lines > 0.5).any() and (masked[lines > 0.5] == 1).all()  # drawn in the hole alone

    code, again, _ = run(capsys, *flags)
    assert code == 0 and again.split("\n\n") == [first, note, second, other + "\n"]


def test_more_seeds_are_runs_of_their_own(tmp_path, pictures, weights, capsys):
    flags = ["--data", pictures, "--weights", weights, "--size", 96, "--limit", 2, "--seed", 4]
    flags += ["--features", feature_file(tmp_path), "--device", "cpu"]
    results = []
    for more in (["--seeds", 2], [], ["--seed", 1004]):
        code, out, _ = run(capsys, *flags, *more, "--json", tmp_path / "n.json")
        assert code == 0
        results.append(json.loads((tmp_path / "n.json").read_text()))
    assert "2 pictures, brush masks" in out and "±" not in out
    both, *alone = results
    means, spread = both["means"]["brush"], both["spread"]["brush"]
    for method in means:
        for key, value in means[method].items():
            apart = [result["means"]["brush"][method][key] for result in alone]
            assert value == pytest.approx(np.mean(apart))
            assert spread[method][key] == pytest.approx(abs(apart[0] - apart[1]) / math.sqrt(2))


def test_a_perfect_fill_looks_perfect_to_networks(tmp_path):
    observer = open_observer(features=feature_file(tmp_path), lines="canny", device="cpu")
    image = textured()
    seen, true = observer.see(torch.cat([image, 1 - image])), observer.see(image)
    perfect, other = observer.compare(seen, true, hole_of(96, rows=50))
    assert perfect == pytest.approx({"features": 0, "edges": 1}, abs=1e-9)
    assert other["features"] > 1


def test_a_run_is_measured_into_its_folder(tmp_path, pictures, weights, capsys):
    run_folder = tmp_path / "first"
    run_folder.mkdir()
    generator = build_generator(PRESETS["deepfillv2-tiny"])
    save_weights(run_folder / "weights.safetensors", generator, about={"steps": 120})
    flags = ["--data", pictures, "--run", run_folder, "--weights", weights, "--size", 96]
    code, out, _ = run(capsys, *flags, "--limit", 1)
    path = run_folder / "evaluation-000000120.json"
    assert code == 0 and out.endswith(f"\n{path}\n")
    content = json.loads(path.read_text())
    assert list(content["means"]["brush"])[2:] == ["first", "tiny"]
    assert content["networks"]["first"]["steps"] == 120


def test_pictures_without_a_usable_mask_are_left_out_and_counted(
    tmp_path, pictures, weights, capsys
):
    flags = ["--data", pictures, "--weights", weights, "--size", 96, "--masks", "folder"]
    flags += ["--mask-folder", tmp_path / "objects"]
    for name, rows in (("0", 30), ("1", 0), ("2", 96)):
        mask_file(tmp_path / "objects" / f"{name}.png", rows=rows)
    code, out, _ = run(capsys, *flags)
    assert code == 0 and out.startswith("| 1 pictures, objects masks |")
    assert out.endswith("\n2 left out: no hole, or nothing but, in the central square\n")
    (tmp_path / "objects" / "0.png").unlink()
    code, _, err = run(capsys, *flags)
    assert code == 1 and "white must be the hole" in err


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
        (["--data", "nowhere"], "nowhere is neither a folder"),
        (["--weights", "nowhere.safetensors"], "no weights file at nowhere.safetensors"),
        (["--weights", "weights.pth"], "no backend for weights.pth"),
        (["--features", "nowhere.safetensors"], "nowhere.safetensors is not a feature network"),
        (["--lpips", "a.pth"], "--lpips has 1 files; it needs two"),
        (["--lpips", "a.pth", "b.pth"], "a.pth cannot be used for LPIPS"),
        (["--inception", "nowhere.pt"], "nowhere.pt is no TorchScript file"),
        (["--seeds", "0"], "--seeds is 0"),
        (["--masks", "folder"], "need each other"),
        (["--mask-folder", "masks"], "need each other"),
        (["--masks", "folder", "--mask-folder", "nowhere"], "nowhere"),
        (["--run", "nowhere"], "no weights file at nowhere/weights.safetensors"),
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
    code, _, err = run(
        capsys, "--data", pictures, "--weights", path, "--guide", "sketch", "--lines", "canny"
    )
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
