"""Exported graphs run as the network in PyTorch does, by every runtime that is here."""

import dataclasses
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from photos import smooth

from core.backends import open_backend
from core.backends.eager import TorchBackend
from core.backends.graph import read_parts
from core.backends.ort import OrtBackend, open_session, session_info
from core.backends.ov import OpenVinoBackend, split_openvino
from core.errors import BackendError
from core.graph import GraphInfo, read_graph
from core.pipeline import FillOptions, Inpainter
from core.weights import load_weights

pytest.importorskip("onnxruntime", reason="needs the extra onnx")
onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
ROOT = Path(__file__).resolve().parents[1]
CLOSE = 1e-4
"""How far off a runtime in float32 may be."""


def by_openvino(path, **settings):
    pytest.importorskip("openvino", reason="needs the extra openvino")
    return OpenVinoBackend(path, threads=1, **settings)


def by_onnxruntime(path):
    return OrtBackend(path, threads=1)


RUNTIMES = pytest.mark.parametrize("opened", [by_onnxruntime, by_openvino])


def by_torch(path):
    return TorchBackend(load_weights(path.with_suffix(".safetensors")))


def calls_of(backend):
    """The parts that are run from now on, in order."""
    seen = []
    for part, runner in backend._runners.items():

        def noted(*inputs, part=part, runner=runner):
            seen.append(part)
            return runner(*inputs)

        backend._runners[part] = noted
    return seen


def random_inputs(contract, batch, size, seed=0):
    """Values of each port's range, drawn by seed."""
    drawn = torch.Generator().manual_seed(seed)
    for port in contract.inputs:
        shape = (batch, port.channels) if port.kind == "vector" else (batch, port.channels, *size)
        x = torch.rand(shape, generator=drawn)
        x = (x > 0.7).float() if port.binary else x
        yield x * (port.high - port.low) + port.low


def photo(seed, size):
    return torch.from_numpy(np.array(smooth(seed, size))).movedim(-1, 0)[None] / 255


def hole_of(size, rows, columns):
    mask = torch.zeros(1, 1, *size)
    mask[..., rows, columns] = 1
    return mask


@RUNTIMES
def test_wide_holes_and_strokes_are_filled_as_in_pytorch(opened, exported):
    """Odd sizes; the hole is wider than trained, so that the second scale starts from the first."""
    path, size = exported("deepfillv2-tiny"), (163, 171)
    image, mask = photo(0, size), hole_of(size, slice(5, 152), slice(11, 160))
    sketch = hole_of(size, slice(60, 62), slice(0, 171))
    expected = Inpainter(by_torch(path))(image, mask, sketch=sketch)
    backend = opened(path)
    parts = calls_of(backend)
    filled = Inpainter(backend)(image, mask, sketch=sketch)
    torch.testing.assert_close(filled, expected, atol=CLOSE, rtol=0)
    assert parts == ["run", "refine"]
    assert not torch.equal(Inpainter(backend)(image, mask), filled)  # the stroke matters


@RUNTIMES
def test_styles_of_pictures_and_labels_fill_as_in_pytorch(opened, exported):
    path, size = exported("spade-tiny"), (71, 95)
    given = {"semantic": torch.arange(95).div(9).floor().expand(1, 1, *size)}
    given["style"] = photo(5, (40, 51))
    image, mask = photo(1, size), hole_of(size, slice(20, 50), slice(20, 60))
    expected = Inpainter(by_torch(path))(image, mask, **given)
    backend = opened(path)
    parts = calls_of(backend)
    filled = Inpainter(backend)(image, mask, **given)
    torch.testing.assert_close(filled, expected, atol=CLOSE, rtol=0)
    assert parts == ["encode", "run"]


