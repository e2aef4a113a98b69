"""The page about a run: it reads what is there, says what it means, and stands alone."""

import base64
import io
import json
import math
import os
import re
import shlex
import subprocess
import sys
import time
from dataclasses import asdict
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.config import PRESETS
from core.errors import ConfigError, TrainingError
from core.losses import hinge_d, hinge_g, linear_d, masked_l1
from core.registry import contract_of
from trainer.__main__ import main as train_main
from trainer.config import TrainConfig
from trainer.page.curves import SERIES, SMOOTHING, Curve, describe, draw, smooth, thin
from trainer.page.exhibits import command_line, evaluation_tables, sample_pictures
from trainer.page.history import Break, read_history
from trainer.page.network import grid_columns
from trainer.page.readings import OTHER, curves_of, remarks
from trainer.report import duration, main, read_settings, state_of, write_report

ROOT = Path(__file__).parent.parent
COLOURS = {"hole": (255, 255, 255), "lines": (0, 0, 0), "coarse": (200, 0, 0)}
COLOURS |= {"refined": (0, 200, 0), "completed": (0, 0, 200), "true": (90, 90, 90)}
"""Of the six columns of DeepFillv2 with a sketch."""


def line(step: int, seconds: float, **values: float) -> str:
    return json.dumps({"step": step, "seconds": seconds, **values}) + "\n"


def grid(path: Path, side: int = 16, **changed: tuple[int, int, int]) -> None:
    """A sample grid of two rows with one colour per column."""
    colours = COLOURS | changed
    strips = [np.full((2 * side, side, 3), colours[name], np.uint8) for name in colours]
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.concatenate(strips, axis=1)).save(path)


@pytest.fixture
def run(tmp_path) -> Path:
    """A run that was resumed once, rolled back once, and killed in the middle of a line."""
    folder = tmp_path / "my run"
    folder.mkdir()
    config = TrainConfig(data=("my photos", "b.tar"), out=folder, steps=1000, ema=0.99)
    (folder / "config.json").write_text(json.dumps(asdict(config), default=str))
    text = "".join(line(s, s / 10, l1_refined=1 / s, d=1.0) for s in range(50, 401, 50))
    text += '{"step": 450, "sec' + line(350, 4.0, l1_refined=0.5, d=0.5)  # resumed at 300
    text += line(400, 9.0, l1_refined=math.nan, d=0.5) + line(400, 14.0, l1_refined=0.25, d=0.75)
    text += '{"step": 450, "seco'
    (folder / "metrics.jsonl").write_text(text)
    (folder / "skipped.jsonl").write_text(
        json.dumps({"picture": "a <b>.jpg", "reason": "truncated"}) + "\nnonsense\n"
    )
    (folder / "rollbacks.jsonl").write_text(
        json.dumps({"step": 449, "to": 350, "rate_factor": 0.5, "reason": "d is nan"}) + "\n"
    )
    grid(folder / "samples" / "000000100.png")
    grid(folder / "samples" / "000000200.png", completed=(0, 200, 200))
    return folder


# --- metrics.jsonl


def test_the_later_of_two_branches_counts_and_the_break_is_known(run):
    history = read_history(run / "metrics.jsonl")
    assert history.steps == [50, 100, 150, 200, 250, 300, 350, 400]
    assert history.values("d")[1] == [1.0] * 6 + [0.5, 0.75]
    assert history.values("l1_refined")[1][-2:] == [0.5, 0.25]
    assert history.breaks == [Break(350, True), Break(400, False)]
    assert history.damaged == 2
    # 40 s of the first process and 14 s of the second one, whatever became of the steps.
    assert history.seconds == 54.0


@pytest.mark.parametrize(
    ("text", "steps", "damaged"),
    [
        ("", [], 0),
        ("\n\n", [], 0),
        ("nonsense\n", [], 1),
        ('[1]\n{"seconds": 3}\n{"step": "5"}\n{"step": null}\n{"step": true}\n', [], 5),
        ('{"step": Infinity}\n{"step": -1}\n{"step": 1e30}\n', [], 3),
        ('{"step": 5, "d": null}\n', [5], 0),
        ('{"step": 5}\n{"step": 10, "d": 0.', [5], 1),
        ('{"step": 5}\n\xff\xfe{\x00\n{"step": 10}\n', [5, 10], 1),
    ],
)
def test_damaged_lines_are_counted_and_the_rest_is_read(tmp_path, text, steps, damaged):
    (tmp_path / "metrics.jsonl").write_bytes(text.encode("latin-1"))
    history = read_history(tmp_path / "metrics.jsonl")
    assert (history.steps, history.damaged) == (steps, damaged)


