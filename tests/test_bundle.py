"""A bundle is whole or not there, finds every changed byte, and says what it holds."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

import numpy as np
from handmade import SKETCH, contract_with, write_graphs
from photos import save_smooth
from PIL import Image

from core.backends.eager import TorchBackend
from core.errors import BackendError, ConfigError
from core.image import read_mask, read_picture
from core.pipeline import FillOptions, Inpainter
from core.weights import load_weights, save_weights
from export.bundle.__main__ import main
from export.bundle.check import check_bundle, smoke_fill
from export.bundle.folder import whole_folder
from export.bundle.graphs import keeping_reports
from export.bundle.make import BundleConfig, furnish
from export.bundle.manifest import differences, read_manifest
from export.bundle.texts import card_without_pictures
from tests.exports import tiny

ROOT = Path(__file__).resolve().parent.parent
CONTRACT = contract_with(SKETCH)
CARD = """# Model card

![two streets](../docs/streets.jpg)

## What it is for

Streets only.

## Data and terms

Two pictures, research terms.
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A bundle of graphs made by hand; tests that change it copy it."""
    place = tmp_path_factory.mktemp("made")
    (place / "street net.md").write_text(CARD, encoding="utf-8")
    config = BundleConfig(out=place / "a bundle", weights=place / "street net.safetensors")
    with whole_folder(config.out) as folder:
        write_graphs(folder, CONTRACT)
        furnish(config, folder, {"generator": [{"passed": True}]})
    return config.out


@pytest.fixture
def copy(made, tmp_path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


def test_a_bundle_that_was_copied_is_whole_and_fills(copy):
    said = check_bundle(copy)
    assert "infer.py fills a picture" in said


def test_the_check_adds_nothing_to_the_bundle(copy):
    before = sorted(copy.rglob("*"))
    smoke_fill(copy, CONTRACT)
    assert sorted(copy.rglob("*")) == before


def test_every_file_has_the_hash_that_hashlib_gives(made):
    listed = json.loads((made / "manifest.json").read_text(encoding="utf-8"))["files"]
    there = {p.relative_to(made).as_posix(): p for p in made.rglob("*") if p.is_file()}
    assert set(listed) == set(there) - {"manifest.json", "SHA256SUMS"}
    for name, entry in listed.items():
        content = there[name].read_bytes()
        assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum here")
def test_sha256sum_agrees_without_any_of_our_code(made):
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=made, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "manifest.json: OK" in done.stdout


def test_a_changed_byte_is_found_in_every_file(copy):
    content = read_manifest(copy)
    files = [path for path in sorted(copy.rglob("*")) if path.is_file()]
    assert len(files) >= 14
    for path in files:
        right = path.read_bytes()
        wrong = bytearray(right)
        wrong[len(right) // 2] ^= 1
        path.write_bytes(wrong)
        (found,) = differences(copy, content)
        name = path.relative_to(copy).as_posix()
        assert name in found
        path.write_bytes(right)
    assert differences(copy, content) == []


def test_a_changed_hash_in_the_manifest_does_not_hide_a_changed_file(copy):
    (copy / "LICENSE").write_bytes(b"none")
    text = (copy / "manifest.json").read_text(encoding="utf-8")
    old = json.loads(text)["files"]["LICENSE"]["sha256"]
    new = hashlib.sha256(b"none").hexdigest()
    (copy / "manifest.json").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"manifest\.json and SHA256SUMS do not agree"):
        check_bundle(copy)


def test_a_missing_file_an_extra_one_and_a_link_are_found(copy, tmp_path):
    (copy / "LICENSE").unlink()
    (copy / "engines" / "other.engine").write_bytes(b"x")
    shutil.move(copy / "README.md", tmp_path / "README.md")
    (copy / "README.md").symlink_to(tmp_path / "README.md")
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__" / "pictures.pyc").write_bytes(b"x")
    assert differences(copy, read_manifest(copy)) == [
        "LICENSE is missing",
        "__pycache__/pictures.pyc does not belong to it",
        "engines/other.engine does not belong to it",
        "README.md is a link and no file of its own",
    ]


def test_a_manifest_cannot_point_outside(copy):
    content = read_manifest(copy)
    content["files"]["../../secret"] = {"sha256": "0", "bytes": 1}
    assert "../../secret is missing" in differences(copy, content)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no bundle at"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"format": 1}', "is damaged"),
        ('{"format": 99, "files": {}}', "newer than 1"),
    ],
)
def test_the_check_refuses_what_is_no_bundle(tmp_path, capsys, text, said):
    if text is not None:
        (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    assert main(["--check", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("pipeline", "said"),
    [("nothing", "leaves the hole as it was"), ("everything", "changes pixels that are known")],
)
def test_the_smoke_fill_finds_a_graph_that_does_not_fill(copy, pipeline, said):
    write_graphs(copy, CONTRACT, pipeline)
    with pytest.raises(BackendError, match=said):
        smoke_fill(copy, CONTRACT)


def test_the_smoke_fill_says_why_infer_py_fails(copy):
    (copy / "pipeline.onnx").write_bytes(b"no graph")
    with pytest.raises(BackendError, match=r"does not fill: error: .* cannot be run"):
        smoke_fill(copy, CONTRACT)


def test_graphs_take_no_room_twice_and_are_no_symlinks(made):
    for part, model in (("generator", "street-net"), ("pipeline", "street-net_pipeline")):
        inner = made / "model_repository" / model / "1" / "model.onnx"
        assert not inner.is_symlink()
        if os.name == "posix":
            assert inner.samefile(made / f"{part}.onnx")


def test_the_manifest_says_contract_terms_and_versions(made):
    content = read_manifest(made)
    assert content["contract"] == json.loads(CONTRACT.to_json())
    assert content["weights"]["file"] == "street net.safetensors"
    assert content["weights"]["use"] == "Streets only."
    assert content["weights"]["terms"] == "Two pictures, research terms."
    assert content["licence"] == {"code": "Apache-2.0", "weights": "research alone"}
    assert "research alone" in (made / "README.md").read_text(encoding="utf-8")
    assert content["parity"] == {"generator": [{"passed": True}]}
    assert {"gatefill", "torch", "onnxruntime"} <= set(content["versions"])
    assert content["requirements"].keys() == {"numpy", "pillow", "onnxruntime"}
    assert str(made.parent) not in (made / "manifest.json").read_text(encoding="utf-8")


def test_weights_without_a_card_are_said_to_have_none(tmp_path):
    config = BundleConfig(out=tmp_path / "b", weights=tmp_path / "own.safetensors")
    with whole_folder(config.out) as folder:
        write_graphs(folder, CONTRACT)
        furnish(config, folder, {})
    assert read_manifest(config.out)["weights"]["card"] is None
    assert "No card came with the weights" in (config.out / "README.md").read_text()
    assert not (config.out / "MODEL_CARD.md").exists()
    assert "MODEL_CARD" not in (config.out / "Dockerfile").read_text()


def test_pictures_of_a_card_that_stay_behind_are_named():
    card = "![a street](../docs/a.jpg)\n![logo](https://example.org/b.png)\n"
    kept = "*(picture: a street)*\n![logo](https://example.org/b.png)\n"
    assert card_without_pictures(card) == kept


def test_the_dockerfile_copies_what_is_there_and_runs_as_nobody_special(made):
    lines = (made / "Dockerfile").read_text(encoding="utf-8").splitlines()
    words = [line.split() for line in lines if line and not line.startswith("#")]
    assert words[0] == ["FROM", "python:3.11-slim"]
    for copied in (line[1:-1] for line in words if line[0] == "COPY"):
        assert all((made / name).is_file() for name in copied), copied
    steps = [line[0] for line in words]
    assert steps.index("USER") > max(i for i, step in enumerate(steps) if step == "RUN")
    assert ["USER", "1000"] in words
    assert json.loads(lines[-1].removeprefix("ENTRYPOINT ")) == ["python", "/app/infer.py"]
    pins = (made / "requirements.txt").read_text(encoding="utf-8").split()
    assert [pin.partition("==")[0] for pin in pins] == ["numpy", "pillow", "onnxruntime"]
    assert all(re.fullmatch(r"[a-z]+==\d+(\.\d+)+", pin) for pin in pins)


def test_the_readme_names_only_files_that_are_there(made):
    text = (made / "README.md").read_text(encoding="utf-8")
    table = text.split("## ")[0]
    names = re.findall(r"`([\w./-]+)`", "".join(x for x in table.splitlines() if x[:1] == "|"))
    assert {"pipeline.onnx", "infer.py", "model_repository/", "manifest.json"} <= set(names)
    assert all((made / name).exists() or name == "model.onnx" for name in names)
    assert "| `sketch` | uint8 | (N, 1, H, W) | line where above 127; 0 = nothing drawn |" in text
    assert "| `image` | fp32 | (N, 3, H, W) | -1 to 1; photo, RGB |" in text


def test_the_script_that_builds_engines_is_a_shell_script_without_local_paths(made):
    script = made / "build_engines.sh"
    text = script.read_text(encoding="utf-8")
    assert "--onnx=generator.onnx" in text and "--onnx=pipeline.onnx" in text
    assert str(made.parent) not in text
    done = subprocess.run(["sh", "-n", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    done = subprocess.run(["sh", script], capture_output=True, text=True)
    assert done.returncode != 0
    assert "name a folder outside of the bundle" in done.stderr


def test_an_older_bundle_is_replaced_only_by_force(made, copy):
    with pytest.raises(ConfigError, match="--force"), whole_folder(copy):
        pass
    assert differences(copy, read_manifest(copy)) == []
    with whole_folder(copy, force=True) as folder:
        (folder / "new").write_text("new")
    assert [path.name for path in copy.iterdir()] == ["new"]
    assert list(copy.parent.iterdir()) == [copy]


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_that_is_no_bundle_is_never_replaced(tmp_path, force):
    (tmp_path / "thesis.txt").write_text("ten years of work")
    with (
        pytest.raises(ConfigError, match="something else than a bundle"),
        whole_folder(tmp_path, force=force),
    ):
        pass
    assert (tmp_path / "thesis.txt").read_text() == "ten years of work"


def test_an_empty_folder_will_do(tmp_path):
    (tmp_path / "out").mkdir()
    with whole_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("a")
    assert (tmp_path / "out" / "a").read_text() == "a"


def test_after_a_failure_all_is_as_it_was(copy):
    with pytest.raises(BackendError), whole_folder(copy, force=True) as folder:
        (folder / "half").write_text("half")
        raise BackendError("no")
    assert differences(copy, read_manifest(copy)) == []
    assert list(copy.parent.iterdir()) == [copy]


FULL = """
import resource, sys
from pathlib import Path
from core.errors import ConfigError
from export.bundle.folder import whole_folder
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with whole_folder(Path(sys.argv[1])) as folder:
        (folder / "a").write_bytes(bytes(900))
        (folder / "b").write_bytes(bytes(1100))
