"""Weights files: what goes in comes out, and everything else is refused in one sentence."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from core.config import PRESETS, DeepFillConfig
from core.contract import Contract
from core.errors import ConfigError, WeightsError
from core.registry import ARCHITECTURES, build_generator, config_from_dict, config_to_dict
from core.weights import DEFAULT_WEIGHTS, METADATA_KEY, load_weights, read_info, save_weights


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return build_generator(PRESETS["deepfillv2-tiny"])


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_goes_through_a_file_and_back(name, tmp_path):
    preset = PRESETS[name]  # the widest have a hundred million numbers
    generator = build_generator(replace(preset, width=min(preset.width, 32)))
    path = tmp_path / "w.safetensors"
    save_weights(path, generator, about={"steps": 7})
    loaded, info = load_weights(path), read_info(path)
    assert loaded.config == generator.config == info.config
    assert loaded.contract == generator.contract == Contract.from_dict(info.contract)
    assert info.about == {"steps": 7}
    assert info.parameters == sum(x.numel() for x in generator.state_dict().values())
    assert not loaded.training
    state = loaded.state_dict()
    for name, tensor in generator.state_dict().items():
        assert torch.equal(tensor, state[name]) and tensor.dtype == state[name].dtype


def test_half_precision_is_for_the_disk_alone(tiny, tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, tiny, dtype=torch.float16)
    assert read_info(path).dtype == "F16"
    assert {p.dtype for p in load_weights(path).parameters()} == {torch.float32}


def test_the_metadata_is_byte_for_byte_what_it_was(tiny, tmp_path):
    """Files written today must be read for ever: this may gain fields with defaults, no more.

    (The bundled weights were written before some of them.)
    """
    path = tmp_path / "w.safetensors"
    save_weights(path, tiny)
    length = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + length])
    ports = [
        ["image", 3, -1.0, 1.0, False, False],
        ["mask", 1, 0.0, 1.0, True, False],
        ["sketch", 1, 0.0, 1.0, True, True],
        ["filled", 3, -1.0, 1.0, False, False],
    ]
    keys = ("name", "channels", "low", "high", "binary", "optional")
    more = {"kind": "map", "density": 0.5, "labels": [], "palette": [], "encoded": False}
    image, mask, sketch, filled = (dict(zip(keys, port, strict=True)) | more for port in ports)
    assert json.loads(header["__metadata__"][METADATA_KEY]) == {
        "format": 1,
        "architecture": "deepfillv2",
        "config": {
            "width": 8,
            "sketch": True,
            "gate": True,
            "padding": "symmetric",
            "native_size": 256,
            "order": "rgb",
        },
        "contract": {
            "inputs": [image, mask, sketch],
            "output": filled,
            "multiple_of": 8,
            "native_size": 256,
            "refines": True,
            "widest_hole": 0.375,
            "order": "rgb",
        },
        "about": {},
    }


def rewrite(path, *, header=None, tensors=None):
    """The same file with another header, or other tensors."""
    length = int.from_bytes(path.read_bytes()[:8], "little")
    old = json.loads(path.read_bytes()[8 : 8 + length])["__metadata__"][METADATA_KEY]
    metadata = {METADATA_KEY: json.dumps(json.loads(old) | (header or {}))}
    save_file(tensors if tensors is not None else load_file(path), path, metadata=metadata)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda p: p.unlink(), "no weights file at"),
        (lambda p: p.write_bytes(b""), "damaged or not a safetensors file"),
        (lambda p: p.write_bytes(p.read_bytes()[:-100]), "damaged or not a safetensors file"),
        (lambda p: p.write_text("<html>404</html>" * 99), "damaged or not a safetensors file"),
        (lambda p: save_file(load_file(p), p), "does not say which network"),
        (lambda p: rewrite(p, header={"format": 2}), "newer than 1"),
        (lambda p: rewrite(p, header={"architecture": "lama"}), "'lama' is not one of"),
        (lambda p: rewrite(p, header={"config": {"depth": 3}}), "update Gatefill"),
        (lambda p: rewrite(p, header={"config": {"width": 3}}), "width is 3"),
        (lambda p: rewrite(p, header={"config": {"width": 16, "sketch": True}}), "needs"),
        (lambda p: rewrite(p, tensors={"a": torch.zeros(1)}), "1 foreign tensors"),
        (lambda p: rewrite(p, header={"contract": None, "format": "x"}), "damaged metadata"),
    ],
)
def test_what_cannot_be_used_is_refused_with_one_sentence(tiny, tmp_path, damage, says):
    path = tmp_path / "w.safetensors"
    save_weights(path, tiny)
    damage(path)
    with pytest.raises(WeightsError, match=says) as caught:
        load_weights(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_interrupted_write_leaves_the_old_file(tiny, tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    save_weights(path, tiny)
    before = path.read_bytes()

    def full_disk(tensors, path, metadata):
        path.write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("core.weights.save_file", full_disk)
    with pytest.raises(WeightsError, match="No space left"):
        save_weights(path, tiny)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_the_bundled_weights_load_and_say_what_they_are():
    info = read_info(DEFAULT_WEIGHTS)
    assert info.architecture in ARCHITECTURES
    assert info.config.sketch
    assert load_weights(DEFAULT_WEIGHTS).contract == Contract.from_dict(info.contract)


def test_configurations_go_to_json_and_back():
    config = DeepFillConfig(width=24, sketch=True)
    assert config_from_dict("deepfillv2", json.loads(json.dumps(config_to_dict(config)))) == config
    with pytest.raises(ConfigError, match="not one of deepfillv2"):
        config_from_dict("unet", {})


def test_a_contract_knows_its_ports_and_refuses_others():
    contract = build_generator(PRESETS["deepfillv2-tiny"]).contract
    assert Contract.from_dict(json.loads(contract.to_json())) == contract
    assert [port.name for port in contract.guides] == ["sketch"]
    with pytest.raises(ConfigError, match="takes no 'colour'; it takes image, mask, sketch"):
        contract.port("colour")
    with pytest.raises(ConfigError, match="not a contract"):
        Contract.from_dict({"inputs": []})
