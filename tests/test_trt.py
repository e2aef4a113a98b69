"""Building and running TensorRT engines, by a stand-in whose names are NVIDIA's (fake_tensorrt).

The stand-in runs the ONNX file that an engine was built of on the buffers that it is given by
address, so results are real numbers; what only a GPU can show is in the test marked `gpu`.
"""

import importlib.util
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import fake_tensorrt as fake
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from core.backends import open_backend, trt_module
from core.backends.cuda import Cuda
from core.backends.ort import OrtBackend
from core.backends.trt import TrtBackend, find_engine, open_trt
from core.contract import Contract, Port
from core.engines import read_record, record_path
from core.errors import BackendError, ConfigError
from core.graph import METADATA_KEY, GraphInfo, part_path
from core.parts import parts_of, ports_of
from export.build_progress import Bars, monitor_of
from export.trt import TrtConfig, build_engines, main, trtexec_text

CONTRACT = Contract(
    inputs=(
        Port("image", 3, -1.0),
        Port("mask", 1, binary=True),
        Port("style", 4, kind="vector", encoded=True),
    ),
    output=Port("filled", 3, -1.0),
    multiple_of=8,
    refines=True,
)
SMALL = ("--min", "8x8", "--opt", "16x24", "--max", "32x32", "--batch", "1,2,3")


def write_part(path: Path, part: str, *, operator: str = "Tanh", size: tuple = ()) -> None:
    """A network of one convolution: tanh(conv(all maps) + the first three of the vector)."""
    ports, output = ports_of(CONTRACT, part)
    maps = [port.name for port in ports if port.kind == "map"]
    channels = sum(port.channels for port in ports if port.kind == "map")
    random = np.random.default_rng(len(part))
    weights = {
        "kernel": random.normal(size=(output.channels, channels, 3, 3)).astype(np.float32),
        "first": np.array([0], np.int64),
        "third": np.array([3], np.int64),
        "channel": np.array([1], np.int64),
        "sides": np.array([2, 3], np.int64),
    }
    nodes = [
        helper.make_node("Concat", maps, ["maps"], axis=1),
        helper.make_node("Conv", ["maps", "kernel"], ["features"], pads=[1, 1, 1, 1]),
    ]
    if part == "encode":
        nodes.append(helper.make_node("GlobalAveragePool", ["features"], ["pooled"]))
        nodes.append(helper.make_node("Squeeze", ["pooled", "sides"], ["moved"]))
    else:
        nodes.append(helper.make_node("Slice", ["style", "first", "third", "channel"], ["three"]))
        nodes.append(helper.make_node("Unsqueeze", ["three", "sides"], ["offset"]))
        nodes.append(helper.make_node("Add", ["features", "offset"], ["moved"]))
    nodes.append(helper.make_node(operator, ["moved"], [output.name], name="last"))
    inputs = [entry(port, size) for port in ports]
    constants = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "part", inputs, [entry(output, size)], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    info = GraphInfo(
        kind="generator", contract=CONTRACT, architecture="test", weights_sha256="ab" * 32,
        part=part, parts=parts_of(CONTRACT), opset=18,
    )  # fmt: skip
    model.metadata_props.add(key=METADATA_KEY, value=info.to_json())
    onnx.save(model, path)


def entry(port: Port, size: tuple) -> onnx.ValueInfoProto:
    batch, *rest = size if len(size) == 3 else ("batch", *size)
    sides = [batch, port.channels, *(rest or ("8*h", "8*w"))]
    shape = sides[:2] if port.kind == "vector" else sides
    return helper.make_tensor_value_info(port.name, TensorProto.FLOAT, shape)


@pytest.fixture
def trt(monkeypatch):
    module = fake.module()
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    for kept in (fake.RECORDING, fake.RUNS, fake.MEETING):
        kept.clear()
    return module


@pytest.fixture
def gpu():
    return fake.Host()


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "net.onnx"
    for part in parts_of(CONTRACT):
        write_part(part_path(path, part), part)
    return path


def config(model: Path, *words: str) -> TrtConfig:
    """What the command makes of its flags."""
    values = dict(zip(words[::2], words[1::2], strict=True))
    named = {key.strip("-"): value for key, value in values.items()}
    return TrtConfig(model=model, **named)


def small(model: Path, **others: object) -> TrtConfig:
    return replace(config(model, *SMALL), **others)


