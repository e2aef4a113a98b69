"""NVIDIA's own parser and builder, on the CPU: what it takes of ours, and what it must refuse.

Skipped, with the reason, where the compiler, the headers or the library is missing; the help of
`python -m export.parser_check` says how to get them.
"""

from dataclasses import replace
from pathlib import Path

import forms
import onnx
import pytest

from core.engines import Profile
from core.errors import BackendError
from core.graph import part_path, read_graph
from export import parser_check
from export.graph import GraphSettings, export_part, to_bytes
from export.operators import TAKEN, refused
from export.parser_check import CheckConfig, ParserTool, find, main
from tests.exports import tiny

SMALL = Profile(batch=(1, 1, 2), height=(8, 8, 16), width=(8, 8, 16))
NOTHING = CheckConfig(models=())
PRESETS = ("deepfillv2-tiny", "scfegan-tiny", "spade-tiny")


@pytest.fixture(scope="module")
def tool(tmp_path_factory) -> ParserTool:
    try:
        return ParserTool(tmp_path_factory.mktemp("parser"), NOTHING)
    except BackendError as problem:
        pytest.skip(str(problem))


def written(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "form.onnx"
    onnx.save(model, path)
    return path


def test_the_parser_knows_every_operator_of_the_list(tool):
    assert [name for name, known in tool.knows(sorted(TAKEN)).items() if not known] == []
    assert tool.knows(["Col2Im", "ConvInteger", "DynamicQuantizeLinear"]) == {
        "Col2Im": False, "ConvInteger": False, "DynamicQuantizeLinear": False,
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(forms.TAKEN))
def test_the_parser_takes_what_the_list_takes(tool, tmp_path, name):
    verdict = tool.check(written(forms.TAKEN[name](), tmp_path), SMALL)
    assert verdict.built, verdict.text
    assert verdict.bytes > 0


@pytest.mark.parametrize("name", sorted(forms.REFUSED))
def test_the_parser_refuses_what_the_list_refuses(tool, tmp_path, name):
    model = forms.REFUSED[name]()
    assert refused(model)
    verdict = tool.check(written(model, tmp_path), SMALL)
    assert not verdict.built, verdict.text
    assert verdict.parsed == (name == "bf16_transposed")  # that one is left to the builder
    assert verdict.text.startswith("REFUSED by the ")


@pytest.mark.parametrize("preset", PRESETS)
def test_every_part_of_a_network_is_parsed_and_built(tool, exported, preset):
    path = exported(preset)
    for part in read_graph(path).parts:
        verdict = tool.check(part_path(path, part))
        assert verdict.built, verdict.text
        assert verdict.layers > 50  # as many as there are operators, not an empty network


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_the_lower_precisions_are_parsed_and_built(tool, tmp_path, preset, precision):
    network = tiny(preset)
    path, step = tmp_path / "net.onnx", network.contract.multiple_of
    model = export_part(network, "run", GraphSettings(precision=precision))
    assert refused(model) == []
    path.write_bytes(to_bytes(model))
    sides = (2 * step, 2 * step, 4 * step)
    verdict = tool.check(path, Profile(batch=(1, 1, 2), height=sides, width=sides))
    assert verdict.built, verdict.text


def test_the_command_tells_file_by_file(tool, exported, tmp_path, capsys):
    bad = exported("deepfillv2-tiny").read_bytes()
    model = onnx.load_from_string(bad)
    model.graph.node[-1].op_type = "Col2Im"
    path = tmp_path / "bad.onnx"
    onnx.save(model, path)
    assert main([str(path)]) == 1
    assert f"{path}: REFUSED by the parser: Col2Im" in capsys.readouterr().out


def test_what_is_missing_is_named_with_how_to_get_it(tmp_path, monkeypatch):
    for place in (parser_check.HEADERS, parser_check.CUDA_HEADERS, parser_check.LIBRARY):
        monkeypatch.setenv(place.variable, str(tmp_path))
        with pytest.raises(BackendError) as caught:
            find(place, None)
        assert f"{place.what}: no {place.file} in {tmp_path}; " in str(caught.value)
        assert place.variable in str(caught.value)
        monkeypatch.delenv(place.variable)
        with pytest.raises(BackendError, match="not found"):
            find(replace(place, wheels=("no-such-wheel",)), None)
        (tmp_path / place.file).touch()
        assert find(place, tmp_path) == tmp_path


def test_without_a_compiler_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert main([str(tmp_path / "x.onnx")]) == 1
    assert "no C++ compiler no-such-compiler; install g++" in capsys.readouterr().err


def test_the_libraries_are_linked_by_their_short_names(tmp_path):
    source, folder = tmp_path / "wheel", tmp_path / "made"
    source.mkdir()
    folder.mkdir()
    for name in parser_check.LIBRARIES:
        (source / f"{name}.1.7.1").touch()
    links = parser_check._linked(source, folder)
    assert [link.name for link in links] == [
        "libtensorrt_rtx.so.1", "libtensorrt_onnxparser_rtx.so.1",
    ]  # fmt: skip
    assert links[0].resolve() == source / "libtensorrt_rtx.so.1.7.1"
    (source / "libtensorrt_rtx.so.1.7.1").unlink()
    with pytest.raises(BackendError, match=r"has no libtensorrt_rtx\.so"):
        parser_check._linked(source, folder)
