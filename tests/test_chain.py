"""Which runtime opens a file, what it says of that, and what ONNX Runtime's packages do to it."""

import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from exports import tiny
from photos import smooth
from PIL import Image

from core.__main__ import main
from core.backends import choose_device, open_backend
from core.backends.eager import TorchBackend
from core.backends.ort import OrtBackend
from core.backends.ov import OpenVinoBackend
from core.backends.providers import check_providers, clash, installed_runtimes, split_device
from core.errors import BackendError
from core.weights import save_weights

pytest.importorskip("onnxruntime", reason="needs the extra onnx")
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def graph(exported, tmp_path):
    """A copy of a graph with its parts, in a folder of its own, without the weights."""
    path = exported("deepfillv2-tiny")
    for file in path.parent.glob(f"{path.stem}*.onnx"):
        shutil.copy(file, tmp_path)
    return tmp_path / path.name


@pytest.fixture
def weights(exported):
    return exported("deepfillv2-tiny").with_suffix(".safetensors")


def opened(*given):
    """The backend and the sentences that were said."""
    said = []
    return open_backend(*given, say=said.append), said


def test_auto_says_what_it_refused_and_what_it_took(graph):
    backend, said = opened(graph, "cpu")
    assert isinstance(backend, OrtBackend)
    assert backend.device == "CPUExecutionProvider of ONNX Runtime"
    assert len(said) == 2
    assert said[0].startswith("not by tensorrt on cpu: ")
    assert said[1] == (
        "deepfillv2-tiny.onnx runs by onnxruntime, the first of tensorrt (cpu), onnxruntime (cpu), "
        "torch (cpu) that does"
    )


def test_without_anyone_to_tell_it_goes_to_the_log(graph, caplog):
    with caplog.at_level(logging.WARNING, "gatefill"):
        open_backend(graph, "cpu")
    first, last = (entry.getMessage() for entry in caplog.records)
    assert first.startswith("not by tensorrt on cpu: ")
    assert last.startswith("deepfillv2-tiny.onnx runs by onnxruntime, the first of ")


def test_auto_goes_on_to_the_weights_beside_the_graph(graph, weights):
    """ONNX Runtime refuses an operator; of two files of weights only one is that of the graph."""
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
    model = onnx.load(graph)
    model.graph.node[3].op_type = "Wrong"
    onnx.save(model, graph)
    save_weights(graph.with_suffix(".safetensors"), tiny("pconv-tiny"))
    shutil.copy(weights, graph.parent / "renamed.safetensors")
    backend, said = opened(graph, "cpu")
    assert isinstance(backend, TorchBackend)
    assert said[1].startswith("not by onnxruntime on cpu: ONNX Runtime does not take ")
    assert "Wrong" in said[1]
    assert "runs by torch, the first of" in said[2]


def test_pytorch_needs_the_very_weights_of_the_graph(graph):
    with pytest.raises(BackendError, match=r"beside it there is none; put the file with the SHA"):
        open_backend(graph, "cpu", "torch")
    save_weights(graph.with_suffix(".safetensors"), tiny("pconv-tiny"))
    with pytest.raises(BackendError, match=r"only deepfillv2-tiny.safetensors, of other weights"):
        open_backend(graph, "cpu", "torch")


def test_where_nothing_works_all_reasons_stand_in_one_error(graph):
    with pytest.raises(BackendError) as caught:
        opened(graph, "tpu")
    text = str(caught.value)
    assert text.startswith(f"nothing here runs {graph}: tensorrt on tpu: ")
    assert "; onnxruntime on tpu: ONNX Runtime has no device 'tpu'; it has cpu, cuda, " in text
    assert "; torch on tpu: PyTorch needs the .safetensors file" in text


def test_a_runtime_that_was_asked_for_is_the_only_one_tried(graph):
    with pytest.raises(BackendError, match=r"no device 'cpu:bf16'"):
        open_backend(graph, "cpu:bf16", "onnxruntime")
    with pytest.raises(BackendError, match=r"^TensorRT "):
        open_backend(graph, "", "tensorrt")
    with pytest.raises(BackendError, match=r"'tvm' is not one of auto, torch, onnxruntime"):
        open_backend(graph, "", "tvm")


def test_openvino_is_taken_by_choice(graph):
    pytest.importorskip("openvino", reason="needs the extra openvino")
    backend, said = opened(graph, "", "openvino")
    assert isinstance(backend, OpenVinoBackend)
    assert (backend.device, said) == ("CPU of OpenVINO, f32", [])


def test_weights_run_by_pytorch_alone(weights):
    assert opened(weights, "cpu")[1] == []
    with pytest.raises(BackendError, match=r"runs by torch only, and the backend onnxruntime"):
        open_backend(weights, "cpu", "onnxruntime")