def examples(batch: int, height: int, width: int) -> tuple[torch.Tensor, ...]:
    random = torch.Generator().manual_seed(height)
    image = torch.rand(batch, 3, height, width, generator=random) * 2 - 1
    mask = (torch.rand(batch, 1, height, width, generator=random) > 0.5).float()
    return image, mask, torch.rand(batch, 4, generator=random)


def test_the_stand_in_has_nothing_that_the_real_module_has_not():
    assert [name for one in fake.CLASSES for name in fake.outside(one)] == []


def test_a_misspelt_name_of_the_stand_in_would_be_found():
    class IBuilderConfig(fake.Strict):
        def set_flagg(self, flag): ...
        def clear_flag(self, number): ...

    assert fake.outside(IBuilderConfig) == ["IBuilderConfig.set_flagg", "IBuilderConfig.clear_flag"]
    with pytest.raises(AttributeError):
        fake.IBuilderConfig().hardware_compatibility = 1


def test_every_part_runs_as_the_onnx_file_does_at_several_shapes(trt, gpu, model):
    build_engines(small(model), gpu)
    ours, theirs = TrtBackend(model, gpu), OrtBackend(model)
    assert ours.contract == theirs.contract
    assert ours.device == "TensorRT 11.1.0.1 on NVIDIA L4"
    for shape in ((1, 8, 8), (3, 16, 32), (2, 24, 8), (1, 8, 8), (1, 8, 8)):
        inputs = examples(*shape)
        assert torch.equal(ours.run(*inputs), theirs.run(*inputs))
        first = inputs[0].flip(-1)
        assert torch.equal(ours.refine(first, *inputs), theirs.refine(first, *inputs))
        assert torch.equal(ours.encode(first), theirs.encode(first))


def test_an_engine_is_built_strongly_typed_with_the_profile_of_the_contract(trt, gpu, model):
    paths = build_engines(small(model), gpu)
    assert [path.name.split(".sm89")[0].rsplit(".", 1)[0] for path in paths] == [
        "net", "net.refine", "net.encode",
    ]  # fmt: skip
    shapes = trt.Builder._made[1]._config._profiles[0]._shapes
    assert shapes == {
        "first_fill": [[1, 3, 8, 8], [2, 3, 16, 24], [3, 3, 32, 32]],
        "image": [[1, 3, 8, 8], [2, 3, 16, 24], [3, 3, 32, 32]],
        "mask": [[1, 1, 8, 8], [2, 1, 16, 24], [3, 1, 32, 32]],
        "style": [[1, 4], [2, 4], [3, 4]],
    }


def test_the_record_holds_hash_size_and_seconds_of_the_build(trt, gpu, model):
    path = build_engines(small(model), gpu)[0]
    record = read_record(path)
    assert record.plan_bytes == path.stat().st_size
    assert record.machine == gpu.machine("11.1.0.1")
    assert record.seconds >= 0
    assert path.name == record.name
    assert str(path.parent) not in record_path(path).read_text()


@pytest.mark.parametrize("version", ["10.1.0.27", "11.1.0.1"])
def test_all_options_reach_the_builder(monkeypatch, gpu, model, version):
    module = fake.module(version)
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    options = {"version_compatible": True, "hardware_compatible": True, "strip_weights": True}
    options |= {"tf32": False, "builder_level": 5, "workspace": 7}
    path = build_engines(small(model, **options), gpu)[0]
    made = module.Builder._made[0]._config
    assert {flag.name for flag in made._flags} == {
        "VERSION_COMPATIBLE", "STRIP_PLAN", "REFIT_IDENTICAL",
    }  # fmt: skip
    assert made.hardware_compatibility_level is fake.HardwareCompatibilityLevel.AMPERE_PLUS
    assert made.builder_optimization_level == 5
    assert made._pools == {fake.MemoryPoolType.WORKSPACE: 7 * 1024 * 1024}
    assert f".trt{version}.fp32." in path.name
    assert path.name.endswith(".vc.hc.stripped.engine")


def test_without_options_tf32_stays_and_nothing_else_is_set(trt, gpu, model):
    build_engines(small(model), gpu)
    made = trt.Builder._made[0]._config
    assert made._flags == {fake.BuilderFlag.TF32}
    assert made._pools == {}


