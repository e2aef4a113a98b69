"""Where training pictures come from: folders, lists, tar shards here or remote, and side files.

Side files stand beside a picture KEY.jpg, in folders and in shards, and follow its crop:
  KEY.edge.png, KEY_edge.png             how strongly each pixel lies on a line, grey
  KEY.seg.png, KEY_seg.png               label map: a lossless picture of whole numbers
  KEY.instances.png, KEY_instances.png   the same of numbers that differ from thing to thing
  KEY.landmarks.json, KEY_landmarks.json [[x, y], ...] in pixels of the upright picture
"""

import io
import itertools
import os
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import overload

from PIL import Image, ImageOps, UnidentifiedImageError

from core.errors import TrainingError
from core.image.exif import DAMAGE
from core.image.write import SUFFIXES

ROLES = {"edge": SUFFIXES, "seg": SUFFIXES, "instances": SUFFIXES, "landmarks": {".json"}}
"""What a side file may be, and its suffixes."""
BLOCK = 512
"""Bytes of a block of a tar file."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file lies: in a folder, or as bytes of a tar shard."""

    path: Path
    offset: int = 0
    length: int = -1
    label: str = ""
    """What to call it, if not by its path: the shard and the member in it."""

    @property
    def name(self) -> str:
        """For messages."""
        return self.label or str(self.path)

    def read(self) -> bytes:
        """The file's bytes."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.length)


@dataclass(frozen=True, slots=True)
class Entry:
    """A picture and its side files."""

    place: Place
    edge: Place | None = None
    seg: Place | None = None
    instances: Place | None = None
    landmarks: Place | None = None

    @property
    def path(self) -> Path:
        """The picture's file, or the shard that it is in."""
        return self.place.path

    @property
    def offset(self) -> int:
        """Its first byte there."""
        return self.place.offset

    @property
    def name(self) -> str:
        """For messages."""
        return self.place.name

    def read(self) -> bytes:
        """The encoded picture."""
        return self.place.read()

    def decode(self) -> Image.Image:
        """The picture, RGB, upright. Raises TrainingError if it cannot be read."""
        try:
            with Image.open(io.BytesIO(self.read())) as picture:
                return ImageOps.exif_transpose(picture).convert("RGB")
        except (*DAMAGE, Image.DecompressionBombError) as problem:
            known = not isinstance(problem, UnidentifiedImageError)
            reason = str(problem) if known else "of no known format"
            raise TrainingError(
                f"{self.name} is not a readable picture ({reason}); remove or replace it"
            ) from None


