"""Lines out of pictures and drawings: the drawers, what makes lines of strength, the command."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from core.__main__ import main
from core.errors import ConfigError, ShapeError
from core.image import read_guide, read_picture
from core.masks.components import components, reached, sizes
from core.models.edges import EdgeConfig, EdgeDetector
from core.sketch.clean import binarise, clean_sketch, drop_specks
from core.sketch.draw import (
    MARGIN,
    MULTIPLE,
    Drawer,
    draw_lines,
    lines_of,
    open_drawer,
    strength_of,
    thin,
)
from core.sketch.tiles import in_tiles
from core.weights import save_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """An untrained detector, its answers spread over 0 to 1."""
    torch.manual_seed(0)
    detector = EdgeDetector(EdgeConfig(width=4, side=2)).eval()
    with torch.no_grad():
        logits = detector.logits(square() * 2 - 1)[-1]
        detector.fuse.weight /= logits.std()
        detector.fuse.bias -= logits.mean() / logits.std()
    path = tmp_path_factory.mktemp("weights") / "edges.safetensors"
    save_weights(path, detector)
    return path


def square(size: int = 48) -> Tensor:
    """(1, 3, H, W): a white square on black, its rim, for 48, at 15.5 and 31.5."""
    pixels = torch.zeros(1, 3, size, size)
    middle = slice(size // 3, 2 * size // 3)
    pixels[..., middle, middle] = 1
    return pixels


class Ridge:
    """A drawer whose strength is a ridge down the middle column, for what lies around it."""

    kind, threshold, drawn = "ridge", 0.5, False

    def __init__(self) -> None:
        self.sizes: list[tuple[int, ...]] = []

    def strength(self, pixels: Tensor) -> Tensor:
        self.sizes.append(tuple(pixels.shape[-2:]))
        x = torch.arange(pixels.shape[-1])
        ridge = (1 - (x - pixels.shape[-1] // 2).abs() / 4).clamp(0, 1)
        return ridge.expand(len(pixels), 1, pixels.shape[-2], -1).clone()


# --- drawers


def test_an_unknown_kind_is_told_with_those_there_are():
    with pytest.raises(ConfigError, match="'sobel'; use detector, canny, hed, landmarks"):
        open_drawer("sobel")


def test_weights_where_none_are_wanted_or_none_where_some_are(tmp_path):
    with pytest.raises(ConfigError, match="canny takes no weights"):
        open_drawer("canny", weights=tmp_path / "x.pth")
    with pytest.raises(ConfigError, match=r"hed needs a file of weights: network-bsds500"):
        open_drawer("hed")


@pytest.mark.parametrize("kind", ["detector", "canny"])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (33, 50)])
def test_pictures_of_any_size_and_number_are_taken(kind, size, weights):
    drawer = open_drawer(kind, weights=weights if kind == "detector" else None, device="cpu")
    assert drawer.strength(torch.rand(0, 3, *size)).shape == (0, 1, *size)
    strength = drawer.strength(torch.rand(2, 3, *size))
    assert strength.shape == (2, 1, *size) and strength.dtype == torch.float32
    lines = draw_lines(drawer, torch.rand(2, 3, *size))
    assert lines.shape == (2, 1, *size) and set(lines.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("kind", ["detector", "canny"])
def test_other_shapes_are_told(kind, weights):
    drawer = open_drawer(kind, weights=weights if kind == "detector" else None, device="cpu")
    with pytest.raises(ShapeError, match=r"\(N, 3, H, W\), but got \(3, 8, 8\)"):
        drawer.strength(torch.rand(3, 8, 8))


def test_canny_draws_the_rim_of_a_square():
    lines = draw_lines(open_drawer("canny"), square())[0, 0]
    y, x = lines.nonzero(as_tuple=True)
    # Everything within two pixels of the rim, and the whole way round (its corners are cut).
    off = torch.maximum((x - 23.5).abs(), (y - 23.5).abs())
    assert ((off - 8).abs() <= 2).all() and 48 <= lines.sum() <= 64


def test_each_picture_of_a_batch_is_drawn_as_if_alone(weights):
    batch = torch.rand(3, 3, 24, 31)
    for drawer in (open_drawer("canny"), open_drawer("detector", weights=weights, device="cpu")):
        together = drawer.strength(batch)
        alone = torch.cat([drawer.strength(batch[i : i + 1]) for i in range(3)])
        torch.testing.assert_close(together, alone)


def test_the_detector_is_given_pixels_from_minus_1_to_1(weights):
    from core.weights import load_edges

    pixels = torch.rand(1, 3, 24, 32)
    with torch.no_grad():
        expected = load_edges(weights)(pixels * 2 - 1)
    drawer = open_drawer("detector", weights=weights, device="cpu")
    torch.testing.assert_close(drawer.strength(pixels), expected)


def test_the_detectors_threshold_is_that_of_its_file(weights, tmp_path):
    assert open_drawer("detector", weights=weights, device="cpu").threshold == 0.5
    path = tmp_path / "calibrated.safetensors"
    save_weights(path, EdgeDetector(EdgeConfig(width=4, side=2)), about={"threshold": 0.8})
    assert open_drawer("detector", weights=path, device="cpu").threshold == 0.8


# --- pieces


@pytest.mark.parametrize("size", [(20, 603), (603, 20)])
def test_a_large_picture_in_pieces_is_the_picture_at_once(size):
    """In float64, for what is left then is only where the pieces were cut."""
    torch.manual_seed(1)
    detector = EdgeDetector(EdgeConfig(width=4, side=2)).double().eval()
    pixels = torch.rand(1, 3, *size, dtype=torch.float64)

    def run(piece: Tensor) -> Tensor:
        return detector.logits(piece)[-1] * 1000

    with torch.no_grad():
        whole = in_tiles(run, pixels, margin=MARGIN, multiple=MULTIPLE, tile=640)
        pieces = in_tiles(run, pixels, margin=MARGIN, multiple=MULTIPLE, tile=64)
        cut = in_tiles(run, pixels, margin=96, multiple=MULTIPLE, tile=64)
    torch.testing.assert_close(pieces, whole, atol=1e-4, rtol=1e-5)
    assert (cut - whole).abs().max() > 1e-3  # so that the margin is seen to matter


@pytest.mark.parametrize("size", [(1, 1), (7, 100), (64, 64), (65, 33)])
def test_every_pixel_comes_from_its_own_piece(size):
    pixels = torch.rand(2, 1, *size)
    copied = in_tiles(lambda piece: piece, pixels, margin=4, multiple=4, tile=16)
    assert torch.equal(copied, pixels)


def test_no_piece_is_larger_than_tile_and_margins():
    seen: list[tuple[int, ...]] = []

    def run(piece: Tensor) -> Tensor:
        seen.append(tuple(piece.shape))
        return piece

    in_tiles(run, torch.zeros(3, 1, 50, 90), margin=4, multiple=4, tile=16)
    assert len(seen) == 3 * 4 * 6
    assert all(n == 1 and h <= 24 and w <= 24 and h % 4 == w % 4 == 0 for n, _, h, w in seen)


# --- strength to lines


def test_a_ridge_becomes_one_column():
    lines = draw_lines(Ridge(), torch.zeros(2, 3, 12, 17))
    expected = torch.zeros(2, 1, 12, 17)
    expected[..., 8] = 1
    # The skeleton of a line may be shorter by a pixel at its ends.
    assert torch.equal(lines[..., 1:-1, :], expected[..., 1:-1, :])


def test_a_line_goes_on_where_it_is_weaker_but_does_not_begin_there():
    """By hand, threshold 0.6, weak above 0.3: 0.4 goes on from 0.9, 0.2 and 0.4 alone do not."""
    strength = torch.zeros(1, 1, 9, 30)
    strength[..., 2, 2:10] = 0.9
    strength[..., 2, 10:18] = 0.4
    strength[..., 2, 18:26] = 0.2
    strength[..., 6, 2:26] = 0.4
    lines = lines_of(strength, threshold=0.6)[0, 0]
    assert lines[2, 4:16].all()
    lines[2] = 0
    assert lines.sum() == 0 or set(lines.nonzero()[:, 0].tolist()) <= {1, 3}
    assert not lines[4:].any()


def test_lines_are_as_thin_as_they_can_be():
    torch.manual_seed(0)
    coarse = torch.rand(1, 1, 12, 12)
    strength = torch.nn.functional.interpolate(coarse, (60, 60), mode="bicubic").clamp(0, 1)
    lines = lines_of(strength, threshold=0.3)
    assert lines.sum() > 200 and torch.equal(thin(lines), lines)


def test_a_threshold_beyond_0_to_1_is_told():
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ConfigError, match="must be from 0 to 1"):
            lines_of(torch.rand(1, 1, 4, 4), threshold=wrong)


def test_a_higher_threshold_leaves_fewer_lines():
    torch.manual_seed(0)
    strength = torch.rand(1, 1, 40, 40)
    counts = [int(lines_of(strength, threshold=t).sum()) for t in (0.2, 0.6, 0.9, 1)]
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[2] > counts[3] == 0


def test_work_size_scales_down_what_is_larger_and_back_up():
    drawer = Ridge()
    assert strength_of(drawer, torch.rand(1, 3, 40, 80), work_size=20).shape == (1, 1, 40, 80)
    assert strength_of(drawer, torch.rand(1, 3, 20, 10), work_size=20).shape == (1, 1, 20, 10)
    draw_lines(drawer, torch.rand(1, 3, 1, 90), work_size=30)
    assert drawer.sizes == [(10, 20), (20, 10), (1, 30)]
    with pytest.raises(ConfigError, match="-1 pixels"):
        strength_of(drawer, torch.rand(1, 3, 8, 8), work_size=-1)


def test_lines_found_on_a_smaller_picture_are_still_one_pixel_wide():
    lines = draw_lines(open_drawer("canny"), square(96), work_size=48)
    assert lines.shape == (1, 1, 96, 96)
    assert 100 <= lines.sum() <= 150  # the rim has 128 pixels


# --- connected pixels


def flood(lines: np.ndarray) -> list[set[tuple[int, int]]]:
    """Groups of touching pixels, by walking; the slow oracle."""
    left = {(int(y), int(x)) for y, x in np.argwhere(lines)}
    groups = []
    while left:
        todo, group = [left.pop()], set()
        while todo:
            y, x = todo.pop()
            group.add((y, x))
            near = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            todo += near
        groups.append(group)
    return groups


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (19, 23)])
def test_groups_are_those_of_walking(seed, size):
    lines = np.random.default_rng(seed).random((2, *size)) < (0.2 + 0.1 * seed)
    places, group = components(torch.from_numpy(lines)[:, None])
    found: dict[int, set[tuple[int, ...]]] = {}
    for place, first in zip(places.tolist(), group.tolist(), strict=True):
        where = tuple(int(i) for i in np.unravel_index(place, lines.shape))
        found.setdefault(first, set()).add(where)
    expected = [{(n, *p) for p in g} for n in range(2) for g in flood(lines[n])]
    assert sorted(map(sorted, found.values())) == sorted(map(sorted, expected))
    assert all(min(pixels) == np.unravel_index(int(places[first]), lines.shape)
               for first, pixels in found.items())  # fmt: skip
    assert sizes(group).tolist() == [len(found[first]) for first in group.tolist()]


def test_a_spiral_is_one_line():
    """The longest way through few pixels: many rounds would be needed step by step."""
    lines = torch.zeros(1, 1, 41, 41)
    y = x = 0
    down, right, length = 0, 1, 40
    for turn in range(38):
        for _ in range(length):
            lines[0, 0, y, x] = 1
            y, x = y + down, x + right
        down, right = right, -down
        length -= 2 if turn % 2 and turn > 1 else 0
        length = max(length, 0)
    _, group = components(lines)
    assert len(group.unique()) == len(flood(lines[0, 0].numpy()))


def test_only_what_hangs_together_with_the_start_is_reached():
    allowed = torch.tensor([[1, 1, 0, 1, 1], [0, 0, 0, 0, 0]], dtype=torch.bool)[None, None]
    start = torch.zeros_like(allowed)
    start[..., 0, 4] = True
    assert reached(allowed, start)[0, 0, 0].tolist() == [False, False, False, True, True]


# --- drawings by hand


@pytest.mark.parametrize("ink", [0.1, 0.9])
def test_the_ink_is_the_smaller_part_dark_or_light(ink):
    drawing = torch.full((1, 1, 20, 30), 1 - ink)
    drawing[..., 8:10, 3:27] = ink
    inked = binarise(drawing)
    assert torch.equal(inked, (drawing == ink).float())
    assert torch.equal(binarise(drawing, dark=ink > 0.5), 1 - inked)


def test_the_grain_of_a_board_is_no_ink():
    """The last bin below the threshold holds it whole, not up to its middle."""
    board = 0.05 + 0.05 * torch.rand(1, 1, 40, 60, generator=torch.Generator().manual_seed(1))
    board[..., 18:23, 8:52] = 0.85
    assert torch.equal(binarise(board), (board == 0.85).float())
    assert torch.equal(binarise(1 - board), (board == 0.85).float())


def test_each_drawing_has_its_own_threshold():
    faint = torch.full((1, 1, 9, 9), 0.9)
    faint[..., 4, :] = 0.7
    strong = torch.full((1, 1, 9, 9), 0.6)
    strong[..., 4, :] = 0.0
    inked = binarise(torch.cat([faint, strong]))
    assert inked[..., 4, :].all() and inked.sum() == 18


def test_paper_without_a_drawing_stays_empty():
    grain = 0.95 + 0.02 * torch.rand(1, 1, 30, 30)
    assert not binarise(grain).any()
    assert not binarise(torch.ones(2, 1, 1, 1)).any()


def test_specks_go_and_lines_stay():
    """By hand: groups of 1, 3 (at corners) and 6 pixels; at least 4 are asked for."""
    lines = torch.zeros(1, 1, 9, 12)
    lines[..., 0, 0] = 1
    for i in range(3):
        lines[0, 0, 2 + i, 2 + i] = 1
    lines[..., 7, 3:9] = 1
    kept = drop_specks(lines, least=4)
    assert kept.sum() == 6 and kept[..., 7, 3:9].all()
    assert torch.equal(drop_specks(lines, least=1), lines)
    assert drop_specks(lines, least=3).sum() == 9
    with pytest.raises(ConfigError, match="-1 pixels"):
        drop_specks(lines, least=-1)


def test_a_scanned_drawing_becomes_a_clean_line():
    torch.manual_seed(0)
    scan = 0.9 + 0.05 * torch.rand(1, 1, 40, 60)
    scan[..., 18:23, 5:55] = 0.2  # a line of five pixels
    scan[..., 3:5, 3:5] = 0.2  # a speck
    lines = clean_sketch(scan)
    assert lines[..., 20, 8:52].all() and 40 <= lines.sum() <= 60
    assert (lines.sum(dim=-2) <= 1).all()
    for wrong in (torch.rand(1, 3, 4, 4), torch.rand(4, 4)):
        with pytest.raises(ShapeError, match="a drawing is"):
            clean_sketch(wrong)


# --- the command


@pytest.fixture
def photos(tmp_path) -> Path:
    """Two pictures, one damaged, one of the same name, side files that are no pictures to draw."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    samples = (square()[0].movedim(0, -1).numpy() * 255).astype(np.uint8)
    Image.fromarray(samples).save(folder / "a.png")
    Image.fromarray(samples[..., 0]).convert("1").save(folder / "deep" / "b.png")
    Image.fromarray(samples).save(folder / "deep" / "b.webp", lossless=True)
    Image.fromarray(samples).save(folder / "a.mask.png")
    Image.fromarray(samples).save(folder / "old_edge.png")
    (folder / "torn.jpg").write_bytes(b"\xff\xd8\xff no picture")
    return folder