def test_a_stripped_engine_takes_its_weights_from_the_onnx_file(trt, gpu, model):
    engine = build_engines(small(model, strip_weights=True), gpu)[0]
    inputs = examples(1, 8, 8)
    assert torch.equal(TrtBackend(engine, gpu).run(*inputs), OrtBackend(model).run(*inputs))
    model.unlink()
    with pytest.raises(BackendError, match=r"no weights inside.*put the net\.onnx"):
        TrtBackend(engine, gpu)


def test_a_stripped_engine_in_a_folder_of_its_own_finds_the_file_above(trt, gpu, model):
    engine = build_engines(small(model, strip_weights=True, out=model.parent / "engines"), gpu)[0]
    inputs = examples(1, 8, 8)
    assert torch.equal(TrtBackend(engine, gpu).run(*inputs), OrtBackend(model).run(*inputs))


def test_a_version_compatible_engine_may_run_its_own_code(trt, gpu, model):
    build_engines(small(model, version_compatible=True), gpu)
    inputs = examples(1, 8, 8)
    assert torch.equal(TrtBackend(model, gpu).run(*inputs), OrtBackend(model).run(*inputs))


def test_the_timing_cache_is_read_and_written(trt, gpu, model, tmp_path):
    cache = tmp_path / "timings"
    build_engines(small(model, timing_cache=cache), gpu)
    assert cache.read_bytes() == b"timings:conv;conv;conv;"
    for content in (b"damaged", b"of another version"):
        cache.write_bytes(content)
        with pytest.raises(BackendError, match=r"timing cache .*of another GPU or version"):
            build_engines(small(model, timing_cache=cache, force=True), gpu)


def test_all_errors_of_the_parser_are_in_one_sentence(trt, gpu, model):
    write_part(model, "run", operator="NonZero")
    with pytest.raises(BackendError) as caught:
        build_engines(small(model), gpu)
    assert "cannot parse" in str(caught.value)
    assert "NonZero node_7: checkNode: false" in str(caught.value)
    assert list(model.parent.glob("*.engine")) == []


def test_what_the_builder_logs_is_in_its_error(trt, gpu, model, monkeypatch):
    monkeypatch.setattr(trt.Builder, "_refuses", "Could not find any implementation for node conv")
    with pytest.raises(BackendError, match=r"built no engine of .*Could not find any implement"):
        build_engines(small(model), gpu)
    assert sorted(path.suffix for path in model.parent.iterdir()) == [".onnx"] * 3


def test_the_log_of_the_builder_is_shown_on_demand(trt, gpu, model, capsys):
    build_engines(small(model), gpu)
    assert capsys.readouterr().err == ""
    build_engines(small(model, force=True, verbose=True), gpu)
    assert "[TensorRT I] building" in capsys.readouterr().err


def test_an_interrupted_build_ends_as_interrupted(trt, gpu, model, monkeypatch):
    class Bar:
        n = 0

        def __init__(self, **settings): ...
        def close(self): ...
        def update(self, steps):
            raise KeyboardInterrupt

    monkeypatch.setattr("tqdm.tqdm", Bar)
    with pytest.raises(KeyboardInterrupt):
        build_engines(small(model), gpu)
    assert list(model.parent.glob("*.engine")) == []


def test_progress_follows_the_phases_of_the_builder(trt, monkeypatch):
    shown = []

    class Bar:
        n = 0

        def __init__(self, total, desc, **settings):
            self.said = [desc, total]
            shown.append(self)

        def update(self, steps):
            self.n += steps

        def close(self):
            self.said.append(self.n)

    monkeypatch.setattr("tqdm.tqdm", Bar)
    assert fake.Builder._walk(monitor_of(trt, Bars("net.onnx")))
    assert [bar.said for bar in shown] == [["net.onnx: Building Engine", 2, 2], ["Timing", 3, 3]]


def test_steps_of_the_outermost_phase_are_told_in_lines(trt, gpu, model):
    """Of the engine of each part; without a terminal the bars themselves count nothing."""
    said: list[str] = []
    build_engines(small(model), gpu, said.append)
    assert said[:2] == [f"[{share}%] {model.name}: Building Engine\n" for share in (0, 50)]
    assert len(said) == 6 and [line.split(".")[1] for line in said[2::2]] == ["refine", "encode"]
    bars = Bars("net.onnx", said.append)
    bars.start("Nothing", None, 0)
    bars.start("Inner", "Nothing", 3)
    bars.step("Inner", 0)
    assert len(said) == 6


