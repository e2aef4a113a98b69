"""The list of operators and forms that TensorRT takes.

What it takes and refuses is what the parser of TensorRT-RTX 1.7 said of the very same graphs
(tests/test_parser_check.py asks it again where it is installed), and NVIDIA's description of uint8.
"""

from pathlib import Path

import forms
import onnx
import pytest
from onnx import helper

from core.errors import BackendError
from core.parts import parts_of
from export.operators import load, main, refused


@pytest.mark.parametrize("name", sorted(forms.TAKEN))
def test_forms_that_the_parser_takes_are_not_refused(name):
    assert refused(forms.TAKEN[name]()) == []


@pytest.mark.parametrize(("name", "said"), sorted(forms.SAID.items()))
def test_forms_that_the_parser_refuses_are_refused_with_a_reason(name, said):
    found = refused(forms.REFUSED[name]())
    assert any(said in sentence for sentence in found), found


@pytest.mark.parametrize("to", ["INT32", "INT64", "BOOL", "BFLOAT16", "INT8"])
def test_bytes_are_cast_to_floats_only(to):
    assert "bytes (uint8) to or from something else" in refused(forms.byte_cast(to))[0]


def test_numbers_of_64_bits_are_refused():
    assert refused(forms.double())[0] == "Cast: numbers of 64 bits (double)"


@pytest.mark.parametrize("operator", ["If", "Loop", "Scan"])
def test_control_flow_is_refused(operator):
    graph = helper.make_graph([], "empty", [], [])
    node = helper.make_node(operator, ["x"], ["y"], body=graph)
    model = forms.model([node], [forms.floats("x")], [forms.floats("y")])
    assert refused(model) == [f"the operator {operator} is not one that TensorRT takes here"]


def test_an_operator_of_another_domain_is_refused():
    node = helper.make_node("FusedConv", ["x"], ["y"], domain="com.microsoft")
    model = forms.model([node], [forms.floats("x")], [forms.floats("y")])
    model.opset_import.add(domain="com.microsoft", version=1)
    assert refused(model) == ["the operator FusedConv is not one that TensorRT takes here"]


def test_an_opset_that_is_too_new_is_refused():
    model = forms.TAKEN["relu"]()
    model.opset_import[0].version = 26
    assert refused(model) == ["the opset is 26; TensorRT reads 9 to 25"]


def test_the_same_reason_is_said_once():
    nodes = [helper.make_node("Col2Im", ["x"], [name]) for name in ("y", "z")]
    assert len(refused(forms.model(nodes, [forms.floats("x")], [forms.floats("y")]))) == 1


@pytest.mark.parametrize("preset", ["deepfillv2-tiny", "spade-tiny"])
def test_every_part_of_an_exported_network_is_taken(exported, preset):
    from core.graph import part_path, read_graph

    path = exported(preset)
    parts = parts_of(read_graph(path).contract)
    assert len(parts) == 2
    for part in parts:
        assert refused(load(part_path(path, part))) == []


def test_the_command_tells_file_by_file(tmp_path, capsys):
    good, bad = tmp_path / "good.onnx", tmp_path / "bad.onnx"
    onnx.save(forms.TAKEN["relu"](), good)
    onnx.save(forms.REFUSED["col2im"](), bad)
    assert main([str(good)]) == 0
    assert main([str(good), str(bad)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == f"{good}: every operator is one that TensorRT takes"
    assert lines[2] == f"{bad}: the operator Col2Im is not one that TensorRT takes here"


def test_a_file_that_is_no_graph_is_one_sentence(tmp_path, capsys):
    path = tmp_path / "x.onnx"
    path.write_bytes(b"\x00 no graph")
    assert main([str(path)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {path} is missing, damaged or not an ONNX")
    with pytest.raises(BackendError):
        load(Path("gone.onnx"))
