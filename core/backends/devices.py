"""Devices of PyTorch by name."""

import torch

from ..errors import BackendError


def choose_device(name: str = "") -> torch.device:
    """The device called `name`, or the best there is. Raises BackendError if it is not there."""
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if not name:
        return torch.device(next(kind for kind, is_there in there.items() if is_there))
    kind, _, number = name.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    numbered = not number or (number.isdigit() and int(number) < count)
    if not there.get(kind) or not numbered:
        found = ", ".join(kind for kind, is_there in there.items() if is_there)
        raise BackendError(f"the device {name!r} is not here; this machine has {found}")
    return torch.device(name)
