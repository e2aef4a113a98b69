"""The pack as ComfyUI holds it: loaded under a name made of its path, its nodes run one by one."""

import asyncio
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from fake_comfy import Modules, NodeOutput, Schema, Slot, installed

HIDDEN = {"unique_id": "7", "prompt": {}, "extra_pnginfo": {}}
"""What nodes get that ask for it."""
ROOT = Path(__file__).resolve().parents[1]


class Locked(type):
    """ComfyUI runs a clone of a node's class that cannot be changed."""

    def __setattr__(cls, name: str, value: Any) -> None:
        raise AttributeError(f"Cannot modify class attribute {name!r}")


class Pack:
    """All nodes by their ids, what is behind them, and the ComfyUI that they believe to be in."""

    def __init__(self, module: ModuleType, comfy: Modules):
        self.comfy, self.name = comfy, module.__name__
        self.module = module
        self.extension = asyncio.run(module.comfy_entrypoint())
        asyncio.run(self.extension.on_load())
        nodes = asyncio.run(self.extension.get_node_list())
        self.nodes = {node.GET_SCHEMA().node_id: node for node in nodes}
        if len(self.nodes) < len(nodes):
            raise ValueError("two nodes have the same id")

    def core(self, name: str) -> ModuleType:
        """A module of the pack's own core ("crop", "masks.drawn"), not that of other tests."""
        return importlib.import_module(f"{self.name}.core.{name}")

    def part(self, name: str) -> ModuleType:
        """A module of the pack's nodes ("loaded")."""
        return importlib.import_module(f"{self.name}.nodes.{name}")

    def schema(self, node_id: str) -> Schema:
        """As ComfyUI asks for it at every validation and run."""
        return self.nodes[node_id].define_schema()

    def models(self) -> Path:
        """The folder models/inpaint."""
        return self.comfy.folder / "models" / "inpaint"

    def run(self, node_id: str, **inputs: Any) -> NodeOutput:
        """What `execute` gives, with the schema's defaults for inputs that are left out.

        As ComfyUI does: refuses values that a widget cannot have, runs without gradients on a
        locked clone, and has the right number of outputs. Its tensors must be as ComfyUI's are.
        """
        schema = self.schema(node_id)
        values = filled_in(schema, inputs)
        hidden = SimpleNamespace(**{x.name: HIDDEN.get(x.name) for x in schema.hidden})
        locked = Locked(node_id, (self.nodes[node_id],), {"hidden": hidden})
        with torch.inference_mode():
            output = locked.execute(**values)
            if inspect.iscoroutine(output):
                output = asyncio.run(output)
        check_output(schema, output, self.comfy.dtype)
        return output


def filled_in(schema: Schema, inputs: dict[str, Any]) -> dict[str, Any]:
    """`inputs` and the defaults of the rest. Raises ValueError for what ComfyUI would refuse."""
    slots = {slot.id: slot for slot in schema.inputs}
    if unknown := set(inputs) - set(slots):
        raise ValueError(f"{schema.node_id} has no input {sorted(unknown)}")
    values = dict(inputs)
    for name, slot in slots.items():
        if name not in values and not slot.optional:
            values[name] = default_of(slot)
        if name in values:
            check_value(slot, values[name])
    return values


def default_of(slot: Slot) -> Any:
    """Of a widget. Raises ValueError for a socket, which has none."""
    default = slot.given.get("default")
    if default is None and "options" in slot.given:
        default = slot.options[0] if slot.options else None
    if default is None:
        raise ValueError(f"required_input_missing: {slot.id}")
    return default


def check_value(slot: Slot, value: Any) -> None:
    """Raise ValueError for a value that a widget cannot have."""
    given = slot.given
    if given.get("options") is not None and value not in given["options"]:
        raise ValueError(f"value_not_in_list: {slot.id}: {value!r} not in {given['options']}")
    if given.get("min") is not None and value < given["min"]:
        raise ValueError(f"value_smaller_than_min: {slot.id}: {value} < {given['min']}")
    if given.get("max") is not None and value > given["max"]:
        raise ValueError(f"value_bigger_than_max: {slot.id}: {value} > {given['max']}")


def check_output(schema: Schema, output: NodeOutput, dtype: torch.dtype) -> None:
    """Assert that each output is what other nodes expect of its type."""
    assert len(output.args) == len(schema.outputs), schema.node_id
    for slot, value in zip(schema.outputs, output.args, strict=True):
        where = f"{schema.node_id}.{slot.given['display_name']}"
        if slot.io_type in ("IMAGE", "MASK"):
            assert value.ndim == (4 if slot.io_type == "IMAGE" else 3), (where, value.shape)
            assert slot.io_type == "MASK" or value.shape[-1] in (3, 4), (where, value.shape)
            assert value.dtype == dtype, (where, value.dtype)
            assert value.device.type == "cpu" and value.is_contiguous(), where
            assert value.isfinite().all() and value.min() >= 0 and value.max() <= 1, where
        elif slot.io_type in PLAIN:
            assert type(value) is PLAIN[slot.io_type], (where, type(value))


def contract_of(schema: Schema) -> dict[str, Any]:
    """What saved workflows rely on: ids in order, types, defaults and choices."""
    inputs = {}
    for slot in schema.inputs:
        facts = {"type": slot.get_io_type(), "optional": slot.optional or None}
        facts |= {name: slot.given.get(name) for name in ("default", "options")}
        inputs[slot.id] = {name: fact for name, fact in facts.items() if fact is not None}
    outputs = [[slot.io_type, slot.given["display_name"]] for slot in schema.outputs]
    return {"inputs": inputs, "outputs": outputs, "output_node": schema.is_output_node}


PLAIN = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


@contextmanager
def loaded_pack(folder: Path) -> Iterator[Pack]:
    """The pack, with the fakes in `sys.modules`; both are taken out again."""
    name = str(ROOT).replace(".", "_x_")
    with installed(folder) as comfy:
        spec = importlib.util.spec_from_file_location(name, ROOT / "__init__.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
            yield Pack(module, comfy)
        finally:
            for one in [x for x in sys.modules if x == name or x.startswith(name + ".")]:
                del sys.modules[one]
