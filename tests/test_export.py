"""Exported graphs: what they compute, what they say of themselves, and what is refused."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from PIL import Image

from core.config import PRESETS
from core.contract import Port
from core.errors import ConfigError
from core.graph import GraphInfo, part_path, read_graph
from core.layers.spectral import SpectralConv2d
from core.parts import parts_of, ports_of
from core.weights import save_weights
from export.examples import example_inputs
from export.graph import GraphSettings, export_part, stamp, to_bytes
from export.int8 import border_convolutions, calibration_inputs, quantise
from export.onnx import export_files, main, parse_size
from export.verify import LIMITS, Limits, Region, cases, verify_part
from tests.exports import tiny

ROOT = Path(__file__).resolve().parents[1]
PRESET = "deepfillv2-tiny"


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, tiny(PRESET))
    return path


@pytest.fixture(scope="module")
def deepfill(exported) -> Path:
    """A DeepFillv2 by the command itself; the path of the part "run"."""
    return exported(PRESET)


@pytest.fixture(scope="module")
def halved() -> "onnx.ModelProto":
    return export_part(tiny(PRESET), "run", GraphSettings(precision="fp16"))


def session(model) -> "ort.InferenceSession":
    return ort.InferenceSession(to_bytes(model), providers=["CPUExecutionProvider"])


def axes(values) -> dict[str, list]:
    return {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in values
    }


def types_of(model) -> dict[str, int]:
    """Name -> element type of every value that shape inference knows."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    known = {t.name: t.data_type for t in inferred.initializer}
    for value in (*inferred.value_info, *inferred.input, *inferred.output):
        known[value.name] = value.type.tensor_type.elem_type
    return known


# ---- what comes out


def test_every_part_is_a_file_and_the_report_says_how_far_off_it_is(deepfill):
    refine = part_path(deepfill, "refine")
    assert deepfill.is_file() and refine.name == f"{PRESET}.refine.onnx" and refine.is_file()
    report = json.loads(deepfill.with_suffix(".report.json").read_text())
    assert [entry["part"] for entry in report["parts"]] == ["run", "refine"]
    names = {case["case"] for entry in report["parts"] for case in entry["cases"]}
    assert {"odd aspect", "empty mask", "full mask", "smallest size"} <= names
    assert not list(deepfill.parent.glob(".part-*"))


def test_inputs_are_the_ports_of_the_contract_with_free_batch_height_and_width(deepfill):
    graph = onnx.load(str(part_path(deepfill, "refine"))).graph
    assert axes(graph.input) == {
        "first_fill": ["batch", 3, "8*h", "8*w"],
        "image": ["batch", 3, "8*h", "8*w"],
        "mask": ["batch", 1, "8*h", "8*w"],
        "sketch": ["batch", 1, "8*h", "8*w"],
    }
    assert axes(graph.output) == {"filled": ["batch", 3, "8*h", "8*w"]}


def test_the_graph_says_what_it_is(deepfill):
    info = read_graph(deepfill)
    assert info == GraphInfo.from_json(info.to_json())
    assert info.contract == tiny(PRESET).contract
    assert (info.part, info.parts, info.opset) == ("run", ("run", "refine"), 18)
    assert info.about == {"licence": "CC0"} and set(info.versions) >= {"torch", "onnx"}
    import hashlib

    weights = deepfill.with_suffix(".safetensors").read_bytes()
    assert info.weights_sha256 == hashlib.sha256(weights).hexdigest()


def test_the_file_holds_no_path_of_the_machine_it_was_made_on(deepfill):
    content = deepfill.read_bytes()
    for text in (str(ROOT), str(deepfill.parent), "site-packages", sys.prefix, ".py"):
        assert text.encode() not in content


def test_the_same_weights_give_the_same_bytes(exported):
    path = exported("scfegan-tiny")
    again = export_part(tiny("scfegan-tiny"), "run", GraphSettings())
    assert to_bytes(stamp(again, read_graph(path))) == path.read_bytes()


