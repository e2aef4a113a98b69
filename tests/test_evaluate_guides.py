"""Networks are measured by their contracts: what of the true picture each of them is given."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from photos import smooth
from PIL import Image, ImageOps

from core.config import PRESETS
from core.errors import ConfigError
from core.image import read_picture
from core.registry import build_generator, contract_of
from core.weights import save_weights
from trainer.data.samples import find_pictures
from trainer.evaluate import main
from trainer.measure.fills import NetworkFill, blanked, network_methods
from trainer.measure.guides import check_guides, needed, true_guides
from trainer.measure.observe import open_observer
from trainer.measure.survey import Task, survey
from trainer.measure.trials import hole_kinds, read_square

SIZE = (100, 141)
"""Height and width, so that the square begins at half a pixel."""


@pytest.fixture
def streets(tmp_path) -> Path:
    """Two pictures with maps of the labels 0, 3 and 8, which is of one colour."""
    folder = tmp_path / "streets"
    folder.mkdir()
    labels = np.zeros(SIZE, np.uint8)
    labels[50:], labels[20:70, 30:90] = 3, 8
    for seed in range(2):
        picture = np.array(smooth(seed, SIZE))
        picture[labels == 8] = (200, 60, 30)
        Image.fromarray(picture).save(folder / f"{seed}.png")
        Image.fromarray(labels).save(folder / f"{seed}.seg.png")
    return folder


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> dict[str, Path]:
    """Tiny ones, at random."""
    folder = tmp_path_factory.mktemp("networks")
    torch.manual_seed(0)
    for name in ("deepfillv2", "pconv", "scfegan", "spade"):
        save_weights(folder / f"{name}.safetensors", build_generator(PRESETS[f"{name}-tiny"]))
    return {path.stem: path for path in sorted(folder.iterdir())}


def run(capsys, *flags: object) -> tuple[int, str, str]:
    code = main([str(flag) for flag in [*flags, "--size", 96, "--device", "cpu"]])
    done = capsys.readouterr()
    return code, done.out, done.err


@pytest.mark.parametrize(("size", "side"), [((60, 97), 40), ((130, 70), 96), ((64, 64), 64)])
def test_a_map_is_cut_as_its_picture_is(tmp_path, size, side):
    """Pillow's nearest neighbours cut the same square."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 9, size, dtype=np.uint8)
    Image.fromarray(labels).convert("RGB").save(tmp_path / "a.png")
    Image.fromarray(labels).save(tmp_path / "a.seg.png")
    (entry,) = find_pictures([tmp_path])
    (port,) = [p for p in contract_of(PRESETS["spade-tiny"]).guides if p.kind == "labels"]
    found = true_guides([port], read_square(entry, side), None, random)["semantic"]
    expected = ImageOps.fit(Image.fromarray(labels), (side, side), Image.Resampling.NEAREST)
    assert found.shape == (1, 1, side, side)
    assert (found[0, 0].numpy() == np.asarray(expected)).all()


class Recorder:
    """In place of a network: notes what it is given, and fills with black."""

    def __init__(self) -> None:
        self.calls: list[dict[str, torch.Tensor]] = []

    def __call__(self, image, mask, **guides):
        self.calls.append({"mask": mask, **guides})
        return image * (1 - mask)


def recorded(folder: Path, seeds: tuple[int, ...] = (0, 1000)) -> list[Recorder]:
    """Two methods with all guides: a call for each picture, seed and kind of hole."""
    ports = contract_of(PRESETS["scfegan-tiny"]).guides[:2]
    ports += contract_of(PRESETS["spade-tiny"]).guides[:1]
    recorders = [Recorder(), Recorder()]
    entries = list(find_pictures([folder]))
    methods = {
        name: NetworkFill(name, recorder, ports[2:], ports[:2])
        for name, recorder in zip("ab", recorders, strict=True)
    }
    kinds = hole_kinds("both", 96, None, entries)
    observer = open_observer(lines="canny", device="cpu")
    survey(Task(entries=entries, kinds=kinds, methods=methods, observer=observer, seeds=seeds,
                size=96, rows=0))  # fmt: skip
    return recorders


def test_every_method_and_run_sees_the_same_guides(streets):
    one, other = recorded(streets)
    (again, _) = recorded(streets)
    assert len(one.calls) == 2 * 2 * 2  # pictures, seeds, kinds
    for calls in zip(one.calls, other.calls, again.calls, strict=True):
        for name in ("sketch", "color", "semantic"):
            assert torch.equal(calls[0][name], calls[1][name])
            assert torch.equal(calls[0][name], calls[2][name])


