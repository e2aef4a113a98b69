"""Shards, the portions that workers take: what is in each, and what is read of it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from core.commands.guides import GUIDES
from core.files import with_tuples

from .config import Form

PORTS = {"mask": "mask"} | {word: port for port, side in GUIDES.items() for word in side.words}
"""What may stand between the name of a picture and the suffix -> what the file is: NAME.mask.png,
NAME.sketch.png, NAME.seg.png, ..."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One portion of the work; its output is named by it, so that doing it again changes nothing.

    Of a folder it is a list of pictures, of tar files one of them, of Parquet some row groups.
    """

    name: str
    """Of the output, without suffix; unique in the job."""
    form: Form
    """Of the input."""
    file: str = ""
    """Tar or Parquet file below INPUT."""
    groups: tuple[int, ...] = ()
    """Row groups of a Parquet file."""
    first: int = 0
    """Number of the first row in its file."""
    items: tuple[Mapping[str, str], ...] = ()
    """Of a folder: port -> name below INPUT, "mask" below the folder of masks."""

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Shard":
        """The inverse of `to_json`."""
        return cls(**with_tuples(json.loads(text)))


@dataclass(frozen=True)
class File:
    """A picture, a mask or a guide as it came."""

    suffix: str
    """With its dot, in lower case."""
    content: bytes


@dataclass(frozen=True)
class Item:
    """One picture to fill."""

    id: str
    """Unique in its shard; says where the picture came from."""
    files: Mapping[str, File] = field(default_factory=dict)
    """"image", "mask" and the guides, by port; what is missing is left out."""
    problem: str = ""
    """Why it cannot be filled, found out while reading."""
