"""What a run is made of: networks, optimisers, and the networks as functions."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from core.contract import Contract
from core.errors import BackendError, ConfigError
from core.guides import rgb_of
from core.layers.attention import MIB, ContextualAttention
from core.models.base import Generator
from core.models.pconv import PConvUNet
from core.registry import build_generator

from .adversary import build_discriminator
from .config import TrainConfig
from .data.loader import micro_batch
from .perceptual import FeatureNetwork, load_features
from .ranks import Ranks
from .step import Callables, TrainState
from .widen import initial_generator

ATTENTION_BUDGET = 4096 * MIB
"""While training the dense form is the faster one, until it needs more than this."""
COMPILERS = ("g++", "clang++", "c++", "cl")
"""One of them is what torch.compile needs for a processor."""


def check_settings(config: TrainConfig, ranks: Ranks) -> None:
    """What the settings ask of this machine. Raises ConfigError or BackendError."""
    micro_batch(config, ranks.world)  # refuses a batch that does not divide
    kind = ranks.device.type
    if config.bf16 and kind == "cuda" and not torch.cuda.is_bf16_supported(False):
        name = torch.cuda.get_device_name(ranks.device)
        raise BackendError(f"{name} has no bfloat16; leave --bf16 out or name another --device")
    compilers = (os.environ.get("CXX") or "", *COMPILERS)
    if config.compile and kind == "cpu" and not any(map(shutil.which, compilers)):
        raise BackendError(
            "--compile needs a C++ compiler, and none is on the path; install g++ or clang, or "
            "leave --compile out"
        )


def check_norm(generator: Generator, config: TrainConfig, ranks: Ranks) -> None:
    """Raises ConfigError where batch normalisation would see a single value per channel."""
    normalised = any(isinstance(module, nn.BatchNorm2d) for module in generator.modules())
    smallest = config.crop // generator.contract.multiple_of
    if normalised and smallest == 1 and micro_batch(config, ranks.world) == 1:
        raise ConfigError(
            f"one picture of {config.crop} pixels at a time is too little for the batch "
            "normalisation of this network, whose smallest features are 1x1; use a larger --batch "
            f"or --crop {2 * config.crop}"
        )


def build_state(config: TrainConfig, device: torch.device) -> TrainState:
    """Fresh networks and optimisers, seeded; the generator from `config.init` if given."""
    torch.manual_seed(config.seed)
    generator = (
        initial_generator(config.init, config.network())
        if config.init
        else build_generator(config.network())
    )
    for module in generator.modules():
        if isinstance(module, ContextualAttention):
            module.memory_budget = ATTENTION_BUDGET
    if config.checkpointing:
        _checkpoint(generator)
    if config.freeze_norm:
        _freeze_norm(generator)
    discriminator = build_discriminator(generator.contract, config)
    if config.gan == "multiscale" and not config.init:
        for network in (generator, discriminator):
            network.apply(_xavier)
    memory = torch.channels_last if config.channels_last else torch.contiguous_format
    generator.train().to(device, memory_format=memory)  # type: ignore[call-overload]  # torch's stub
    discriminator.train().to(device, memory_format=memory)  # type: ignore[call-overload]
    return TrainState(
        generator=generator,
        discriminator=discriminator,
        g_optimizer=adam(generator, config.lr, config),
        d_optimizer=adam(discriminator, config.d_lr, config),
        average=_average(generator, config),
    )


def adam(network: nn.Module, rate: float, config: TrainConfig) -> Adam:
    """The optimiser of what learns in `network`."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return Adam(learning, rate, (config.beta1, config.beta2))


def _checkpoint(generator: Generator) -> None:
    if not isinstance(getattr(generator, "checkpointing", None), bool):
        raise ConfigError(f"{type(generator).__name__} has no --checkpointing; leave it out")
    setattr(generator, "checkpointing", True)  # noqa: B010  # not every network declares it


def _freeze_norm(generator: Generator) -> None:
    if not isinstance(generator, PConvUNet):
        raise ConfigError(
            f"{type(generator).__name__} has no encoder whose normalisation could be kept; "
            "leave --freeze-norm out"
        )
    generator.freeze_norm()


def _xavier(module: nn.Module) -> None:
    """How the release of SPADE begins: Glorot and Bengio 2010 with a gain of 0.02."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.xavier_normal_(module.weight, gain=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _average(generator: Generator, config: TrainConfig) -> AveragedModel | None:
    if not config.ema:
        return None
    return AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(config.ema))


def build_callables(state: TrainState, config: TrainConfig, device: torch.device) -> Callables:
    """The networks as functions, compiled if the settings say so."""
    learn, score = state.generator.learn, state.discriminator.forward
    features: Callable[[Tensor], list[Tensor]] | None = None
    if config.perceptual:
        plain = config.feature_layers == "rising"
        network = load_features(config.perceptual, normalise=not plain).to(device)
        contract = state.generator.contract
        features = partial(_looked_at, network, contract)
    if config.compile:
        learn, score = torch.compile(learn), torch.compile(score)
        features = torch.compile(features) if features is not None else None
    return Callables(learn, score, features)


def _looked_at(network: FeatureNetwork, contract: Contract, pictures: Tensor) -> list[Tensor]:
    """The features of pictures as `contract.output` has them, also of values beyond its range."""
    return network(2 * rgb_of(pictures, contract) - 1)


def shared(callables: Callables, state: TrainState, ranks: Ranks) -> Callables:
    """The same, with gradients that are means over the processes where a network learns."""
    if ranks.world == 1:
        return callables
    return replace(
        callables,
        learn=ranks.learner(state.generator, callables.learn),
        score=ranks.learner(state.discriminator, callables.score),
        other_learn=callables.learn,
        other_score=callables.score,
    )
