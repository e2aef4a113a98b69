"""The benchmark: what it measures is the real thing, and its numbers are those of a calculation."""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from core.config import PRESETS
from core.errors import BackendError, ConfigError
from core.graph import GraphInfo
from core.models.base import Generator
from core.registry import build_generator
from core.weights import load_weights, save_weights
from export.bench import measure, rates
from export.bench.__main__ import main
from export.bench.cases import AGAINST, BASELINE, Case, Subject, cases, pipelines, subjects
from export.bench.measure import (
    KILLED,
    Found,
    check_memory,
    dense_bytes,
    outcome,
    prepare,
    rotated,
    take_turn,
)
from export.bench.paths import (
    bound_case,
    computes_in,
    network_inputs,
    square_hole,
    whole_picture,
)
from export.bench.plot import drawn, write_plot
from export.bench.quality import qualities, quality_row, square
from export.bench.rates import Traffic, machine_rates, network_work
from export.bench.rows import percentile, rows, with_rates
from export.bench.settings import BenchConfig, parsed_size
from export.bench.table import latency_table, milliseconds, quality_line, text
from trainer import evaluate

ROOT = Path(__file__).resolve().parents[1]
MIB = 1 << 20
PRESET = "deepfillv2-tiny"


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    save_weights(path, build_generator(PRESETS[PRESET]))
    return path


def case(runtime: str, model: Path | str, **more) -> Case:
    subject = Subject(name=runtime, runtime=runtime, model=str(model))
    return Case(subject=subject, **{"size": (32, 48), **more})


def found_of(name: str, *turns: list[float], copies: float | None = None, **facts) -> Found:
    """Each turn's CPU seconds are twice its latencies together."""
    about = {"growth": 3 * MIB, "resident": 90 * MIB, "precision": "fp32", "runs_on": "the CPU"}
    found = Found(Case(subject=Subject(name=name, runtime="torch", model=""), size=(64, 96)))
    found.facts = about | facts
    found.turns = [
        {"latencies": turn, "cpu_seconds": 2 * sum(turn), "copies": copies} for turn in turns
    ]
    return found


# What is measured


def test_every_way_computes_the_same_picture(weights, exported):
    """Were one of them measured on other inputs or weights, it would give another picture."""
    graph = exported(PRESET)
    torch.manual_seed(0)
    of_graph = graph.with_suffix(".safetensors")
    of_graph = of_graph if of_graph.is_file() else weights
    expected = bound_case(case("torch", of_graph)).call()
    assert expected.shape == (1, 3, 32, 48)
    for runtime, model, precision, off in (
        ("straightforward", of_graph, "fp32", 1e-5),
        ("torch-bf16", of_graph, "bf16", 0.03),
        ("onnxruntime", graph, "fp32", 1e-4),
        ("openvino", graph, "fp32", 1e-4),
    ):
        if runtime in ("onnxruntime", "openvino"):
            pytest.importorskip(runtime)
        bound = bound_case(case(runtime, model))
        assert (bound.precision, bound.copies) == (precision, None)
        assert (bound.call().float() - expected).abs().max() < off, runtime


def test_half_precision_comes_back_as_the_pipeline_needs_it(weights):
    """And what is measured there is a picture, with the known pixels that it had."""
    one = case("torch-bf16", weights, size=(40, 56), hole=16)
    picture = bound_case(one).call()
    full = bound_case(case("torch", weights, size=(40, 56), hole=16)).call()
    assert picture.dtype == torch.uint8 and picture.shape == (1, 3, 40, 56)
    known = square_hole(1, (40, 56), (16, 16)).expand_as(picture) == 0
    given = whole_picture(one)[0].mul(255).byte()
    assert torch.equal(picture[known], given[known]) and given.unique().numel() > 50
    assert (picture.int() - full.int()).abs().max() <= 3


