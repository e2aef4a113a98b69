"""Zip files and loose files of visitors -> a folder, within limits, and nothing outside of it."""

import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from core.errors import ImageError
from core.image.write import SUFFIXES
from core.progress import current_check
from gradio_demo.store import MIB, Limits

MOST_FILES = 500
"""Pictures, masks and guides of one batch."""
MOST_TOTAL = 16
"""What all files of a batch may have together once they are unpacked, in the limits of one."""
MOST_DIRECTORY = 2 * MIB
"""Bytes of the list of members at the end of a zip file; it becomes far larger in memory."""
END, LONGEST_END = b"PK\5\6", 65557
"""How the last record of a zip file begins, and bytes that it may have."""
END_64 = b"PK\6\7"
"""How that of a Zip64 begins, whose list may be longer than any other record says."""
BLOCK = 1 << 20
ENCRYPTED = 1
"""The flag of an encrypted member."""
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
)
"""What `zipfile` has been seen to raise for damaged or odd files, and its like."""


def unpack(files: Sequence[Path], folder: Path, limits: Limits) -> list[str]:
    """Put the pictures among `files`, and those in the zip files among them, into `folder`.

    Returns their names. What is no picture is passed over. Raises ImageError for a zip file that
    is damaged, encrypted, too large once unpacked, or names files outside of itself; then nothing
    of it is to be used.
    """
    room = Room(limits)
    names: list[str] = []
    for path in files:
        if path.suffix.lower() == ".zip":
            names += _unzip(path, folder, room)
        elif path.suffix.lower() in SUFFIXES:
            room.take(path.name, path.stat().st_size)
            names.append(_placed(path.name, folder).name)
            shutil.copyfile(path, folder / path.name)
    if not names:
        raise ImageError(
            f"there are no pictures among these files; needed are {', '.join(SUFFIXES)}, or a zip "
            "with such files"
        )
    return names


class Room:
    """How much more may be unpacked."""

    def __init__(self, limits: Limits):
        self._one, self._left = limits.bytes, MOST_TOTAL * limits.bytes
        self._files = MOST_FILES

    def take(self, name: str, size: int) -> None:
        """Count one more file. Raises ImageError where it is too large, or one too many."""
        self._files -= 1
        if self._files < 0:
            raise ImageError(f"there are more than {MOST_FILES} pictures; send them in parts")
        self.grow(name, 0, size)

    def grow(self, name: str, before: int, size: int) -> None:
        """Count `size` more bytes of a file that has `before` so far."""
        self._left -= size
        if before + size > self._one or self._left < 0:
            raise ImageError(
                f"{name} takes more than the {self._one / MIB:.1f} MiB that one file may have "
                f"here, or all together more than {MOST_TOTAL} times as much; send less"
            )


def _unzip(path: Path, folder: Path, room: Room) -> list[str]:
    names = []
    _check_directory(path)
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                inner = _checked(member)
                if member.is_dir() or _is_litter(inner):
                    continue
                _unpack_one(archive, member, _placed(str(inner), folder), room)
                names.append(str(inner))
    except DAMAGE as problem:
        raise ImageError(
            f"{path.name} is no zip file that can be unpacked ({str(problem)[:80]}); make it anew"
        ) from None
    return names


def _unpack_one(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, room: Room
) -> None:
    """Count what really comes out: the size that the file states may be a lie."""
    check = current_check()  # so that it ends with its job
    room.take(member.filename, 0)
    target.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with archive.open(member) as source, target.open("xb") as out:
        while block := source.read(BLOCK):
            if check is not None:
                check()
            room.grow(member.filename, size, len(block))
            size += len(block)
            out.write(block)


def _check_directory(path: Path) -> None:
    """Raise ImageError for a list of members that is too long to be read at all."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - LONGEST_END, 0))
        end = file.read()
    # Which of several records is the last one is not believed: one may lie within another.
    records = [end[found.start() :] for found in re.finditer(re.escape(END), end)]
    lengths = [struct.unpack_from("<I", one.ljust(16, b"\0"), 12)[0] for one in records]
    if END_64 in end or max(lengths, default=0) > MOST_DIRECTORY:
        raise ImageError(f"{path.name} names too many files, or is a Zip64; send them in parts")


def _checked(member: zipfile.ZipInfo) -> PurePosixPath:
    """The name of a member. Raises ImageError for one that leads elsewhere."""
    name = PurePosixPath(member.filename.replace("\\", "/"))
    outside = name.is_absolute() or ".." in name.parts or ":" in member.filename
    link = stat.S_ISLNK(member.external_attr >> 16)
    if outside or link or "\0" in member.filename or len(member.filename) > 240:
        raise ImageError(
            f"the zip names {member.filename[:80]!r}, which leads out of it; make it anew with "
            "plain names"
        )
    if member.flag_bits & ENCRYPTED:
        raise ImageError("the zip is encrypted; make it anew without a password")
    return name


def _is_litter(name: PurePosixPath) -> bool:
    """What is no picture, and what some systems put beside pictures."""
    hidden = any(part.startswith((".", "__MACOSX")) for part in name.parts)
    return hidden or name.suffix.lower() not in SUFFIXES


def _placed(name: str, folder: Path) -> Path:
    """Where a file goes. Raises ImageError for a name that comes twice."""
    path = folder / name
    if path.exists():
        raise ImageError(f"there are two files called {name[:80]!r}; rename one of them")
    return path
