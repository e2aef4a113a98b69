"""What the documentation names is there: flags, commands, presets and files."""

import importlib
import io
import re
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path

import pytest

from core.config import PRESETS

ROOT = Path(__file__).parent.parent
TEXTS = (
    "README.md",
    "docs/training.md",
    "docs/checkpoints.md",
    "docs/deploy.md",
    "docs/comfyui.md",
    "docs/demo.md",
    "trainer/page/report.html",
    "trainer/page/readings.py",
)
GUIDES = [name for name in TEXTS if name.endswith(".md")]
COMMANDS = ("trainer", "trainer.evaluate", "trainer.report", "trainer.edges", "trainer.ablate")
COMMANDS += ("core fill", "core mask", "core sketch", "core info", "core demo")
COMMANDS += ("core synthesize", "core import")
COMMANDS += ("export.onnx", "export.pipeline", "export.trt", "export.parser_check")
COMMANDS += ("export.bundle", "export.bench", "export.fleet", "export.web")
COMMANDS += ("trainer.evaluate_edges", "benchmarks.attention", "benchmarks.training")
COMMANDS += ("gradio_demo", "benchmarks.demo_load", "benchmarks.demo_fuzz")
FOREIGN = {
    *("--nproc-per-node", "--nnodes", "--node-rank", "--rdzv-backend", "--rdzv-endpoint"),
    *("--rdzv-id", "--standalone", "--master-addr", "--master-port", "--max-restarts"),
    *("--rm", "--gpus", "--model-repository", "--quiet", "--user", "--provider"),
    *("--logdir", "--bind_all", "--gpu", "--no-tests", "--no-deps"),
}
"""Flags of torchrun, tensorboard, pip, bootstrap.py, docker, Triton and infer.py of a bundle."""
FLAG = re.compile(r"(?<![\w-])--[a-zA-Z][\w-]*")


@cache
def flags_of(command: str) -> frozenset[str]:
    """Every flag that `python -m command --help` names."""
    module, *inner = command.split()
    if hasattr(importlib.import_module(module), "__path__"):
        module += ".__main__"
    main = importlib.import_module(module).main
    text = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(text):
        patch.setenv("COLUMNS", "300")
        with pytest.raises(SystemExit) as end:
            main([*inner, "--help"])
    assert end.value.code == 0
    return frozenset(FLAG.findall(text.getvalue()))


def commands_in(text: str) -> list[str]:
    """Every command line of the code blocks, continued lines joined."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", "\n".join(blocks)).splitlines()
    return [line.partition("  #")[0].strip() for line in lines if "python -m " in line]


@pytest.mark.parametrize("name", TEXTS)
def test_every_flag_that_is_named_exists(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    text = re.sub(r"<style>.*</style>", "", text, flags=re.DOTALL)  # --names of colours
    named = set(FLAG.findall(text))
    known = FOREIGN.union(*map(flags_of, COMMANDS))
    assert named and named <= known, named - known


@pytest.mark.parametrize("name", GUIDES)
def test_every_command_takes_the_flags_it_is_shown_with(name):
    commands = commands_in((ROOT / name).read_text(encoding="utf-8"))
    assert len(commands) > 1
    for line in commands:
        words = line.partition("python -m ")[2].split()
        command = " ".join(words[:2]) if words[0] == "core" else words[0]
        if command not in COMMANDS:  # pip and the like
            continue
        used = set(FLAG.findall(" ".join(words)))
        assert used <= flags_of(command), (line, used - flags_of(command))


@pytest.mark.parametrize("name", GUIDES)
def test_every_link_into_the_project_leads_somewhere(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    folder = (ROOT / name).parent
    anchors = {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        elif "://" not in target:
            assert (folder / target.partition("#")[0]).exists(), target


def test_every_preset_that_is_named_exists():
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`?--preset ([\w-]+)", text)) - {"PRESET"}
    assert named and named <= set(PRESETS), named - set(PRESETS)