@pytest.mark.parametrize("preset", ["pconv-tiny", "scfegan-tiny", "spade-tiny"])
def test_every_network_exports_by_its_contract_alone(preset, exported):
    """Batch, height and width at the smallest size and at another aspect, all parts."""
    generator = tiny(preset)
    multiple = generator.contract.multiple_of
    for part in parts_of(generator.contract):
        run = ort.InferenceSession(str(part_path(exported(preset), part)))
        ports, _ = ports_of(generator.contract, part)
        for batch, size in ((3, (multiple, 2 * multiple)), (1, (2 * multiple, multiple))):
            inputs = example_inputs(ports, batch, size, seed=3)
            feed = {p.name: x.numpy() for p, x in zip(ports, inputs, strict=True)}
            with torch.inference_mode():
                method = {"run": generator, "encode": generator.encode}[part]
                expected = method(*inputs)
            np.testing.assert_allclose(run.run(None, feed)[0], expected.numpy(), atol=2e-4)


def test_a_fixed_size_and_batch_are_fixed_in_the_graph():
    settings = GraphSettings(size=(16, 24), batch=2)
    graph = export_part(tiny("pconv-tiny"), "run", replace(settings, size=(64, 128))).graph
    assert axes(graph.input)["image"] == [2, 3, 64, 128]
    assert axes(graph.output)["filled"] == [2, 3, 64, 128]


# ---- precision


def test_half_precision_stays_off_the_scores_and_the_softmax(halved):
    types = types_of(halved)
    by_type = {node.op_type: node for node in halved.graph.node}
    assert types[by_type["Conv"].input[0]] == onnx.TensorProto.FLOAT16
    assert types[by_type["Conv"].input[1]] == onnx.TensorProto.FLOAT16
    assert types[by_type["Softmax"].input[0]] == onnx.TensorProto.FLOAT
    for node in halved.graph.node:
        if node.op_type == "MatMul":
            assert {types[name] for name in node.input} == {onnx.TensorProto.FLOAT}
    border = (*halved.graph.input, *halved.graph.output)
    assert {v.type.tensor_type.elem_type for v in border} == {onnx.TensorProto.FLOAT}


def test_half_precision_is_near_and_yet_not_the_same(halved):
    generator, run = tiny(PRESET), session(halved)
    names = [port.name for port in generator.contract.inputs]
    report = verify_part(
        generator, "run", generator.contract, GraphSettings(precision="fp16"),
        lambda inputs: torch.from_numpy(
            run.run(None, {n: x.numpy() for n, x in zip(names, inputs, strict=True)})[0]
        ),
    )  # fmt: skip
    assert report["passed"]
    assert max(case["hole"]["mean"] for case in report["cases"]) > 1e-4


def test_bfloat16_needs_the_operators_that_know_it():
    assert GraphSettings(precision="bf16").set_of_operators == 22
    with pytest.raises(ConfigError, match="opset 18 with the precision bf16; it must be from 22"):
        GraphSettings(precision="bf16", opset=18)
    with pytest.raises(ConfigError, match="opset 99"):
        GraphSettings(opset=99)


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    """Weights of an SC-FEGAN, whose one part is exported quickly."""
    path = tmp_path_factory.mktemp("faces") / "faces.safetensors"
    save_weights(path, tiny("scfegan-tiny"))
    return path


def test_bfloat16_runs_and_agrees(tmp_path, faces):
    weights = faces
    out = tmp_path / "bf16.onnx"
    done = export_files(weights, out, GraphSettings(precision="bf16"))
    model = onnx.load(str(out))
    assert model.opset_import[0].version == 22
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Conv":
            assert kinds[node.input[1]] == onnx.TensorProto.BFLOAT16
        if node.op_type == "ConvTranspose":  # TensorRT has none in bfloat16
            assert kinds[node.input[1]] == onnx.TensorProto.FLOAT
    assert all(report["passed"] for report in done.reports)


# ---- int8


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for number in range(2):
        small = random.integers(0, 256, (8, 9, 3), dtype=np.uint8)
        Image.fromarray(small).resize((72, 64), Image.Resampling.BICUBIC).save(
            folder / f"{number}.png"
        )
    return folder