def test_a_line_that_was_cut_short_does_not_take_the_next_one_with_it(tmp_path):
    """The crash left half a line without its end; the resumed run wrote behind it."""
    (tmp_path / "m").write_text('{"step": 5}\n{"step": 10, "d"' + line(10, 1.0, d=0.5))
    history = read_history(tmp_path / "m")
    assert history.steps == [5, 10] and history.values("d") == ([10], [0.5])


def test_a_run_resumed_at_a_line_is_marked_although_no_step_comes_twice(tmp_path):
    (tmp_path / "m").write_text(line(50, 30.0) + line(100, 60.0) + line(150, 31.0))
    history = read_history(tmp_path / "m")
    assert history.steps == [50, 100, 150] and history.breaks == [Break(150, True)]
    assert history.seconds == 91.0


def test_a_break_in_a_branch_that_was_given_up_is_forgotten(tmp_path):
    text = line(50, 5.0) + line(100, 10.0) + line(150, 15.0) + line(150, 20.0) + line(100, 1.0)
    (tmp_path / "m").write_text(text)
    history = read_history(tmp_path / "m")
    assert history.steps == [50, 100] and history.breaks == [Break(100, True)]


def test_a_missing_file_is_an_empty_history(tmp_path):
    assert read_history(tmp_path / "metrics.jsonl").steps == []


# --- curves


@pytest.mark.parametrize("broken", [False, True])
def test_the_average_weighs_both_sides_alike(broken):
    random = np.random.default_rng(0)
    values = random.normal(size=60).tolist()
    if broken:
        values[7], values[8], values[59] = math.nan, math.inf, -math.inf
    averages = smooth(values)
    places = [k for k, value in enumerate(values) if math.isfinite(value)]
    for i in range(len(values)):
        weights = [0.5 ** (abs(i - k) / (SMOOTHING * len(values))) for k in places]
        expected = np.average([values[k] for k in places], weights=weights)
        assert averages[i] == pytest.approx(expected, rel=1e-9)


def test_a_constant_and_a_lone_value_stay_what_they_are():
    assert smooth([3.0] * 9) == pytest.approx([3.0] * 9)
    assert smooth([2.0]) == [2.0] and smooth([]) == []
    assert all(math.isnan(x) for x in smooth([math.nan, math.inf]))


def test_a_long_curve_keeps_its_peaks():
    values = [0.0] * 10_000
    values[4321], values[7] = 5.0, -5.0
    steps, kept = thin(list(range(10_000)), values)
    assert len(kept) <= 600 and steps == sorted(set(steps))
    points = dict(zip(steps, kept, strict=True))
    assert points[4321] == 5.0 and points[7] == -5.0


@pytest.fixture
def svg(run):
    pytest.importorskip("matplotlib")
    history = read_history(run / "metrics.jsonl")
    curve = Curve(title="A < B", names=("d",), reading="", levels={1.0: "cannot tell"})
    return draw(curve, history, "k")


def test_a_figure_takes_its_colours_from_the_page_and_has_words(svg):
    assert svg.startswith("<svg ") and svg.rstrip().endswith("</svg>")
    assert "var(--series-1)" in svg and "currentColor" in svg and "var(--mark)" in svg
    colours = set(re.findall(r"#[0-9a-f]{6}\b", svg))
    assert colours <= {"#000000"}, colours
    assert '<title id="k-title">A &lt; B</title>' in svg
    assert "1 at step 50, 0.75 at step 400 (from 0.5 to 1)" in svg
    assert "cannot tell" in svg and "<style" not in svg and "<metadata" not in svg


