"""What an exported graph says of itself: read by every backend that runs one.

An ONNX file has one metadata property, `gatefill`, holding JSON; an engine has the same JSON in the
file beside it.
"""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from .contract import Contract
from .errors import BackendError, ConfigError
from .extras import need
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
    """What the ONNX file at `path` says of itself. Raises BackendError if it cannot be used."""
    onnx = need("onnx", "onnx")
    if not path.is_file():
        raise BackendError(f"no graph at {path}; `python -m export.onnx` makes one")
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, OSError, ValueError) as problem:
        raise BackendError(
            f"{path} is damaged or not an ONNX file ({problem}); export it again"
        ) from None
    found = {entry.key: entry.value for entry in model.metadata_props}
    return GraphInfo.from_json(found.get(METADATA_KEY, ""), str(path))
