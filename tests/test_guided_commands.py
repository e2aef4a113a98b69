"""Guides on the command line: files in, files out, for every network that takes them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.__main__ import main
from core.config import PRESETS
from core.registry import build_generator
from core.weights import save_weights

SIZE = (40, 56)
SPADE = replace(PRESETS["spade-tiny"], native_size=64)
CONFIGS = {
    "deepfillv2": PRESETS["deepfillv2-tiny"],
    "pconv": PRESETS["pconv-tiny"],
    "scfegan": PRESETS["scfegan-tiny"],
    "spade": SPADE,
    "plain": replace(SPADE, context=False, encoder=False, palette=(), unknown=True),
    "edges": replace(SPADE, instance_edges=True, context=False),
}
COLOURS = [tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in SPADE.palette]


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> dict[str, str]:
    torch.manual_seed(0)
    folder, paths = tmp_path_factory.mktemp("weights"), {}
    for name, config in CONFIGS.items():
        paths[name] = str(folder / f"{name}.safetensors")
        generator = build_generator(config)
        for parameter in generator.parameters():
            parameter.data *= 2  # so that a guide is seen in 8 bits without any training
        save_weights(Path(paths[name]), generator)
    return paths


def noise(seed: int, *channels: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, *channels), dtype=np.uint8)


def labels(seed: int) -> np.ndarray:
    """A map of blocks."""
    blocks = np.random.default_rng(seed).integers(0, 12, (5, 7), dtype=np.uint8)
    return blocks.repeat(8, axis=0).repeat(8, axis=1)


def save(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.fixture
def files(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    hole, lines = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    strokes = np.zeros((*SIZE, 4), np.uint8)
    hole[8:30, 10:40], lines[15, :] = 255, 255
    strokes[20:24, 5:50] = (255, 40, 0, 255)
    save(tmp_path / "photo.png", noise(0, 3))
    save(tmp_path / "mask.png", hole)
    save(tmp_path / "lines.png", lines)
    save(tmp_path / "strokes.png", strokes)
    save(tmp_path / "map.png", labels(1))
    save(tmp_path / "other.png", labels(2))
    save(tmp_path / "painted.png", np.array(COLOURS, np.uint8)[labels(1)])
    np.save(tmp_path / "map.npy", np.eye(12, dtype=np.uint8)[labels(1)])
    save(tmp_path / "things.png", noise(3) // 200)
    save(tmp_path / "look.png", noise(4, 3)[:20, :30])
    return tmp_path


def filled(weights: str, *more: str, expect: int = 0) -> np.ndarray:
    """The result of `fill`; known pixels are as they were."""
    out = Path("out.png")
    args = ["fill", "photo.png", "mask.png", "-o", str(out), "--weights", weights, *more]
    assert main(args) == expect
    result, known = pixels(out), pixels(Path("mask.png")) == 0
    assert np.array_equal(result[known], pixels(Path("photo.png"))[known])
    return result


def test_sketch_colour_and_seed_change_what_sc_fegan_fills(files, weights):
    network = weights["scfegan"]
    bare = filled(network)
    assert np.array_equal(bare, filled(network, "--seed", "0"))
    drawn = filled(network, "--sketch", "lines.png", "--color", "strokes.png")
    results = [
        bare,
        drawn,
        filled(network, "--sketch", "lines.png"),
        filled(network, "--color", "strokes.png"),
        filled(network, "--seed", "1"),
    ]
    for i, one in enumerate(results):
        assert not any(np.array_equal(one, other) for other in results[:i])
    on_black = pixels(files / "strokes.png")[..., :3]
    save(files / "black.png", on_black)
    assert np.array_equal(drawn, filled(network, "--sketch", "lines.png", "--color", "black.png"))


def test_the_map_guides_what_spade_fills_in_whatever_form_it_comes(files, weights):
    network = weights["spade"]
    by_number = filled(network, "--semantic", "map.png", "--seed", "2")
    assert np.array_equal(by_number, filled(network, "--semantic", "painted.png", "--seed", "2"))
    assert np.array_equal(by_number, filled(network, "--semantic", "map.npy", "--seed", "2"))
    assert not np.array_equal(by_number, filled(network, "--semantic", "other.png", "--seed", "2"))
    assert not np.array_equal(by_number, filled(network, "--semantic", "map.png"))
    styled = filled(network, "--semantic", "map.png", "--style", "look.png")
    assert np.array_equal(
        styled, filled(network, "--semantic", "map.png", "--style", "look.png", "--seed", "9")
    )
    assert not np.array_equal(styled, by_number)


def test_a_palette_file_says_what_colours_mean(files, weights):
    names = dict(zip(SPADE.labels, SPADE.palette, strict=True))
    (files / "mine.json").write_text(json.dumps(names))
    given = filled(weights["plain"], "--semantic", "painted.png", "--palette", "mine.json")
    assert np.array_equal(given, filled(weights["plain"], "--semantic", "map.png"))


def test_things_have_edges_of_their_own(files, weights):
    args = ("--semantic", "map.png", "--style", "look.png")
    without = filled(weights["edges"], *args)
    assert np.array_equal(without, filled(weights["edges"], *args, "--instances", "map.png"))
    assert not np.array_equal(without, filled(weights["edges"], *args, "--instances", "things.png"))


def test_maps_of_another_size_are_scaled_only_when_asked(files, weights):
    save(files / "double.png", labels(1).repeat(2, axis=0).repeat(2, axis=1))
    wanted = filled(weights["spade"], "--semantic", "map.png")
    scaled = filled(weights["spade"], "--semantic", "double.png", "--scale-mask")
    assert np.array_equal(wanted, scaled)


@pytest.fixture
def folder(files) -> Path:
    """Pictures with side files beside them, and one style for all."""
    for i, name in enumerate(("cat", "deep/dog", "bird")):
        save(files / "in" / f"{name}.png", noise(10 + i, 3))
        hole = np.zeros(SIZE, np.uint8)
        hole[5:20, 5:30] = 255
        save(files / "in" / f"{name}_mask.png", hole)
    save(files / "in" / "cat.seg.png", labels(1))
    save(files / "in" / "cat.style.png", noise(5, 3))
    np.save(files / "in" / "deep" / "dog_semantic.npy", labels(2))
    save(files / "in" / "garden_color.png", noise(6, 3))  # of no picture: one itself
    return files


def test_in_a_folder_guides_are_paired_by_name_and_reported(folder, weights, capsys):
    args = ["fill", "in", "in", "-o", "out", "--semantic", "in", "--weights", weights["spade"]]
    assert main([*args, "--style", "look.png"]) == 1  # bird has no map, garden_color no mask
    lines = [json.loads(line) for line in Path("out/report.jsonl").read_text().splitlines()]
    report = {Path(line["image"]).name: line for line in lines}
    assert set(report) == {"cat.png", "dog.png", "bird.png", "garden_color.png"}
    assert report["cat.png"]["status"] == report["dog.png"]["status"] == "done"
    assert report["cat.png"]["guides"] == {"semantic": "in/cat.seg.png", "style": "look.png"}
    assert report["dog.png"]["guides"]["semantic"] == "in/deep/dog_semantic.npy"
    assert "needs 'semantic'" in report["bird.png"]["error"]
    assert "no picture file at in/garden_color.mask.png" in report["garden_color.png"]["error"]
    assert sorted(p.name for p in Path("out").rglob("*.png")) == ["cat.png", "dog.png"]

    assert main([*args, "--style", "in", "-o", "own"]) == 1
    assert json.loads(Path("own/report.jsonl").read_text().splitlines()[1])["guides"] == {
        "semantic": "in/cat.seg.png",
        "style": "in/cat.style.png",
    }
    assert not np.array_equal(pixels(Path("own/cat.png")), pixels(Path("out/cat.png")))


def test_synthesize_makes_a_picture_of_a_map(files, weights, capsys):
    args = ["synthesize", "map.png", "--weights", weights["spade"]]
    assert main([*args, "-o", "a.png"]) == 0
    assert "a.png: made in" in capsys.readouterr().err
    assert pixels(Path("a.png")).shape == (*SIZE, 3)
    assert main([*args, "-o", "b.png", "--size", "64x80", "--style", "look.png"]) == 0
    assert pixels(Path("b.png")).shape == (64, 80, 3)
    assert main([*args, "-o", "many", "--seed", "7", "--count", "2", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["seed"] for line in lines] == [7, 8] and lines[0]["status"] == "done"
    first, second = (pixels(Path(line["output"])) for line in lines)
    assert not np.array_equal(first, second)
    assert main([*args, "-o", "c.png", "--seed", "8"]) == 0
    assert np.array_equal(pixels(Path("c.png")), second)


def test_synthesize_works_through_a_folder(folder, weights, capsys):
    save(folder / "in" / "bad.seg.png", labels(1) + 100)
    args = ["synthesize", "in", "-o", "out", "--weights", weights["edges"], "--style", "in"]
    assert main([*args, "--count", "2"]) == 1  # all but the bad one
    made = sorted(p.relative_to("out").as_posix() for p in Path("out").rglob("*.png"))
    assert made == [f"{n}_00000{i}.png" for n in ("cat", "deep/dog") for i in (0, 1)]
    lines = [json.loads(line) for line in Path("out/report.jsonl").read_text().splitlines()]
    failed = [line for line in lines if line["status"] == "failed"]
    assert len(lines) == 6 and len(failed) == 2 and "has the label 1" in failed[0]["error"]
    done = next(line for line in lines if line["output"].endswith("cat_000001.png"))
    assert done["image"] == "in/cat.seg.png" and done["guides"] == {"style": "in/cat.style.png"}
    assert main([*args, "--count", "2", "--resume"]) == 1
    assert "4 skipped" in capsys.readouterr().err


def test_info_shows_ports_labels_and_colours(weights, capsys):
    assert main(["info", weights["spade"]]) == 0
    text = capsys.readouterr().out
    assert "semantic (12), labels" in text and "style (256), optional, style of a picture" in text
    assert "   0  #808080  sky\n   1  #800000  building\n" in text and "CONFIG" not in text
    assert max(map(len, text.splitlines())) < 200
    assert main(["info", weights["plain"]]) == 0
    assert " 255  unknown\n" in capsys.readouterr().out
    assert main(["info", weights["scfegan"]]) == 0
    assert "color (3), optional; noise (1), drawn by seed" in capsys.readouterr().out


FILL = ("fill", "photo.png", "mask.png", "-o", "o.png")
MAKE = ("synthesize", "map.png", "-o", "o.png")
FAULTS = [
    ("deepfillv2", (*FILL, "--color", "strokes.png"), "--color; the guides that it takes: --sk"),
    ("pconv", (*FILL, "--sketch", "lines.png"), "no --sketch; the guides that it takes: none"),
    ("scfegan", (*FILL, "--semantic", "map.png"), "guides that it takes: --sketch, --color"),
    ("spade", FILL, "needs --semantic; the guides that it takes: --semantic, --style"),
    ("plain", (*FILL, "--semantic", "map.png", "--style", "look.png"), "takes no --style"),
    ("plain", (*FILL, "--semantic", "map.png", "--seed", "3"), "does nothing by chance"),
    ("pconv", (*FILL, "--seed", "3"), "leave --seed out"),
    ("scfegan", (*FILL, "--palette", "p.json"), "takes no map of labels"),
    ("spade", (*FILL, "--semantic", "map.png", "--palette", "none.json"), "not a readable palette"),
    ("spade", (*FILL, "--semantic", "none.png"), "--semantic: no file or folder at none.png"),
    ("spade", (*FILL, "--semantic", "."), "is a folder; name its --semantic"),
    ("spade", (*FILL, "--semantic", "photo.png"), "photo.png has the colour #"),
    ("plain", (*FILL, "--semantic", "painted.png"), "give a palette (--palette)"),
    ("spade", (*FILL, "--semantic", "wrong.png"), "has the label 12, first at row 0, column 0"),
    ("spade", (*FILL, "--semantic", "small.png"), "small.png is 5 x 7 pixels"),
    ("spade", (*FILL, "--semantic", "map.png", "--style", "text.png"), "text.png"),
    ("scfegan", (*FILL, "--seed", "-4"), "seed is -4"),
    ("scfegan", (*FILL, "--color", "small.png"), "small.png is 5 x 7 pixels"),
    ("pconv", MAKE, "pconv.safetensors makes no pictures of maps of labels"),
    ("plain", (*MAKE, "--style", "look.png"), "takes no --style"),
    ("spade", ("synthesize", "none.png", "-o", "o.png"), "no map or folder of maps at none.png"),
    ("spade", ("synthesize", "empty", "-o", "out"), "no maps in empty"),
    ("spade", ("synthesize", "map.png", "-o", "map.png"), "is the map itself"),
    ("spade", (*MAKE, "--size", "5"), "--size is '5'"),
    ("spade", (*MAKE, "--count", "0"), "--count is 0"),
    ("spade", (*MAKE, "--count", "2"), "makes several pictures; name a folder"),
    ("spade", (*MAKE, "--style", "empty"), "is a folder; name its --style"),
]  # fmt: skip


@pytest.mark.parametrize(("network", "args", "says"), FAULTS, ids=lambda x: " ".join(x)[:70])
def test_a_users_mistake_gives_one_sentence_and_exit_code_1(
    files, weights, capsys, network, args, says
):
    save(files / "wrong.png", labels(1) * 0 + 12)
    save(files / "small.png", labels(1)[:5, :7])
    (files / "text.png").write_text("no picture at all")
    (files / "p.json").write_text("{}")
    (files / "empty").mkdir()
    before = sorted(files.rglob("*"))
    assert main([*args, "--weights", weights[network]]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(lines) == 1 and says in lines[0]
    assert sorted(files.rglob("*")) == before