def test_drawing_changes_no_setting_of_matplotlib(run):
    matplotlib = pytest.importorskip("matplotlib")
    before = dict(matplotlib.rcParams)
    history = read_history(run / "metrics.jsonl")
    draw(Curve(title="", names=("d",), reading=""), history, "k")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("l1", "percent"), [("picture", True), ("areas", False), ("weighted", False)]
)
def test_only_a_plain_mean_is_shown_as_per_cent(run, l1, percent):
    """With areas the value is a weighted sum of two means, weighted is a mean of such."""
    pytest.importorskip("matplotlib")
    history = read_history(run / "metrics.jsonl")
    curve = curves_of(history, {"l1": l1})[0]
    assert curve.title == "L1"
    assert (" %<" in draw(curve, history, "k")) is percent
    assert ("per cent" in curve.reading) is percent


def test_the_axis_of_per_cent_shows_fifty_times_the_value(run):
    pytest.importorskip("matplotlib")
    history = read_history(run / "metrics.jsonl")
    svg = draw(curves_of(history, {})[0], history, "k")
    labels = re.findall(r'<text[^>]* y="([\d.]+)"[^>]*>([\d.]+)( %)?</text>', svg)
    values = [(float(y), float(text)) for y, text, unit in labels if "." in text and not unit]
    shares = [(float(y), float(text)) for y, text, unit in labels if unit]
    (y1, a), *_, (y2, b) = values
    assert len(shares) > 2
    for y, share in shares:
        assert 50 * (a + (b - a) * (y - y1) / (y2 - y1)) == pytest.approx(share, abs=0.02)


def test_what_the_page_says_of_the_numbers_is_so():
    scores = torch.tensor([-1.0, -0.3, 0.0, 0.64, 1.0])
    for score in scores:
        assert hinge_d(score, score) == 1  # cannot tell
    assert hinge_d(torch.tensor([1.0, 3.0]), torch.tensor([-1.0, -2.0])) == 0  # always can
    assert hinge_g(torch.tensor([0.5, 0.7])) < 0  # taken for true
    black, nearly = torch.full((1, 3, 2, 2), -1.0), torch.full((1, 3, 2, 2), -0.9)
    of_8_bits = ((nearly - black) / 2).mean()  # the range from -1 to 1 is 2
    assert 50 * (nearly - black).abs().mean() == pytest.approx(100 * of_8_bits)
    # Equal scores: where the games without the factor 1/2 begin. Scores far apart have no bound.
    assert linear_d(torch.tensor([0.3]), torch.tensor([0.3])) == 2 == 2 * hinge_d(scores, scores)
    assert linear_d(torch.tensor([5.0]), torch.tensor([-5.0])) < 0
    # With areas, 0.1 everywhere is 1 x 0.1 + 0.3 x 0.1.
    mask = torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])
    assert masked_l1(nearly, black, mask, known=0.3, hole=1.0) == pytest.approx(0.13, rel=1e-4)


def test_pictures_from_0_to_1_have_another_percentage(run):
    """0.25 of the range from 0 to 1 is 25 %, of that from -1 to 1 it is 12.5 %."""
    history = read_history(run / "metrics.jsonl")
    for preset, share in (("pconv", 25), ("deepfillv2", 12.5)):
        curve = curves_of(history, {}, contract_of(PRESETS[preset]))[0]
        assert curve.percent * 0.25 == share
    assert (
        "from 0 to 1, a range of 1, so 100 times"
        in curves_of(history, {}, contract_of(PRESETS["pconv"]))[0].reading
    )


@pytest.mark.parametrize(
    ("gan", "words", "level"),
    [
        ("hinge", "Between 0.5 and 1 is healthy", 1.0),
        ("linear", "below 0 is healthy too", 2.0),
        ("multiscale", "Between 1 and 2 is healthy", 2.0),
    ],
)
def test_each_game_is_read_by_its_own_scale(tmp_path, gan, words, level):
    (tmp_path / "m").write_text(line(50, 1.0, d=level))
    (curve,) = curves_of(read_history(tmp_path / "m"), {"gan": gan})
    assert words in curve.reading and curve.levels == {level: "cannot tell"}


def test_every_term_of_the_papers_is_read_and_no_curve_is_lost(tmp_path):
    names = ["l1_refined", "l1_coarse", "perceptual", "style", "tv", "kl", "d", "g_adversarial"]
    names += ["matching", "penalty", "drift", "g", "lr", "images_per_second"]
    (tmp_path / "m").write_text(line(50, 1.0, **dict.fromkeys(names, 1.0)))
    curves = curves_of(read_history(tmp_path / "m"), {"features_of": "both"})
    assert sorted(name for curve in curves for name in curve.names) == sorted(names)
    assert all(curve.reading != OTHER and "{" not in curve.reading for curve in curves)
    assert max(len(curve.names) for curve in curves) <= len(SERIES)  # each has a colour
    by_title = {curve.title: curve.reading for curve in curves}
    assert "of the output and of the completed picture together" in by_title["Style term"]


