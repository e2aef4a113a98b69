"""The graph of the whole pipeline against the pipeline itself, run by ONNX Runtime and OpenVINO."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.backends.eager import TorchBackend
from core.backends.ov import openvino_core
from core.config import PRESETS
from core.contract import Contract, Port
from core.errors import ConfigError
from core.graph import GraphInfo, read_graph
from core.models.base import Generator
from core.pipeline import FillOptions, Inpainter
from core.registry import build_generator
from core.single import canvas_of
from core.weights import load_weights, save_weights
from export.graph import GraphSettings, to_bytes
from export.operators import refused
from export.pipeline import PipelineSettings, main, worst, write_pipeline
from export.pipeline_graph import Pipeline, export_pipeline, pipeline_ports, stored_in_half
from export.pipeline_verify import CASES, case_inputs, completed, verify_pipeline

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

SIZE = 32
FEATHER = 3


class EveryKind(Generator):
    """Two convolutions of everything that a port can hold."""

    contract = Contract(
        inputs=(
            Port("image", 3, -1.0, 1.0),
            Port("mask", 1, binary=True),
            Port("sketch", 1, binary=True, optional=True),
            Port("color", 3, -1.0, 1.0, optional=True),
            Port("semantic", 4, binary=True, kind="labels", labels=("a", "b", "c")),
            Port("instances", 1, binary=True, optional=True, kind="instances"),
            Port("noise", 1, binary=True, kind="noise", density=0.2),
            Port("style", 5, -4.0, 4.0, optional=True, kind="vector", encoded=True),
            Port("shift", 2, -4.0, 4.0, kind="vector"),
        ),
        output=Port("filled", 3, -1.0, 1.0),
        multiple_of=8,
        native_size=SIZE,
        order="bgr",
    )

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.out = nn.Conv2d(14, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)
        self.vectors, self.styles = nn.Linear(7, 8), nn.Linear(3, 5)

    def forward(self, image: Tensor, *rest: Tensor) -> Tensor:
        *maps, style, shift = rest
        known = image * (1 - maps[0])
        vector = self.vectors(torch.cat([style, shift], dim=1))[..., None, None]
        x = self.maps(torch.cat([known, *maps], dim=1)) + vector
        return self.out(x.relu()).tanh()

    def encode(self, picture: Tensor) -> Tensor:
        return self.styles(picture.mean((2, 3)))


def lively(network: Any) -> Any:
    """With weights by seed that are large enough for every input to be seen in the bytes."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            fan_in = parameter[0].numel() if parameter.dim() > 1 else 100
            parameter.normal_(std=2 / fan_in**0.5)
    return network.eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny.safetensors, tiny.onnx and its report."""
    folder = tmp_path_factory.mktemp("pipeline")
    weights = folder / "tiny.safetensors"
    network = lively(build_generator(PRESETS["deepfillv2-tiny"]))
    save_weights(weights, network, about={"made by": "a test"})
    settings = PipelineSettings(size=SIZE, feather=FEATHER)
    assert write_pipeline(weights, folder / "tiny.onnx", settings)["passed"]
    return folder


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The graph of `EveryKind`."""
    generator = lively(EveryKind())
    canvas = PipelineSettings(grow=2).canvas(generator)
    file = tmp_path_factory.mktemp("every") / "every.onnx"
    file.write_bytes(to_bytes(export_pipeline(generator, canvas, GraphSettings())))
    return file


def run_graph(file: Path, *inputs: Tensor) -> Tensor:
    session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    feed = {name: x.numpy() for name, x in zip(names, inputs, strict=True)}
    return torch.from_numpy(session.run(None, feed)[0])


def bytes_of(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def test_the_graph_and_the_pipeline_give_the_same_bytes(folder):
    """Written out here by the public classes alone."""
    image, sketch = bytes_of(2, 3, 111, 83), torch.zeros(2, 1, 111, 83, dtype=torch.uint8)
    mask = torch.zeros_like(sketch)
    mask[0, :, 30:70, 20:60], mask[0, :, 90:95, 5:9], mask[1, :, 100:, 60:] = 128, 255, 200
    mask[:, :, 2, :] = 127  # not a hole
    sketch[:, :, 50, :] = 255
    backend = TorchBackend(load_weights(folder / "tiny.safetensors"))
    backend.contract = replace(backend.contract, native_size=SIZE)
    inpainter = Inpainter(backend, FillOptions(strategy="single", feather=FEATHER))
    wanted = inpainter(image / 255, (mask > 127).float(), sketch=(sketch > 127).float())
    got = run_graph(folder / "tiny.onnx", image, mask, sketch)
    difference = (got.float() - (wanted * 255).round()).abs()
    assert difference.max() <= 1 and (difference > 0).float().mean() <= 1e-3
    assert (got != image).any(1)[0, 30:70, 20:60].float().mean() > 0.9
    assert torch.equal(got[:, :, :27], image[:, :, :27])  # 3 pixels of seam above the hole


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 5), (200, 31)])
def test_any_size_is_taken_and_an_empty_mask_changes_nothing(folder, size):
    image, none = bytes_of(1, 3, *size), torch.zeros(1, 1, *size, dtype=torch.uint8)
    assert torch.equal(run_graph(folder / "tiny.onnx", image, none, none), image)
    full = run_graph(folder / "tiny.onnx", image, torch.full_like(none, 255), none)
    assert full.shape == image.shape and full.dtype == torch.uint8


