"""Export ONNX and Build TensorRT Engine: real exports in processes of their own, and refusals."""

import json
import sys
import time
from pathlib import Path

import pytest
import torch
from exports import tiny
from toypipeline import write_toy

from core.weights import save_weights

PRESET = "pconv-tiny"


def load(pack, preset: str = PRESET, name: str = "tiny.safetensors"):
    """A tiny network on the socket."""
    save_weights(pack.models() / name, tiny(preset))
    return pack.run("GatefillLoadModel", model_name=name)[0]


def said(pack) -> list[str]:
    """What stood on the node, one after the other."""
    return [words.replace("  \n", "\n") for words, _ in pack.comfy.said]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def commands(pack, monkeypatch):
    """Notes what would be run, and writes the files that it would write."""
    ran = []

    def run_module(module, args, folder, *, tell, check):
        check()
        tell(0.5, "half")
        ran.append((module, list(args), folder))
        if module == "export.trt":
            paths = [folder / "net.run.engine", folder / "net.refine.engine"]
            for path in paths:
                path.write_bytes(b"0" * 100_000)
            return ["a warning of NVIDIA", *map(str, paths)]
        out = Path(args[args.index("-o") + 1])
        out.write_bytes(b"graph")
        report = {"parts": [{"cases": [1, 2, 3]}, {"cases": [4]}]}
        out.with_suffix(".report.json").write_text(json.dumps(report))
        return [f"{out}: 1.0 MB; furthest off, somewhere"]

    monkeypatch.setattr(pack.part("deploy"), "run_module", run_module)
    return ran


@pytest.fixture
def isolated_python(tmp_path, monkeypatch):
    """As that of the portable ComfyUI: neither working directory nor PYTHONPATH is on its path."""
    if sys.platform == "win32":
        pytest.skip("a script stands for the Python of Windows")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))


# ---- Export ONNX


def test_a_network_is_exported_verified_and_found(pack, isolated_python):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="needs the extra onnx")
    model = load(pack)
    output = pack.run("GatefillExportOnnx", model=model, size=128)
    path = pack.models() / "tiny-128.onnx"
    assert output[0] == str(path) and path.is_file()
    assert names_in(pack.models()) == {"tiny.safetensors", "tiny-128.onnx", "tiny-128.report.json"}
    (text,) = output.ui.as_dict()["text"]
    first, second = text.splitlines()
    assert first.startswith("tiny-128.onnx: ") and "levels on average" in first
    assert second == (
        "7 comparisons with PyTorch, all within the limits of fp32; see tiny-128.report.json"
    )
    assert said(pack)[0] == "run: exporting" and said(pack)[-1] == text
    assert "run: comparing, full mask" in said(pack)
    values = [value for value, _ in pack.comfy.bars[-1]]
    assert values == sorted(values) and values[0] == 0 and values[-1] == 1000

    # It is chosen by its name, or comes by its path, and fills as the weights do.
    image = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 64, 64)
    mask[:, 20:30, 20:30] = 1
    given = {"image": image, "mask": mask, "strategy": "full"}
    expected = pack.run("GatefillInpaint", model=model, **given)[0]
    for chosen in ({"model_name": "tiny-128.onnx"}, {"file": str(path)}):
        graph = pack.run("GatefillLoadModel", backend="onnxruntime", **chosen)[0]
        filled = pack.run("GatefillInpaint", model=graph, **given)[0]
        torch.testing.assert_close(filled, expected, atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="exported already; load the weights"):
        pack.run("GatefillExportOnnx", model=graph)


def test_an_interruption_ends_the_export_and_leaves_nothing(pack):
    pytest.importorskip("onnx", reason="needs the extra onnx")
    model, begun = load(pack), []

    def ask() -> bool:
        if pack.comfy.said and not begun:
            begun.append(time.monotonic())
        return bool(begun) and time.monotonic() > begun[0] + 1

    pack.comfy.ask = ask
    with pytest.raises(BaseException) as caught:
        pack.run("GatefillExportOnnx", model=model)
    assert type(caught.value) is pack.comfy.interruption
    assert time.monotonic() - begun[0] < 1.5
    assert names_in(pack.models()) == {"tiny.safetensors"}
    assert [path.name for path in pack.models().iterdir()] == ["tiny.safetensors"]


def test_the_error_of_the_command_is_that_of_the_node(pack):
    with pytest.raises(ValueError) as caught:
        pack.run("GatefillExportOnnx", model=load(pack), size=40, pipeline=True)
    assert str(caught.value) == "size is 40; it must be a multiple of 32 for this network"
    assert names_in(pack.models()) == {"tiny.safetensors"}