@RUNTIMES
def test_batches_and_sizes_may_change_from_call_to_call(opened, exported):
    path = exported("deepfillv2-tiny")
    backend, torch_backend = opened(path), by_torch(path)
    for batch, size in ((1, (8, 8)), (3, (40, 64)), (1, (72, 24)), (2, (8, 96)), (1, (8, 8))):
        inputs = list(random_inputs(backend.contract, batch, size))
        expected = torch_backend.run(*inputs)
        torch.testing.assert_close(backend.run(*inputs), expected, atol=CLOSE, rtol=0)
    gaps = [x.repeat_interleave(2, dim=3)[..., ::2] for x in inputs]  # not contiguous, not float32
    torch.testing.assert_close(backend.run(*gaps), expected, atol=CLOSE, rtol=0)
    wide = backend.run(*(x.double() for x in inputs))
    assert wide.dtype == torch.float32
    torch.testing.assert_close(wide, expected, atol=CLOSE, rtol=0)


@RUNTIMES
def test_threads_may_call_at_once(opened, exported):
    backend = opened(exported("deepfillv2-tiny"))
    work = [
        list(random_inputs(backend.contract, 1, (8 * (2 + i % 5), 8 * (3 + i % 4)), seed=i))
        for i in range(24)
    ]
    alone = [backend.run(*inputs) for inputs in work]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda inputs: backend.run(*inputs), work))
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read of Linux")
@RUNTIMES
def test_memory_does_not_grow_with_every_new_size(opened, exported):
    """OpenVINO keeps 2 MiB for every size it has seen unless told not to: 120 MiB of the last ones.

    What it takes once, at the first sizes, differs from machine to machine: up to 60 MiB.
    """
    backend = opened(exported("deepfillv2-tiny"))

    def run(sides):
        for i, j in sides:
            backend.run(*random_inputs(backend.contract, 1, (8 * i, 8 * j)))
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    before = run([(18, 18), *((i, j) for i in range(2, 18, 2) for j in range(1, 18, 2))])
    assert run((i, j) for i in range(3, 18, 2) for j in range(2, 18, 2)) < before + 40


def test_bfloat16_is_another_precision_and_taken_by_choice(exported):
    path = exported("spade-tiny")
    exact = by_openvino(path)
    inputs = list(random_inputs(exact.contract, 1, (64, 96)))
    try:
        rough = by_openvino(path, precision="bf16")
    except BackendError as problem:
        assert "does not compute in bf16" in str(problem)
        pytest.skip("this CPU has no bfloat16")
    off = (rough.run(*inputs) - exact.run(*inputs)).abs().max()
    assert 1e-3 < off < 0.1  # 8 bits of mantissa: 0.4 % of values about 1
    assert (exact.device, rough.device) == ("CPU of OpenVINO, f32", "CPU of OpenVINO, bf16")


