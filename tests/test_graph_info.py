"""What a graph says of itself, read from files that the onnx package wrote."""

import dataclasses
import json

import numpy as np
import pytest

from core.__main__ import main
from core.config import PRESETS
from core.errors import BackendError
from core.graph import METADATA_KEY, GraphInfo, part_path, read_graph, read_metadata
from core.registry import contract_of

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")

INFO = GraphInfo(
    kind="generator",
    contract=contract_of(PRESETS["spade-tiny"]),
    architecture="spade",
    weights_sha256="ab" * 32,
    part="run",
    parts=("run", "encode"),
    precision="fp16",
    opset=18,
    versions={"torch": "2.13.0"},
    about={"trained on": "streets"},
    settings={"chunks": 4},
)


def model(**properties):
    """A small graph with metadata; `numbers` makes it large enough for lengths of three bytes."""
    numbers = onnx.numpy_helper.from_array(np.arange(9000.0), "numbers")
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.DOUBLE, [9000])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.DOUBLE, [9000])
    node = onnx.helper.make_node("Add", ["x", "numbers"], ["y"])
    graph = onnx.helper.make_graph([node], "small", [value], [out], [numbers])
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    for key, text in properties.items():
        made.metadata_props.add(key=key, value=text)
    return made


def write(path, **properties):
    onnx.save(model(**properties), path)
    return path


def test_info_comes_back_from_a_file_as_it_went_in(tmp_path):
    path = write(tmp_path / "a.onnx", other="thing", **{METADATA_KEY: INFO.to_json()})
    assert read_graph(path) == INFO
    assert read_graph(path).contract.port("style").encoded


def test_the_same_facts_give_the_same_line():
    again = dataclasses.replace(INFO, versions=dict(INFO.versions))
    assert again.to_json() == INFO.to_json()
    assert "\n" not in INFO.to_json()


@pytest.mark.parametrize("text", ["", "x", "é" * 200, "long " * 50000])
def test_metadata_is_read_as_the_onnx_package_reads_it(text, tmp_path):
    path = write(tmp_path / "a.onnx", first=text, second="2", **{"": "no key"})
    theirs = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert read_metadata(path) == theirs
    assert theirs["first"] == text


def test_a_file_cut_anywhere_is_refused(tmp_path):
    whole = write(tmp_path / "a.onnx", **{METADATA_KEY: INFO.to_json()}).read_bytes()
    path = tmp_path / "cut.onnx"
    for length in [*range(40), *range(40, len(whole), 997), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(BackendError, match="is damaged or not an ONNX"):
            read_graph(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x89PNG\r\n\x1a\n" + bytes(100), b"hello\n" * 20, bytes(50), b"\xff" * 50],
    ids=["empty", "picture", "text", "zeros", "ones"],
)
def test_what_is_no_onnx_file_is_refused(content, tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(content)
    with pytest.raises(BackendError, match=r"is damaged or not an ONNX file .*; export it again"):
        read_graph(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "does not say which network it holds"),
        ("no JSON", "does not say which network it holds"),
        ("[1]", "does not say which network it holds"),
        ('{"format": 99}', "has format 99, newer than 1"),
        ('{"format": 1}', r"has metadata of another version \('contract'\)"),
    ],
)
def test_a_foreign_or_newer_graph_is_refused(text, message, tmp_path):
    path = write(tmp_path / "a.onnx", **({METADATA_KEY: text} if text else {}))
    with pytest.raises(BackendError, match=f"a.onnx {message}"):
        read_graph(path)


def test_facts_of_a_later_version_are_refused():
    values = {**json.loads(INFO.to_json()), "colour": "blue"}
    with pytest.raises(BackendError, match=r"another version \(.*'colour'.*\); export it again"):
        GraphInfo.from_json(json.dumps(values))


def test_a_missing_file_says_what_makes_one(tmp_path):
    with pytest.raises(BackendError, match=r"no graph at .*a.onnx; `python -m export.onnx`"):
        read_graph(tmp_path / "a.onnx")


def test_parts_lie_beside_each_other(tmp_path):
    assert part_path(tmp_path / "v1.2.onnx", "run") == tmp_path / "v1.2.onnx"
    assert part_path(tmp_path / "v1.2.onnx", "refine") == tmp_path / "v1.2.refine.onnx"


def test_info_says_what_a_graph_is(tmp_path, capsys):
    path = write(tmp_path / "a.onnx", **{METADATA_KEY: INFO.to_json()})
    assert main(["info", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "architecture  spade",
        "graph         part 'run' of run, encode",
        "precision     fp16, opset 18",
    ]
    assert "weights       " + "ab" * 32 in lines
    assert "settings      chunks=4" in lines
    assert "trained on    streets" in lines
    assert "   8  #400080  car" in lines
    assert main(["info", "--json", str(path)]) == 0
    assert capsys.readouterr().out == INFO.to_json() + "\n"
    assert main(["info", str(tmp_path / "b.onnx")]) == 1
    assert "error: no graph at" in capsys.readouterr().err