def test_every_measurement_has_a_figure_and_unknown_ones_too(tmp_path):
    (tmp_path / "m").write_text(line(50, 1.0, d=1.0, l1_coarse=1.0, new_number=2.0))
    history = read_history(tmp_path / "m")
    names = {name for curve in curves_of(history, {}) for name in curve.names}
    assert names >= {"d", "l1_coarse", "new_number"} and "seconds" not in names
    assert all(curve.reading for curve in curves_of(history, {}))
    assert describe(curves_of(history, {})[-1], history).startswith("new_number: 2 at step 50")


@pytest.mark.parametrize(
    ("d", "config", "word"),
    [
        ([1.0, 0.8, 0.9, 0.85, 0.9, 0.8], {"batch": 16}, None),
        ([0.0] * 6, {}, "always won"),
        ([0.9] * 6 + [0.01] * 6, {}, "always won"),
        ([1.0, 0.99999] * 5, {}, "scores everything alike"),
        ([0.9, math.nan, 0.9, 0.8], {}, "no numbers"),
        ([0.9] * 6, {"batch": 4}, "batch is 4"),
        ([], {"batch": 4, "gan_weight": 0.0}, None),
        ([-3.0] * 6, {"gan": "linear"}, None),  # in good health
        ([2.0] * 6, {"gan": "linear"}, "d = 2 to four digits"),
        ([1.0] * 6, {"gan": "multiscale"}, None),
        ([2.0] * 6, {"gan": "multiscale"}, "d = 2 to four digits"),
        ([0.08] * 6, {"gan": "multiscale"}, "always won"),
        ([0.08] * 6, {"gan": "hinge"}, None),
    ],
)
def test_what_stands_out_is_said(tmp_path, d, config, word):
    (tmp_path / "m").write_text("".join(line(50 * i, i, d=x) for i, x in enumerate(d, 1)))
    found = remarks(read_history(tmp_path / "m"), config)
    assert [word in text for text in found] == ([True] if word else [])


# --- what the folder shows


def six(width: int) -> tuple[str, ...]:
    """The columns of `grid`, whatever its width."""
    return tuple(COLOURS)


def decoded(uri: str) -> np.ndarray:
    head, _, body = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))


