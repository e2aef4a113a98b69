"""Which files hold networks of ours, told by their heads."""

import shutil

import pytest

from core.errors import WeightsError
from core.model_files import (
    architecture_of,
    bundled_files,
    contract_of_file,
    files_below,
    fills_pictures,
)
from core.weights import BUNDLED, DEFAULT_EDGES, DEFAULT_WEIGHTS, load_weights


def test_the_bundled_files_say_what_they_are():
    found = {path.stem: architecture_of(path) for path in bundled_files()}
    assert found == {
        "deepfillv2-photos": "deepfillv2",
        "edges": "edges",
        "scfegan-faces-small": "scfegan",
        "spade-streets-small": "spade",
    }
    assert not fills_pictures(DEFAULT_EDGES) and fills_pictures(DEFAULT_WEIGHTS)


def test_the_contract_is_that_of_the_network_and_none_is_built():
    assert contract_of_file(DEFAULT_WEIGHTS) == load_weights(DEFAULT_WEIGHTS).contract
    with pytest.raises(WeightsError, match=r"edges\.safetensors is no network that fills pictures"):
        contract_of_file(DEFAULT_EDGES)


def test_files_are_named_by_their_folder_and_others_are_left_out(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    shutil.copy(DEFAULT_EDGES, tmp_path / "deep" / "er" / "lines.safetensors")
    for name in ("graph.onnx", "notes.txt", "plan.engine"):
        (tmp_path / name).write_bytes(b"no network")
    names = {name for name, path in files_below(tmp_path)}
    assert names == {"deep/er/lines.safetensors", "graph.onnx", "plan.engine"}
    assert [architecture_of(tmp_path / name) for name in sorted(names)] == ["edges", "", ""]


def test_a_link_that_leads_back_is_followed_once(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "graph.onnx").write_bytes(b"no network")
    try:
        (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
        (tmp_path / "b").symlink_to(tmp_path / "a", target_is_directory=True)
    except OSError:
        pytest.skip("no links can be made here")
    assert [name for name, path in files_below(tmp_path)] == ["a/graph.onnx"]


def test_a_file_that_changed_is_looked_at_again(tmp_path):
    path = tmp_path / "a.safetensors"
    assert architecture_of(path) == ""
    shutil.copy(DEFAULT_EDGES, path)
    assert architecture_of(path) == "edges"
    shutil.copy(BUNDLED / "scfegan-faces-small.safetensors", path)
    assert architecture_of(path) == "scfegan"


def test_a_graph_says_its_contract(exported):
    path = exported("deepfillv2-tiny")
    assert architecture_of(path) == "deepfillv2"
    assert [port.name for port in contract_of_file(path).inputs][:2] == ["image", "mask"]
