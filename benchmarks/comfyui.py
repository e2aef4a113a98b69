"""What the Inpaint node costs beside the pipeline that it calls.

  COMFYUI_DIR=path/to/ComfyUI python -m benchmarks.comfyui

Run it by the Python that has ComfyUI's packages. The pack is loaded as ComfyUI loads it; the node,
with ComfyUI's memory management, progress and interruption round it, and the bare pipeline take
turns on the same picture, on the CPU.
"""

import argparse
import importlib
import importlib.util
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
SIZES = ((256, 256), (512, 512), (1080, 1920))


def main() -> int:
    """Measure, and write a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.comfyui", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="default: 9")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    folder = os.environ.get("COMFYUI_DIR", "")
    if not Path(folder, "comfy").is_dir():
        sys.exit("error: no ComfyUI in COMFYUI_DIR; set it to a checkout of ComfyUI")
    pack = load_pack(folder)
    print("| picture | pipeline ms | node ms | overhead |\n| --- | ---: | ---: | ---: |")
    for size in SIZES:
        bare, node = both(pack, size)
        times: dict[str, list[float]] = {"bare": [], "node": []}
        bare(), node()
        for _ in range(args.rounds):
            times["bare"].append(seconds(bare))
            times["node"].append(seconds(node))
        ratio = statistics.median(n / b for n, b in zip(times["node"], times["bare"], strict=True))
        row = [1000 * statistics.median(times[name]) for name in ("bare", "node")]
        print(f"| {size[1]}x{size[0]} | {row[0]:.1f} | {row[1]:.1f} | {100 * (ratio - 1):+.1f} % |")
    return 0


def load_pack(folder: str) -> ModuleType:
    """The pack under the name that ComfyUI gives it, ComfyUI's own modules being importable."""
    sys.argv = [sys.argv[0], "--cpu"]
    sys.path[0:0] = [folder]
    importlib.import_module("comfy.options").enable_args_parsing()
    sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != ROOT]
    name = str(ROOT).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(
        name, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec is not None and spec.loader is not None
    pack = importlib.util.module_from_spec(spec)
    sys.modules[name] = pack
    spec.loader.exec_module(pack)
    sys.modules[name + ".nodes.files"].add_folder()
    return pack


def both(pack: ModuleType, size: tuple[int, int]) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The bare pipeline and the node, on one picture with a hole in its middle."""
    part = {
        name: sys.modules[f"{pack.__name__}.{name}"] for name in ("nodes.model", "nodes.inpaint")
    }
    core = sys.modules[f"{pack.__name__}.core.pipeline"]
    torch.manual_seed(0)
    image, mask = torch.rand(1, *size, 3), torch.zeros(1, *size)
    mask[:, size[0] // 3 : size[0] // 2, size[1] // 3 : size[1] // 2] = 1
    load, node = part["nodes.model"].LoadModel, part["nodes.inpaint"].Inpaint
    given = {s.id: s.default for s in load.define_schema().inputs if hasattr(s, "default")}
    model = load.execute(**given).args[0]
    schema = node.define_schema().inputs
    widgets = {s.id: s.default for s in schema if hasattr(s, "default")}
    pipeline = core.Inpainter(model.backend, part["nodes.inpaint"].options_of(**widgets))
    pixels, hole = image.movedim(-1, 1), mask[:, None]

    def bare() -> Any:
        with torch.inference_mode():
            return pipeline(pixels, hole)

    def whole() -> Any:
        with torch.inference_mode():
            return node.execute(model=model, image=image, mask=mask, **widgets)

    if not torch.equal(bare().movedim(1, -1), whole().args[0]):
        sys.exit("error: the node and the pipeline give different pictures")
    return bare, whole


def seconds(work: Callable[[], Any]) -> float:
    """Of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
