"""Engines as files: their names, the JSON beside them, and which one is taken."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from core.contract import Contract, Port
from core.engine_lookup import check_here, lookup, lookup_part
from core.engines import BuildOptions, EngineRecord, Machine, Profile, read_record, record_path
from core.errors import BackendError, ConfigError
from core.files import sha256_of, write_json
from core.graph import GraphInfo

HERE = Machine(
    gpu="NVIDIA L4",
    capability="89",
    driver="580.1",
    cuda="13.0",
    tensorrt="11.1.0.1",
    platform="linux-x86_64",
)
THERE = replace(HERE, gpu="NVIDIA H100", capability="90")
PROFILE = Profile(batch=(1, 1, 8), height=(256, 512, 1024), width=(256, 512, 768))
CONTRACT = Contract((Port("image", 3), Port("mask", 1)), Port("filled", 3), multiple_of=8)
INFO = GraphInfo(
    kind="generator",
    contract=CONTRACT,
    architecture="deepfillv2",
    weights_sha256="ab" * 32,
    precision="fp16",
    opset=18,
)
RECORD = EngineRecord(
    model="photos",
    onnx_sha256="0123456789" + "0" * 54,
    machine=HERE,
    profile=PROFILE,
    options=BuildOptions(),
    info=INFO,
)


def store(folder: Path, record: EngineRecord) -> Path:
    path = folder / record.name
    path.write_bytes(b"plan")
    write_json(record_path(path), record.to_dict())
    return path


@pytest.fixture
def onnx(tmp_path):
    path = tmp_path / "photos.onnx"
    path.write_bytes(b"a graph")
    return path


def test_the_name_says_what_an_engine_is_tied_to():
    assert RECORD.name == (
        "photos.0123456789.sm89.trt11.1.0.1.fp16.b1-1-8_h256-512-1024_w256-512-768.engine"
    )
    every = BuildOptions(version_compatible=True, hardware_compatible=True, stripped=True)
    assert replace(RECORD, options=every).name.endswith("_w256-512-768.vc.hc.stripped.engine")


def test_a_record_comes_back_from_its_file(tmp_path):
    record = replace(RECORD, seconds=1.5, plan_sha256="cd" * 32, plan_bytes=7)
    assert read_record(store(tmp_path, record)) == record


def test_the_file_beside_an_engine_names_gpu_driver_and_versions(tmp_path):
    values = json.loads(record_path(store(tmp_path, RECORD)).read_text())
    assert values["machine"] == {
        "gpu": "NVIDIA L4",
        "capability": "89",
        "driver": "580.1",
        "cuda": "13.0",
        "tensorrt": "11.1.0.1",
        "platform": "linux-x86_64",
    }
    assert values["profile"]["height"] == [256, 512, 1024]
    assert values["info"]["precision"] == "fp16"


@pytest.mark.parametrize(
    ("span", "wrong"), [((0, 1, 1), "0, 1, 1"), ((2, 1, 8), "2, 1, 8"), ((1, 4, 3), "1, 4, 3")]
)
def test_a_profile_must_rise_from_one(span, wrong):
    with pytest.raises(ConfigError, match=f"batch is {wrong}"):
        Profile(batch=span, height=(8, 8, 8), width=(8, 8, 8))


def test_a_profile_outside_the_contract_is_refused():
    PROFILE.check(256)
    with pytest.raises(ConfigError, match="side 256; this network takes multiples of 96"):
        PROFILE.check(96)


def test_an_engine_runs_where_it_was_built_and_a_new_driver_does_not_matter():
    assert RECORD.differences(HERE) == []
    assert RECORD.differences(replace(HERE, driver="590.2", cuda="13.1")) == []


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        (THERE, "its GPU is NVIDIA L4 (sm89), here NVIDIA H100 (sm90)"),
        (replace(HERE, gpu="NVIDIA L40"), "its GPU is NVIDIA L4 (sm89), here NVIDIA L40 (sm89)"),
        (replace(HERE, tensorrt="11.2.0.3"), "its TensorRT is 11.1.0.1, here 11.2.0.3"),
        (replace(HERE, platform="win32-amd64"), "its platform is linux-x86_64, here win32-amd64"),
    ],
)
def test_an_engine_of_another_machine_says_what_differs(machine, said):
    assert RECORD.differences(machine) == [said]


@pytest.mark.parametrize(
    ("options", "machine", "runs"),
    [
        ({"hardware_compatible": True}, THERE, True),
        ({"hardware_compatible": True}, replace(HERE, gpu="NVIDIA T4", capability="75"), False),
        ({"hardware_compatible": True}, replace(HERE, capability="120"), True),
        ({"hardware_compatible": True}, replace(HERE, tensorrt="11.2.0.3"), False),
        ({"version_compatible": True}, replace(HERE, tensorrt="11.10.0.3"), True),
        ({"version_compatible": True}, replace(HERE, tensorrt="11.0.9.9"), False),
        ({"version_compatible": True}, THERE, False),
        ({"stripped": True}, THERE, False),
    ],
)
def test_a_compatible_engine_runs_on_what_it_was_built_for(options, machine, runs):
    record = replace(RECORD, options=BuildOptions(**options))
    assert (record.differences(machine) == []) == runs


def test_the_engine_of_this_machine_is_found_among_others(tmp_path, onnx):
    ours = replace(RECORD, onnx_sha256=sha256_of(onnx))
    store(tmp_path, replace(ours, machine=THERE))
    store(tmp_path, replace(ours, machine=replace(HERE, tensorrt="11.0.0.1")))
    store(tmp_path, replace(ours, onnx_sha256="f" * 64))
    store(tmp_path, replace(ours, model="photos.refine"))
    right = store(tmp_path, ours)
    assert lookup(onnx, tmp_path, HERE) == right


def test_of_several_engines_the_largest_profile_is_taken_and_ours_before_a_compatible_one(
    tmp_path, onnx
):
    ours = replace(RECORD, onnx_sha256=sha256_of(onnx))
    small = Profile(batch=(1, 1, 1), height=(256, 512, 512), width=(256, 512, 512))
    compatible = replace(ours, machine=THERE, options=BuildOptions(hardware_compatible=True))
    theirs = store(tmp_path, compatible)
    assert lookup(onnx, tmp_path, HERE) == theirs
    store(tmp_path, replace(ours, profile=small))
    assert lookup(onnx, tmp_path, HERE).name.startswith(f"photos.{ours.onnx_sha256[:10]}.sm89.")
    large = store(tmp_path, ours)
    assert lookup(onnx, tmp_path, HERE) == large


def test_without_an_engine_the_command_that_builds_one_is_said(tmp_path, onnx):
    with pytest.raises(BackendError) as caught:
        lookup(onnx, tmp_path, HERE)
    said = str(caught.value)
    assert "no engine of photos.onnx for this machine (NVIDIA L4 (sm89), TensorRT 11.1.0.1" in said
    assert f"`python -m export.trt {onnx} -o {tmp_path}`" in said


def test_an_engine_of_another_gpu_and_graph_is_not_tried_but_explained(tmp_path, onnx):
    options = BuildOptions(tf32=False, builder_level=5, stripped=True)
    store(tmp_path, replace(RECORD, machine=THERE, options=options))
    with pytest.raises(BackendError) as caught:
        lookup(onnx, tmp_path, HERE)
    said = str(caught.value)
    assert "it was built of another photos.onnx" in said
    assert "its GPU is NVIDIA H100 (sm90), here NVIDIA L4 (sm89)" in said
    assert said.endswith(
        f"-o {tmp_path} --min 256x256 --opt 512x512 --max 1024x768 --batch 1,1,8 "
        "--strip-weights --no-tf32 --builder-level 5`"
    )


def test_an_engine_given_by_name_is_checked_too(tmp_path):
    path = store(tmp_path, RECORD)
    check_here(path, RECORD, HERE)
    with pytest.raises(BackendError, match=r"does not run on this machine: its GPU is .* build it"):
        check_here(path, RECORD, THERE)


def test_the_part_beside_an_engine_is_found_with_the_same_profile_first(tmp_path):
    path = store(tmp_path, RECORD)
    with pytest.raises(BackendError, match=r"no engine of photos\.refine\.onnx"):
        lookup_part(path, RECORD, "refine", HERE)
    larger = Profile(batch=(1, 1, 16), height=(256, 512, 2048), width=(256, 512, 2048))
    refine = replace(RECORD, model="photos.refine")
    store(tmp_path, replace(refine, profile=larger))
    same = store(tmp_path, refine)
    assert lookup_part(path, RECORD, "refine", HERE) == same


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"),
        ("{}", "damaged or of another version"),
        ('{"format": 99}', "newer than 1"),
        ('{"format": 1, "machine": 3}', "damaged or of another version"),
    ],
)
def test_a_damaged_record_is_one_sentence(tmp_path, text, said):
    path = tmp_path / "photos.x.engine"
    record_path(path).write_text(text)
    with pytest.raises(BackendError, match=said):
        read_record(path)


def test_an_engine_without_its_record_is_one_sentence(tmp_path):
    with pytest.raises(BackendError, match=r"gone\.json.*cannot be read"):
        read_record(tmp_path / "gone.engine")