def test_an_engine_that_exists_needs_force(trt, gpu, model):
    paths = build_engines(small(model), gpu)
    with pytest.raises(ConfigError, match=r"exists; give --force"):
        build_engines(small(model), gpu)
    assert build_engines(small(model, force=True), gpu) == paths


def test_a_full_disk_is_one_sentence_and_leaves_nothing(trt, gpu, model, monkeypatch, tmp_path):
    def full(path, buffer):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("export.trt.write_buffer", full)
    with pytest.raises(ConfigError, match=r"cannot write .*No space left.*another folder by -o"):
        build_engines(small(model, out=tmp_path / "engines"), gpu)
    assert list((tmp_path / "engines").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("min", "12x8"), "side 12; this network takes multiples of 8"),
        (("min", "24x24", "opt", "16x16"), "height is 24, 16, 512"),
        (("batch", "1,8"), "--batch is '1,8'; it must be like 1,1,8"),
        (("max", "big"), "--max is 'big'; it must be like HEIGHTxWIDTH"),
    ],
)
def test_a_profile_that_cannot_be_is_refused_before_anything_is_built(trt, gpu, model, words, said):
    with pytest.raises(ConfigError, match=said):
        build_engines(config(model, *words), gpu)
    assert trt.Builder._made == []


def test_a_graph_of_fixed_size_gives_the_profile_and_takes_no_other(trt, gpu, tmp_path):
    model = tmp_path / "net.onnx"
    for part in parts_of(CONTRACT):
        write_part(part_path(model, part), part, size=(16, 24))
    build_engines(TrtConfig(model=model), gpu)
    shapes = trt.Builder._made[0]._config._profiles[0]._shapes
    assert shapes["image"] == [[1, 3, 16, 24], [1, 3, 16, 24], [8, 3, 16, 24]]
    with pytest.raises(ConfigError, match=r"'image' of the graph is fixed to \?x3x16x24"):
        build_engines(small(model), gpu)


def test_a_graph_without_free_sides_needs_no_profile(trt, gpu, tmp_path):
    model = tmp_path / "net.onnx"
    for part in parts_of(CONTRACT):
        write_part(part_path(model, part), part, size=(2, 16, 24))
    config = TrtConfig(model=model)
    build_engines(config, gpu)
    assert trt.Builder._made[0]._config._profiles == []
    inputs = examples(2, 16, 24)
    assert torch.equal(TrtBackend(model, gpu).run(*inputs), OrtBackend(model).run(*inputs))
    assert "Shapes" not in trtexec_text(config)


def test_a_pipeline_takes_any_size(trt, gpu, tmp_path):
    model = tmp_path / "pipeline.onnx"
    bytes_in = [
        helper.make_tensor_value_info(name, TensorProto.UINT8, ["n", channels, "h", "w"])
        for name, channels in (("image", 3), ("mask", 1))
    ]
    out = helper.make_tensor_value_info("completed", TensorProto.UINT8, ["n", 3, "h", "w"])
    nodes = [
        helper.make_node("Identity", ["image"], ["completed"]),
        helper.make_node("Identity", ["mask"], ["ignored"]),
    ]
    graph = helper.make_graph(nodes, "pipeline", bytes_in, [out])
    model_proto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    )
    info = GraphInfo(
        kind="pipeline", contract=CONTRACT, architecture="test", weights_sha256="ab" * 32,
        parts=parts_of(CONTRACT), opset=18,
    )  # fmt: skip
    model_proto.metadata_props.add(key=METADATA_KEY, value=info.to_json())
    onnx.save(model_proto, model)
    (path,) = build_engines(config(model, "min", "3x5", "opt", "7x7", "max", "9x9"), gpu)
    assert "_h3-7-9_w5-7-9." in path.name
    with pytest.raises(BackendError, match="holds a whole pipeline"):
        TrtBackend(path, gpu)


def test_a_missing_part_is_asked_for(trt, gpu, model):
    part_path(model, "refine").unlink()
    with pytest.raises(BackendError, match=r"net\.refine\.onnx is missing"):
        build_engines(small(model), gpu)


def test_the_chain_takes_tensorrt_first_and_finds_its_folder(trt, gpu, model, monkeypatch):
    paths = build_engines(small(model, out=model.parent / "engines"), gpu)
    monkeypatch.setattr("core.backends.trt.Cuda", lambda device="": gpu)
    assert find_engine(model, model.parent / "engines") == paths[0]
    said: list[str] = []
    backend = open_backend(model, say=said.append)
    assert isinstance(backend, TrtBackend)
    assert "runs by tensorrt" in said[-1]
    assert isinstance(open_backend(paths[0]), TrtBackend)


