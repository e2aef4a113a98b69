"""The folder of the page: our files, the graph and the runtime, and site.json about them."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.errors import BackendError, ConfigError
from core.extras import need
from core.files import sha256_of, write_json
from core.graph import GraphInfo, read_graph

from .runtime import ENTRY, WASM, copy_runtime, pinned_version
from .serve import HEADERS

SITE = "site.json"
PAGE = Path(__file__).parent / "page"
RUNTIME_LICENCE = "onnxruntime-LICENSE.txt"
CANVAS = ("size", "context", "grow", "feather", "widest_hole")
"""The settings of the graph by which the page cuts its windows (`core.single.Canvas`)."""
DRAWN = {"image": 3, "mask": 1, "sketch": 1, "color": 3}
"""What a visitor can paint: inputs of the graph, and their channels."""


def build_site(
    graph: Path, out: Path, *, runtime: Path | None = None, title: str = "", force: bool = False
) -> int:
    """Write the page for `graph` to the folder `out`; returns its size in bytes.

    runtime: the npm package onnxruntime-web; None: npm is asked for it. Raises BackendError for a
    graph or a runtime that cannot be used, ConfigError where `out` may not be written.
    """
    check_place(out, force=force)
    info = read_graph(graph)
    check_graph(info, graph)
    with whole_site(out) as folder:
        for source in PAGE.iterdir():
            if source.name != RUNTIME_LICENCE:
                shutil.copyfile(source, folder / source.name)
        runtime_folder = folder / f"ort-{pinned_version()}"
        copy_runtime(runtime, runtime_folder)
        shutil.copyfile(PAGE / RUNTIME_LICENCE, runtime_folder / "LICENSE.txt")
        model = folder / f"{graph.stem}.{sha256_of(graph)[:16]}.onnx"
        shutil.copyfile(graph, model)
        write_json(folder / SITE, description(info, model, runtime_folder, title), flag="-o")
        (folder / "_headers").write_text(headers_file(), encoding="utf-8")
    return sum(path.stat().st_size for path in out.rglob("*") if path.is_file())


def check_graph(info: GraphInfo, path: Path) -> None:
    """Raise BackendError for a graph that the page cannot feed."""
    if info.kind != "pipeline":
        raise BackendError(
            f"{path} is a bare network; the page needs what `python -m export.pipeline` makes"
        )
    missing = [name for name in CANVAS if name not in info.settings]
    if missing:
        raise BackendError(
            f"{path} does not say its {', '.join(missing)}; make it again by `python -m "
            "export.pipeline`"
        )
    foreign = [name for name in graph_inputs(path) if name not in DRAWN]
    if foreign:
        raise BackendError(
            f"{path} takes {', '.join(foreign)}, which nobody can paint on the page; export a "
            f"network that takes no more than {', '.join(DRAWN)}"
        )


def graph_inputs(path: Path) -> list[str]:
    """The names of a graph's inputs."""
    onnx = need("onnx", "onnx")
    model = onnx.load(str(path), load_external_data=False)
    return [entry.name for entry in model.graph.input]


def description(info: GraphInfo, model: Path, runtime: Path, title: str) -> dict[str, Any]:
    """What the page reads first: which files there are, and what the graph takes."""
    return {
        "title": title or f"{info.architecture} · {info.settings['size']} px",
        "model": {
            **file_facts(model),
            "architecture": info.architecture,
            "precision": info.precision,
            "weights_sha256": info.weights_sha256,
            "about": info.about,
            "guides": [asdict(port) for port in info.contract.guides if port.name in DRAWN],
            "settings": {name: info.settings[name] for name in CANVAS},
        },
        "runtime": {
            "version": pinned_version(),
            "folder": f"{runtime.name}/",
            "entry": f"{runtime.name}/{ENTRY}",
            "wasm": {**file_facts(runtime / WASM), "file": f"{runtime.name}/{WASM}"},
        },
    }


def file_facts(path: Path) -> dict[str, Any]:
    """By which a file is told from a damaged one."""
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}


def headers_file() -> str:
    """For hosts that take their headers from a file `_headers`."""
    return "/*\n" + "".join(f"  {name}: {value}\n" for name, value in HEADERS.items())


def check_site(folder: Path) -> None:
    """Raise ConfigError where `folder` holds no page."""
    if not (folder / SITE).is_file():
        raise ConfigError(
            f"{folder} holds no page; build one by `python -m export.web PIPELINE.onnx -o {folder}`"
        )


def check_place(out: Path, *, force: bool) -> None:
    """Raise ConfigError if something lies at `out` that may not be replaced."""
    if not out.exists() and not out.is_symlink():
        return
    if out.is_symlink() or not out.is_dir():
        raise ConfigError(f"{out} is not a folder; name another for the page")
    if not any(out.iterdir()):
        return
    if not (out / SITE).is_file():
        raise ConfigError(f"{out} holds something else than a page; name another folder")
    if not force:
        raise ConfigError(f"{out} exists; name another folder, or replace it by --force")


@contextmanager
def whole_site(out: Path) -> Iterator[Path]:
    """An empty folder beside `out` that takes its place at the end, or nothing changes."""
    out = out.absolute()
    part: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".part-{out.name}-", dir=out.parent))
        new, old = part / "new", part / "old"
        new.mkdir()
        yield new
        if out.exists():
            out.rename(old)
        new.rename(out)
    except OSError as problem:
        raise ConfigError(
            f"the page cannot be written to {out} ({problem}); make room, or name another folder"
        ) from None
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)