except ConfigError as problem:
    print(problem)
"""


@pytest.mark.skipif(os.name != "posix", reason="file size limits are POSIX's")
def test_a_disk_that_takes_no_more_leaves_nothing_behind(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path / "out"], cwd=ROOT, capture_output=True, text=True
    )
    assert "cannot be written" in done.stdout, done.stderr
    assert done.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_of_a_graph_that_is_too_far_off_the_report_is_kept(tmp_path):
    out = tmp_path / "out"
    with (
        pytest.raises(BackendError) as problem,
        whole_folder(out) as folder,
        keeping_reports(folder, out),
    ):
        report = folder / "generator.report.json"
        report.write_text("{}")
        (folder / "pipeline.report.json").write_text("{}")
        raise BackendError(f"too far off, so nothing was kept but {report}; take another")
    kept = tmp_path / "out.generator.report.json"
    assert str(problem.value) == f"too far off, so nothing was kept but {kept}; take another"
    assert list(tmp_path.iterdir()) == [kept]


@pytest.mark.slow
@pytest.mark.skipif(
    "GATEFILL_EXPORT" not in os.environ, reason="takes a minute; GATEFILL_EXPORT=1 runs it"
)
def test_a_network_becomes_a_bundle_that_fills_as_core_does(tmp_path, capsys):
    """Real exports from real weights, and what the bundle gives against our own pipeline."""
    weights = tmp_path / "tiny.safetensors"
    save_weights(weights, tiny("deepfillv2-tiny"))
    out = tmp_path / "a bundle"
    assert main([str(out), "--weights", str(weights)]) == 0
    said = capsys.readouterr()
    assert "infer.py fills a picture" in said.out and "no card beside the weights" in said.err
    parity = read_manifest(out)["parity"]
    assert [report["passed"] for report in (*parity["generator"], parity["pipeline"])] == [True] * 3
    photo, mask = save_smooth(tmp_path, 1) / "0.png", tmp_path / "mask.png"
    hole = np.zeros((80, 96), np.uint8)
    hole[30:50, 20:60] = 255
    Image.fromarray(hole).save(mask)
    command = [sys.executable, out / "infer.py", photo, mask, "-o", tmp_path / "a.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    options = FillOptions(strategy="single", feather=4)
    inpainter = Inpainter(TorchBackend(load_weights(weights)), options)
    picture = read_picture(photo)
    wanted = inpainter(picture.pixels, read_mask(mask, picture.size))
    filled = read_picture(tmp_path / "a.png").pixels
    levels = ((filled - wanted) * 255).round().abs()
    assert levels.max() <= 1 and (levels > 0).float().mean() <= 0.001


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--size", "12by7"], "--size is '12by7'"),
        (["--triton-batch", "0"], "--triton-batch is 0"),
        (["--triton-instances", "0"], "instances is 0"),
        (["--weights", "nowhere.safetensors"], "nowhere.safetensors"),
    ],
)
def test_bad_flags_are_one_sentence_and_leave_nothing(tmp_path, capsys, flags, said):
    assert main([str(tmp_path / "out"), *flags]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
