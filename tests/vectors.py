"""Conformance vectors: outputs of the reference implementations on small seeded networks."""

import json
import re
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

DATA = Path(__file__).parent / "data"


class Vectors:
    """One set: tensors by key, floats as float64, and the configuration of the set."""

    def __init__(self, name: str):
        with safe_open(str(DATA / f"{name}.safetensors"), "pt") as file:
            names = list(file.keys())
            self.tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in names}
            self.config: dict[str, Any] = json.loads(file.metadata()["config"])

    def __getitem__(self, key: str) -> Tensor:
        tensor = self.tensors[key]
        return tensor.double() if tensor.is_floating_point() else tensor

    def mask(self, key: str) -> Tensor:
        """A mask as float64."""
        return self.tensors[key].double()

    def under(self, prefix: str, keep: str = "") -> dict[str, Tensor]:
        """Everything below `prefix`, keys without it but for `keep`."""
        return {
            keep + key[len(prefix) :]: self[key] for key in self.tensors if key.startswith(prefix)
        }


def from_tensorflow(tensors: dict[str, Tensor], network: Any) -> dict[str, Tensor]:
    """TensorFlow variables -> the state dict of `network`, found by the names of its layers.

    inpaint_net/conv13_upsample/conv13_upsample_conv/kernel (HWIO) -> ...conv13_upsample.conv.weight
    """
    paths = {name.rpartition(".")[2]: name for name, _ in network.named_modules()}
    state = {}
    for key, tensor in tensors.items():
        layer = next(part for part in key.split("/") if part in paths)
        path, kind = f"{paths[layer]}.conv", key.rpartition("/")[2]
        if kind == "u":
            state[f"{paths[layer]}.u"] = tensor.flatten()
        elif kind == "kernel":
            state[f"{path}.weight"] = tensor.permute(3, 2, 0, 1).contiguous()
        else:
            state[f"{path}.{kind}"] = tensor
    return state


def from_nvlabs(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names of NVlabs' SPADE -> ours: up_0.norm_0.mlp_shared.0.weight -> up_0.norm_0.shared.weight.

    Also of its encoder (layer1.0.weight_orig) and discriminator (discriminator_0.model1.0.0...).
    """
    state = {}
    for key, tensor in tensors.items():
        key = re.sub(r"weight_(u|v)$", r"\1", key).replace("weight_orig", "weight")
        key = re.sub(r"^discriminator_(\d)\.model(\d)", r"scales.\1.layers.\2", key)
        key = re.sub(r"(layers\.\d|layer\d|mlp_shared)(\.0)+", r"\1", key)
        state[key.replace("mlp_", "")] = tensor
    return state
