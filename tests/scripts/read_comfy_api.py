"""What the pack may say to ComfyUI: signatures that every given version of it has.

    python tests/scripts/read_comfy_api.py FLOOR NEWEST > tests/data/comfy_api.json

The folders are checkouts of ComfyUI, the oldest version that the pack supports first. Only their
source is read, so nothing of them need be installed. What one version lacks is left out.
"""

import ast
import json
import sys
from pathlib import Path

TYPES = ("Boolean", "Int", "Float", "String", "Combo", "Image", "Mask", "Latent", "AnyType")
TYPES += ("Color", "BoundingBox", "MultiType")
INPUT_ONLY = ("ImageCompare",)
ENUMS = ("NumberDisplay", "Hidden", "FolderType", "UploadType", "ControlAfterGenerate")
UI = ("PreviewImage", "PreviewMask", "PreviewText", "SavedImages", "SavedResult")
MANAGEMENT = (
    *("get_torch_device", "unet_offload_device", "intermediate_device", "intermediate_dtype"),
    *("load_models_gpu", "free_memory", "get_free_memory", "is_device_cpu", "is_oom"),
    *("raise_non_oom", "soft_empty_cache", "throw_exception_if_processing_interrupted"),
    *("processing_interrupted", "unload_all_models"),
)
FOLDERS = (
    *("add_model_folder_path", "get_folder_paths", "get_filename_list", "get_full_path"),
    *("get_full_path_or_raise", "get_annotated_filepath", "exists_annotated_filepath"),
    *("get_input_directory", "get_output_directory", "get_temp_directory", "get_save_image_path"),
)

Functions = dict[str, dict[str, str]]
"""Dotted name -> parameter -> its default, "" for none."""


def parameters(function: ast.AsyncFunctionDef | ast.FunctionDef) -> dict[str, str]:
    """Name -> default as source, for all that comes after `self`."""
    found: dict[str, str] = {}
    given = function.args
    plain = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(plain) - len(given.defaults)) + list(given.defaults)
    for one, default in zip(plain, defaults, strict=True):
        found[one.arg] = literal(default)
    if given.vararg:
        found["*" + given.vararg.arg] = ""
    for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        found[one.arg] = literal(default)
    return {name: default for name, default in found.items() if name != "self"}


def literal(default: ast.expr | None) -> str:
    """A default as it can be read without its module; None stands for anything else."""
    if default is None:
        return ""
    try:
        return repr(ast.literal_eval(default))
    except ValueError:
        return "None"


def classes(path: Path) -> dict[str, ast.ClassDef]:
    """Dotted name -> class, for those at the top and those within them."""
    top = [x for x in ast.parse(path.read_text(encoding="utf-8")).body if is_class(x)]
    inner = {f"{x.name}.{y.name}": y for x in top for y in x.body if is_class(y)}
    return {x.name: x for x in top} | inner


def is_class(node: ast.AST) -> bool:
    return isinstance(node, ast.ClassDef)


def functions(body: list[ast.stmt]) -> dict[str, dict[str, str]]:
    """Name -> parameters, for the functions in a body."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {x.name: parameters(x) for x in body if isinstance(x, kinds)}


def of_io(path: Path) -> Functions:
    """The inputs, outputs and other classes of comfy_api.latest.io."""
    known = classes(path)
    found = {}
    for name in (*TYPES, *INPUT_ONLY):
        for side in ("Input",) if name in INPUT_ONLY else ("Input", "Output"):
            own = known.get(f"{name}.{side}")
            inits = functions(own.body) if own else {}
            base = functions(known[side].body)["__init__"]
            found[f"io.{name}.{side}"] = inits.get("__init__", base)
    for side in ("Input", "Output"):
        found[f"io.Custom.{side}"] = functions(known[side].body)["__init__"]
    for name in ("NodeOutput", "NodeReplace"):
        found["io." + name] = functions(known[name].body)["__init__"]
    fields = [x for x in known["Schema"].body if isinstance(x, ast.AnnAssign)]
    found["io.Schema"] = {
        x.target.id: literal(x.value) for x in fields if isinstance(x.target, ast.Name)
    }
    return found


def enums(path: Path) -> dict[str, dict[str, str]]:
    """Name of an enumeration -> its names and values."""
    known = classes(path)
    return {
        "io." + name: {
            x.targets[0].id: ast.literal_eval(x.value)
            for x in known[name].body
            if isinstance(x, ast.Assign)
        }
        for name in ENUMS
    }


def read(comfy: Path) -> tuple[Functions, dict[str, dict[str, str]]]:
    """All functions and enumerations of one version."""
    latest = comfy / "comfy_api" / "latest"
    found = of_io(latest / "_io.py")
    shown = classes(latest / "_ui.py")
    for name in UI:
        found["ui." + name] = functions(shown[name].body)["__init__"]
    for file, names in (("comfy/model_management.py", MANAGEMENT), ("folder_paths.py", FOLDERS)):
        known = functions(ast.parse((comfy / file).read_text(encoding="utf-8")).body)
        module = file.removesuffix(".py").replace("/", ".")
        found |= {f"{module}.{name}": known[name] for name in names}
    bar = functions(classes(comfy / "comfy" / "utils.py")["ProgressBar"].body)
    found["comfy.utils.ProgressBar"] = bar["__init__"]
    found["comfy.utils.ProgressBar.update"] = bar["update"]
    found["comfy.utils.ProgressBar.update_absolute"] = bar["update_absolute"]
    server = functions(classes(comfy / "server.py")["PromptServer"].body)
    found["server.send_progress_text"] = server["send_progress_text"]
    patcher = functions(classes(comfy / "comfy" / "model_patcher.py")["ModelPatcher"].body)
    found["comfy.model_patcher.CoreModelPatcher"] = patcher["__init__"]
    return found, enums(latest / "_io.py")


def common(one: dict[str, str], other: dict[str, str]) -> dict[str, str]:
    """What both have, in the order of the first; a differing default is that of the first."""
    return {name: default for name, default in one.items() if name in other}


def text(function: dict[str, str]) -> str:
    """As it stands between the parentheses of a signature."""
    return ", ".join(name + ("=" + value if value else "") for name, value in function.items())


def version(comfy: Path) -> str:
    words = (comfy / "comfyui_version.py").read_text(encoding="utf-8").split('"')
    return words[-2]


def main() -> None:
    """Print the table."""
    folders = [Path(folder) for folder in sys.argv[1:]]
    functions_, enums_ = read(folders[0])
    for folder in folders[1:]:
        more, values = read(folder)
        functions_ = {k: common(x, more[k]) for k, x in functions_.items() if k in more}
        enums_ = {k: common(x, values[k]) for k, x in enums_.items() if k in values}
    table = {
        "source": "ComfyUI " + " and ".join(version(x) for x in folders) + ", what all have; "
        "read by tests/scripts/read_comfy_api.py",
        "signatures": {k: text(x) for k, x in sorted(functions_.items())},
        "enums": enums_,
    }
    sys.stdout.write(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