@pytest.mark.parametrize(
    ("inputs", "name", "rest"),
    [
        ({}, "tiny.onnx", ["--precision", "fp32"]),
        (
            {"precision": "fp16", "size": 512, "chunks": 4},
            "tiny-fp16-512-4chunks.onnx",
            ["--precision", "fp16", "--size", "512", "--chunks", "4"],
        ),
        ({"file_name": "a/b c"}, "a/b c.onnx", ["--precision", "fp32"]),
        ({"file_name": " x.onnx "}, "x.onnx", ["--precision", "fp32"]),
        ({"file_name": "v1.5", "overwrite": True}, "v1.5.onnx", ["--precision", "fp32", "--force"]),
    ],
)
def test_the_inputs_are_those_of_the_command(pack, commands, inputs, name, rest):
    output = pack.run("GatefillExportOnnx", model=load(pack), **inputs)
    out = pack.models() / name
    weights = str(pack.models() / "tiny.safetensors")
    assert commands == [("export.onnx", [weights, "-o", str(out), *rest], out.parent)]
    assert output[0] == str(out)
    assert said(pack)[-1].splitlines() == [
        f"{out.name}: 1.0 MB; furthest off, somewhere",
        f"4 comparisons with PyTorch, all within the limits of {inputs.get('precision', 'fp32')}; "
        f"see {out.stem}.report.json",
    ]


def test_a_pipeline_is_exported_by_its_own_command(pack, commands):
    pack.run("GatefillExportOnnx", model=load(pack), pipeline=True, precision="fp16", size=64)
    ((module, args, _),) = commands
    assert module == "export.pipeline" and args[3:] == ["--precision", "fp16", "--size", "64"]
    assert Path(args[2]).name == "tiny-pipeline-fp16-64.onnx"
    for inputs in ({"precision": "bf16"}, {"chunks": 2}):
        with pytest.raises(ValueError, match="network alone"):
            pack.run("GatefillExportOnnx", model=load(pack), pipeline=True, **inputs)


def test_a_file_that_is_there_is_kept(pack, commands):
    model = load(pack)
    pack.run("GatefillExportOnnx", model=model)
    with pytest.raises(ValueError, match=r"tiny.onnx is there already; .* turn overwrite on"):
        pack.run("GatefillExportOnnx", model=model)
    pack.run("GatefillExportOnnx", model=model, overwrite=True)
    assert len(commands) == 2


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "."])
def test_nothing_is_written_elsewhere(pack, commands, name):
    with pytest.raises(ValueError, match="below models/inpaint"):
        pack.run("GatefillExportOnnx", model=load(pack), file_name=name)
    assert not commands


# ---- Build TensorRT Engine


@pytest.fixture
def graph(pack, exported) -> Path:
    """A graph in models/inpaint."""
    path = pack.models() / "net.onnx"
    path.write_bytes(exported(PRESET).read_bytes())
    return path


@pytest.fixture
def no_gpu(pack, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_without_tensorrt_the_reason_and_the_command_are_told(pack, graph, no_gpu, monkeypatch):
    find = pack.core("backends.trt_module").importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda x: None if x == "tensorrt" else find(x))
    with pytest.raises(ValueError) as caught:
        pack.run(
            "GatefillBuildEngine", graph="net.onnx", max_size=1024, batch=2,
            hardware_compatible=True,
        )  # fmt: skip
    reason, command = str(caught.value).split("\n")
    assert reason.startswith("TensorRT is not installed; get it by `pip install tensorrt-cu13`")
    assert command.split()[:2] == ["trtexec", f"--onnx={graph}"]
    assert f"--saveEngine={graph.with_suffix('.engine')}" in command
    assert "--minShapes=image:1x3x256x256,mask:1x1x256x256" in command
    assert "--maxShapes=image:2x3x1024x1024,mask:2x1x1024x1024" in command
    assert "--hardwareCompatibilityLevel=ampere+" in command and "--versionComp" not in command
    assert names_in(pack.models()) == {"net.onnx"}


def test_without_a_gpu_it_says_so(pack, graph, no_gpu, monkeypatch):
    monkeypatch.setattr(pack.part("deploy"), "load_tensorrt", lambda: None)
    with pytest.raises(ValueError, match=r"needs a GPU of NVIDIA.*\ntrtexec --onnx="):
        pack.run("GatefillBuildEngine", graph="net.onnx")