class Pictures(Sequence[Entry]):
    """The entries of local sources, and the addresses of remote shards, whose entries come later.

    With remote shards it is for `Samples` alone: counting or indexing it raises TrainingError.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        shards: Sequence[str] = (),
        damaged: Sequence[tuple[str, str]] = (),
    ):
        self.entries = tuple(entries)
        self.shards = tuple(shards)
        self.damaged = tuple(damaged)
        """Name and reason of every source that is used in part."""

    def __len__(self) -> int:
        return len(self._all())

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> list[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | list[Entry]:
        entries = self._all()
        return entries[index] if isinstance(index, int) else list(entries[index])

    def _all(self) -> tuple[Entry, ...]:
        if self.shards:
            raise TrainingError(
                f"{shown(self.shards[0])} is remote and can only be trained on; copy it here"
            )
        return self.entries


def find_pictures(sources: Sequence[str | Path]) -> Pictures:
    """Every picture in folders (recursively), lists (.txt) and uncompressed tar shards.

    The order is fixed. A pattern as photos-{000..012}.tar or {a,b}.tar stands for all its names.
    Raises TrainingError for a source that is missing, damaged or without pictures. Remote shards
    (https://..., s3://...) are only noted.
    """
    entries: list[Entry] = []
    shards: list[str] = []
    damaged: list[tuple[str, str]] = []
    for source in itertools.chain.from_iterable(expand(str(source)) for source in sources):
        if "://" in source:
            shards.append(source)
            continue
        found = _in_source(Path(source), damaged)
        if not found:
            raise TrainingError(f"no pictures in {source}; it needs {', '.join(sorted(SUFFIXES))}")
        entries += found
    return Pictures(entries, shards, damaged)


def shown(url: str) -> str:
    """An address for messages and reports: what follows the ? may be a secret."""
    return url.partition("?")[0]


def expand(pattern: str) -> list[str]:
    """The names of a brace pattern, as "a-{08..10}.tar" or "{x,y}.tar"; other names as they are.

    Numbers keep the width in which the first is written.
    """
    match = re.search(r"\{([^{}]*)\}", pattern)
    if not match or os.path.exists(pattern):
        return [pattern]
    span = re.fullmatch(r"(\d+)\.\.(\d+)", match[1])
    if span:
        first, last = int(span[1]), int(span[2])
        step = 1 if first <= last else -1
        inner = [f"{n:0{len(span[1])}d}" for n in range(first, last + step, step)]
    else:
        inner = match[1].split(",")
    before, after = pattern[: match.start()], pattern[match.end() :]
    return [name for part in inner for name in expand(before + part + after)]


def _in_source(source: Path, damaged: list[tuple[str, str]]) -> list[Entry]:
    if source.is_dir():
        return group({str(path): Place(path) for path in _files(source)})
    if source.suffix.lower() == ".txt" and source.is_file():
        return _in_list(source)
    members, cut = read_tar(source)
    if cut is not None:
        damaged.append((str(source), cut_reason(cut)))
    return tar_entries(members, source, str(source))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _in_list(file: Path) -> list[Entry]:
    """The pictures that a text file names, one path to a line, in its order."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise TrainingError(f"{file} is not a readable list ({problem})") from None
    names = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    paths = [file.parent / name for name in names]
    folders = dict.fromkeys(path.parent for path in paths)
    there = {str(p): p for folder in folders if folder.is_dir() for p in sorted(folder.iterdir())}
    missing = [name for name, path in zip(names, paths, strict=True) if not path.is_file()]
    if missing:
        raise TrainingError(
            f"{file} names {len(missing)} files that are not there: {', '.join(missing[:5])}"
            f"{', ...' if len(missing) > 5 else ''}; paths are relative to the list"
        )
    found = {entry.name: entry for entry in group({n: Place(p) for n, p in there.items()})}
    # What is named outright is a picture, even if it is called like a side file.
    return [found.get(str(path), Entry(Place(path))) for path in paths]


def read_tar(shard: Path) -> tuple[list[tuple[str, int, int]], int | None]:
    """Name, first byte and length of every file in an uncompressed tar, and where it is cut off.

    None if it is whole; else the byte from which on it cannot be read. Files before are whole.
    Raises TrainingError for what is missing or no tar at all.
    """
    members: list[tuple[str, int, int]] = []
    try:
        size, end = shard.stat().st_size, 0
        with tarfile.open(shard, "r:") as tar:
            try:
                for member in tar:
                    if member.offset_data + member.size > size:
                        return members, member.offset
                    end = min(tar.offset, size)
                    if member.isfile():
                        members.append((member.name, member.offset_data, member.size))
            except tarfile.TarError:
                return members, end
        # Python takes a damaged header for the end; the true end is a block of zeros.
        with shard.open("rb") as file:
            file.seek(end)
            return members, None if file.read(BLOCK) == bytes(BLOCK) else end
    except (OSError, tarfile.TarError) as problem:
        raise TrainingError(
            f"{shard} is neither a folder, a list (.txt) nor a readable, uncompressed .tar shard "
            f"({problem})"
        ) from None


def cut_reason(cut: int) -> str:
    """What to say of a shard that ends before its end."""
    return f"cut off or damaged at byte {cut}; what is before it is used"


def tar_entries(members: Iterable[tuple[str, int, int]], path: Path, label: str) -> list[Entry]:
    """The entries of a shard that lies at `path` and is called `label`."""
    return group(
        {name: Place(path, offset, size, f"{label}/{name}") for name, offset, size in members}
    )


def group(places: Mapping[str, Place]) -> list[Entry]:
    """Files by name -> pictures with their side files, in the order of the files.

    KEY.edge.png is always a side file, KEY_edge.png if there is a picture KEY, and so is any
    KEY.other.png. Names that begin with a dot or are of the form __name__ are left out.
    """
    stems = {name: _stem(name) for name in places if _suffix(name) in SUFFIXES and _seen(name)}
    pictures = set(stems.values())
    return [
        Entry(places[name], **_sides(stem, places))
        for name, stem in stems.items()
        if not _is_side(stem, pictures)
    ]


def _is_side(stem: str, pictures: set[str]) -> bool:
    head, _, tail = stem.rpartition(".")
    if head and "/" not in tail and (tail in ROLES or head in pictures):
        return True
    head, _, tail = stem.rpartition("_")
    return tail in ROLES and head in pictures


def _sides(stem: str, places: Mapping[str, Place]) -> dict[str, Place]:
    found: dict[str, Place] = {}
    for role, suffixes in ROLES.items():
        for mark, suffix in itertools.product("._", suffixes):
            place = places.get(f"{stem}{mark}{role}{suffix}")
            if place is not None:
                found.setdefault(role, place)
    return found


def _seen(name: str) -> bool:
    base = PurePosixPath(name.replace(os.sep, "/")).name
    return not base.startswith(".") and not re.fullmatch(r"__.*__(\..*)?", base)


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]