def test_the_report_covers_the_awkward_cases(folder):
    report = json.loads((folder / "tiny.report.json").read_text())["parts"][0]
    assert report["passed"] and len(report["cases"]) == len(CASES)
    names = " ".join(case["case"] for case in report["cases"])
    for word in ("batch", "border", "empty", "full", "one pixel", "many"):
        assert word in names
    assert all(case["touched"] == 0 and case["changed"]["worst"] <= 1 for case in report["cases"])


def test_the_file_says_all_that_a_host_needs(folder):
    info = read_graph(folder / "tiny.onnx")
    assert (info.kind, info.architecture, info.precision) == ("pipeline", "deepfillv2", "fp32")
    assert info.about == {"made by": "a test"}
    assert info.settings["size"] == SIZE and info.settings["feather"] == FEATHER
    assert info.settings["set_above"] == 127
    assert info.settings["inputs"] == ["image", "mask", "sketch"]
    contract = load_weights(folder / "tiny.safetensors").contract
    assert info.contract == contract
    canvas = canvas_of(replace(contract, native_size=SIZE), context=0.75, feather=FEATHER)
    assert {name: info.settings[name] for name in vars(canvas)} == vars(canvas)


def test_batch_height_and_width_are_free_and_no_path_is_in_the_file(folder, every):
    for file in (folder / "tiny.onnx", every):
        model = onnx.load(str(file))
        for entry in (*model.graph.input, *model.graph.output):
            dims = entry.type.tensor_type.shape.dim
            free = [dim.dim_param for dim in dims if not dim.HasField("dim_value")]
            assert free == ["batch", "height", "width"][: 3 if len(dims) == 4 else 1]
        data = file.read_bytes()
        for word in (b".py", b"site-packages", str(Path(__file__).parents[1]).encode()):
            assert word not in data


def test_tensorrt_takes_every_operator(folder, every):
    for file in (folder / "tiny.onnx", every):
        assert refused(onnx.load(str(file))) == []


def test_every_kind_of_guide_comes_through(every):
    generator = lively(EveryKind())
    canvas = PipelineSettings(grow=2).canvas(generator)
    report = verify_pipeline(generator, canvas, lambda x: run_graph(every, *x), exact=True)
    assert report["passed"], worst(report)
    ports = pipeline_ports(generator.contract)
    assert [port.name for port in ports[2:]] == [
        *("sketch", "color", "semantic", "instances", "shift")
    ]
    # Each is seen in the result: without it the bytes are others.
    inputs = case_inputs(ports, CASES[0])
    done = run_graph(every, *inputs)
    for i in range(2, len(ports)):
        without = [torch.zeros_like(x) if k == i else x for k, x in enumerate(inputs)]
        assert not torch.equal(run_graph(every, *without), done), ports[i].name


def test_numbers_of_things_are_whole_however_large(every):
    """2^24 and 2^24 + 1 are one number as floats of 32 bits, and an edge as whole ones."""
    ports = pipeline_ports(EveryKind.contract)
    inputs = case_inputs(ports, CASES[0])
    things = [port.name for port in ports].index("instances")
    inputs[things][:] = 1 << 24
    flat = run_graph(every, *inputs)
    inputs[things][..., 150:] += 1
    assert not torch.equal(run_graph(every, *inputs), flat)


@pytest.mark.parametrize("name", ["scfegan-tiny", "pconv-tiny"])
def test_every_network_goes_through_the_module_that_is_exported(name):
    """In PyTorch, off the trace: the graph is traced from this very module."""
    generator = lively(build_generator(PRESETS[name]))
    canvas = PipelineSettings(size=SIZE).canvas(generator)
    contract = replace(generator.contract, native_size=canvas.size)
    module = Pipeline(generator, contract, canvas, GraphSettings()).eval()
    with torch.inference_mode():
        report = verify_pipeline(
            generator, canvas, lambda inputs: module(*inputs), exact=True, cases=CASES[:4]
        )
    assert report["passed"], worst(report)


