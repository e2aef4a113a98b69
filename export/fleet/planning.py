"""What INPUT holds, cut into shards."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from core.commands.guides import GUIDES
from core.commands.jobs import MaskSource, pair_folder
from core.errors import ConfigError, ImageError
from core.extras import need
from core.image.write import SUFFIXES

from .config import FleetConfig, Form
from .shards import Shard
from .storage import PRIVATE, Store, open_store

ENDINGS: dict[Form, tuple[str, ...]] = {
    "webdataset": (".tar.gz", ".tar", ".tgz"),
    "parquet": (".parquet",),
    "folder": tuple(SUFFIXES),
}
"""Form -> the ends of the names of its files."""


def open_input(place: str) -> Store:
    """The folder INPUT, or that in which the file INPUT lies."""
    store = open_store(place)
    if not store.exists(""):
        return store
    path = PurePosixPath(store.root)
    return replace(store, root=str(path.parent), only=path.name)


def form_of(names: Sequence[str], place: str) -> Form:
    """How pictures are stored in the files `names` of INPUT.

    Raises ImageError for none of the forms, and for several of them.
    """
    found = [form for form in ENDINGS if any(is_of(name, form) for name in names)]
    if len(found) == 1:
        return found[0]
    if not found:
        known = ", ".join(ending for endings in ENDINGS.values() for ending in endings)
        raise ImageError(
            f"{place} holds no pictures, tar or Parquet files but such as {names[0]}; needed are "
            f"names ending in {known}"
        )
    raise ImageError(f"{place} holds {' and '.join(found)} files mixed; name a folder of one kind")


def is_of(name: str, form: Form) -> bool:
    """Whether a file is of `form`, by its name; what is hidden is of none."""
    hidden = any(part.startswith((".", PRIVATE)) for part in name.split("/"))
    return not hidden and name.lower().endswith(ENDINGS[form])


def plan(config: FleetConfig, pictures: Store, output: Store) -> list[Shard]:
    """All that is to be done. Raises InpaintError for what cannot be."""
    if output.root == pictures.root and output.fs.type_name == pictures.fs.type_name:
        raise ConfigError(f"OUTPUT is the folder of INPUT itself, {config.output}; name another")
    below = output.root.removeprefix(pictures.root + "/") + "/"
    # Results of an earlier run may lie below INPUT.
    names = [name for name in pictures.names() if not name.startswith(below)]
    if not names:
        raise ImageError(f"no files in {config.input}; name a folder or a file that has pictures")
    form = form_of(names, config.input)
    if config.masks and form != "folder":
        raise ConfigError(f"--masks is for folders of pictures; {form} files hold their own masks")
    shards = PLANNERS[form](pictures, [name for name in names if is_of(name, form)], config)
    if not shards:
        raise ImageError(f"{config.input} holds masks and guides alone; put the pictures beside")
    _check_unique(shards)
    return shards


def _plan_tars(store: Store, names: list[str], config: FleetConfig) -> list[Shard]:
    return [Shard(name=_stem(name), form="webdataset", file=name) for name in names]


def _plan_parquet(store: Store, names: list[str], config: FleetConfig) -> list[Shard]:
    """Row groups are the least that can be read; as many as there go together make a shard."""
    shards = []
    for number, name in enumerate(names):
        sizes = _row_groups(store, name, needed=number == 0)
        cuts = list(_cut(sizes, config.shard_size))
        for part, groups in enumerate(cuts):
            own = _stem(name) if len(cuts) == 1 else f"{_stem(name)}-{part:05d}"
            first = sum(sizes[: groups[0]]) if groups else 0
            shards.append(
                Shard(name=own, form="parquet", file=name, groups=tuple(groups), first=first)
            )
    return shards


def _row_groups(store: Store, name: str, *, needed: bool) -> list[int]:
    """Rows of each group; none of a file that cannot be read, which its worker then reports.

    The columns of the first file are checked at once (`needed`): a wrong one is wrong in all.
    """
    parquet, arrow = need("pyarrow.parquet", "cluster"), need("pyarrow", "cluster")
    try:
        with parquet.ParquetFile(store.path(name), filesystem=store.fs) as file:
            columns = file.schema_arrow.names
            sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    except (arrow.ArrowException, OSError):
        return []
    if needed:
        check_columns(name, columns)
    return sizes


def check_columns(name: str, columns: Sequence[str]) -> None:
    """Raise ImageError unless there are the columns that every table needs."""
    if missing := [column for column in ("image", "mask") if column not in columns]:
        raise ImageError(
            f"{name} has no column {' and no column '.join(missing)} (it has "
            f"{', '.join(columns)}); rename those that hold pictures and masks as bytes"
        )


def _cut(sizes: list[int], most: int) -> Iterator[list[int]]:
    """Neighbouring numbers of groups, of at most `most` rows together unless one has more."""
    groups: list[int] = []
    for number, size in enumerate(sizes):
        if groups and sum(sizes[i] for i in groups) + size > most:
            yield groups
            groups = []
        groups.append(number)
    yield groups


def _plan_folder(store: Store, names: list[str], config: FleetConfig) -> list[Shard]:
    """Pictures with masks and guides as `python -m core fill` finds them."""
    masks = open_store(config.masks) if config.masks else store
    if config.masks and not (mask_names := masks.names()):
        raise ImageError(f"no files in the folder of masks, {config.masks}; name another")
    with tempfile.TemporaryDirectory() as folder:
        root = store.local or _skeleton(Path(folder) / "pictures", names)
        beside = root
        if config.masks:
            beside = masks.local or _skeleton(Path(folder) / "masks", mask_names)
        items = list(_paired(root, beside, set(names)))
    count = config.shard_size
    parts = [items[start : start + count] for start in range(0, len(items), count)]
    return [
        Shard(name=f"part-{number:05d}", form="folder", items=tuple(part))
        for number, part in enumerate(parts)
    ]


def _paired(root: Path, masks: Path, names: set[str]) -> Iterator[dict[str, str]]:
    """Per picture: port -> name below `root`, or below `masks`; what is not there is left out."""
    source = MaskSource(path=masks)
    guides = dict.fromkeys(GUIDES, root)
    for job in pair_folder(root, source, root / PRIVATE, guides=guides):
        name = job.image.relative_to(root).as_posix()
        if name not in names:
            continue  # hidden, or a result
        files = {port: path.relative_to(root).as_posix() for port, path in job.guides.items()}
        files["image"] = name
        assert job.mask.path is not None  # `source` has one
        if job.mask.path.is_file():
            files["mask"] = job.mask.path.relative_to(masks).as_posix()
        yield files


def _skeleton(root: Path, names: Sequence[str]) -> Path:
    """An empty file for each name: pairing looks at names alone."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def _stem(name: str) -> str:
    endings = (ending for endings in ENDINGS.values() for ending in endings)
    return next(name[: -len(end)] for end in endings if name.lower().endswith(end))


def _check_unique(shards: list[Shard]) -> None:
    seen: set[str] = set()
    for shard in shards:
        if shard.name in seen:
            raise ConfigError(
                f"two files of INPUT would both become {shard.name}, one of them {shard.file}; "
                "rename one"
            )
        seen.add(shard.name)


PLANNERS: dict[Form, Callable[[Store, list[str], FleetConfig], list[Shard]]] = {
    "folder": _plan_folder,
    "webdataset": _plan_tars,
    "parquet": _plan_parquet,
}