def test_what_is_drawn_is_given_inside_the_hole_and_a_map_whole(streets):
    one, _ = recorded(streets)
    for call in one.calls:
        known = 1 - call["mask"]
        assert not (call["color"] * known).any() and not (call["sketch"] * known).any()
        assert set((call["semantic"] * known).unique().tolist()) == {0, 3, 8}
        assert call["color"].shape == (1, 3, 96, 96) and call["color"].min() >= 0
        assert call["color"].max() <= 1
    assert any(call["sketch"].any() for call in one.calls)
    assert any(call["color"].any() for call in one.calls)


def test_strokes_are_others_for_another_seed_picture_and_map(streets):
    """All over the picture, as the holes of two seeds differ too; the pictures are the same."""
    (streets / "1.png").write_bytes((streets / "0.png").read_bytes())
    (port,) = [p for p in contract_of(PRESETS["scfegan-tiny"]).guides if p.name == "color"]

    def strokes(folder: Path) -> list[torch.Tensor]:
        entries = list(find_pictures([folder]))
        recorder = Recorder()
        survey(Task(entries=entries, kinds=hole_kinds("whole", 96, None, []),
                    methods={"a": NetworkFill("a", recorder, (), (port,))},
                    observer=open_observer(device="cpu"), seeds=(0, 1000), size=96,
                    rows=0))  # fmt: skip
        return [call["color"] for call in recorder.calls]

    drawn = strokes(streets)
    for path in streets.glob("*.seg.png"):
        path.unlink()
    without = strokes(streets)
    different = [*drawn, *without]
    assert len(different) == 8
    for i, one in enumerate(different):
        assert not any(torch.equal(one, other) for other in different[:i])


def test_a_network_is_measured_without_and_with_those_guides_that_it_has(
    streets, networks, tmp_path, capsys
):
    flags = ["--data", streets, "--limit", 1, "--guide", "color", "sketch", "--lines", "canny"]
    flags += ["--weights", networks["scfegan"], networks["deepfillv2"], networks["pconv"]]
    grid = tmp_path / "grid.png"
    code, out, _ = run(capsys, *flags, "--json", tmp_path / "n.json", "--grid", grid)
    assert code == 0
    content = json.loads((tmp_path / "n.json").read_text())
    assert content["guides"] == {
        "scfegan + sketch + color": ["sketch", "color"],  # in the order of the contract
        "deepfillv2 + sketch": ["sketch"],
    }
    opencv = ["OpenCV Telea", "OpenCV Navier-Stokes"]
    methods = ["scfegan", "scfegan + sketch + color", "deepfillv2", "deepfillv2 + sketch", "pconv"]
    assert list(content["means"]["brush"]) == [*opencv, *methods]
    assert content["settings"]["guide"] == ["color", "sketch"]
    numbers = content["means"]["brush"]
    assert numbers["scfegan"] != numbers["scfegan + sketch + color"]
    notes = out.split("\n\n")[1].splitlines()
    assert [note.partition("%")[0] for note in notes] == [
        f"{name}: hole L1 {numbers[name]['hole_l1']:.4g} " for name in ("scfegan", "deepfillv2")
    ]
    assert "without the true sketch and color" in notes[0] and "true sketch, " in notes[1]
    assert f"{grid}: masked, lines, colours, {', '.join(opencv + methods)}, true\n" in out


def test_a_map_that_a_network_needs_is_always_given(streets, networks, tmp_path, capsys):
    flags = ["--data", streets, "--limit", 1, "--weights", networks["spade"]]
    flags += ["--json", tmp_path / "n.json"]
    grid = tmp_path / "grid.png"
    code, out, _ = run(capsys, *flags, "--grid", grid)
    assert code == 0 and "spade is always given of the true picture: semantic\n" in out
    content = json.loads((tmp_path / "n.json").read_text())
    assert content["guides"] == {"spade": ["semantic"]}
    assert list(content["means"]["brush"])[2:] == ["spade"]
    assert f"{grid}: masked, labels, OpenCV" in out
    # CamVid's colours: 0 sky, 3 road, 8 car; the second column, below its name.
    painted = read_picture(grid).pixels[0, :, -96:, 104:200]
    found = {tuple(c) for c in (painted * 255).round().long().flatten(1).T.tolist()}
    assert found == {(0x80, 0x80, 0x80), (0x80, 0x40, 0x80), (0x40, 0, 0x80)}
    assert run(capsys, *flags, "--guide", "semantic")[0] == 0
    assert list(json.loads((tmp_path / "n.json").read_text())["means"]["brush"])[2:] == ["spade"]


