"""What an exported graph says of itself: read by every backend that runs one.

An ONNX file has one metadata property, `gatefill`, holding JSON; an engine has the same JSON in the
file beside it.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal

from .contract import Contract
from .errors import BackendError, ConfigError
from .parts import Part

METADATA_KEY = "gatefill"
FORMAT = 1
"""Raised when older code could no longer run the graph rightly."""
BYTE_THRESHOLD = 127
"""In the graph of the pipeline: a byte of a mask or of lines counts as set above it."""

Precision = Literal["fp32", "fp16", "bf16", "int8"]
"""What convolutions compute in; scores and softmax of attention are float32 in all of them."""


@dataclass(frozen=True, kw_only=True)
class GraphInfo:
    """Facts of one exported graph."""

    kind: Literal["generator", "pipeline"]
    """generator: one part of a network, floats in the contract's ranges. pipeline: a picture of
    bytes and any size to the completed one."""
    contract: Contract
    architecture: str
    weights_sha256: str
    """Of the weights file that was exported."""
    part: Part = "run"
    parts: tuple[Part, ...] = ("run",)
    """All parts of the network that were exported, each a file."""
    precision: Precision = "fp32"
    opset: int
    versions: dict[str, str] = field(default_factory=dict)
    """Of the packages that made the graph."""
    about: dict[str, Any] = field(default_factory=dict)
    """What the weights file says of its training."""
    settings: dict[str, Any] = field(default_factory=dict)
    """How it was exported: attention, sizes; for a pipeline context, feather, mask, ..."""

    def to_json(self) -> str:
        """One line of JSON, the same for the same facts."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        values["contract"] = asdict(self.contract)
        return json.dumps({"format": FORMAT, **values}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, name: str = "the graph") -> "GraphInfo":
        """The inverse of `to_json`; `name` is for messages. Raises BackendError for anything else.

        A foreign graph has no such text at all: give "".
        """
        try:
            values = json.loads(text)
            version = int(values.pop("format"))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BackendError(
                f"{name} does not say which network it holds (no contract in its metadata); it "
                "needs to be made by `python -m export.onnx`"
            ) from None
        if version > FORMAT:
            raise BackendError(
                f"{name} has format {version}, newer than {FORMAT}, the newest known here; update "
                "Gatefill"
            )
        try:
            contract = Contract.from_dict(values.pop("contract"))
            parts = tuple(values.pop("parts"))
            return cls(contract=contract, parts=parts, **values)
        except (KeyError, TypeError, ConfigError) as problem:
            raise BackendError(
                f"{name} has metadata of another version ({problem}); export it again"
            ) from None


def part_path(path: Path, part: Part) -> Path:
    """Where `part` of the network lies whose part "run" is at `path`: NAME.refine.onnx, ..."""
    return path if part == "run" else path.with_name(f"{path.stem}.{part}{path.suffix}")


def read_graph(path: Path) -> GraphInfo:
    """What the ONNX file at `path` says of itself. Raises BackendError if it cannot be used.

    It needs no other package: only the outermost fields of the file are read.
    """
    return GraphInfo.from_json(read_metadata(path).get(METADATA_KEY, ""), str(path))


def read_metadata(path: Path) -> dict[str, str]:
    """All metadata properties of the ONNX file at `path`. Raises BackendError as `read_graph`."""
    if not path.is_file():
        raise BackendError(f"no graph at {path}; `python -m export.onnx` makes one")
    try:
        with path.open("rb") as file:
            found = list(_fields(file, path.stat().st_size, wanted=METADATA_PROPS))
        if not any(number == GRAPH for number, _ in found):
            raise ValueError("there is no graph in it")
        return dict(_entry(content) for number, content in found if number == METADATA_PROPS)
    except (OSError, ValueError) as problem:
        raise BackendError(
            f"{path} is damaged or not an ONNX file ({problem}); export it again"
        ) from None


GRAPH, METADATA_PROPS = 7, 14
"""Numbers of fields of ModelProto (onnx.proto)."""
VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5
"""How a field is written (protobuf's wire types); the others are not used any more."""


def _fields(file: BinaryIO, end: int, *, wanted: int = 0) -> Iterator[tuple[int, bytes]]:
    """Number and content of each field of a protobuf message that `file` holds up to `end`.

    wanted: the field whose content is read, the others are passed over; 0 = all of them.
    Raises ValueError where it is no such message.
    """
    while file.tell() < end:
        key = _varint(file)
        number, kind = key >> 3, key & 7
        if number == 0 or kind not in (VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES):
            raise ValueError("it is no protobuf message")
        if kind == VARINT:
            _varint(file)
            continue
        length = _varint(file) if kind == LENGTH else 8 if kind == EIGHT_BYTES else 4
        if file.tell() + length > end:
            raise ValueError("it is cut short")
        if wanted in (0, number):
            yield number, file.read(length)
        else:
            file.seek(length, 1)
            yield number, b""


def _varint(file: BinaryIO) -> int:
    """A whole number, seven bits a byte, the lowest first."""
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            raise ValueError("it is cut short")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("it is no protobuf message")


def _entry(content: bytes) -> tuple[str, str]:
    """Key and value of one property (StringStringEntryProto)."""
    found = dict(_fields(BytesIO(content), len(content)))
    return found.get(1, b"").decode(), found.get(2, b"").decode()
