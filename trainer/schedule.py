"""Learning rates as a function of the update and the settings alone, so that a run can resume."""

import math

from torch.optim import Optimizer

from .config import TrainConfig


def rate_factor(step: int, config: TrainConfig) -> float:
    """By what the learning rates are multiplied at update `step`, counted from 0.

    It rises linearly over `warmup` updates, then goes from 1 to `lr_end` at `steps` along a line
    or half a cosine (Loshchilov and Hutter 2017, equation 5), or stays.
    """
    if step < config.warmup:
        return (step + 1) / config.warmup
    if config.lr_schedule == "constant":
        return 1.0
    done = min((step - config.warmup) / max(config.steps - config.warmup, 1), 1.0)
    left = 1 - done if config.lr_schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
    return config.lr_end + (1 - config.lr_end) * left


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """The learning rate of the updates to come."""
    for group in optimizer.param_groups:
        group["lr"] = rate