def test_an_engine_of_another_gpu_is_never_tried(trt, gpu, model):
    path = build_engines(small(model), gpu)[0]
    other = fake.Host("NVIDIA H100", "90")
    for given, said in ((model, r"no engine of net\.onnx"), (path, "engine does not run on this")):
        with pytest.raises(
            BackendError, match=rf"{said}.*GPU is NVIDIA L4 \(sm89\), here NVIDIA H"
        ):
            TrtBackend(given, other)


def test_an_engine_whose_bytes_changed_is_refused(trt, gpu, model):
    path = build_engines(small(model), gpu)[0]
    plan = bytearray(path.read_bytes())
    plan[20] ^= 1
    path.write_bytes(plan)
    with pytest.raises(
        BackendError, match=r"was changed since it was built; build it again by `py"
    ):
        TrtBackend(path, gpu)


def test_shapes_outside_the_profile_say_what_the_engine_takes(trt, gpu, model):
    build_engines(small(model), gpu)
    backend = TrtBackend(model, gpu)
    with pytest.raises(BackendError) as caught:
        backend.run(*examples(1, 40, 8))
    assert "does not take image 1x3x40x8, mask 1x1x40x8, style 1x4" in str(caught.value)
    assert "batches of 1 to 3, heights of 8 to 32" in str(caught.value)
    assert backend.run(*examples(1, 32, 8)).shape == (1, 3, 32, 8)


def test_a_shape_is_captured_the_second_time_and_replayed_from_then_on(trt, gpu, model):
    build_engines(small(model), gpu)
    backend = TrtBackend(model, gpu)
    theirs = OrtBackend(model)
    for number, captures in enumerate([0, 1, 1, 1]):
        inputs = [x * (number + 1) / 4 for x in examples(1, 8, 8)]
        assert torch.equal(backend.run(*inputs), theirs.run(*inputs))
        assert gpu.captures == captures
    backend.run(*examples(1, 16, 8))
    assert gpu.captures == 1
    assert len(fake.RUNS) == 5


def test_without_graphs_nothing_is_captured(trt, gpu, model):
    build_engines(small(model), gpu)
    backend = TrtBackend(model, gpu, graphs=False)
    for _ in range(3):
        backend.run(*examples(1, 8, 8))
    assert gpu.captures == 0


def test_where_no_graph_can_be_captured_it_is_said_and_the_engine_runs_on(trt, gpu, model, caplog):
    build_engines(small(model), gpu)
    gpu.fails_to_capture = True
    backend, inputs = TrtBackend(model, gpu), examples(1, 8, 8)
    found = [backend.run(*inputs) for _ in range(4)]
    assert torch.equal(found[3], OrtBackend(model).run(*inputs))
    assert caplog.text.count("no CUDA graph could be captured") == 1


def test_buffers_and_contexts_are_made_once_for_a_shape_and_bounded_in_number(trt, gpu, model):
    build_engines(small(model), gpu)
    backend = TrtBackend(model, gpu)
    engine = backend._runners["run"].engine
    for _ in range(3):
        backend.run(*examples(1, 8, 8))
    assert engine._contexts == 1
    for height in (8, 16, 24, 32):
        for width in (8, 16, 24):
            backend.run(*examples(1, height, width))
    (lane,) = backend._runners["run"]._idle.queue
    assert len(lane.ready) == 8
    assert engine._contexts == 12


