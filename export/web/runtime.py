"""ONNX Runtime for browsers: three files of an npm package, of the version pinned beside this."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from core.errors import BackendError

PACKAGE = "onnxruntime-web"
ENTRY = "ort.wasm.min.mjs"
WASM = "ort-wasm-simd-threaded.wasm"
FILES = (ENTRY, "ort-wasm-simd-threaded.mjs", WASM)
"""What a page needs that runs on WebAssembly alone; the whole package has 138 MB."""
HERE = Path(__file__).parent


def pinned_version() -> str:
    """That of package.json."""
    pinned = json.loads((HERE / "package.json").read_text(encoding="utf-8"))
    return str(pinned["dependencies"][PACKAGE])


def copy_runtime(package: Path | None, out: Path) -> None:
    """Copy the files to the folder `out`, from the npm package at `package` or, for None, from npm.

    Raises BackendError where they cannot be had, or are of another version than the pinned one.
    """
    if package is not None:
        _copy(package, out)
        return
    with tempfile.TemporaryDirectory(prefix="gatefill-npm-") as name:
        folder = Path(name)
        install(folder)
        _copy(folder / "node_modules" / PACKAGE, out)


def install(folder: Path) -> None:
    """Let npm install the pinned packages, their hashes checked, into `folder`/node_modules.

    Raises BackendError where npm is missing or fails.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise BackendError(
            f"npm is not here, which brings {PACKAGE} {pinned_version()}; install Node.js, or "
            "name the folder of that package by --runtime"
        )
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copyfile(HERE / name, folder / name)
    command = [npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        reason = lines[-1].strip() if lines else f"exit code {done.returncode}"
        raise BackendError(
            f"npm cannot get {PACKAGE} {pinned_version()} ({reason}); mend that, or name the "
            "folder of the package by --runtime"
        )


def _copy(package: Path, out: Path) -> None:
    wanted = pinned_version()
    try:
        found = json.loads((package / "package.json").read_text(encoding="utf-8"))
        name, version = found["name"], found["version"]
    except (OSError, ValueError, KeyError, TypeError):
        name, version = "no npm package", ""
    if (name, version) != (PACKAGE, wanted):
        raise BackendError(
            f"{package} is {name} {version}".strip() + f"; the page needs {PACKAGE} {wanted}: "
            f"name its folder by --runtime, as in node_modules/{PACKAGE}"
        )
    out.mkdir(parents=True)
    for file in FILES:
        source = package / "dist" / file
        if not source.is_file():
            raise BackendError(
                f"{source} is missing; install {PACKAGE} {wanted} again, or leave --runtime out"
            )
        shutil.copyfile(source, out / file)