def test_a_picture_becomes_white_lines_on_black_that_fill_takes(photos, tmp_path, capsys):
    out = tmp_path / "new" / "lines.png"
    assert main(["sketch", str(photos / "a.png"), "-o", str(out), "--kind", "canny"]) == 0
    with Image.open(out) as written:
        samples = np.asarray(written)
        assert written.mode == "L" and set(np.unique(samples)) == {0, 255}
    expected = draw_lines(open_drawer("canny"), square())
    assert torch.equal(read_guide(out, (48, 48), channels=1), expected)
    said = capsys.readouterr()
    assert "% lines" in said.err and not said.out


def test_large_pictures_are_scaled_to_the_work_size_unless_told_otherwise(tmp_path, capsys):
    random = np.random.default_rng(0)
    samples = random.integers(0, 256, (2, 64, 3), dtype=np.uint8)
    Image.fromarray(samples).resize((2048, 64)).save(tmp_path / "wide.png")
    args = ["sketch", str(tmp_path / "wide.png"), "--kind", "canny", "-o"]
    assert main([*args, str(tmp_path / "scaled.png")]) == 0
    assert main([*args, str(tmp_path / "full.png"), "--work-size", "0"]) == 0
    pixels = read_picture(tmp_path / "wide.png").pixels
    for name, work_size in (("scaled", 1024), ("full", 0)):
        expected = draw_lines(open_drawer("canny"), pixels, work_size=work_size)
        assert torch.equal(read_guide(tmp_path / f"{name}.png", (64, 2048), channels=1), expected)


