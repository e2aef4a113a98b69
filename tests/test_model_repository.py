"""A repository for Triton: its own message definition reads it, and it says what the graph is."""

from dataclasses import replace

import pytest

pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")

import onnx
from handmade import SKETCH, contract_with, write_graphs
from onnx import TensorProto, helper

from core.errors import ConfigError
from export.model_repository import (
    Entry,
    Serving,
    check_config,
    config_text,
    read_signature,
    schema_version,
    write_repository,
)


@pytest.fixture
def graphs(tmp_path):
    write_graphs(tmp_path, contract_with(SKETCH))
    return tmp_path


def parsed(entry, serving=None):
    text = config_text(entry, read_signature(entry.graph), serving or Serving())
    return check_config(text, "config.pbtxt")


def slots(listed):
    from tritonclient.grpc import model_config_pb2

    name_of = model_config_pb2.DataType.Name
    return [(slot.name, name_of(slot.data_type), list(slot.dims)) for slot in listed]


def test_the_network_is_batched_dynamically(graphs):
    config = parsed(Entry(name="net", graph=graphs / "generator.onnx", max_batch=8))
    assert (config.name, config.backend, config.max_batch_size) == ("net", "onnxruntime", 8)
    # The axis of the batch is not among them.
    assert slots(config.input) == [
        ("image", "TYPE_FP32", [3, -1, -1]),
        ("mask", "TYPE_FP32", [1, -1, -1]),
        ("sketch", "TYPE_FP32", [1, -1, -1]),
    ]
    assert slots(config.output) == [("filled", "TYPE_FP32", [3, -1, -1])]
    assert config.HasField("dynamic_batching")
    assert config.dynamic_batching.max_queue_delay_microseconds == 2000


def test_the_pipeline_takes_requests_as_they_come(graphs):
    config = parsed(Entry(name="all", graph=graphs / "pipeline.onnx"))
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")
    assert slots(config.input)[:2] == [
        ("image", "TYPE_UINT8", [-1, 3, -1, -1]),
        ("mask", "TYPE_UINT8", [-1, 1, -1, -1]),
    ]
    assert slots(config.output) == [("completed", "TYPE_UINT8", [-1, 3, -1, -1])]


@pytest.mark.parametrize(("device", "kind"), [("cpu", "KIND_CPU"), ("gpu", "KIND_GPU")])
def test_models_run_where_and_as_often_as_is_said(graphs, device, kind):
    entry = Entry(name="net", graph=graphs / "generator.onnx", max_batch=8)
    config = parsed(entry, Serving(device=device, instances=3))
    (group,) = config.instance_group
    assert group.Kind.Name(group.kind) == kind
    assert group.count == 3
    accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
    found = [(one.name, dict(one.parameters)) for one in accelerators]
    tuned = [("cuda", {"cudnn_conv_algo_search": "HEURISTIC"})]
    assert found == (tuned if device == "gpu" else [])


def test_the_layout_is_what_triton_looks_for(graphs, tmp_path):
    entries = [
        Entry(name="net", graph=graphs / "generator.onnx", max_batch=4),
        Entry(name="net_pipeline", graph=graphs / "pipeline.onnx"),
    ]
    said = write_repository(tmp_path / "models", entries, Serving())
    assert said == schema_version()
    files = {
        p.relative_to(tmp_path / "models").as_posix() for p in (tmp_path / "models").rglob("*")
    }
    assert files == {
        *("net", "net/1", "net/1/model.onnx", "net/config.pbtxt"),
        *("net_pipeline", "net_pipeline/1", "net_pipeline/1/model.onnx"),
        "net_pipeline/config.pbtxt",
    }
    for entry in entries:
        place = tmp_path / "models" / entry.name
        assert (place / "1" / "model.onnx").read_bytes() == entry.graph.read_bytes()
        text = (place / "config.pbtxt").read_text(encoding="utf-8")
        # Triton wants the name of the folder.
        assert check_config(text, "").name == entry.name


def test_the_signature_is_that_which_onnxruntime_sees(graphs):
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(graphs / "pipeline.onnx"), providers=["CPUExecutionProvider"]
    )
    seen = [
        (entry.name, [side if isinstance(side, int) else -1 for side in entry.shape])
        for entry in (*session.get_inputs(), *session.get_outputs())
    ]
    signature = read_signature(graphs / "pipeline.onnx")
    assert [(s.name, list(s.dims)) for s in (*signature.inputs, *signature.outputs)] == seen


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("max_batch_size", "max_batchsize", 'no field named "max_batchsize"'),
        ("TYPE_FP32", "TYPE_FLOAT", "TYPE_FLOAT"),
        ("KIND_CPU", "CPU", "CPU"),
        ("dims: [ 3, -1, -1 ]", "dims: [ 3, h, w ]", "h"),
    ],
)
def test_a_misspelt_field_is_found(graphs, right, wrong, said):
    entry = Entry(name="net", graph=graphs / "generator.onnx", max_batch=8)
    text = config_text(entry, read_signature(entry.graph), Serving())
    with pytest.raises(ConfigError, match="no configuration of Triton") as problem:
        check_config(text.replace(right, wrong), "net/config.pbtxt")
    assert said in str(problem.value)


def test_a_graph_of_one_batch_size_is_not_batched(graphs):
    model = onnx.load(str(graphs / "generator.onnx"))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, str(graphs / "one.onnx"))
    entry = Entry(name="one", graph=graphs / "one.onnx", max_batch=8)
    with pytest.raises(ConfigError, match="fixed batch"):
        parsed(entry)
    assert slots(parsed(replace(entry, max_batch=0)).input)[0][2] == [1, 3, -1, -1]


def test_a_type_that_triton_does_not_know_is_refused(tmp_path):
    x = helper.make_tensor_value_info("x", TensorProto.COMPLEX64, [1])
    y = helper.make_tensor_value_info("y", TensorProto.COMPLEX64, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    onnx.save(helper.make_model(graph), str(tmp_path / "g.onnx"))
    with pytest.raises(ConfigError, match="COMPLEX64"):
        read_signature(tmp_path / "g.onnx")


def test_a_file_system_without_links_gets_copies(graphs, tmp_path):
    """/dev/shm is another file system than the temporary folder wherever both are there."""
    from pathlib import Path

    from export.model_repository import link_or_copy

    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here")
    import tempfile

    with tempfile.TemporaryDirectory(dir=shared) as other:
        target = Path(other) / "model.onnx"
        link_or_copy(graphs / "pipeline.onnx", target)
        assert target.read_bytes() == (graphs / "pipeline.onnx").read_bytes()
        assert not target.samefile(graphs / "pipeline.onnx")
