"""A run of every network has its page: all its losses are read, its grids have names."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from photos import smooth
from PIL import Image
from safetensors.torch import save_file

from trainer.config import TrainConfig
from trainer.evaluate import main as evaluate_main
from trainer.loop import train
from trainer.page.readings import OTHER
from trainer.recipes import recipe
from trainer.report import write_report

STATE = {"step", "seconds"}
"""In a line of metrics.jsonl, but no measurements."""


@pytest.fixture(scope="module")
def streets(tmp_path_factory) -> Path:
    """Pictures with maps of two labels."""
    folder = tmp_path_factory.mktemp("streets")
    labels = np.zeros((80, 90), np.uint8)
    labels[40:] = 3
    for seed in range(2):
        smooth(seed, labels.shape).save(folder / f"{seed}.png")
        Image.fromarray(labels).save(folder / f"{seed}.seg.png")
    return folder


@pytest.fixture(scope="module")
def features(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("features") / "features.safetensors"
    save_file({"conv1.weight": torch.randn(4, 3, 3, 3), "conv1.bias": torch.zeros(4)}, path)
    return path


@pytest.mark.parametrize(
    ("preset", "columns", "says"),
    [
        ("pconv-tiny", "hole, filled, completed, true", ["Style term", "Total variation"]),
        (
            "scfegan-tiny",
            "hole, lines, colours, filled, completed, true",
            ["below 0 is healthy too", "Gradient penalty", "Drift of the scores"],
        ),
        (
            "spade-tiny",
            "hole, labels, filled, completed, true",
            ["Between 1 and 2 is healthy", "Matched features", "Divergence of the styles"],
        ),
    ],
)
def test_a_run_is_measured_and_reported(streets, features, tmp_path, capsys, preset, columns, says):
    pytest.importorskip("matplotlib")
    small = {"steps": 2, "batch": 2, "crop": 64, "workers": 0, "d_width": 8, "device": "cpu"}
    every = {"log_every": 1, "sample_every": 1, "save_every": 2, "report": False}
    own = {"data": (str(streets),), "out": tmp_path, "preset": preset, "perceptual": features}
    drawn = {"lines": "canny"}
    assert not train(TrainConfig(**(recipe(preset) | small | every | own | drawn)))
    flags = ["--data", str(streets), "--run", str(tmp_path), "--size", "80", "--device", "cpu"]
    assert evaluate_main([*flags, "--limit", "1"]) == 0

    text = write_report(tmp_path).read_text(encoding="utf-8")
    line = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert text.count("<svg ") == len(line.keys() - STATE)  # one stage, a figure for each
    for name in line.keys() - STATE:
        assert f"{name}: " in text
    assert OTHER not in text and ": nan" not in text
    assert f"columns: {columns}" in text
    for words in says:
        assert words in text
    assert ("d at 0 for long" in text) == (preset != "scfegan-tiny")
    assert "step 2, brush masks" in text
