"""The demo's load and fuzz scripts: what they count by hand, and that they run."""

import json
import subprocess
import sys

import pytest

from benchmarks.demo_client import ROOT, Answer
from benchmarks.demo_fuzz import ACCEPTED, REFUSED, judged
from benchmarks.demo_junk import ARGUMENTS, METAS, SCALARS, Junk, bad_files
from benchmarks.demo_load import Load, summary, table


def test_growth_and_quantiles_by_hand():
    warm = Load(memory=[900, 1000, 1000, 1000])
    load = Load([1.0] * 19 + [21.0], ["x"], [1500] * 15 + [1040, 1040, 1050, 1060, 1060])
    facts = summary(load, warm, passed=60.0)
    assert facts["growth_percent"] == 5.0  # the last quarter: 1050 over 1000
    assert (facts["p50_seconds"], facts["p95_seconds"]) == (1.0, 2.0)  # 0.05 of the way 1 -> 21
    assert (facts["fills"], facts["fills_per_minute"]) == (20, 20.0)
    line = table(facts | {"clients": 3}).splitlines()
    assert line[2].startswith("| 20 | 3 | 1 | 1.0 | 2.0 | 20.0 |")
    assert line[3] == "failed: x"


@pytest.mark.parametrize(
    ("status", "text", "verdict"),
    [
        (200, 'event: error\ndata: {"error": "Grow is 7"}\n\n', REFUSED),
        (200, 'event: error\ndata: {"error": null}\n\n', "wrong"),
        (200, "event: complete\ndata: [1]\n\n", ACCEPTED),
        (404, '{"detail": "nothing here"}', REFUSED),
        (500, "Internal Server Error", "wrong"),
        (500, '{"detail": "something failed"}', REFUSED),
        (200, '{"msg":"process_completed","output":{"error":"No"},"success":false}', REFUSED),
        (200, '{"error":"No","picture":true}', REFUSED),
        (200, '{"error":"","picture":true}', "wrong"),
        (200, '{"msg":"process_completed","output":{"error":null},"success":false}', "wrong"),
        (200, '{"msg":"process_completed","output":{"data":[]},"success":true}', ACCEPTED),
        (400, "Traceback (most recent call last):", "wrong"),
        (400, 'File "/a/b.py", line 7, in x', "wrong"),
        (422, f"no file at {ROOT}/x", "wrong"),
        (422, "x" * 2001, "wrong"),
    ],
)
def test_an_answer_is_right_where_it_is_an_error_in_words(status, text, verdict):
    assert judged(Answer(status, text))[0] == verdict


def test_the_same_seed_gives_the_same_nonsense_of_every_kind():
    for kind in ("fill", "sketch", "semantic"):
        first, again, other = (Junk(seed, ["/a.png"]).call(kind) for seed in ("1", "1", "2"))
        assert json.dumps(first) == json.dumps(again) != json.dumps(other)
    for kind in ("upload", "fetch", "other"):
        assert getattr(Junk("1", []), kind)() == getattr(Junk("1", []), kind)()
    made = [Junk(str(seed), ["/a.png"]).call("fill") for seed in range(300)]
    named = [call for call in made if isinstance(call, dict)]
    assert {name for call in named for name in call} >= set(ARGUMENTS["fill"])
    assert any(isinstance(call, list) for call in made)
    assert len(bad_files()) > 10 and len(SCALARS) > 25 and len(METAS) > 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "flags", "line"),
    [
        ("demo_load", ["--fills", "8", "--warm-up", "4", "--clients", "4"], "| 8 | 4 | 0 |"),
        ("demo_fuzz", ["--count", "15"], "| fill | 15 | 15 | 0 | 0 |"),
    ],
)
def test_the_scripts_run(module, flags, line):
    pytest.importorskip("gradio", reason="Gradio is not installed")
    pytest.importorskip("psutil", reason="psutil is not installed")
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *flags],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert line in done.stdout, done.stdout + done.stderr
    if module == "demo_fuzz":  # so few fills say nothing of memory
        assert done.returncode == 0, done.stdout
