"""The rules that the layout promises, read from the source.

Everything may import core, and core imports nothing of ours but itself: inside ComfyUI the
repository is a package under a name made of its path, and a top-level `core` does not exist there.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = {"core", "nodes", "export", "trainer", "gradio_demo", "benchmarks"}
RELATIVE_ONLY = {"core", "nodes"}  # what ComfyUI loads
FRONT_ENDS = {"gradio", "comfy", "comfy_api", "comfy_extras", "comfy_execution", "folder_paths"}
HEAVY = {"onnx", "onnxruntime", "onnxscript", "openvino", "tensorrt", "gradio", "cv2", "skimage"}
HEAVY |= {"matplotlib", "tensorboard", "mediapipe", "fsspec", "scipy", "psutil"}
HEAVY |= {"ray", "pyarrow", "tritonclient", "google", "playwright"}
MOST_LINES = 300

SOURCES = sorted(path for package in OURS for path in (ROOT / package).rglob("*.py"))
SHIPPED = [ROOT / "__init__.py", ROOT / "bootstrap.py", *SOURCES]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


class Import(NamedTuple):
    """One imported module: its first two dotted names as seen from the repository root."""

    top: str
    relative: bool
    at_load: bool
    """Whether it runs when the file is loaded, not only when a function is called."""
    line: int


def imports(source: str, file: str) -> Iterator[Import]:
    """Every import of a source text that lies at `file`, relative to the repository root."""
    yield from walk(ast.parse(source), Path(file).parent.parts, at_load=True)


def walk(node: ast.AST, package: tuple[str, ...], *, at_load: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name.split(".")[0], False, at_load, child.lineno)
        elif isinstance(child, ast.ImportFrom):
            relative = child.level > 0
            for top in origins(child, package):
                yield Import(top, relative, at_load, child.lineno)
        else:
            in_function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            yield from walk(child, package, at_load=at_load and not (in_function or typing_only))


def origins(node: ast.ImportFrom, package: tuple[str, ...]) -> set[str]:
    """The top-level names that `from ... import ...` reaches; "(outside)" is above the root."""
    module = node.module.split(".") if node.module else []
    if node.level == 0:
        return {module[0]}
    if node.level > len(package) + 1:
        return {"(outside)"}
    path = [*package[: len(package) - node.level + 1], *module]
    return {path[0]} if path else {alias.name for alias in node.names}


def violations(source: str, file: str) -> list[str]:
    """What a file of one of our packages imports against the rules."""
    package = Path(file).parts[0]
    allowed = {"core", package}
    found = []
    for item in imports(source, file):
        where = f"{file}:{item.line}"
        if (item.relative or item.top in OURS) and item.top not in allowed:
            found.append(f"{where} imports {item.top}; {package} may import {sorted(allowed)}")
        elif item.top in OURS and package in RELATIVE_ONLY and not item.relative:
            found.append(f"{where} imports {item.top} by its absolute name")
        elif item.relative and package not in RELATIVE_ONLY and item.top != package:
            found.append(f"{where} imports {item.top} relatively; it is a top-level package there")
        if package == "core" and item.top in FRONT_ENDS:
            found.append(f"{where} imports the front end {item.top}")
        elif package in RELATIVE_ONLY and item.at_load and item.top in HEAVY:
            found.append(f"{where} imports the optional {item.top} when it is loaded")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_keep_to_the_rules(path):
    assert violations(path.read_text(encoding="utf-8"), name_of(path)) == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("core/a.py", "import core.errors"),
        ("core/a.py", "from core import errors"),
        ("core/a.py", "from .. import trainer"),
        ("core/a.py", "from ..nodes import masks"),
        ("core/layers/a.py", "from ...export import onnx"),
        ("core/a.py", "from ... import other_pack"),
        ("core/a.py", "def f():\n    import gradio"),
        ("core/a.py", "from comfy_api.latest import io"),
        ("core/a.py", "try:\n    import onnxruntime\nexcept ImportError:\n    pass"),
        ("core/a.py", "class A:\n    import cv2"),
        ("nodes/a.py", "from core import errors"),
        ("nodes/a.py", "import nodes"),
        ("nodes/a.py", "from ..export import onnx"),
        ("nodes/a.py", "import tensorrt"),
        ("export/a.py", "from trainer import loop"),
        ("export/a.py", "from ..core import errors"),
        ("trainer/a.py", "import export.onnx"),
        ("gradio_demo/a.py", "def f():\n    from nodes import inpaint"),
        ("benchmarks/a.py", "from export import onnx"),
    ],
)
def test_the_rules_find_a_violation(file, source):
    assert len(violations(source, file)) == 1


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("core/a.py", "from . import errors\nfrom .layers.gated import GatedConv2d"),
        ("core/layers/a.py", "from ..errors import InpaintError"),
        ("core/a.py", "def f():\n    import onnxruntime"),
        ("core/a.py", "if TYPE_CHECKING:\n    import onnxruntime"),
        ("core/a.py", "import torch.onnx"),
        ("nodes/a.py", "from ..core import errors\nfrom .masks import Grow"),
        ("nodes/a.py", "from comfy_api.latest import io"),
        ("trainer/a.py", "from core.errors import ConfigError\nfrom trainer import step"),
        ("trainer/a.py", "from . import loop\nimport cv2"),
    ],
)
def test_the_rules_let_the_rest_pass(file, source):
    assert violations(source, file) == []


@pytest.mark.parametrize("path", SHIPPED, ids=name_of)
def test_no_file_is_longer_than_one_sitting(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize(
    "module",
    [
        *("core", "trainer", "trainer.evaluate", "trainer.report", "trainer.ablate"),
        *("trainer.edges", "trainer.evaluate_edges"),
        *("export.onnx", "export.pipeline", "export.trt", "export.parser_check"),
        *("export.bundle", "export.bench", "export.fleet", "export.web"),
        *("gradio_demo", "benchmarks.demo_load", "benchmarks.demo_fuzz"),
    ],
)
def test_every_command_explains_itself(module):
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert f"python -m {module}" in done.stdout


LOAD_AS_COMFYUI = """
import sys
from pathlib import Path
sys.path.append(sys.argv[1])  # behind all else: the fakes must not need the repository's root
from packs import loaded_pack
with loaded_pack(Path(sys.argv[2])) as pack:
    for inner in ("registry", "config", "contract"):
        pack.core(inner)
    print(sorted(pack.nodes))
    print(sorted(set(sys.argv[3:]) & set(sys.modules)))
print(sorted(name for name in sys.modules if name.startswith((pack.name, "comfy"))))
"""


def test_the_pack_loads_as_comfyui_loads_it(tmp_path):
    """In a process of its own: two copies of core in one process have different error classes."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD_AS_COMFYUI, str(ROOT / "tests"), str(tmp_path), *OURS, *HEAVY],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    nodes, unwanted, left = done.stdout.splitlines()
    assert "GatefillInpaint" in nodes
    assert (unwanted, left) == ("[]", "[]")