def test_guides_that_may_be_left_out_are_left_out():
    contract: Contract = build_generator(PRESETS["scfegan-tiny"]).contract
    names = [port.name for port in pipeline_ports(contract)]
    assert names == ["image", "mask", "sketch", "color"]
    few = [port.name for port in pipeline_ports(contract, optional=False)]
    assert few == ["image", "mask"]
    needed = [port.name for port in pipeline_ports(EveryKind.contract, optional=False)]
    assert needed == ["image", "mask", "semantic", "shift"]


def test_weights_stored_in_half_are_computed_with_in_full(folder):
    file = folder / "tiny.onnx"
    model = stored_in_half(onnx.load(str(file)))
    half = folder / "half.onnx"
    onnx.save(model, str(half))
    half_type = onnx.TensorProto.FLOAT16
    stored = [tensor for tensor in model.graph.initializer if tensor.data_type == half_type]
    assert stored and half.stat().st_size < 0.8 * file.stat().st_size
    casts = [node for node in model.graph.node if node.input and node.input[0].endswith("_half")]
    assert {node.op_type for node in casts} == {"Cast"} and len(casts) == len(stored)
    # The rounding of weights to 11 bits is seen, and no more than that.
    inputs = case_inputs(pipeline_ports(read_graph(file).contract), CASES[0])
    difference = (run_graph(file, *inputs).float() - run_graph(half, *inputs).float()).abs()
    assert 0 < difference.max() <= 3


def test_a_graph_that_is_off_is_found(folder):
    generator = load_weights(folder / "tiny.safetensors")
    canvas = PipelineSettings(size=SIZE, feather=FEATHER).canvas(generator)
    contract = replace(generator.contract, native_size=SIZE)
    ports = pipeline_ports(contract)

    def check(change: Any) -> dict[str, Any]:
        def run(inputs: list[Tensor]) -> Tensor:
            return change(completed(generator, contract, canvas, ports, inputs), inputs)

        return verify_pipeline(generator, canvas, run, exact=True, cases=CASES[:2])

    assert check(lambda done, inputs: done)["passed"]
    unfilled = check(lambda done, inputs: inputs[0])
    assert not unfilled["passed"] and "bytes differ" in worst(unfilled)

    def one_known_byte(done: Tensor, inputs: list[Tensor]) -> Tensor:
        done = done.clone()
        done[0, 0, 0, 0] ^= 1
        return done

    assert not check(one_known_byte)["passed"]

    def two_levels(done: Tensor, inputs: list[Tensor]) -> Tensor:
        hole = inputs[1] > 127
        row, column = (int(i) for i in hole[0, 0].nonzero()[0])
        done = done.clone()
        done[0, 0, row, column] = (int(done[0, 0, row, column]) + 128) % 256
        return done

    assert not check(two_levels)["passed"]


def test_openvino_gives_the_same_bytes(folder):
    pytest.importorskip("openvino")
    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = openvino_core().compile_model(str(folder / "tiny.onnx"), "CPU", hints)
    ports = pipeline_ports(load_weights(folder / "tiny.safetensors").contract)
    for case in (CASES[1], CASES[5], CASES[6]):
        inputs = case_inputs(ports, case)
        got = torch.from_numpy(next(iter(compiled([x.numpy() for x in inputs]).values())))
        difference = (got.float() - run_graph(folder / "tiny.onnx", *inputs).float()).abs()
        assert difference.max() <= 1 and (difference > 0).float().mean() <= 1e-3


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--size", "33"], "--size is 33; it must be a multiple of 8"),
        (["--context", "9"], "context is 9.0; it must be from 0 to 8"),
        (["--feather", "-1"], "feather is -1"),
        (["--fp16-storage", "--precision", "fp16"], "leave out one flag"),
        ([], "is there already"),
    ],
)
def test_what_cannot_be_exported_is_a_sentence(folder, flags, sentence, capsys):
    force = ["--force"] if flags else []
    before = (folder / "tiny.onnx").read_bytes()
    argv = [str(folder / "tiny.safetensors"), "-o", str(folder / "tiny.onnx"), *flags, *force]
    assert main(argv) == 1
    assert sentence in capsys.readouterr().err
    assert (folder / "tiny.onnx").read_bytes() == before


def test_other_precisions_than_the_two_are_refused():
    with pytest.raises(ConfigError, match="one of fp32, fp16"):
        PipelineSettings(precision="int8")


def test_the_metadata_is_what_onnx_runtime_gives(folder):
    session = ort.InferenceSession(str(folder / "tiny.onnx"), providers=["CPUExecutionProvider"])
    text = session.get_modelmeta().custom_metadata_map["gatefill"]
    assert GraphInfo.from_json(text) == read_graph(folder / "tiny.onnx")
