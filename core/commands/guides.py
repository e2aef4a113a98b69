"""Guides of the command line: their flags, their files beside pictures, and how those are read."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..contract import Contract, Kind, Port
from ..crop import nearest
from ..errors import ConfigError, ImageError
from ..image import read_guide, read_picture
from ..image.write import SUFFIXES
from ..masks.files import check_size
from ..palette import Palette, read_palette
from ..semantic import ARRAYS, read_instances, read_semantic


@dataclass(frozen=True)
class Side:
    """A kind of file that lies beside pictures."""

    help: str
    words: tuple[str, ...]
    """What may stand after the picture's name in that of the file: NAME.word, NAME_word, ..."""
    suffixes: tuple[str, ...] = tuple(SUFFIXES)

    @property
    def endings(self) -> tuple[str, ...]:
        """Of the stem."""
        return tuple(sign + word for word in self.words for sign in "._-")


GUIDES = {
    "sketch": Side("lines to follow, light on dark", ("sketch",)),
    "color": Side("colour strokes, on transparent or black ground", ("color",)),
    "semantic": Side(
        "map of labels: grey values, palette indices, colours, or .npy",
        ("seg", "semantic"),
        (*SUFFIXES, *ARRAYS),
    ),
    "instances": Side(
        "map whose numbers or colours differ from thing to thing",
        ("instances",),
        (*SUFFIXES, *ARRAYS),
    ),
    "style": Side("picture whose look is taken", ("style",)),
}
"""Port -> the files that a user gives for it; each is a flag."""
MASK_ENDINGS = Side("", ("mask",)).endings
"""What may stand after the name of a picture in the name of its mask."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How guide files are read."""

    size: tuple[int, int] | None = None
    """(height, width) of the picture; None = each as it is."""
    rescale: bool = False
    palette: Palette | None = None


def add_guides(parser: ArgumentParser, names: tuple[str, ...] = tuple(GUIDES)) -> None:
    """The flags of the guides called `names`, of the seed and of the palette."""
    group = parser.add_argument_group("guides, for networks that take them (see `info`)")
    for name in names:
        group.add_argument(f"--{name}", metavar="PATH", help=GUIDES[name].help)
    group.add_argument(
        "--seed", type=int, metavar="N",
        help="of noise, and of a style in place of that of the picture itself (default: noise by "
        "0, style of the picture)",
    )  # fmt: skip
    group.add_argument(
        "--palette", metavar="FILE",
        help="which colour is which label: .gpl of GIMP or JSON {\"sky\": \"#808080\"} "
        "(default: the network's)",
    )  # fmt: skip


def given_guides(args: Namespace) -> dict[str, Path]:
    """The guides that were given, by port. Raises ImageError for a path where nothing is."""
    paths = {name: getattr(args, name, None) for name in GUIDES}
    given = {name: Path(path) for name, path in paths.items() if path}
    for name, path in given.items():
        if not path.exists():
            raise ImageError(f"--{name}: no file or folder at {path}")
    return given


def given_palette(args: Namespace) -> Palette | None:
    """The palette that was given. Raises ConfigError for a bad file."""
    return read_palette(Path(args.palette)) if args.palette else None


def check_guides(contract: Contract, guides: Mapping[str, object], args: Namespace) -> None:
    """Raise ConfigError for what the network does not take and for what it cannot do without."""
    ports = {port.name: port for port in contract.guides if port.given}
    network = Path(args.weights).name
    flags = ", ".join(f"--{name}" for name in ports) or "none"
    for name in guides:
        if name not in ports:
            raise ConfigError(f"{network} takes no --{name}; the guides that it takes: {flags}")
    kinds = {port.kind for port in contract.guides}
    if args.palette and "labels" not in kinds:
        raise ConfigError(
            f"{network} takes no map of labels, so leave --palette out; the guides that it takes: "
            f"{flags}"
        )
    if args.seed is not None and not kinds & {"noise", "vector"}:
        raise ConfigError(
            f"{network} does nothing by chance, so leave --seed out; the guides that it takes: "
            f"{flags}"
        )
    for name, port in ports.items():
        if not port.optional and name not in guides:
            raise ConfigError(f"{network} needs --{name}; the guides that it takes: {flags}")


def read_guides(
    paths: Mapping[str, Path], contract: Contract, reading: Reading
) -> dict[str, Tensor]:
    """The files as `Inpainter` takes them, by port. Raises InpaintError for a bad file."""
    return {
        name: READERS[contract.port(name).kind](path, contract.port(name), reading)
        for name, path in paths.items()
    }


def is_side_file(image: Path) -> bool:
    """Whether a picture belongs to another one, by its name, and is not itself one to fill.

    Masks and sketches always do; other guides where that picture lies beside them.
    """
    if image.stem.endswith((*MASK_ENDINGS, *GUIDES["sketch"].endings)):
        return True
    owners = (image.stem.removesuffix(end) for side in GUIDES.values() for end in side.endings)
    return any(
        image.with_name(owner + suffix).is_file()
        for owner in owners
        if owner not in ("", image.stem)
        for suffix in SUFFIXES
    )


def find_partner(
    image: Path,
    beside: Path,
    endings: tuple[str, ...],
    suffixes: tuple[str, ...] = tuple(SUFFIXES),
) -> Path:
    """The file named like `beside` but for ending and suffix; a missing path if there is none.

    A name with an ending goes before one without: that may be the picture of the same folder.
    """
    for ending in (*endings, ""):
        for suffix in suffixes:
            candidate = beside.with_name(beside.stem + ending + suffix)
            if candidate.is_file() and not candidate.samefile(image):
                return candidate
    plain = beside.with_suffix(".png")  # which may be there: the picture itself
    return beside.with_name(f"{beside.stem}{endings[0]}.png") if plain.exists() else plain


def own_guides(image: Path, name: Path, guides: Mapping[str, Path]) -> dict[str, Path]:
    """Of a picture in a folder: what is given as folders by its relative `name`, files for all."""
    own = {}
    for port, source in guides.items():
        side = GUIDES[port]
        if not source.is_dir():
            own[port] = source
        elif (path := find_partner(image, source / name, side.endings, side.suffixes)).exists():
            own[port] = path
    return own


def _read_map(path: Path, port: Port, reading: Reading) -> Tensor:
    assert reading.size is not None  # where there is no picture, there is no map to draw on it
    return read_guide(path, reading.size, channels=port.channels, rescale=reading.rescale)


def _read_labels(path: Path, port: Port, reading: Reading) -> Tensor:
    return _fitted(path, read_semantic(path, port, palette=reading.palette), reading)


def _read_instances(path: Path, port: Port, reading: Reading) -> Tensor:
    return _fitted(path, read_instances(path), reading)


def _read_style(path: Path, port: Port, reading: Reading) -> Tensor:
    return read_picture(path).pixels


def _fitted(path: Path, numbers: Tensor, reading: Reading) -> Tensor:
    if reading.size is None:
        return numbers
    check_size(path, numbers, reading.size, rescale=reading.rescale)
    return nearest(numbers, reading.size)


READERS: dict[Kind, Callable[[Path, Port, Reading], Tensor]] = {
    "map": _read_map,
    "labels": _read_labels,
    "instances": _read_instances,
    "vector": _read_style,
}
"""Kind of a port -> what reads a file for it; noise is in no file."""
