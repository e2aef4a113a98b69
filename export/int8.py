"""Static quantisation to int8: convolutions between quantise and dequantise operators (QDQ).

Symmetric int8 on both sides, one scale for each channel of the weights, no int32 bias: the one form
that TensorRT takes. Attention stays float, and so do the convolutions that read pictures and those
that write them, where rounding is seen at once.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from core.backends.eager import TorchBackend
from core.commands.guides import GUIDES, Reading, is_side_file, own_guides, read_guides
from core.commands.jobs import picture_files
from core.contract import Contract
from core.errors import ConfigError, ImageError
from core.extras import need
from core.graph import read_graph
from core.image import read_picture
from core.masks.drawn import box_mask, free_form_mask
from core.models.base import Generator
from core.parts import Part, ports_of
from core.pipeline import FillOptions, Inpainter

from .graph import clean, quiet, stamp, to_bytes

PICTURES = 32
"""Of the folder; more change the ranges by little."""
PASSES = 64
"""Passes of the network to calibrate on, of each part."""
WORK_SIZE = 512
"""Longest side that calibration works on."""
WIDE = (0.5, 0.65)
"""Sides of the box holes, as fractions of the picture's."""
NARROW_IN, NARROW_OUT = 10, 4
"""Channels of a convolution that reads or writes pictures, at most."""


class Recorder(TorchBackend):
    """The network itself, which notes what each of its parts was given."""

    def __init__(self, generator: Generator, contract: Contract):
        super().__init__(generator)
        self.contract = contract
        self.given: dict[Part, list[tuple[Tensor, ...]]] = {}

    def run(self, *inputs: Tensor) -> Tensor:
        return self._noted("run", inputs, super().run(*inputs))

    def refine(self, first_fill: Tensor, *inputs: Tensor) -> Tensor:
        filled = super().refine(first_fill, *inputs)
        return self._noted("refine", (first_fill, *inputs), filled)

    def encode(self, picture: Tensor) -> Tensor:
        return self._noted("encode", (picture,), super().encode(picture))

    def _noted(self, part: Part, inputs: tuple[Tensor, ...], result: Tensor) -> Tensor:
        self.given.setdefault(part, []).append(inputs)
        return result


def quantise_parts(
    generator: Generator, contract: Contract, files: Mapping[Part, Path], calibration: Path
) -> None:
    """Quantise the graphs at `files` in place, calibrated on what the pipeline gives them.

    contract: that of the graphs. calibration: a folder of pictures; each gets free-form and box
    holes by seed, and the guides that lie beside it. Raises ConfigError for one without pictures.
    """
    given = calibration_inputs(generator, contract, calibration)
    for part, file in files.items():
        if part not in given:
            raise ConfigError(
                f"no picture in {calibration} led to the part {part!r} of the network; give "
                "larger pictures, of 256 pixels and more"
            )
        names = [port.name for port in ports_of(contract, part)[0]]
        feeds = [
            {name: x.numpy() for name, x in zip(names, inputs, strict=True)}
            for inputs in given[part][:PASSES]
        ]
        quantise(file, feeds)


def calibration_pictures(folder: Path | None) -> list[Path]:
    """The pictures to calibrate on. Raises ConfigError if there are none."""
    if folder is None or not folder.is_dir():
        raise ConfigError(
            f"no folder of pictures at {folder}; int8 is calibrated on pictures, give --int8 FOLDER"
        )
    try:
        return [path for path in picture_files(folder) if not is_side_file(path)]
    except ImageError as problem:
        raise ConfigError(f"{problem}; int8 is calibrated on pictures") from None


def calibration_inputs(
    generator: Generator, contract: Contract, folder: Path
) -> dict[Part, list[tuple[Tensor, ...]]]:
    """What each part is given when the pipeline fills the pictures of `folder`."""
    pictures = calibration_pictures(folder)
    recorder = Recorder(generator, contract)
    inpainter = Inpainter(recorder, FillOptions(strategy="full", work_size=WORK_SIZE))
    beside = {port.name: folder for port in contract.guides if port.given and port.name in GUIDES}
    for number, path in enumerate(pictures[:PICTURES]):
        picture = read_picture(path)
        own = own_guides(path, path.relative_to(folder), beside)
        guides = read_guides(own, contract, Reading(size=picture.size, rescale=True))
        random = np.random.default_rng(number)
        # A wide hole too: those are what the second stage is run on by itself.
        holes = (free_form_mask(picture.size, random), box_mask(picture.size, random, side=WIDE))
        for hole in holes:
            inpainter(picture.pixels, hole, **guides)
    return recorder.given


class Feeds:
    """What onnxruntime's calibration reads its inputs from, one after the other."""

    def __init__(self, feeds: Sequence[dict[str, Any]]):
        self._feeds: Iterator[dict[str, Any]] = iter(feeds)

    def get_next(self) -> dict[str, Any] | None:
        """The next inputs by name, None at the end."""
        return next(self._feeds, None)


def quantise(file: Path, feeds: Sequence[dict[str, Any]]) -> None:
    """Quantise the graph at `file` in place, metadata kept; ranges are those seen on `feeds`."""
    onnx = need("onnx", "onnx")
    quantization = need("onnxruntime.quantization", "onnx")
    shape_inference = need("onnxruntime.quantization.shape_inference", "onnx")
    info = read_graph(file)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=file.parent) as folder, quiet():
        prepared, quantised = Path(folder) / "prepared.onnx", Path(folder) / "quantised.onnx"
        shape_inference.quant_pre_process(str(file), str(prepared), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(prepared),
            str(quantised),
            Feeds(feeds),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "ConvTranspose"],
            per_channel=True,
            activation_type=quantization.QuantType.QInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_exclude=border_convolutions(onnx.load(str(prepared))),
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "QuantizeBias": False,
            },
        )
        model = clean(onnx.load(str(quantised)))
    onnx.checker.check_model(model, full_check=True)
    file.write_bytes(to_bytes(stamp(model, info)))


def border_convolutions(model: Any) -> list[str]:
    """Names of the convolutions that read or write pictures, told by their few channels."""
    shapes = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    found = []
    for node in model.graph.node:
        if node.op_type not in ("Conv", "ConvTranspose") or node.input[1] not in shapes:
            continue
        out, into = shapes[node.input[1]][:2]
        if node.op_type == "ConvTranspose":
            out, into = into, out
        if into <= NARROW_IN or out <= NARROW_OUT:
            found.append(node.name)
    return found