def test_an_existing_folder_takes_the_file_under_its_usual_name(photos, tmp_path, weights):
    args = ["--weights", str(weights), "--device", "cpu", "--threshold", "0.2"]
    assert main(["sketch", str(photos / "a.png"), "-o", str(tmp_path), *args]) == 0
    assert (tmp_path / "a_edge.png").exists()


def test_strength_is_grey(photos, tmp_path, weights):
    out = tmp_path / "grey.png"
    args = ["sketch", str(photos / "a.png"), "-o", str(out), "--strength"]
    assert main([*args, "--weights", str(weights), "--device", "cpu"]) == 0
    strength = open_drawer("detector", weights=weights, device="cpu").strength(square())
    written = read_guide(out, (48, 48), channels=1)
    assert (written - strength).abs().max() <= 0.5 / 255 + 1e-6
    assert len(written.unique()) > 5


def test_a_folder_is_drawn_with_failures_counted_and_resumed(photos, tmp_path, capsys):
    out = tmp_path / "out"
    args = ["sketch", str(photos), "-o", str(out), "--kind", "canny"]
    assert main(args) == 1
    names = sorted(p.relative_to(out).as_posix() for p in out.rglob("*.png"))
    assert names == ["a_edge.png", "deep/b_edge.png"]
    report = [json.loads(line) for line in (out / "report.jsonl").read_text().splitlines()]
    assert [line["status"] for line in report] == ["done", "done", "failed", "failed"]
    assert "b.png would have the same result" in report[2]["error"]
    said = capsys.readouterr().err
    assert "2 drawn, 0 skipped, 2 failed" in said and "failed: " in said
    (out / "a_edge.png").unlink()
    assert main([*args, "--resume"]) == 1
    assert (out / "a_edge.png").exists()
    assert "1 drawn, 1 skipped, 2 failed" in capsys.readouterr().err


