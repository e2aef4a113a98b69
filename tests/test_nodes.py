"""What holds for every node of the pack: how it is described, and that its ids never change."""

import asyncio
import builtins
import importlib
import inspect
import io
import json
import re
import shutil
from pathlib import Path

import pytest
from packs import contract_of

CONTRACTS = json.loads(
    (Path(__file__).parent / "data" / "node_contracts.json").read_text(encoding="utf-8")
)
"""Written by tests/scripts/write_node_contracts.py."""
SPEAK_FOR_THEMSELVES = {"model", "image"}
"""Sockets that need no tooltip."""

every_node = pytest.mark.parametrize("name", sorted(CONTRACTS))


def test_the_contracts_are_those_of_all_nodes(pack):
    assert set(pack.nodes) == set(CONTRACTS), "run tests/scripts/write_node_contracts.py"


@every_node
def test_ids_types_defaults_and_choices_are_those_that_workflows_rely_on(pack, name):
    found = contract_of(pack.schema(name))
    expected = CONTRACTS[name]
    assert json.loads(json.dumps(found)) == expected
    # Widget values are saved by their order.
    assert list(found["inputs"]) == list(expected["inputs"])


@every_node
def test_a_node_says_what_it_is(pack, name):
    schema = pack.schema(name)
    assert re.fullmatch("Gatefill[A-Z][A-Za-z]+", schema.node_id)
    assert schema.display_name.endswith(" (Gatefill)")
    assert schema.category.split("/")[:2] == ["inpaint", "gatefill"]
    assert len(schema.description) > 20 and schema.description.endswith(".")
    aliases = schema.search_aliases
    assert len(aliases) >= 2 and len(set(aliases)) == len(aliases)
    assert all(alias == alias.lower() for alias in aliases)


@every_node
def test_every_input_has_a_tooltip_that_is_a_sentence(pack, name):
    for slot in pack.schema(name).inputs:
        if slot.id in SPEAK_FOR_THEMSELVES and not slot.given.get("tooltip"):
            continue
        assert slot.tooltip and slot.tooltip[-1] in ".)", slot.id


@every_node
def test_outputs_have_names_of_their_own(pack, name):
    names = [slot.given["display_name"] for slot in pack.schema(name).outputs]
    assert all(names) and len(set(names)) == len(names)


@every_node
def test_execute_takes_the_inputs_of_the_schema(pack, name):
    slots = {slot.id: slot for slot in pack.schema(name).inputs}
    found = inspect.signature(pack.nodes[name].execute).parameters
    rest = [x.name for x in found.values() if x.kind is inspect.Parameter.VAR_KEYWORD]
    named = {key: x for key, x in found.items() if key not in rest}
    assert set(named) <= set(slots)
    assert rest or set(named) == set(slots)
    for key, parameter in named.items():
        # One that is not connected is not given at all.
        assert (parameter.default is not inspect.Parameter.empty) == slots[key].optional, key
    assert not [key for key, slot in slots.items() if key not in named and slot.optional]


@every_node
def test_a_fingerprint_accepts_every_input(pack, name):
    """Otherwise ComfyUI runs the node again each time, with a warning in the log."""
    own = getattr(pack.nodes[name], "fingerprint_inputs", None)
    if own is None:
        return
    inspect.signature(own).bind(**{slot.id: None for slot in pack.schema(name).inputs})


@every_node
def test_validation_switches_no_other_check_off(pack, name):
    """An input that it names has no range check any more, and with **kwargs none has."""
    own = getattr(pack.nodes[name], "validate_inputs", None)
    if own is None:
        return
    found = inspect.signature(own).parameters.values()
    assert not any(x.kind is inspect.Parameter.VAR_KEYWORD for x in found)
    numbers = {x.id for x in pack.schema(name).inputs if x.get_io_type() in ("INT", "FLOAT")}
    assert not numbers & {x.name for x in found}


@every_node
def test_defaults_are_among_what_the_widget_takes(pack, name):
    for slot in pack.schema(name).inputs:
        given = slot.given
        default = given.get("default")
        if "options" in given:
            assert default is None or default in given["options"], slot.id
        elif "min" in given:
            assert given["min"] <= default <= given["max"], slot.id


@every_node
def test_a_schema_reads_no_file_twice(pack, name, monkeypatch):
    """ComfyUI asks for it at every validation and run."""
    shutil.copy(pack.core("weights").DEFAULT_EDGES, pack.models() / "edges.safetensors")
    (pack.models() / "foreign.onnx").write_bytes(b"no graph")
    pack.schema(name)

    def refuse(*args, **kwargs):
        raise AssertionError(f"a schema opens {args[0]}")

    for module in (builtins, io):
        monkeypatch.setattr(module, "open", refuse)
    monkeypatch.setattr(pack.core("weights"), "safe_open", refuse)
    pack.schema(name)


@pytest.mark.parametrize(
    "line",
    [
        "io.Int.Input('x', shape=1)",
        "io.Mask.Input('x', default=1)",
        "io.Schema('x', has_intermediate_output=True)",
        "io.Range",
        "io.Hidden.comfy_usage_source",
        "ui.PreviewText('x', cls=None)",
        "ui.PreviewImage()",
        "management.load_models_gpu([], memory=1)",
        "management.load_models",
    ],
)
def test_the_stand_in_has_only_what_comfyui_has(pack, line):
    latest = pack.comfy.by_name["comfy_api.latest"]
    management = pack.comfy.by_name["comfy.model_management"]
    with pytest.raises((TypeError, AttributeError)):
        eval(line, {"io": latest.io, "ui": latest.ui, "management": management})


def test_a_renamed_node_is_told_to_comfyui(pack, monkeypatch):
    """None has been renamed yet; the first one only needs a line in REPLACED."""
    api = importlib.import_module("comfy_api.latest")
    nodes = importlib.import_module(f"{pack.name}.nodes")
    old = api.io.NodeReplace(
        new_node_id="GatefillInpaint", old_node_id="GatefillFill", old_widget_ids=["seed"],
        input_mapping=[{"new_id": "image", "old_id": "picture"}],
        output_mapping=[{"new_idx": 0, "old_idx": 0}],
    )  # fmt: skip
    told = [old, *nodes.REPLACED]
    monkeypatch.setattr(nodes, "REPLACED", told)
    pack.comfy.replaced.clear()
    asyncio.run(pack.extension.on_load())
    assert pack.comfy.replaced == told
    for replacement in told:
        assert replacement.new_node_id in pack.nodes
        assert replacement.old_node_id not in pack.nodes