def test_inputs_are_those_of_the_contract():
    contract = build_generator(PRESETS["scfegan-tiny"]).contract
    inputs = network_inputs(contract, case("torch", "", size=(128, 256), batch=2))
    assert [x.shape for x in inputs] == [(2, port.channels, 128, 256) for port in contract.inputs]
    mask = inputs[[port.name for port in contract.inputs].index("mask")]
    assert mask.sum() == 2 * 64 * 128 and mask[0, 0, 32, 64] == mask[1, 0, 95, 191] == 1
    with pytest.raises(ConfigError, match="100x100 is no size for this network"):
        network_inputs(contract, case("torch", "", size=(100, 100)))


def test_holes_are_in_the_middle_and_no_larger_than_the_picture():
    assert square_hole(1, (4, 6), (2, 2))[0, 0].tolist() == [
        [0, 0, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0],
    ]  # fmt: skip
    assert square_hole(2, (8, 4), (6, 9)).sum() == 2 * 6 * 4


MINE = """
import numpy as np
def grey(image, mask):
    assert image.dtype == mask.dtype == np.float32
    assert image.shape[1] == 3 and mask.shape[1] == 1 and 0 <= image.min() and image.max() <= 1
    return image * (1 - mask) + 0.5 * mask
def small(image, mask):
    return image[..., ::2, ::2]
def broken(image, mask):
    raise ValueError("no licence\\nand more")
"""


