"""The methods that are compared: networks through the pipeline, and OpenCV's classical ones."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.backends import open_backend
from core.contract import Port
from core.crop import in_mean_colour
from core.errors import ConfigError
from core.metrics import channels_last
from core.pipeline import Inpainter

from .guides import DRAWN, asked, needed
from .trials import WHOLE

Fill = Callable[[Tensor, Tensor, Mapping[str, Tensor]], Tensor]
"""image (1, 3, H, W) in [0, 1], mask (1, 1, H, W), 1 = hole, and guides of the true picture by
port, as `true_guides` makes them -> completed image."""
OPENCV_RADIUS = 3
"""Neighbourhood in pixels of OpenCV's methods, as its documentation has it."""


@dataclass(frozen=True)
class NetworkFill:
    """A network as a method: a `Fill` through the pipeline."""

    network: str
    inpainter: Inpainter
    always: tuple[Port, ...]
    """What it is given in any case."""
    asked: tuple[Port, ...] = ()
    """What it could do without, and is given."""

    @property
    def name(self) -> str:
        """Of the method."""
        return guided(self.network, [port.name for port in self.asked])

    @property
    def ports(self) -> tuple[Port, ...]:
        """All that it is given."""
        return self.always + self.asked

    def __call__(self, image: Tensor, mask: Tensor, guides: Mapping[str, Tensor]) -> Tensor:
        """What is drawn is given inside the hole alone, maps of labels whole."""
        given = {port.name: guides[port.name] for port in self.ports if port.name in guides}
        cut = {name: guide * mask if name in DRAWN else guide for name, guide in given.items()}
        return self.inpainter(blanked(image, mask), mask, **cut)


def network_methods(
    paths: Mapping[str, Path], *, guides: Sequence[str], device: str
) -> dict[str, NetworkFill]:
    """One method per model file, and one more where the network takes some of the guides.

    A guide that a network cannot do without is always given. Raises ConfigError if none of the
    networks takes any of `guides`.
    """
    methods: list[NetworkFill] = []
    taken: set[str] = set()
    for name, path in paths.items():
        inpainter = Inpainter(open_backend(path, device))
        contract = inpainter.backend.contract
        taken |= {port.name for port in contract.guides}
        methods.append(NetworkFill(name, inpainter, needed(contract)))
        if ports := asked(contract, guides):
            methods.append(NetworkFill(name, inpainter, needed(contract), ports))
    if guides and not taken & set(guides):
        raise ConfigError(
            f"none of the networks takes a {' or a '.join(guides)}; leave out --guide"
        )
    return {method.name: method for method in methods}


def guided(name: str, guides: Sequence[str]) -> str:
    """The name of the method with the guides."""
    return " + ".join((name, *guides))


def given_ports(methods: Iterable[Fill]) -> tuple[Port, ...]:
    """Every guide that some method is given, once by its name."""
    ports: dict[str, Port] = {}
    for method in methods:
        if isinstance(method, NetworkFill):
            for port in method.ports:
                ports.setdefault(port.name, port)
    return tuple(ports.values())


def suited(methods: Mapping[str, Fill], masks: str) -> dict[str, Fill]:
    """Those that can do something where no pixel is known, if `masks` asks for that.

    Raises ConfigError if none can.
    """
    if masks != WHOLE:
        return dict(methods)
    found = {
        name: method
        for name, method in methods.items()
        if any(port.kind == "labels" for port in given_ports([method]))
    }
    if not found:
        raise ConfigError(
            "--masks whole is for networks that make pictures of a map of labels, as SPADE, and "
            "none of these does; name other --weights, or other --masks"
        )
    return found


def named(paths: list[Path]) -> dict[str, Path]:
    """Short names of model files: the stem, of the weights of a run that of its folder."""
    short = [path.parent.name if path.stem == "weights" else path.stem for path in paths]
    return {
        name if name and short.count(name) == 1 else str(path): path
        for name, path in zip(short, paths, strict=True)
    }


def blanked(image: Tensor, mask: Tensor) -> Tensor:
    """The mean known colour in the hole: some methods let what is there shine through."""
    return in_mean_colour(image, 1 - mask)


def opencv_methods() -> dict[str, Fill]:
    """Telea 2004 and Navier-Stokes (Bertalmio et al. 2001), as OpenCV has them."""
    try:
        import cv2
        import skimage.metrics  # noqa: F401  # so that its absence shows at once
    except ImportError as problem:
        raise ConfigError(
            f"{problem.name} is missing; install opencv-python-headless and scikit-image"
        ) from None

    def fill(flag: int, image: Tensor, mask: Tensor, guides: Mapping[str, Tensor]) -> Tensor:
        pixels = np.rint(channels_last(blanked(image, mask)) * 255).astype(np.uint8, order="C")
        hole = mask[0, 0].numpy().astype(np.uint8)
        completed = cv2.inpaint(pixels, hole, OPENCV_RADIUS, flag)
        return torch.from_numpy(completed).movedim(-1, 0)[None].float() / 255

    flags = {"OpenCV Telea": cv2.INPAINT_TELEA, "OpenCV Navier-Stokes": cv2.INPAINT_NS}
    return {name: partial(fill, flag) for name, flag in flags.items()}