def test_a_bundle_is_opened_by_its_folder(graph, tmp_path):
    with pytest.raises(BackendError, match=r"without manifest.json and generator.onnx; give a"):
        open_backend(tmp_path, "cpu")
    for file in tmp_path.glob("*.onnx"):
        file.rename(tmp_path / file.name.replace(graph.stem, "generator"))
    (tmp_path / "manifest.json").write_text("{}")
    assert isinstance(open_backend(tmp_path, "cpu", "onnxruntime"), OrtBackend)


def test_devices_that_are_not_here_are_refused():
    for name in ("tpu", "cpu:x", "cpu:bf16", "cuda:99"):
        with pytest.raises(BackendError, match=f"the device '{name}' is not here; this machine"):
            choose_device(name)
    assert str(choose_device("cpu:0")) == "cpu:0"


def test_devices_of_onnx_runtime_have_a_number():
    assert (split_device(""), split_device("cuda:1")) == (("cpu", 0), ("cuda", 1))
    for name in ("mps", "cuda:x"):
        with pytest.raises(BackendError, match=f"ONNX Runtime has no device '{name}'"):
            split_device(name)


def test_a_provider_that_is_not_built_in_is_never_replaced(graph):
    """The CPU package is what is installed here and in CI."""
    if installed_runtimes() != ["onnxruntime"]:
        pytest.skip("needs onnxruntime and no other of its packages")
    mending = r"run `pip uninstall -y onnxruntime` and then `pip install onnxruntime-gpu`"
    with pytest.raises(BackendError, match=r"no CUDAExecutionProvider, only .*; " + mending):
        OrtBackend(graph, "cuda")
    with pytest.raises(BackendError, match=r"pip install onnxruntime-directml"):
        OrtBackend(graph, "directml")


def test_a_provider_that_gave_way_to_another_is_found_out():
    check_providers("CUDAExecutionProvider", ["CUDAExecutionProvider", "CPUExecutionProvider"])
    with pytest.raises(BackendError, match=r"^CUDAExecutionProvider does not load here.*would run "
                       r"on CPUExecutionProvider without a word; install what"):  # fmt: skip
        check_providers("CUDAExecutionProvider", ["CPUExecutionProvider"])


def write_distribution(folder, name):
    """What pip notes of an installed package."""
    notes = folder / f"{name.replace('-', '_')}-9.9.dist-info"
    notes.mkdir(parents=True)
    (notes / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.9\n")


def test_two_packages_of_onnx_runtime_at_once_are_explained(tmp_path, monkeypatch, graph):
    if installed_runtimes() != ["onnxruntime"]:
        pytest.skip("needs onnxruntime and no other of its packages")
    assert clash() == ""
    write_distribution(tmp_path / "site", "onnxruntime-gpu")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert clash() == (
        "onnxruntime and onnxruntime-gpu are installed at once and overwrite each other's files "
        "(those of onnxruntime are in use); run `pip uninstall -y onnxruntime onnxruntime-gpu` and "
        "then `pip install onnxruntime-gpu`"
    )
    with pytest.raises(BackendError, match=r"no CUDAExecutionProvider.* are installed at once"):
        OrtBackend(graph, "cuda")
    assert f"note: {clash()}" in opened(graph, "cpu", "onnxruntime")[1]


def test_what_an_uninstalled_package_leaves_behind_is_explained(tmp_path):
    """As pip leaves it: a folder with some libraries, which Python takes for a package."""
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").touch()
    write_distribution(tmp_path, "onnxruntime-gpu")
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\n"
        "from core.backends.providers import load_onnxruntime\n"
        "from core.errors import BackendError\n"
        "try: load_onnxruntime()\n"
        "except BackendError as problem: print(problem)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.startswith("the module onnxruntime is there but has lost files, as happens")
    assert done.stdout.endswith("and then `pip install onnxruntime-gpu`\n")


def test_the_command_fills_by_a_graph_as_by_its_weights(graph, weights, tmp_path):
    """From files to files, the graph in a process of its own; bytes may differ by a rounding."""
    smooth(3, (61, 83)).save(tmp_path / "photo.png")
    mask = np.zeros((61, 83), np.uint8)
    mask[20:45, 30:60] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    files = ["fill", str(tmp_path / "photo.png"), str(tmp_path / "mask.png"), "--device", "cpu"]
    by_weights, by_graph = tmp_path / "weights.png", tmp_path / "graph.png"
    assert main([*files, "-o", str(by_weights), "--weights", str(weights)]) == 0
    flags = ["-o", str(by_graph), "--weights", str(graph), "--backend", "onnxruntime"]
    command = [sys.executable, "-m", "core", *files, *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "deepfillv2-tiny.onnx on CPUExecutionProvider of ONNX Runtime\n" in done.stderr
    before, one, other = (
        np.asarray(Image.open(path), int) for path in (tmp_path / "photo.png", by_weights, by_graph)
    )
    assert np.abs(one - other).max() <= 1
    assert not np.array_equal(other[mask > 0], before[mask > 0])