def test_a_callable_of_the_user_is_measured_and_its_faults_are_named(tmp_path, monkeypatch):
    (tmp_path / "mine_to_bench.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    filled = bound_case(case(AGAINST, "mine_to_bench:grey", batch=2)).call()
    assert filled.shape == (2, 3, 32, 48) and (filled[..., 16, 24] == 0.5).all()
    with pytest.raises(ConfigError, match=r"shape \(1, 3, 16, 24\) for a picture of \(1, 3, 32"):
        bound_case(case(AGAINST, "mine_to_bench:small"))
    for name in ("mine_to_bench:absent", "absent_to_bench:fill"):
        with pytest.raises(ConfigError, match=f"--against {name} is not there"):
            bound_case(case(AGAINST, name))


def test_what_cannot_run_says_why(weights):
    with pytest.raises(ConfigError, match="no graph was given; name one with --onnx"):
        bound_case(case("onnxruntime", ""))
    with pytest.raises(BackendError, match="a CUDA graph needs the device cuda; this is cpu"):
        bound_case(case("torch-graph", weights))


# Time and memory


def test_the_first_run_is_apart_and_turns_end_by_runs_or_by_seconds(weights):
    facts = prepare(case("torch", weights))
    assert facts["precision"] == "fp32" and facts["runs_on"] == "PyTorch, cpu"
    assert facts["versions"] == {"torch": torch.__version__}
    assert facts["first_seconds"] > 0 and facts["device_growth"] is None
    turn = take_turn(3, 60)
    assert len(turn["latencies"]) == 3 and turn["copies"] is None
    assert min(turn["latencies"]) > 0 and turn["cpu_seconds"] > 0
    started = time.perf_counter()
    assert len(take_turn(10**6, 0.05)["latencies"]) >= 1
    assert time.perf_counter() - started < 5


def test_the_peak_can_be_forgotten():
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("only Linux forgets the peak of a process")
    for size in (96, 32):  # the second peak is lower than the first
        before = measure.reset_peak()
        block = np.ones(size * MIB, np.uint8)
        del block
        assert (size - 4) * MIB < measure.peak_memory() - before < (size + 16) * MIB


KILLED_PARENT = """
import os, sys
from pathlib import Path
from export.bench.measure import one_process
if __name__ == "__main__":
    Path(sys.argv[1]).write_text(str(one_process().submit(os.getpid).result()))
    os._exit(9)
"""


def test_no_process_outlives_the_one_that_started_it(tmp_path):
    psutil = pytest.importorskip("psutil")
    (tmp_path / "killed.py").write_text(KILLED_PARENT)
    # No pipe to read from: the process in question would hold its other end.
    subprocess.run(
        [sys.executable, tmp_path / "killed.py", tmp_path / "number"],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        child = psutil.Process(int((tmp_path / "number").read_text()))
    except psutil.NoSuchProcess:
        return
    _, there = psutil.wait_procs([child], timeout=20)
    for process in there:
        process.kill()
    assert not there


def test_a_killed_process_is_a_reason_and_no_end():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert outcome(pool, os._exit, 9) == {"skipped": KILLED}


def test_a_runtimes_own_error_is_a_reason():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert outcome(pool, int, "x") == {
            "skipped": "ValueError: invalid literal for int() with base 10: 'x'"
        }


def test_what_needs_more_memory_than_is_free_does_not_start(monkeypatch):
    """At 1024 pixels 128 x 128 cells have (128 x 128)^2 scores; seven float32 matrices of them."""
    dense = case(BASELINE, "net", size=(1024, 1024))
    monkeypatch.setattr(measure, "free_memory", lambda: 5 << 30)
    with pytest.raises(BackendError, match="it needs about 7168 MiB, free: 5120 MiB"):
        check_memory(dense)
    check_memory(case("torch", "net", size=(1024, 1024)))
    check_memory(case(BASELINE, "net", size=(2160, 3840), hole=100))  # seven of (50 x 50)^2
    monkeypatch.setattr(measure, "free_memory", lambda: None)
    check_memory(dense)


def test_graphs_need_twice_as_much_for_each_picture(exported):
    """As measured in ONNX Runtime: 13.8 GiB for one picture of 1024 pixels."""
    graph = exported(PRESET)
    assert dense_bytes(case("onnxruntime", graph, size=(1024, 1024))) == 14 << 30
    assert dense_bytes(case("openvino", graph, size=(512, 512), batch=8)) == 7 << 30
    assert dense_bytes(case("openvino", "gone.onnx", size=(512, 512))) == 0
    assert dense_bytes(case(AGAINST, "a:b", size=(512, 512))) == 0


def test_large_cases_do_not_stand_open_together(tmp_path, monkeypatch):
    """One process for each turn; each writes its number when it loads the callable."""
    note = f"import os\nwith open({str(tmp_path / 'note')!r}, 'a') as f: print(os.getpid(), file=f)"
    (tmp_path / "noted_to_bench.py").write_text(f"{note}\n{MINE}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(measure, "free_memory", lambda: 0)
    one = case(AGAINST, "noted_to_bench:grey")
    (found,) = measure.measured([one], rounds=2, runs=6, seconds=60)
    assert [len(turn["latencies"]) for turn in found.turns] == [3, 3]
    assert len(set((tmp_path / "note").read_text().split())) == 2


def test_another_one_begins_in_each_round():
    found = [found_of(name) for name in "abc"]
    order = [[x.case.subject.name for x in rotated(found, number)] for number in range(4)]
    assert order == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]


# Numbers


@pytest.mark.parametrize(("percent", "value"), [(50, 5), (90, 9), (99, 10), (1, 1), (100, 10)])
def test_percentiles_of_ten(percent, value):
    assert percentile([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], percent) == value


def test_rows_by_hand():
    """Ratios are taken within a round: medians 4, 6, 10 against 2, 2, 2 are 2, 3 and 5 times."""
    base = found_of("base", [4.0, 4.0, 8.0], [6.0], [10.0])
    quick = found_of("quick", [1.0, 2.0, 3.0], [2.0], [2.0], copies=0.25)
    absent = Found(base.case, {"skipped": "no such package"})
    nothing, one, two = rows([absent, base, quick])
    assert nothing["skipped"] == "no such package" and "p50" not in nothing
    assert one["to_baseline"] == 1 and one["rounds"] == [4, 6, 10]
    assert two["to_baseline"] == 3 and two["copies"] == 0.25
    assert (two["p50"], two["p90"], two["least"], two["runs"]) == (2, 3, 1, 5)
    assert two["pictures_per_second"] == 5 / 10 and two["cpu_seconds"] == 20 / 5
    quick.case = replace(quick.case, batch=4)
    assert rows([quick])[0]["pictures_per_second"] == 20 / 10


def test_shares_by_hand():
    """10^9 operations in half a second, where 4 10^9 a second are possible: a half."""
    (row,) = rows([found_of("a", [0.5])])
    found = with_rates(row, {"fp32": 4e9, "copy": 1e9}, {"operations": 10**9, "bytes": 10**8})
    assert (found["operations_share"], found["bytes_share"]) == (0.5, 0.2)
    half = with_rates(row | {"precision": "bf16"}, {"bf16": 8e9, "copy": 1e9}, found | {
        "operations": 10**9, "bytes": 10**8,
    })  # fmt: skip
    assert (half["operations_share"], half["bytes_share"]) == (0.25, 0.1)
    assert with_rates(row | {"precision": "int8"}, {"fp32": 1.0}, {"operations": 1}) == row | {
        "precision": "int8"
    }


def test_the_work_of_a_network_is_that_of_its_layers(tmp_path):
    """Counted here layer by layer: two for each number that a weight meets, in each convolution."""
    torch.manual_seed(0)
    network = build_generator(PRESETS["scfegan-tiny"]).eval()
    save_weights(tmp_path / "net.safetensors", network)
    one = case("torch", tmp_path / "net.safetensors", size=(128, 128), batch=2)
    assert network_work(str(tmp_path / "net.safetensors"), one)["operations"] == counted(
        network, network_inputs(network.contract, one)
    )


def counted(network: Generator, inputs: tuple[torch.Tensor, ...]) -> int:
    total = 0

    def count(module: nn.Module, given: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            spread = given[0] if isinstance(module, nn.ConvTranspose2d) else output
            total += 2 * spread.numel() * module.weight[0].numel()

    for module in network.modules():
        module.register_forward_hook(count)
    with torch.inference_mode():
        network(*inputs)
    return total


def test_traffic_by_hand():
    """Two of 48 bytes in and one out; a view moves nothing."""
    a, b = torch.ones(3, 4), torch.ones(3, 4)
    with Traffic() as traffic:
        (a + b).view(4, 3).t()
    assert traffic.total == 3 * 48


def test_rates_are_measured_in_each_precision(monkeypatch):
    monkeypatch.setattr(rates, "SIDES", {"cpu": 64})
    monkeypatch.setattr(rates, "BYTES", {"cpu": MIB})
    found = machine_rates("cpu", 1)
    assert set(found) == {"fp32", "bf16", "fp16", "copy"} and min(found.values()) > 1e6
    monkeypatch.setattr(rates, "best", lambda work, device: 0.5)  # seconds
    found = machine_rates("cpu", 1)
    assert found["bf16"] == 2 * 64**3 / 0.5 and found["copy"] == 2 * MIB / 0.5


@pytest.mark.parametrize(("seconds", "side"), [(1e-4, 1024), (0.2, 256)])
def test_products_grow_no_larger_than_patience_allows(monkeypatch, seconds, side):
    monkeypatch.setattr(rates, "best", lambda work, device: seconds)
    rate = rates.product_rate(torch.float32, torch.device("cpu"), 1024)
    assert rate == 2 * side**3 / seconds


# Tables and picture


def test_the_table_by_hand():
    base = found_of("base", [0.1, 0.1], [0.2])
    base.turns[0]["cpu_seconds"] = base.turns[1]["cpu_seconds"] = 0.15
    found = rows([base, Found(base.case, {"skipped": "no such package"})])
    found[1]["name"] = "other"
    assert list(latency_table(found)) == [
        "| | p50 | p90 | p99 | least | speed | pictures/s | CPU s | growth | peak | runs "
        "| computes in | runs on |\n",
        "| --- |" + 10 * " ---: |" + " --- | --- |\n",
        "| base | 100 | 200 | 200 | 100 | 1.00 | 7.5 | 0.1 | 3 | 90 | 3 | fp32 | the CPU |\n",
        "| other |" + 11 * " |" + " not measured: no such package |\n",
    ]


def test_milliseconds_have_no_exponent():
    seconds = (0.0000123, 0.01234, 0.99951, 12.3456)
    assert [milliseconds(x) for x in seconds] == ["0.0123", "12.3", "1000", "12346"]


def test_copies_and_shares_have_columns_where_they_are_known():
    found = rows([found_of("a", [0.5], copies=0.002)])
    found[0] |= {"operations_share": 0.5, "bytes_share": 1.25}
    head, _, line = latency_table(found)
    assert "| peak | copies ms | of products | of copies | runs |" in head
    assert "| 90 | 2 | 50% | 125% | 1 |" in line


def test_the_picture_shows_what_ran(tmp_path):
    pytest.importorskip("matplotlib")
    absent = Found(found_of("x").case, {"skipped": "no such package"})
    found = rows([found_of("base", [0.1, 0.3]), absent, found_of("quick", [0.05])])
    (axes,) = drawn(found).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["base", "quick"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([100, 50])
    assert [one.get_text() for one in axes.texts] == ["100 ms", "50 ms, 4.00x"]
    assert axes.get_title() == "64x96, batch 1, network"
    write_plot(tmp_path / "out" / "plot.png", found)
    with Image.open(tmp_path / "out" / "plot.png") as picture:
        assert picture.width > 300
    with pytest.raises(ConfigError, match="name another --plot"):
        write_plot(tmp_path / "plot.words", found)


# Quality


def test_quality_is_what_the_evaluation_of_training_finds(tmp_path, weights, capsys):
    """The same pictures, masks and metrics, by another implementation."""
    random = np.random.default_rng(0)
    for number in range(2):
        rough = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        smooth = Image.fromarray(rough).resize((96, 80), Image.Resampling.BICUBIC)
        smooth.save(tmp_path / f"{number}.png")
    side = load_weights(weights).contract.native_size
    flags = ["--data", tmp_path, "--weights", weights, "--size", side, "--seed", 5]
    numbers = tmp_path / "n.json"
    assert evaluate.main([str(x) for x in (*flags, "--json", numbers)]) == 0
    expected = json.loads(numbers.read_text())["means"]["brush"]["net"]
    reference = Subject(name="full", runtime="torch", model=str(weights))
    half = Subject(name="half", runtime="torch-bf16", model=str(weights))
    gone = Subject(name="gone", runtime="onnxruntime", model="gone.onnx")
    found = qualities(reference, [half, gone], tmp_path, None, 5)
    assert found["pictures"] == 2
    full, low, absent = found["rows"]
    assert full["hole_l1"] == pytest.approx(expected["hole_l1"], rel=1e-6)
    assert full["hole_psnr"] == pytest.approx(expected["hole_psnr"], rel=1e-6)
    assert full["hole_l1_difference"] == 0 and full["psnr_to_float32"] is None
    assert 20 < low["psnr_to_float32"] < 100 and low["precision"] == "bf16"
    assert "gone.onnx" in absent["skipped"]
    capsys.readouterr()


def test_the_command_can_measure_quality_alone(tmp_path, weights, capsys):
    """Half precision is no other picture, and no latency is measured with --runs 0."""
    random = np.random.default_rng(1)
    (tmp_path / "photos").mkdir()
    for number in range(2):
        pixels = random.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    flags = ["--weights", weights, "--backends", "torch", "torch-bf16", "--runs", 0, "--limit", 1]
    flags += ["--quality", tmp_path / "photos", "--json", tmp_path / "n.json"]
    assert main([str(x) for x in flags]) == 0
    found = json.loads((tmp_path / "n.json").read_text())
    assert found["results"] == [] and found["quality"]["pictures"] == 1
    full, half = found["quality"]["rows"]
    assert (full["name"], half["name"]) == ("torch, float32", "torch-bf16")
    assert abs(half["hole_l1_difference"]) < 1
    said = capsys.readouterr().out
    assert "### Quality on photographs: 1, with official" in said and "network" not in said


@pytest.mark.parametrize(
    ("runtime", "precision", "expected"),
    [
        ("onnxruntime", "fp16", "fp16"),
        ("openvino", "fp32", "fp32"),
        ("openvino", "fp16", "fp32 (fp16 weights)"),
        ("openvino-bf16", "fp32", "bf16"),
        ("openvino-bf16", "bf16", "bf16"),
        ("openvino", "int8", "int8, fp32"),
        ("openvino-bf16", "int8", "int8, bf16"),
    ],
)
def test_what_graphs_compute_in(runtime, precision, expected):
    """OpenVINO takes what it is told, whatever the graph holds; seen in its results."""
    contract = build_generator(PRESETS[PRESET]).contract
    info = GraphInfo(
        kind="generator", contract=contract, architecture="deepfillv2", weights_sha256="",
        precision=precision, opset=18,
    )  # fmt: skip
    assert computes_in(info, case(runtime, "").subject) == expected


def test_quality_rows_by_hand():
    """Squared errors of 0.01 and 0.0001 are 20 and 40 dB; the mean is 30, not that of the mean."""
    row = quality_row(
        [(0.1, 0.01, 0.001), (0.01, 0.0001, 0.001)], [(0.1, 0.01, 0), (0.03, 0.01, 0)]
    )
    assert row == pytest.approx(
        {
            "hole_l1": 5.5,
            "hole_l1_difference": -1.0,
            "hole_psnr": 30.0,
            "hole_psnr_difference": 10.0,
            "psnr_to_float32": 30.0,
        }
    )
    line = quality_line({"name": "a", "precision": "int8", "runs_on": "the CPU", **row})
    assert line == "| a | 5.500 | -1.000 | 30.000 | +10.000 | 30.0 | int8 | the CPU |\n"


def test_photographs_are_cut_at_their_middle():
    wide = torch.zeros(1, 3, 4, 8)
    wide[..., 2:6] = 1
    assert square(wide, 4).min() == 1
    assert torch.equal(square(torch.full((1, 3, 4, 4), 0.3), 4), torch.full((1, 3, 4, 4), 0.3))


# The command


def test_what_is_compared(tmp_path):
    for name in ("generator.onnx", "net.onnx", "net.int8.onnx", "pipeline.onnx"):
        (tmp_path / name).touch()
    graphs = (tmp_path / "net.onnx", tmp_path / "net.int8.onnx")
    config = BenchConfig(
        backends=("onnxruntime", "straightforward", "openvino-bf16"), onnx=graphs, sizes=(64,),
        batches=(1, 4), pipeline=("1080p",), strategy="single",
        pipeline_onnx=tmp_path / "pipeline.onnx",
        against="mine:fill",
    )  # fmt: skip
    found = subjects(config, Path("w"), 2)
    assert [one.name for one in found] == [
        "straightforward", "onnxruntime", "onnxruntime int8", "openvino-bf16",
        "openvino-bf16 int8", "mine:fill",
    ]  # fmt: skip
    assert [Path(one.model).name for one in found[:4]] == [
        "w",
        "net.onnx",
        "net.int8.onnx",
        "net.onnx",
    ]
    added = pipelines(config, found)[len(found) :]
    assert [one.name for one in added] == [
        "pipeline.onnx, onnxruntime", "pipeline.onnx, openvino-bf16",
    ]  # fmt: skip
    groups = [
        (g[0].size, g[0].batch, g[0].hole, g[0].strategy) for g in cases(config, Path("w"), 2)
    ]
    assert groups == [
        ((64, 64), 1, None, "auto"), ((64, 64), 4, None, "auto"), ((1080, 1920), 1, 300, "single"),
    ]  # fmt: skip
    of_bundle = BenchConfig(bundle=tmp_path, backends=("onnxruntime",))
    assert subjects(of_bundle, Path("w"), 1)[0].model == str(tmp_path / "generator.onnx")
    assert pipelines(of_bundle, [])[-1:] == []


@pytest.mark.parametrize(
    ("words", "size"),
    [("1080p", (1080, 1920)), ("4K", (2160, 3840)), ("480x640", (480, 640))],
)
def test_sizes_of_pictures(words, size):
    assert parsed_size(words) == size


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--sizes", "256", "4"], "--sizes has 4; it must be at least 8"),
        (["--rounds", "0"], "--rounds has 0; it must be at least 1"),
        (["--seconds", "0"], "--seconds is 0.0; it must be more than 0"),
        (["--backends", "torch", "caffe"], "--backends has 'caffe'; it must be of straightforward"),
        (["--against", "mine"], "--against is 'mine'; it must be MODULE:CALLABLE"),
        (["--pipeline", "8K"], "--pipeline has '8K'; it must be 1080p, 4K or as 1080x1920"),
        (["--pipeline", "0x9"], "--pipeline has '0x9'"),
        (["--onnx", "gone.onnx"], "no graph at gone.onnx; `python -m export.onnx` makes one"),
        (["--weights", "gone.safetensors"], "no weights file at gone.safetensors"),
    ],
)
def test_settings_that_cannot_work_are_refused(flags, message, capsys):
    assert main(flags) == 1
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_the_command_measures_in_processes_that_take_turns(tmp_path, weights):
    (tmp_path / "mine_to_bench.py").write_text(MINE)
    numbers, tables = tmp_path / "out" / "n.json", tmp_path / "t.md"
    command = [sys.executable, "-m", "export.bench", "--weights", weights, "--no-rates"]
    command += ["--backends", "straightforward", "onnxruntime", "--sizes", 32, "--batches", 2]
    command += ["--against", "mine_to_bench:broken", "--rounds", 2, "--runs", 4, "--threads", 1]
    command += ["--json", numbers, "--markdown", tables]
    paths = os.pathsep.join((str(tmp_path), str(ROOT)))
    done = subprocess.run(
        [str(x) for x in command], cwd=ROOT, env=os.environ | {"PYTHONPATH": paths},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == tables.read_text()
    found = json.loads(numbers.read_text())
    plain, graph, mine = found["results"]
    assert plain["runs"] == 4 and len(plain["rounds"]) == 2 and plain["batch"] == 2
    assert 0 < plain["least"] <= plain["p50"] <= plain["p99"] < 60
    assert plain["resident"] is None or plain["resident"] > plain["growth"] >= 0
    assert graph["skipped"] == "no graph was given; name one with --onnx or --bundle"
    assert mine["skipped"] == "ValueError: no licence"
    assert found["machine"]["threads"] == 1 and "torch" in found["machine"]["versions"]
    assert "| onnxruntime |" in done.stdout and "not measured: no graph was given" in done.stdout


def test_the_text_names_the_machine():
    machine = {
        "processor": "A processor", "cores": 2, "threads": 1, "system": "Linux 6", "python": "3.12",
        "versions": {"torch": "2.13"}, "card": "",
        "rates": {"fp32": 2e11, "bf16": 1e12, "fp16": 3e9, "copy": 8e9},
    }  # fmt: skip
    written = text(rows([found_of("a", [0.5])]), machine)
    assert "- A processor, 2 cores; Linux 6\n" in written
    assert "operations a second: fp32 0.2, bf16 1, fp16 0.003; copying" in written
    assert "\n### 64x96, batch 1, network\n" in written