@pytest.fixture(scope="module")
def quantised(deepfill, pictures, tmp_path_factory) -> "onnx.ModelProto":
    file = tmp_path_factory.mktemp("int8") / "int8.onnx"
    file.write_bytes(deepfill.read_bytes())
    generator = tiny(PRESET)
    given = calibration_inputs(generator, generator.contract, pictures)["run"]
    names = [port.name for port in generator.contract.inputs]
    feeds = [{n: x.numpy() for n, x in zip(names, one, strict=True)} for one in given]
    assert len(feeds) >= 4  # two holes in each of two pictures
    quantise(file, feeds)
    assert read_graph(file) == read_graph(deepfill)
    return onnx.load(str(file))


def test_int8_is_symmetric_and_has_no_int32_bias(quantised):
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in quantised.graph.initializer}
    nodes = [n for n in quantised.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert nodes
    for node in nodes:
        zero = tensors[node.input[2]]
        assert zero.dtype == np.int8 and not zero.any()
        if node.input[0] in tensors:
            assert tensors[node.input[0]].dtype == np.int8


def test_int8_leaves_attention_and_the_convolutions_at_the_border_float(quantised):
    produced = {name: node for node in quantised.graph.node for name in node.output}
    borders = border_convolutions(quantised)
    # The first of coarse, conv and match branch read 6 and 3 channels; two stages write 3.
    shapes = {t.name: tuple(t.dims) for t in quantised.graph.initializer}
    kernels = {
        node.name: shapes[node.input[1]]
        for node in quantised.graph.node
        if node.op_type == "Conv" and node.input[1] in shapes
    }
    pictures = [n for n, kernel in kernels.items() if kernel[1] in (3, 6) or kernel[0] == 3]
    assert len(pictures) == 5 and set(pictures) <= set(borders)
    quantised_convolutions = 0
    for node in quantised.graph.node:
        feeders = [produced[name].op_type for name in node.input if name in produced]
        if node.op_type == "Conv":
            quantised_convolutions += "DequantizeLinear" in feeders
            assert ("DequantizeLinear" in feeders) == (node.name not in borders)
        elif node.op_type in ("MatMul", "Softmax"):
            assert "DequantizeLinear" not in feeders
    assert quantised_convolutions > 15


def test_int8_without_pictures_is_refused_before_anything_is_exported(tmp_path, weights, capsys):
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out.onnx"
    assert main([str(weights), "-o", str(out), "--int8", str(tmp_path / "empty")]) == 1
    assert "no pictures in" in capsys.readouterr().err
    assert main([str(weights), "-o", str(out), "--int8", str(tmp_path / "nowhere")]) == 1
    assert "no folder of pictures at" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


# ---- verification


def test_the_error_of_a_region_by_hand():
    region = Region.of(torch.tensor([0.0, -3.0, 0.5, 0.5]))
    assert (region.mean, region.worst, region.off) == (1.0, 3.0, 0.25)
    # Mean square 9.5 / 4: 10 log10(65025 / 2.375).
    assert region.psnr == pytest.approx(44.3741, abs=1e-3)
    assert Region.of(torch.zeros(0)) == Region(0.0, 0.0, 0.0, None)
    assert Region.of(torch.tensor([float("nan")])).worst == float("inf")
    assert region.within(Limits(1.0, 3.0, 0.25))
    for tighter in (Limits(0.9, 3.0, 0.25), Limits(1.0, 2.9, 0.25), Limits(1.0, 3.0, 0.2)):
        assert not region.within(tighter)


def test_cases_are_off_the_trace_and_cover_empty_full_and_border_masks():
    contract = tiny(PRESET).contract
    found = {case.name: case for case in cases(contract, GraphSettings())}
    assert found["smallest size"].size == (8, 8)
    assert not found["empty mask"].mask.any() and found["full mask"].mask.all()
    assert found["hole at the border"].mask[0, 0, 0, 0] == 1
    three = found["batch of three, each with its own mask"].mask
    assert len({tuple(one.flatten().tolist()) for one in three}) == 3
    # The trace has 3 x 5 multiples and a batch of two.
    assert (24, 40) not in {case.size for case in found.values()}


def test_a_graph_of_other_weights_is_found_and_not_kept(tmp_path, faces, monkeypatch, capsys):
    """The graph that is verified is one one of whose biases was shifted."""
    import export.onnx as command

    honest = command.export_part

    def shifted(generator, part, settings):
        model = honest(generator, part, settings)
        biases = [t for t in model.graph.initializer if list(t.dims) == [3]]
        value = onnx.numpy_helper.to_array(biases[-1]) + np.float32(0.1)
        biases[-1].CopyFrom(onnx.numpy_helper.from_array(value, biases[-1].name))
        return model

    monkeypatch.setattr(command, "export_part", shifted)
    out = tmp_path / "out.onnx"
    assert main([str(faces), "-o", str(out)]) == 1
    assert "too far off from PyTorch" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["out.report.json"]


@pytest.mark.parametrize("bias", [True, False])
def test_a_spectral_convolution_merges_into_a_plain_one(bias):
    torch.manual_seed(0)
    layer = SpectralConv2d(3, 5, 3, stride=2, padding=1, bias=bias).eval()
    plain = layer.merged()
    x = torch.randn(2, 3, 8, 9)
    assert type(plain) is torch.nn.Conv2d and (plain.bias is None) != bias
    torch.testing.assert_close(plain(x), layer(x))
    largest = torch.linalg.matrix_norm(plain.weight.detach().flatten(1), 2)
    # One power iteration finds no more than the largest singular value.
    assert 1 - 1e-6 <= largest.item() < 1.5


def test_limits_grow_with_the_roughness_of_the_precision():
    found = [LIMITS[name] for name in ("fp32", "fp16", "bf16", "int8")]
    assert found == sorted(found, key=lambda x: (x.mean, x.worst, x.off))


# ---- what is refused


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["-o", "out.safetensors"], "needs a name that ends in .onnx"),
        (["-o", "out.onnx", "--size", "20x24"], "both sides must be multiples of 8"),
        (["-o", "out.onnx", "--batch", "0"], "the batch is 0; it must be at least 1"),
        (["-o", "out.onnx", "--precision", "bf16", "--opset", "18"], "it must be from 22"),
        (["-o", "out.onnx", "--int8", "x", "--precision", "fp16"], "int8 starts from fp32"),
        (["-o", "out.onnx", "--int8", "x", "--size", "64"], "leave --size and --batch out"),
    ],
)
def test_settings_that_cannot_work_get_a_sentence(
    flags, sentence, weights, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main([str(weights), *flags]) == 1
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_only_replaced_by_force(deepfill, weights, capsys):
    before = deepfill.read_bytes()
    assert main([str(weights), "-o", str(deepfill)]) == 1
    assert "is there already; name another file, or give --force" in capsys.readouterr().err
    assert deepfill.read_bytes() == before


def test_a_full_disk_leaves_nothing_behind(faces, tmp_path):
    """A limit on the size of files stands for it: the system's error is of the same kind."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000));"
        "from export.onnx import main; sys.exit(main(sys.argv[1:]))"
    )
    pytest.importorskip("resource", reason="limits on files are POSIX")
    done = subprocess.run(
        [sys.executable, "-c", code, str(faces), "-o", str(tmp_path / "out.onnx")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "cannot write" in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_sizes_are_height_by_width():
    assert parse_size("512x768") == (512, 768)
    assert parse_size("256") == (256, 256)


def test_examples_keep_to_the_ports():
    ports = (
        Port("image", 3, -1.0, 1.0),
        Port("mask", 1, binary=True),
        Port("semantic", 4, binary=True, kind="labels", labels=("a", "b", "c", "d")),
        Port("noise", 1, binary=True, kind="noise", density=0.159),
        Port("style", 5, -4.0, 4.0, kind="vector"),
    )
    image, mask, semantic, noise, style = example_inputs(ports, 2, (40, 56), seed=0)
    assert image.shape == (2, 3, 40, 56) and image.min() < 0 and image.max() <= 1
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(semantic.sum(dim=1), torch.ones(2, 40, 56))
    assert noise.mean().item() == pytest.approx(0.159, abs=0.02)
    assert style.shape == (2, 5)
    assert PRESETS
