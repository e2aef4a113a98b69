"""The benchmark command in real processes, at a size at which it shows only that it works."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import attention, training
from benchmarks.attention import MIB, Case, in_a_process, line, main, memory_needed, summary
from trainer import speed

ROOT = Path(__file__).resolve().parents[1]


def run(*flags: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.attention", *map(str, flags)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("flags", "variants"),
    [([], ["dense", "chunked", "pruned"]), (["--generator"], ["generator"])],
)
def test_the_command_measures_in_processes_of_their_own(tmp_path, flags, variants):
    numbers = tmp_path / "out" / "numbers.json"
    done = run("--sizes", 64, "--rounds", 1, "--json", numbers, *flags)
    assert (done.returncode, done.stderr) == (0, "")
    head, _, *rows = done.stdout.splitlines()
    assert head == "| side | variant | CPU seconds | growth MiB | to dense |"
    assert [row.split(" | ")[1] for row in rows] == variants
    results = json.loads(numbers.read_text())["results"]
    assert [result["variant"] for result in results] == variants
    assert all(0 < result["seconds"] < 60 for result in results)
    assert all(result["growth"] is None or result["growth"] >= 0 for result in results)


def test_the_parent_stays_small():
    """Or its memory would hide the growth of the processes that it starts."""
    code = "import sys, benchmarks.attention; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_rows_by_hand():
    """Ratios are taken within a round: 1/2, 2/4 and 9/3, of which the middle one is 0.5."""
    found = {
        "dense": [{"seconds": s, "growth": 10 * MIB} for s in (2.0, 4.0, 3.0)],
        "chunked": [{"seconds": s, "growth": g * MIB} for s, g in ((1.0, 1), (2.0, 3), (9.0, 2))],
    }
    dense, chunked = summary([Case(name, 256, 1) for name in found], found)
    assert line(dense) == "| 256 | dense | 3.000 | 10 | 1.00 |\n"
    assert line(chunked) == "| 256 | chunked | 2.000 | 3 | 0.50 |\n"


def test_what_does_not_fit_is_skipped_and_said_so(monkeypatch):
    case = Case("dense", 1024, 1)
    assert memory_needed(case) == 7 * 4 * 128**4  # seven float32 matrices of (128 x 128)^2 scores
    for free, words in ((5 * 1024 * MIB, "free: 5120 MiB"), (None, "free: unknown")):
        monkeypatch.setattr(attention, "free_memory", lambda free=free: free)
        found = in_a_process(case)
        assert found == {"skipped": f"it needs about 7168 MiB, {words}"}
    chunked = {"dense": [found], "chunked": [{"seconds": 1.0, "growth": None}]}
    dense_row, chunked_row = summary([case, Case("chunked", 1024, 1)], chunked)
    assert "skipped: it needs about 7168 MiB" in line(dense_row)
    assert line(chunked_row) == "| 1024 | chunked | 1.000 | not known here |  |\n"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--sizes", "60"], "--sizes has 60; each must be a multiple of 8, at least 64"),
        (["--rounds", "0"], "--rounds is 0"),
        (["--threads", "0"], "--threads is 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(flags, message, capsys):
    assert main(flags) == 1
    assert capsys.readouterr().err.startswith(f"error: {message}")


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
def test_the_parts_of_the_training_benchmark_measure(capsys):
    """In this process, uncompiled: generating code takes a minute."""
    small = ["--preset", "deepfillv2-tiny", "--crop", "72", "--batch", "1"]
    short = ["--rounds", "2", "--seconds", "0.01"]
    with torch.compiler.set_stance("force_eager"):
        for what in ("updates", "memory", "loader"):
            assert speed.main(["--what", what, *small, *short]) == 0
    updates, memory, loader = map(json.loads, capsys.readouterr().out.splitlines())
    assert {len(updates["plain"]), len(updates["fast"])} == {2}
    assert all(0 < x < 1000 for x in (*updates["plain"], *updates["fast"], loader["samples"]))
    assert memory["growth"] is None or memory["growth"] >= 0


def test_the_training_benchmark_says_what_failed(capsys, tmp_path):
    code = training.main(["--memory", "--crops", "64", "--preset", "unet", "--batch", "1"])
    said = capsys.readouterr()
    assert code == 1 and "measuring memory at crop 64 failed: error: --preset is 'unet'" in said.err
    assert training.main(["--crops", "100"]) == 1
    assert "--crops has 100; each must be a multiple of 8" in capsys.readouterr().err


def test_rows_of_the_training_benchmark_by_hand(monkeypatch):
    """Medians of the rounds, and the median of their ratios: 3, 2 and 4."""
    found = {"updates": {"plain": [1.0, 2.0, 1.5], "fast": [3.0, 4.0, 6.0]}}
    found["loader"] = {"samples": 50.0}
    monkeypatch.setattr(training, "measured", lambda config, what, *rest: found[what])
    row = training.speed_row(training.BenchConfig(), 128)
    assert training.speed_line(row) == "| 128 | 1.50 | 4.00 | 3.00 | 50.0 |\n"
    memory = {"crop": 256, "precision": "float32", "plain": 40 * MIB, "saving": 10 * MIB}
    assert training.memory_line(memory) == "| 256 | float32 | 40 | 10 | 0.25 |\n"
    unknown = memory | {"plain": None}
    assert training.memory_line(unknown) == "| 256 | float32 | not known here |  |  |\n"
