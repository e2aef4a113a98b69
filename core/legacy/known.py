"""Every release that is recognised, and the import of a file of one."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError, WeightsError
from ..models.base import Network
from . import deepfill_nipponjo, deepfill_official, pconv, scfegan, spade
from .checkpoint import Checkpoint
from .foreign import open_checkpoint
from .refused import REFUSED
from .release import ImportOptions, Release, check_fit, convert, reject_options

RELEASES: tuple[Release, ...] = (
    deepfill_official.OFFICIAL,
    deepfill_nipponjo.TF,
    deepfill_nipponjo.PT,
    scfegan.OFFICIAL,
    spade.GENERATOR,
    pconv.NAOTO,
    pconv.NVIDIA,
)
"""A release is added by a module and a line here."""
SHOWN = 5
"""Names of an unknown file that are told."""


@dataclass(frozen=True)
class Imported:
    """A converted network, and what is to be known of it."""

    release: Release
    network: Network
    """On the CPU; only its state may be used, for it was built without values."""
    about: dict[str, Any]
    """For the metadata of the weights file."""
    left_out: dict[str, list[str]]
    """What of the file was not taken -> its names there."""


def import_release(path: Path, options: ImportOptions | None = None) -> Imported:
    """Convert the checkpoint at `path`, whatever known release it is.

    Raises WeightsError for a file that is missing, damaged, incomplete or of no known release,
    ConfigError for options that do not go with it.
    """
    options = options or ImportOptions()
    checkpoint = open_checkpoint(path)
    release = recognise(checkpoint)
    reject_options(release, options)
    try:
        plan = release.plan(checkpoint, options)
    except ConfigError as problem:
        raise type(problem)(f"{release.title}: {problem}") from None
    checkpoint = plan.checkpoint or checkpoint
    network, names = check_fit(checkpoint, release.title, plan)
    convert(checkpoint, plan, network)
    left_out: dict[str, list[str]] = {}
    for name, what in sorted(names.items()):
        left_out.setdefault(what, []).append(name)
    for name in checkpoint.beside:
        left_out.setdefault("entries beside the generator", []).append(name)
    about = {
        "release": release.title,
        "source": release.source,
        "paper": release.paper,
        "terms": release.terms,
        "original": {file.name: sha256(file) for file in checkpoint.files},
    }
    if plan.notes:
        about["notes"] = "; ".join(plan.notes)
    return Imported(release, network, about, left_out)


def recognise(checkpoint: Checkpoint) -> Release:
    """The release that `checkpoint` is one of. Raises WeightsError if it is of none."""
    for release in (*RELEASES, *REFUSED):
        if release.matches(checkpoint):
            return release
    names = list(checkpoint.shapes) or list(checkpoint.beside)
    found = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    known = "; ".join(release.title for release in RELEASES)
    raise WeightsError(
        f"{checkpoint.path} ({checkpoint.kind}) is of no release known here: it holds "
        f"{found or 'no tensors'}; known are {known}"
    )


def sha256(path: Path) -> str:
    """The SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
