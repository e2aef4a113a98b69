"""Start a network that takes a guide from the weights of one that does not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.config import DeepFillConfig
from core.contract import Contract
from core.errors import WeightsError
from core.models.base import Generator
from core.registry import build_generator, contract_of
from core.weights import load_weights, read_info


def initial_config(path: Path, preset: Any) -> Any:
    """The configuration that `initial_generator` builds, read without building it."""
    found = read_info(path).config
    wider = _is_deepfill(found, sketch=False) and _is_deepfill(preset, sketch=True)
    return replace(found, sketch=True) if wider else found


def initial_contract(path: Path | None, preset: Any) -> Contract:
    """The contract of the network that a run trains: of the weights at `path`, or of the preset."""
    return contract_of(initial_config(path, preset) if path else preset)


def initial_generator(path: Path, preset: Any) -> Generator:
    """The network of the weights file `path`; if `preset` takes a sketch, then this one does too.

    The added input does nothing until it is trained. Raises WeightsError as `load_weights` does.
    """
    source, config = load_weights(path), initial_config(path, preset)
    if config == source.config:
        return source
    generator = build_generator(config)
    generator.load_state_dict(widen_inputs(source.state_dict(), generator))
    return generator


def widen_inputs(state_dict: dict[str, Tensor], generator: Generator) -> dict[str, Tensor]:
    """Weights of the network without guides -> weights of `generator`, which takes guides.

    First convolutions get columns of zeros where the guides come in, that is after the picture:
    (out, 5, k, k) -> (out, 6, k, k) for a sketch. The function stays the same for every guide.
    Raises WeightsError if the networks differ in more than that.
    """
    image = generator.contract.inputs[0].channels
    added = sum(port.channels for port in generator.contract.guides)
    widened: dict[str, Tensor] = {}
    wanted = generator.state_dict()
    for name, tensor in state_dict.items():
        shape = wanted[name].shape if name in wanted else torch.Size()
        if tensor.shape != shape and tensor.ndim == 4:
            zeros = tensor.new_zeros(len(tensor), added, *tensor.shape[2:])
            tensor = torch.cat([tensor[:, :image], zeros, tensor[:, image:]], dim=1)
        if tensor.shape != shape:
            raise WeightsError(
                f"{name} has the shape {tuple(tensor.shape)} and the network needs {tuple(shape)}; "
                "the weights must be of the same network without its guides"
            )
        widened[name] = tensor
    return widened


def _is_deepfill(config: Any, *, sketch: bool) -> bool:
    return isinstance(config, DeepFillConfig) and config.sketch is sketch
