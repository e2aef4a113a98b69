"""`python -m core` as a user runs it: files in, files out, one sentence and an exit code."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.__main__ import main
from core.config import PRESETS
from core.errors import ConfigError
from core.registry import build_generator
from core.weights import save_weights

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    generator = build_generator(PRESETS["deepfillv2-tiny"])
    for parameter in generator.parameters():
        parameter.data *= 4  # so that a sketch is seen in 8 bits without any training
    save_weights(path, generator, about={"steps": 3})
    return str(path)


def pixels(path: Path | str) -> np.ndarray:
    """The samples of a file, in its own mode."""
    with Image.open(path) as picture:
        return np.asarray(picture)


def noise(size: tuple[int, int], mode: str = "RGB", seed: int = 0) -> Image.Image:
    channels = len(Image.new(mode, (1, 1)).getbands())
    shape = (*size, channels) if channels > 1 else size
    samples = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return Image.frombytes(mode, size[::-1], samples.tobytes())


@pytest.fixture
def files(tmp_path) -> Path:
    noise((40, 56)).save(tmp_path / "photo.png")
    mask = np.zeros((40, 56), np.uint8)
    mask[10:20, 20:40] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path


def test_fill_keeps_known_pixels_and_fills_the_rest(files, weights, capsys):
    out = files / "new" / "filled.png"
    args = ["fill", str(files / "photo.png"), str(files / "mask.png"), "-o", str(out)]
    assert main([*args, "--weights", weights, "--device", "cpu"]) == 0
    before, after = (pixels(p) for p in (files / "photo.png", out))
    hole = pixels(files / "mask.png") > 0
    assert np.array_equal(before[~hole], after[~hole])
    assert (before[hole] != after[hole]).mean() > 0.9
    said = capsys.readouterr()
    assert "tiny.safetensors on cpu" in said.err and "filled in" in said.err and not said.out


def test_inverting_the_mask_fills_the_other_side(files, weights):
    out = files / "out.png"
    args = ["fill", str(files / "photo.png"), str(files / "mask.png"), "-o", str(out), "--invert"]
    assert main([*args, "--weights", weights]) == 0
    before, after = (pixels(p) for p in (files / "photo.png", out))
    assert np.array_equal(before[10:20, 20:40], after[10:20, 20:40])


def test_a_sketch_changes_the_fill(files, weights):
    lines = np.zeros((40, 56), np.uint8)
    lines[15, :] = 255
    Image.fromarray(lines).save(files / "lines.png")
    base = ["fill", str(files / "photo.png"), str(files / "mask.png"), "--weights", weights]
    assert main([*base, "-o", str(files / "a.png")]) == 0
    assert main([*base, "-o", str(files / "b.png"), "--sketch", str(files / "lines.png")]) == 0
    assert not np.array_equal(pixels(files / "a.png"), pixels(files / "b.png"))


def test_transparent_pixels_or_a_colour_can_be_the_hole(tmp_path, weights):
    picture = np.asarray(noise((24, 24), "RGBA")).copy()
    picture[..., 3] = 255
    picture[5:9, 5:9, 3] = 0
    Image.fromarray(picture).save(tmp_path / "cut.png")
    out = tmp_path / "out.png"
    assert main(["fill", str(tmp_path / "cut.png"), "-o", str(out), "--weights", weights]) == 0
    filled = pixels(out)
    assert filled.shape == (24, 24, 4) and (filled[..., 3] == 255).all()
    known = picture[..., 3] > 0
    assert np.array_equal(filled[known], picture[known])
    assert not np.array_equal(filled[~known], picture[~known])

    picture = picture[..., :3].copy()
    picture[5:9, 5:9] = (255, 0, 255)
    Image.fromarray(picture).save(tmp_path / "marked.png")
    args = ["fill", str(tmp_path / "marked.png"), "-o", str(out), "--mask-color", "#ff00ff"]
    assert main([*args, "--weights", weights]) == 0
    filled = pixels(out)
    assert not (filled[5:9, 5:9] == (255, 0, 255)).all(axis=-1).any()


@pytest.fixture
def folder(tmp_path) -> Path:
    """Odd files together: modes, a tiny one, a truncated one, one without mask, side files."""
    images, masks = tmp_path / "images", tmp_path / "masks"
    (images / "deep").mkdir(parents=True)
    (masks / "deep").mkdir(parents=True)
    modes = {"gray.png": "L", "rgba.png": "RGBA", "cmyk.tif": "CMYK", "deep/rgb.webp": "RGB"}
    for name, mode in modes.items():
        picture = noise((20, 30), mode)
        picture.save(images / name, **({"lossless": True} if name.endswith("webp") else {}))
        mask = np.zeros((20, 30), np.uint8)
        mask[5:9, 5:25] = 255
        Image.fromarray(mask).save((masks / name).with_suffix(".png"))
    noise((1, 1)).save(images / "dot.png")
    Image.new("L", (1, 1), 255).save(masks / "dot_mask.png")
    noise((20, 30)).save(images / "cut.png")
    Image.new("L", (30, 20), 255).save(masks / "cut.mask.png")
    whole = (images / "cut.png").read_bytes()
    (images / "cut.png").write_bytes(whole[: len(whole) // 2])
    noise((8, 8)).save(images / "lonely.png")
    noise((8, 8), "L").save(images / "other_mask.png")
    return tmp_path


def run_folder(folder: Path, weights: str, *more: str) -> int:
    images, masks, out = (str(folder / name) for name in ("images", "masks", "out"))
    return main(["fill", images, masks, "-o", out, "--weights", weights, *more])


def report_of(folder: Path) -> dict[str, dict]:
    lines = (folder / "out" / "report.jsonl").read_text().splitlines()
    return {Path(line["image"]).name: line for line in map(json.loads, lines)}


def test_a_folder_is_filled_as_far_as_it_can_be_and_reported(folder, weights):
    assert run_folder(folder, weights) == 1  # two fail, the rest is done
    report = report_of(folder)
    failed = {name for name, line in report.items() if line["status"] == "failed"}
    assert failed == {"cut.png", "lonely.png"}
    assert "truncated" in report["cut.png"]["error"] or "damaged" in report["cut.png"]["error"]
    assert "lonely.png" in report["lonely.png"]["error"]
    assert "other_mask.png" not in report
    assert report["gray.png"]["hole_percent"] == pytest.approx(100 * 80 / 600, abs=0.01)
    for name, mode in (("gray.png", "L"), ("rgba.png", "RGBA"), ("cmyk.tif", "CMYK")):
        with (
            Image.open(folder / "images" / name) as before,
            Image.open(folder / "out" / name) as after,
        ):
            assert after.mode == mode and after.size == before.size
            assert np.array_equal(np.asarray(before)[10:], np.asarray(after)[10:])
    assert pixels(folder / "out" / "deep" / "rgb.webp").shape == (20, 30, 3)
    assert not (folder / "out" / "cut.png").exists()
    assert not list((folder / "out").rglob(".part-*"))


def test_resume_skips_what_is_there_and_tries_the_rest_again(folder, weights):
    run_folder(folder, weights)
    first = (folder / "out" / "gray.png").stat().st_mtime_ns
    noise((20, 30)).save(folder / "images" / "cut.png")
    (folder / "images" / "lonely.png").unlink()
    assert run_folder(folder, weights, "--resume") == 0
    assert report_of(folder)["cut.png"]["status"] == "done"
    assert report_of(folder)["gray.png"]["status"] == "skipped"
    assert (folder / "out" / "gray.png").stat().st_mtime_ns == first


def test_json_gives_a_line_for_programs_on_stdout(folder, weights, capsys):
    run_folder(folder, weights, "--json")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["status"] for line in lines} == {"done", "failed"}


def test_masks_by_seed_are_repeatable_files(tmp_path, capsys):
    assert main(["mask", "-o", str(tmp_path / "a.png"), "--size", "40x60", "--seed", "5"]) == 0
    assert main(["mask", "-o", str(tmp_path / "many"), "--size", "40x60", "--seed", "4",
                 "--count", "2"]) == 0  # fmt: skip
    one = pixels(tmp_path / "a.png")
    assert one.shape == (40, 60) and set(one.flatten().tolist()) == {0, 255}
    assert np.array_equal(one, pixels(tmp_path / "many" / "000005.png"))
    assert "% hole" in capsys.readouterr().err


def test_a_mask_like_a_picture_has_its_size(files):
    assert main(["mask", "-o", str(files / "m.png"), "--like", str(files / "photo.png")]) == 0
    assert pixels(files / "m.png").shape == (40, 56)


def test_info_says_what_weights_are(weights, capsys):
    assert main(["info", weights]) == 0
    text = capsys.readouterr().out
    assert "deepfillv2" in text and "sketch (1), optional" in text and "multiples of 8" in text
    assert main(["info", weights, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["config"]["width"] == 8 and facts["about"] == {"steps": 3}
    assert facts["contract"]["inputs"][1]["name"] == "mask"


FAULTS = [
    (["fill", "none.png", "mask.png", "-o", "o.png"], "no picture or folder at none.png"),
    (["fill", "photo.png", "none.png", "-o", "o.png"], "no mask or folder of masks at none.png"),
    (["fill", "photo.png", "mask.png", "-o", "o.xyz"], "xyz"),
    (["fill", "photo.png", "small.png", "-o", "o.png"], "40 x 56"),
    (["fill", "photo.png", "text.png", "-o", "o.png"], "text.png"),
    (["fill", "photo.png", "-o", "o.png"], "no transparency"),
    (["fill", "photo.png", "mask.png", "-o", "photo.png/o.png"], "photo.png"),
    (["fill", "photo.png", "mask.png", "-o", "o.png", "--mask-color", "red"], "one source"),
    (["fill", "photo.png", "mask.png", "-o", "o.png", "--grow", "-3"], "grow is -3"),
    (["fill", "photo.png", "mask.png", "-o", "o.png", "--device", "tpu"], "'tpu' is not here"),
    (["fill", "photo.png", "mask.png", "-o", "o.png", "--weights", "no.safetensors"], "no weights"),
    (["fill", "photo.png", "mask.png", "-o", "o.png", "--weights", "text.png"], "no backend for"),
    (["fill", "empty", "mask.png", "-o", "out"], "no pictures in"),
    (["fill", "photo.png", "empty", "-o", "out.png"], "is a folder; name its mask"),
    (["mask", "-o", "m.png", "--size", "0x5"], "HEIGHTxWIDTH"),
    (["mask", "-o", "m.png", "--count", "0"], "at least 1"),
    (["info", "text.png"], "damaged or not a safetensors file"),
]


@pytest.mark.parametrize(("args", "says"), FAULTS, ids=lambda value: " ".join(value)[:60])
def test_a_users_mistake_gives_one_sentence_and_exit_code_1(
    files, weights, monkeypatch, capsys, args, says
):
    monkeypatch.chdir(files)
    Image.new("L", (5, 5)).save("small.png")
    Path("text.png").write_text("no picture at all")
    Path("empty").mkdir()
    before = sorted(files.rglob("*"))
    if args[0] == "fill" and "--weights" not in args:
        args = [*args, "--weights", weights]
    assert main(args) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(lines) == 1 and says in lines[0]
    assert sorted(files.rglob("*")) == before


def test_wrong_usage_has_exit_code_2(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["fill"])
    assert caught.value.code == 2


def test_an_empty_mask_is_mentioned(files, weights, capsys):
    Image.new("L", (56, 40)).save(files / "mask.png")
    args = ["fill", str(files / "photo.png"), str(files / "mask.png"), "-o", str(files / "o.png")]
    assert main([*args, "--weights", weights]) == 0
    assert "the mask is empty" in capsys.readouterr().err
    assert np.array_equal(pixels(files / "photo.png"), pixels(files / "o.png"))


@pytest.mark.slow
def test_the_demo_runs_as_a_process_and_says_where_its_pictures_are(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "core", "demo", "-o", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "filled in" in done.stderr and str(tmp_path) in done.stderr
    for task in ("object", "scratch", "line"):
        for kind in ("input", "mask", "result", "side_by_side"):
            assert min(pixels(tmp_path / f"{task}.{kind}.png").shape[:2]) > 100


def test_config_errors_are_input_errors():
    from core.commands.masks import parse_size

    assert parse_size("480x640") == (480, 640)
    with pytest.raises(ConfigError):
        parse_size("640")