def test_results_may_lie_beside_their_pictures_where_training_looks(photos, capsys):
    (photos / "torn.jpg").unlink()
    (photos / "deep" / "b.webp").unlink()
    args = ["sketch", str(photos), "-o", str(photos), "--kind", "canny", "--json"]
    assert main(args) == 0
    assert (photos / "a_edge.png").exists() and (photos / "deep" / "b_edge.png").exists()
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(args) == 0  # its own results are no pictures to draw
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_picture_without_lines_gives_an_empty_sketch_and_a_note(tmp_path, capsys):
    Image.new("RGB", (20, 30), "grey").save(tmp_path / "flat.png")
    out = tmp_path / "lines.png"
    assert main(["sketch", str(tmp_path / "flat.png"), "-o", str(out), "--kind", "canny"]) == 0
    assert not read_guide(out, (30, 20), channels=1).any()
    assert "note: no line was found" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--kind", "canny", "--threshold", "0.5"], "canny knows no strength of lines"),
        (["--threshold", "0.5", "--strength"], "leave --threshold out"),
        (["--threshold", "2"], "must be from 0 to 1"),
        (["--suffix", "a/b"], "must be part of a file name"),
        (["--work-size", "-4"], "at -4 pixels"),
        (["--kind", "hed"], "hed needs a file of weights"),
        (["--kind", "hed", "--weights", "absent.pth"], "no weights of HED at absent.pth"),
        (["--device", "abacus"], "the device 'abacus' is not here"),
    ],
)
def test_flags_that_cannot_work_are_one_sentence(flags, said, photos, tmp_path, weights, capsys):
    own = [] if "--kind" in flags else ["--weights", str(weights)]
    out = tmp_path / "out.png"
    assert main(["sketch", str(photos / "a.png"), "-o", str(out), *own, *flags]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error and error.count("\n") == 1
    assert not out.exists()


def test_places_that_cannot_work_are_one_sentence(photos, tmp_path, capsys):
    kind = ["--kind", "canny"]
    assert main(["sketch", str(tmp_path / "absent.png"), "-o", "x.png", *kind]) == 1
    assert "no picture or folder at" in capsys.readouterr().err
    assert main(["sketch", str(photos), "-o", str(photos / "a.png"), *kind]) == 1
    assert "is a file; name a folder for -o" in capsys.readouterr().err
    picture = str(photos / "a.png")
    assert main(["sketch", picture, "-o", picture, *kind]) == 1
    assert "-o is the picture itself" in capsys.readouterr().err
    assert main(["sketch", str(photos), "-o", str(photos), "--suffix", "", *kind]) == 1
    assert "would have the same result" in capsys.readouterr().err
    assert np.asarray(Image.open(picture)).shape == (48, 48, 3)


def test_a_drawer_of_ones_own_is_enough():
    drawer: Drawer = Ridge()
    assert draw_lines(drawer, torch.zeros(1, 3, 9, 9)).sum() >= 7
