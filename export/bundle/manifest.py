"""What a bundle holds: facts, and the hash of every file, in two files that anyone can read.

`manifest.json` has the facts and the hashes; `SHA256SUMS` the same hashes and that of the manifest,
for `sha256sum -c`. They find damage, not malice: who changes a file can change its hash.
"""

import json
from pathlib import Path
from typing import Any

from core.errors import ConfigError
from core.files import sha256_of

MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
FORMAT = 1
"""Raised when older code could no longer read a manifest rightly."""


def write_manifest(folder: Path, facts: dict[str, Any]) -> None:
    """Seal the folder: `facts` and the hashes of all that lies in it. Raises OSError."""
    files = {
        name: {"sha256": sha256_of(folder / name), "bytes": (folder / name).stat().st_size}
        for name in files_below(folder)
    }
    content = {"format": FORMAT, **facts, "files": files}
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    (folder / SUMS).write_text(_sums(folder, content), encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a bundle. Raises ConfigError for a folder that is none."""
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version, files = int(content["format"]), content["files"]
        dict(files)
    except FileNotFoundError:
        raise ConfigError(
            f"no bundle at {folder}: it has no {MANIFEST}; `python -m export.bundle` makes one"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise ConfigError(f"{path} is damaged ({problem}); get the bundle anew") from None
    if version > FORMAT:
        raise ConfigError(
            f"{path} has format {version}, newer than {FORMAT}, the newest known here; update "
            "Gatefill"
        )
    return dict(content)


def differences(folder: Path, content: dict[str, Any]) -> list[str]:
    """What is not as the manifest `content` says, each in a few words."""
    listed, there = content["files"], set(files_below(folder))
    found = [f"{name} is missing" for name in sorted(set(listed) - there)]
    found += [f"{name} does not belong to it" for name in sorted(there - set(listed))]
    for name in sorted(there & set(listed)):
        if (folder / name).is_symlink():
            found.append(f"{name} is a link and no file of its own")
        elif sha256_of(folder / name) != listed[name]["sha256"]:
            found.append(f"{name} is changed")
    sums = folder / SUMS
    if not sums.is_file() or sums.read_bytes() != _sums(folder, content).encode():
        found.append(f"{MANIFEST} and {SUMS} do not agree")
    return found


def files_below(folder: Path) -> list[str]:
    """Names of all files but the manifest and the sums, relative, with /, sorted."""
    names = (
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    )
    return sorted(name for name in names if name not in (MANIFEST, SUMS))


def _sums(folder: Path, content: dict[str, Any]) -> str:
    """As sha256sum writes them."""
    hashes = {name: entry["sha256"] for name, entry in content["files"].items()}
    hashes[MANIFEST] = sha256_of(folder / MANIFEST)
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(hashes.items()))
