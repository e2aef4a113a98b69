"""What holds for every test."""

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from packs import Pack, loaded_pack

# Small tensors only: on a busy machine two threads wait for each other (seen: 13 s against 1 s).
torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what needs a GPU where there is none."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Preset -> the ONNX file of its tiny network, exported once: change a copy, not the file."""
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package, reason="needs the extra onnx")
    from exports import write_once

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # that of the run, which its processes share
    return functools.cache(lambda preset: write_once(preset, folder))


@pytest.fixture(scope="session")
def whole_pack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pack]:
    """The node pack as ComfyUI loads it, once."""
    with loaded_pack(tmp_path_factory.mktemp("comfyui")) as found:
        yield found


@pytest.fixture
def pack(whole_pack: Pack, tmp_path: Path) -> Pack:
    """The node pack in a ComfyUI that was just started, with empty folders of its own."""
    whole_pack.comfy.reset(tmp_path / "comfyui")
    whole_pack.part("files").add_folder()
    whole_pack.part("loaded").close_sessions()
    whole_pack.part("sketch").close_drawers()
    return whole_pack