def colours(pixels: np.ndarray, columns: int) -> list[list[int]]:
    """The colour in the middle of every column, to the next ten."""
    side = pixels.shape[1] // columns
    middles = pixels[pixels.shape[0] // 2, side // 2 :: side].astype(int)
    return (((middles + 5) // 10) * 10).tolist()


def test_fills_stand_side_by_side_over_time(run):
    over_time, last, first = sample_pictures(run / "samples", six)
    assert over_time.captions == ("hole", "100", "200", "true")
    found = colours(decoded(over_time.uri), 4)
    assert found == [[260, 260, 260], [0, 0, 200], [0, 200, 200], [90, 90, 90]]
    assert last.title == "The last grid, step 200" and first.title == "The first grid, step 100"
    assert colours(decoded(last.uri), 6)[4] == [0, 200, 200]
    assert colours(decoded(first.uri), 6)[2:5] == [[200, 0, 0], [0, 200, 0], [0, 0, 200]]


def test_of_many_grids_the_first_the_last_and_some_between_are_shown(tmp_path):
    for step in range(100, 1100, 100):
        grid(tmp_path / "samples" / f"{step:09d}.png", side=4)
    over_time, *_ = sample_pictures(tmp_path / "samples", six)
    assert over_time.captions[1:-1] == ("100", "400", "700", "1,000")


def test_grids_that_cannot_be_read_are_passed_over(run):
    whole = (run / "samples" / "000000200.png").read_bytes()
    (run / "samples" / "000000300.png").write_bytes(whole[: len(whole) // 2])
    (run / "samples" / "notes.png").write_bytes(b"")
    assert sample_pictures(run / "samples", six)[1].title == "The last grid, step 200"
    assert sample_pictures(run / "nothing", six) == []


def test_large_grids_become_smaller_for_the_page(tmp_path):
    grid(tmp_path / "samples" / "000000001.png", side=512)
    (picture,) = sample_pictures(tmp_path / "samples", six)
    assert picture.size == (1152, 384) and decoded(picture.uri).shape == (384, 1152, 3)


def test_the_newest_of_large_grids_is_shown_over_time_too(tmp_path):
    for step in (1, 2):
        grid(tmp_path / "samples" / f"{step:09d}.png", side=256)
    assert sample_pictures(tmp_path / "samples", six)[0].captions == ("hole", "1", "2", "true")


@pytest.mark.parametrize(
    ("preset", "inner"),
    [
        ("deepfillv2", ["coarse", "refined"]),
        ("deepfillv2-sketch", ["lines", "coarse", "refined"]),
        ("pconv-tiny", ["filled"]),
        ("scfegan-tiny", ["lines", "colours", "filled"]),
        ("spade-tiny", ["labels", "filled"]),
    ],
)
def test_the_columns_of_a_grid_are_those_of_its_network(preset, inner):
    contract = contract_of(PRESETS[preset])
    names = ("hole", *inner, "completed", "true")
    assert grid_columns(contract, 64, 64 * len(names)) == names
    assert grid_columns(contract, 256, 90) == names  # of other settings


def test_columns_of_older_and_unknown_grids_have_their_ends():
    plain = contract_of(PRESETS["deepfillv2"])
    assert grid_columns(plain, 64, 6 * 64) == tuple(COLOURS)  # all had lines, black without
    assert grid_columns(None, 64, 6 * 64) == tuple(COLOURS)
    assert grid_columns(plain, 64, 7 * 64) == ("hole", "", "", "", "", "completed", "true")
    assert grid_columns(None, 0, 77) == tuple(COLOURS)


def write_evaluation(path: Path, **numbers: float | None) -> None:
    means = {"brush": {"OpenCV Telea": {"hole_l1": 9.5, "psnr": 26.0}, "weights": numbers}}
    path.write_text(json.dumps({"settings": {}, "means": means, "pictures": []}))


def test_evaluations_are_tables_by_time_and_in_full(run):
    write_evaluation(run / "evaluation-000000900.json", hole_l1=9.87654, psnr=27.0)
    write_evaluation(run / "evaluation-000001000.json", hole_l1=8.0, psnr=None, new_metric=1.5)
    (run / "evaluation-broken.json").write_text("{")
    tables, unread = evaluation_tables(list(run.glob("evaluation*.json")))
    over_time, newest = tables
    assert over_time.title == "weights over time, brush masks"
    assert over_time.head == ("measured", "hole L1 %", "PSNR", "new_metric")
    assert over_time.rows == (
        ("step 900", "9.877", "27.00", ""),
        ("step 1,000", "8.000", "∞", "1.500"),
    )
    assert newest.title == "step 1,000, brush masks"
    assert [row[0] for row in newest.rows] == ["weights", "OpenCV Telea"]  # best first
    assert unread == ["evaluation-broken.json"]


def test_the_newest_file_is_that_of_the_highest_number(tmp_path):
    for name in ("evaluation-900", "evaluation-1000", "evaluation-99"):
        write_evaluation(tmp_path / f"{name}.json", hole_l1=1.0)
    over_time, newest = evaluation_tables(list(tmp_path.iterdir()))[0]
    assert [row[0] for row in over_time.rows] == ["step 99", "step 900", "step 1,000"]
    assert newest.title == "step 1,000, brush masks"


def test_the_spread_over_seeds_is_shown_where_there_is_one(tmp_path):
    content = {
        "means": {"box": {"weights": {"hole_l1": 8.0, "fid": 40.0}}},
        "spread": {"box": {"weights": {"hole_l1": 0.123, "fid": None}}},
    }
    (tmp_path / "evaluation.json").write_text(json.dumps(content))
    ((table,), unread) = evaluation_tables([tmp_path / "evaluation.json"])
    assert table.rows == (("weights", "8.000 ± 0.12", "40.00"),) and unread == []


@pytest.mark.parametrize("content", ["[]", "3", '{"means": 3}', '{"means": {"brush": [1]}}', "{}"])
def test_a_file_of_another_form_is_named(tmp_path, content):
    (tmp_path / "evaluation.json").write_text(content)
    tables, unread = evaluation_tables([tmp_path / "evaluation.json"])
    assert tables == [] and unread == ["evaluation.json"]


def test_the_command_gives_the_settings_back(tmp_path, capsys):
    config = TrainConfig(
        data=("my photos/it's", "$b *.tar"),
        out=tmp_path / "a run",
        lr=3e-4,
        crop=128,
        bf16=True,
        l1="areas",
        perceptual=Path("net.safetensors"),
        gan_start=20_000,
    )
    settings = json.loads(json.dumps(asdict(config), default=str))
    words = shlex.split(command_line(settings).replace("\\\n", " "))
    assert words[:3] == ["python", "-m", "trainer"]
    assert "--bf16" in words and "--beta1" not in words
    assert train_main([*words[3:], "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out) == settings


def test_settings_of_another_version_are_named(run):
    settings = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(settings | {"old_share": 0.3}))
    text = write_report(run).read_text(encoding="utf-8")
    assert "have no flag now:\nold_share." in text and "--old-share" not in text


# --- the page


class Page(HTMLParser):
    """Ids, references to them, addresses, and what elements lack."""

    VOID = frozenset({"meta", "img", "path", "use", "rect"})

    def __init__(self, text: str):
        super().__init__()
        self.ids: list[str] = []
        self.wanted: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.lacks: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        values = {key: value or "" for key, value in attrs}
        self.tags.append(tag)
        self.ids += [values["id"]] if "id" in values else []
        self.wanted += values.get("aria-labelledby", "").split()
        names = ("src", "href", "xlink:href", "action", "data", "poster", "srcset")
        self.addresses += [values[name] for name in names if name in values]
        needed = {"img": "alt", "th": "scope", "nav": "aria-label", "svg": "aria-labelledby"}
        if tag in needed and not values.get(needed[tag]):
            self.lacks.append(tag)


@pytest.fixture
def page(run) -> str:
    pytest.importorskip("matplotlib")
    write_evaluation(run / "evaluation.json", hole_l1=8.0)
    assert main([str(run)]) == 0
    return (run / "report.html").read_text(encoding="utf-8")


def test_the_page_stands_alone(page):
    parsed = Page(page)
    assert parsed.addresses
    assert all(address.startswith(("#", "data:image/jpeg;")) for address in parsed.addresses)
    assert not {"script", "link", "iframe", "object", "base"} & set(parsed.tags)
    assert "@import" not in page and set(re.findall(r"url\((.)", page)) <= {"#"}
    assert set(re.findall(r"https?://[^\s\"]+", page)) <= {"http://www.w3.org/1999/xlink"}
    assert len(page) < 3_000_000


def test_the_page_can_be_read_without_seeing_it(page):
    parsed = Page(page)
    assert parsed.open == [] and parsed.lacks == []
    assert len(parsed.ids) == len(set(parsed.ids))
    fragments = [a[1:] for a in parsed.addresses if a.startswith("#")]
    references = re.findall(r"url\(#([^)]+)\)", page)
    assert set(parsed.wanted) | set(fragments) | set(references) <= set(parsed.ids)
    headings = [int(tag[1]) for tag in parsed.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(headings))
    assert '<html lang="en">' in page and parsed.tags.count("caption") == parsed.tags.count("table")


def test_the_page_says_what_happened(page):
    assert "my run" in page and "400 of 1,000" in page and "6,400" in page  # 400 steps of 16
    assert "resumed (dotted) or rolled back (solid)" in page
    assert "2 lines of metrics.jsonl are damaged" in page
    assert "Training broke down 1 time and" in page and "<td>d is nan</td>" in page
    assert "a &lt;b&gt;.jpg" in page and "<b>" not in page and "truncated" in page
    assert "--data &#39;my photos&#39; b.tar" in page and "--ema 0.99" in page
    assert "8.000" in page and page.count("<svg ") == 2


def relative_luminance(colour: str) -> float:
    """WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("front", "back", "least"),
    [
        *((front, back, 4.5) for front in ("text", "soft", "accent") for back in ("page", "card")),
        ("text", "warn-card", 4.5),
        ("series-1", "card", 3.0),
        ("series-2", "card", 3.0),
        ("mark", "card", 3.0),
        ("accent", "line", 3.0),
    ],
)
def test_the_colours_have_enough_contrast(scheme, front, back, least):
    style = (ROOT / "trainer" / "page" / "report.html").read_text(encoding="utf-8")
    light, _, dark = style.partition("@media (prefers-color-scheme: dark)")
    text = light if scheme == "light" else dark.partition("}\n}")[0]
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", text))
    levels = sorted(relative_luminance(found[name]) for name in (front, back))
    assert (levels[1] + 0.05) / (levels[0] + 0.05) >= least


def test_without_matplotlib_the_page_has_no_curves_and_says_so(run, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    text = write_report(run).read_text(encoding="utf-8")
    assert "<svg" not in text and "install matplotlib" in text
    assert "1 at step 50, 0.75 at step 400" in text  # the words are there
    note = capsys.readouterr().err
    assert note.count("\n") == 1 and "install matplotlib" in note
    with pytest.raises(ConfigError, match="install matplotlib"):
        draw(Curve(title="", names=("d",), reading=""), read_history(run / "metrics.jsonl"), "k")


def test_a_run_without_a_line_has_a_page_already(run):
    (run / "metrics.jsonl").unlink()
    text = write_report(run).read_text(encoding="utf-8")
    assert "Not begun" in text and "Nothing has been logged yet" in text
    (run / "metrics.jsonl").write_text("")
    assert "Nothing has been logged yet" in write_report(run).read_text(encoding="utf-8")


# --- how far it is


def checkpoint(run: Path, step: int) -> None:
    (run / "checkpoints").mkdir(exist_ok=True)
    (run / "checkpoints" / f"{step:09d}.pt").write_bytes(b"")


def quiet_for(run: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(run / "metrics.jsonl", (then, then))


@pytest.mark.parametrize(
    ("saved", "quiet", "word", "done"),
    [
        (None, 0, "running", 400),
        (None, 10_000, "broken off", 400),
        (1000, 10_000, "finished", 1000),  # all of its 1000 steps
        (417, 10_000, "stopped", 417),  # not at a multiple of --save-every: told to stop
        (300, 0, "running", 400),
    ],
)
def test_the_state_is_read_off_lines_and_checkpoints(run, saved, quiet, word, done):
    if saved:
        checkpoint(run, saved)
    quiet_for(run, quiet)
    state = state_of(run, read_settings(run), read_history(run / "metrics.jsonl"))
    assert (state.word, state.done, state.steps) == (word, done, 1000)
    assert state.share == done / 10


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (75.4, "1 min 15 s"), (3600, "1 h"), (90061, "1 d 1 h"), (7201, "2 h 1 s")],
)
def test_durations_have_two_units_at_most(seconds, text):
    assert duration(seconds) == text


def test_what_is_no_run_is_one_sentence(tmp_path, capsys):
    assert main([str(tmp_path / "nothing")]) == 1
    assert main([str(tmp_path)]) == 1
    (tmp_path / "config.json").write_text("{")
    assert main([str(tmp_path)]) == 1
    missing, empty, damaged = capsys.readouterr().err.splitlines()
    assert "no folder" in missing and "holds no run" in empty and "is damaged" in damaged
    assert all(text.startswith("error: ") for text in (missing, empty, damaged))


def test_a_page_that_cannot_be_written_is_one_sentence(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot write"):
        write_report(run, tmp_path / "file" / "report.html")
    assert main([str(run), "-o", str(tmp_path / "deep" / "page.html")]) == 0
    assert (tmp_path / "deep" / "page.html").exists()


def test_nothing_optional_is_loaded_before_a_page_is_made():
    optional = "{'matplotlib', 'skimage', 'cv2', 'tensorboard'}"
    code = f"import sys, trainer.report; print({optional} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    "values",
    [[0.5], [math.nan], [math.nan] * 5, [math.inf, 1.0, -math.inf, 2.0], [0.0] * 4, [1e30, -1e-30]],
)
def test_no_value_breaks_a_figure(tmp_path, values):
    pytest.importorskip("matplotlib")
    (tmp_path / "m").write_text("".join(line(i, i, g=x, d=x) for i, x in enumerate(values)))
    history = read_history(tmp_path / "m")
    for curve in curves_of(history, {}):
        assert "</svg>" in draw(curve, history, "k")