def test_a_command_that_cannot_be_told_hides_no_reason(pack, graph, no_gpu, monkeypatch):
    monkeypatch.setattr(pack.part("deploy"), "load_tensorrt", lambda: None)
    with pytest.raises(
        ValueError, match=r"needs a GPU of NVIDIA.*cannot be told, as .*none smaller"
    ):
        pack.run("GatefillBuildEngine", graph="net.onnx", min_size=1024)


def test_engines_are_built_beside_the_graph(pack, graph, commands, monkeypatch):
    monkeypatch.setattr(pack.part("deploy"), "check_tensorrt", lambda *given: None)
    output = pack.run("GatefillBuildEngine", graph="net.onnx")
    assert commands == [("export.trt", [str(graph), "-o", str(graph.parent)], graph.parent)]
    assert output[0] == str(graph.parent / "net.run.engine") and pack.comfy.emptied
    text = "net.run.engine: 0.1 MB\nnet.refine.engine: 0.1 MB"
    assert output.ui.as_dict() == {"text": (text,)} and said(pack)[-1] == text


def test_sizes_and_switches_are_those_of_the_command(pack, graph, commands, monkeypatch):
    monkeypatch.setattr(pack.part("deploy"), "check_tensorrt", lambda *given: None)
    engines = graph.parent / "engines"
    engines.mkdir()
    pack.run(
        "GatefillBuildEngine", graph="net.onnx", file=str(graph), min_size=64, opt_size=128,
        max_size=256, batch=3, hardware_compatible=True, version_compatible=True,
        strip_weights=True, overwrite=True,
    )  # fmt: skip
    ((_, args, folder),) = commands
    assert folder == engines and args == [
        str(graph), "-o", str(engines),
        *("--min", "64x64", "--opt", "128x128", "--max", "256x256", "--batch", "1,1,3"),
        *("--hardware-compatible", "--version-compatible", "--strip-weights", "--force"),
    ]  # fmt: skip
    command = pytest.importorskip("export.trt")  # the real one knows all of them
    assert command.TrtConfig(model=graph).options.stripped is False


def test_errors_call_the_flags_as_the_inputs_are_called(pack, graph, monkeypatch):
    deploy = pack.part("deploy")

    def run_module(*args, **kwargs):
        raise pack.core("errors").BackendError("a.engine exists; give --force, --max, or --batch")

    monkeypatch.setattr(deploy, "check_tensorrt", lambda *given: None)
    monkeypatch.setattr(deploy, "run_module", run_module)
    with pytest.raises(ValueError, match=r"^a\.engine exists; give overwrite, max_size, or batch$"):
        pack.run("GatefillBuildEngine", graph="net.onnx")


def test_graphs_of_networks_and_pipelines_are_listed_and_nothing_else(pack, exported):
    def choices():
        return next(x.options for x in pack.schema("GatefillBuildEngine").inputs if x.id == "graph")

    assert choices() == [pack.part("deploy").NO_GRAPH]
    with pytest.raises(ValueError, match="no graph in models/inpaint"):
        pack.run("GatefillBuildEngine")
    source = exported("deepfillv2-tiny")
    for file in source.parent.glob("*.onnx"):
        (pack.models() / file.name).write_bytes(file.read_bytes())
    hidden = pack.models() / ".part-1-x"
    hidden.mkdir()
    (hidden / source.name).write_bytes(source.read_bytes())
    (pack.models() / ".part-1-y.onnx").write_bytes(source.read_bytes())
    (pack.models() / "foreign.onnx").write_bytes(b"no graph")
    (pack.models() / "b").mkdir()
    write_toy(pack.models() / "b" / "pipe.onnx")
    assert choices() == ["b/pipe.onnx", "deepfillv2-tiny.onnx"]
    names = next(x.options for x in pack.schema("GatefillLoadModel").inputs if x.id == "model_name")
    assert [name for name in names if name.endswith(".onnx")] == ["deepfillv2-tiny.onnx"]


def test_engines_are_built_again_when_the_graph_has_changed(pack, graph):
    node = pack.nodes["GatefillBuildEngine"]
    before = node.fingerprint_inputs(graph="net.onnx", batch=1)
    assert node.fingerprint_inputs(graph="net.onnx", batch=1) == before
    graph.write_bytes(graph.read_bytes() + b"\0")
    assert node.fingerprint_inputs(graph="net.onnx", batch=1) != before
    assert node.fingerprint_inputs(graph=None, file=None) == ""
    assert node.fingerprint_inputs(graph=pack.part("deploy").NO_GRAPH) == ""