SIGNALLED = """
import os, signal, sys
from pathlib import Path
from core.backends.ov import OpenVinoBackend
first, second = (OpenVinoBackend(Path(sys.argv[1]), threads=1) for _ in range(2))
del first
del second
signal.signal(signal.SIGTERM, lambda *_: print("heard"))
os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals")
def test_signals_are_heard_after_backends_of_openvino_have_ended(exported):
    """In the order in which they were opened, which OpenVINO itself does not bear."""
    pytest.importorskip("openvino", reason="needs the extra openvino")
    command = [sys.executable, "-c", SIGNALLED, str(exported("deepfillv2-tiny"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr


def test_devices_of_openvino_carry_their_precision(exported):
    assert split_openvino("") == ("cpu", "f32")
    assert split_openvino("gpu:f16") == ("gpu", "f16")
    for device in ("cpu:int3", "cuda", "cpu:bf16:1"):
        with pytest.raises(BackendError, match=f"OpenVINO has no device '{device}'; it has cpu"):
            split_openvino(device)
    with pytest.raises(BackendError, match="OpenVINO computes in f32, bf16, f16, not in 'int3'"):
        by_openvino(exported("deepfillv2-tiny"), precision="int3")


@RUNTIMES
def test_sizes_that_do_not_fit_are_refused_in_a_sentence(opened, exported):
    backend = opened(exported("deepfillv2-tiny"))
    image, mask, sketch = random_inputs(backend.contract, 1, (32, 32))
    with pytest.raises(BackendError, match=r"run .*\(1, 4, 32, 32\) \(.+\); give it a size"):
        backend.run(image[:, [0, 0, 0, 0]], mask, sketch)


def copied(path, folder):
    for file in path.parent.glob(f"{path.stem}.*"):
        shutil.copy(file, folder)
    return folder / path.name


def restamped(path, text):
    """Other metadata in the file at `path`."""
    model = onnx.load(path)
    model.metadata_props[0].value = text
    onnx.save(model, path)


def changed(path, **facts):
    restamped(path, dataclasses.replace(read_graph(path), **facts).to_json())


SPOILT = {
    "refine.onnx is missing, the part 'refine'": lambda run, refine: refine.unlink(),
    "differ in weights_sha256": lambda run, refine: changed(refine, weights_sha256="0" * 64),
    "differ in precision": lambda run, refine: changed(refine, precision="fp16"),
    "holds the part 'encode', and 'refine' is needed": lambda run, refine: changed(
        refine, part="encode"
    ),
    "holds a whole pipeline; give the graph of the network": lambda run, refine: changed(
        run, kind="pipeline"
    ),
    "holds the part 'refine' alone": lambda run, refine: shutil.copy(refine, run),
    "does not say which network it holds": lambda run, refine: restamped(run, ""),
    "has format 2, newer than 1": lambda run, refine: restamped(run, '{"format": 2}'),
    "damaged or not an ONNX file": lambda run, refine: run.write_bytes(run.read_bytes()[:-900]),
    "no graph at": lambda run, refine: run.unlink(),
}


@pytest.mark.parametrize("message", SPOILT)
def test_a_graph_that_cannot_be_used_is_refused_by_all(message, exported, tmp_path):
    path = copied(exported("deepfillv2-tiny"), tmp_path)
    SPOILT[message](path, path.with_name("deepfillv2-tiny.refine.onnx"))
    for runtime in ("auto", "torch", "onnxruntime"):
        with pytest.raises(BackendError) as caught:
            open_backend(path, "cpu", runtime)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_graph_spoilt_inside_is_refused_by_the_runtime_itself(exported, tmp_path):
    path = copied(exported("deepfillv2-tiny"), tmp_path)
    model = onnx.load(path)
    model.graph.node[3].op_type = "Wrong"
    onnx.save(model, path)
    with pytest.raises(BackendError, match=r"ONNX Runtime does not take .*Wrong.*; export it aga"):
        by_onnxruntime(path)
    with pytest.raises(BackendError, match="OpenVINO does not take"):
        by_openvino(path)


def test_a_session_knows_what_it_runs(exported):
    path = exported("deepfillv2-tiny")
    info = session_info(open_session(path, threads=1), path)
    assert info == read_parts(path)[0]
    assert isinstance(info, GraphInfo)


def test_a_missing_part_for_pictures_is_said(exported, tmp_path):
    path = copied(exported("spade-tiny"), tmp_path)
    changed(path, parts=("run",))
    with pytest.raises(BackendError, match="that encodes a reference picture was not exported"):
        by_onnxruntime(path).encode(torch.zeros(1, 3, 16, 16))


def test_without_its_second_part_a_network_does_not_refine(exported, tmp_path):
    path = copied(exported("deepfillv2-tiny"), tmp_path)
    changed(path, parts=("run",))
    backend = by_onnxruntime(path)
    assert not backend.contract.refines
    size = (120, 120)
    filled = Inpainter(backend, FillOptions(strategy="full"))(
        photo(0, size), hole_of(size, slice(5, 115), slice(5, 115))
    )
    assert filled.isfinite().all()