def test_a_whole_picture_is_for_networks_of_maps(streets, networks, tmp_path, capsys):
    flags = ["--data", streets, "--masks", "whole", "--json", tmp_path / "n.json"]
    flags += ["--weights", networks["spade"], networks["pconv"], "--grid", tmp_path / "grid.png"]
    code, out, _ = run(capsys, *flags)
    assert code == 0 and out.startswith("| 2 pictures, whole masks |")
    assert "left out, as they take no map of labels" in out
    assert "OpenCV Telea, OpenCV Navier-Stokes, pconv\n" in out
    assert f"{tmp_path / 'grid.png'}: labels, spade, true\n" in out
    content = json.loads((tmp_path / "n.json").read_text())
    (numbers,) = content["means"]["whole"].values()
    assert numbers["hole_l1"] == numbers["l1"] > 0
    assert all(np.isfinite(value) for value in numbers.values())


def test_nothing_known_is_black_and_not_nan():
    image = torch.full((1, 3, 8, 8), 0.7)
    assert (blanked(image, torch.ones(1, 1, 8, 8)) == 0).all()


@pytest.mark.parametrize(
    ("weights", "flags", "message"),
    [
        ("pconv", ["--guide", "sketch", "color"], "none of the networks takes a sketch or a color"),
        ("pconv", ["--guide", "star"], "--guide has 'star'; it must be of sketch, color, semantic"),
        ("scfegan", ["--masks", "whole"], "--masks whole is for networks that make pictures of"),
        ("spade", ["--guide", "sketch"], "none of the networks takes a sketch"),
    ],
)
def test_what_does_not_fit_is_one_sentence(streets, networks, capsys, weights, flags, message):
    code, _, err = run(capsys, "--data", streets, "--weights", networks[weights], *flags)
    assert code == 1 and err.splitlines()[-1].startswith("error: ")
    assert message in err.splitlines()[-1]


def test_a_map_that_is_missing_damaged_or_of_other_labels_is_named(streets, networks, capsys):
    flags = ["--data", streets, "--weights", networks["spade"]]
    (streets / "1.seg.png").write_bytes(b"nothing")
    code, _, err = run(capsys, *flags)
    assert code == 1 and "1.seg.png cannot be used" in err.splitlines()[-1]
    Image.fromarray(np.full(SIZE, 42, np.uint8)).save(streets / "1.seg.png")
    code, _, err = run(capsys, *flags)
    last = err.splitlines()[-1]
    assert code == 1 and "1.png with spade: semantic has the label 42" in last
    assert "0 to 11 (0 sky" in last
    (streets / "1.seg.png").unlink()
    code, _, err = run(capsys, *flags)
    last = err.splitlines()[-1]
    assert code == 1 and "1 of 2 pictures have no label map" in last and "1.png" in last
    assert "spade needs one beside each" in last and "%|" not in err  # before anything is measured


def test_a_map_is_not_read_where_nobody_needs_it(streets, networks, capsys):
    for path in streets.glob("*.seg.png"):
        path.write_bytes(b"nothing")
    flags = ["--data", streets, "--weights", networks["deepfillv2"], "--limit", 1]
    assert run(capsys, *flags, "--guide", "sketch", "--lines", "canny")[0] == 0


def test_things_are_given_where_there_is_a_map_of_them(streets):
    things = np.zeros(SIZE, np.uint8)
    things[:, 70:] = 200
    Image.fromarray(things).save(streets / "0.instances.png")
    ports = needed(contract_of(replace(PRESETS["spade-tiny"], instance_edges=True)))
    assert [port.name for port in ports] == ["semantic", "instances"]
    random = np.random.default_rng(0)
    squares = [read_square(entry, 100) for entry in find_pictures([streets])]
    first, second = (true_guides(ports, square, None, random) for square in squares)
    # The square begins at 20.5: pixel 49 shows what is 70 from the left.
    assert first["instances"][0, 0, 0].tolist() == [0] * 49 + [200] * 51
    assert "instances" not in second and "semantic" in second


def test_a_guide_that_cannot_be_made_of_a_picture_is_named(streets, networks):
    (method,) = network_methods({"a": networks["spade"]}, guides=(), device="cpu").values()
    (port,) = [port for port in method.always if port.kind == "labels"]
    strange = port.__class__("depth", 1)
    with pytest.raises(ConfigError, match="a needs the guide 'depth', which nothing here makes"):
        check_guides("a", [strange], [])