def call_at_once(backend: TrtBackend, theirs: OrtBackend, callers: int) -> list[bool]:
    """Whether each of several threads gets what ONNX Runtime gives, call by call."""
    found: list[bool] = []

    def calls(number):
        for height in (8, 16, 8, 8):
            inputs = [x * (number + 1) / 4 for x in examples(1, height, 8)]
            found.append(torch.equal(backend.run(*inputs), theirs.run(*inputs)))

    threads = [threading.Thread(target=calls, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def test_two_callers_run_at_the_same_time(trt, gpu, model):
    build_engines(small(model), gpu)
    # Every run waits for one of the other thread, or the barrier breaks and the test fails.
    fake.MEETING.append(threading.Barrier(2))
    backend = TrtBackend(model, gpu, lanes=2)
    assert call_at_once(backend, OrtBackend(model), 2) == [True] * 8


def test_more_callers_than_lanes_wait_for_one(trt, gpu, model):
    build_engines(small(model), gpu)
    inside, most, lock = [0], [0], threading.Lock()

    def linger(timeout):
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.01)
        with lock:
            inside[0] -= 1

    fake.MEETING.append(SimpleNamespace(wait=linger))
    backend = TrtBackend(model, gpu, lanes=2)
    assert call_at_once(backend, OrtBackend(model), 5) == [True] * 20
    assert most == [2]


def test_results_are_not_overwritten_by_the_next_call(trt, gpu, model):
    build_engines(small(model), gpu)
    backend = TrtBackend(model, gpu)
    first = backend.run(*examples(1, 8, 8))
    kept = first.clone()
    backend.run(*[x * 0 for x in examples(1, 8, 8)])
    assert torch.equal(first, kept)


def test_weights_of_another_export_do_not_go_with_an_engine(trt, gpu, model):
    build_engines(small(model), gpu)
    refine = next(model.parent.glob("net.refine.*.json"))
    refine.write_text(refine.read_text().replace("ab" * 32, "cd" * 32))
    with pytest.raises(BackendError, match="differ in weights_sha256"):
        TrtBackend(model, gpu)


def test_without_tensorrt_the_command_says_what_to_install(model, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main([str(model), *SMALL]) == 1
    assert "TensorRT is not installed; get it by `pip install tensorrt-cu13`" in (
        capsys.readouterr().err
    )
    for ask in (lambda: open_trt(model), lambda: find_engine(model, model.parent)):
        with pytest.raises(BackendError, match="TensorRT is not installed"):
            ask()


def test_a_version_that_is_too_old_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__="10.0.1"))
    with pytest.raises(BackendError, match=r"TensorRT 10\.0\.1 is too old; get 10\.1"):
        trt_module.load_tensorrt()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_the_command_says_so(trt, model, capsys):
    assert main([str(model), *SMALL]) == 1
    assert "TensorRT needs a GPU of NVIDIA" in capsys.readouterr().err
    with pytest.raises(BackendError, match="not on 'cpu'"):
        Cuda("cpu")


def test_the_command_of_trtexec_needs_neither_tensorrt_nor_a_gpu(model, capsys):
    assert main([str(model), *SMALL, "--print-trtexec", "--no-tf32", "--workspace", "9"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "trtexec 11 measures with CUDA graphs" in lines[0]
    assert lines[2] == (
        f"trtexec --onnx={model} --saveEngine={model.parent}/net.engine --stronglyTyped "
        "--minShapes=image:1x3x8x8,mask:1x1x8x8,style:1x4 "
        "--optShapes=image:2x3x16x24,mask:2x1x16x24,style:2x4 "
        "--maxShapes=image:3x3x32x32,mask:3x1x32x32,style:3x4 "
        "--builderOptimizationLevel=3 --skipInference --noTF32 --memPoolSize=workspace:9"
    )
    assert "--onnx=" + str(part_path(model, "encode")) in lines[4]
    assert "picture:1x3x8x8" in lines[4]


def test_a_compatible_stripped_engine_is_asked_of_trtexec_too(model):
    options = {"version_compatible": True, "hardware_compatible": True, "strip_weights": True}
    text = trtexec_text(small(model, **options))
    for flag in ("--versionCompatible", "--hardwareCompatibilityLevel=ampere+", "--stripWeights"):
        assert flag in text


def test_a_foreign_graph_is_one_sentence(trt, tmp_path, capsys):
    (tmp_path / "x.onnx").write_bytes(b"\x00 no graph")
    for name in ("x.onnx", "gone.onnx"):
        assert main([str(tmp_path / name)]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "damaged" in said[0]
    assert "no graph at" in said[1]


@pytest.mark.gpu
def test_the_real_tensorrt_agrees_with_onnx_runtime(tmp_path):
    pytest.importorskip("tensorrt", reason="TensorRT is not installed: pip install tensorrt-cu13")
    model = tmp_path / "net.onnx"
    for part in parts_of(CONTRACT):
        write_part(part_path(model, part), part)
    build_engines(small(model, tf32=False))
    backend, theirs = open_trt(model), OrtBackend(model)
    for shape in ((1, 8, 8), (3, 16, 32), (1, 8, 8), (1, 8, 8)):
        inputs = examples(*shape)
        torch.testing.assert_close(backend.run(*inputs), theirs.run(*inputs), atol=1e-4, rtol=1e-4)
