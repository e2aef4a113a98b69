"""A thin stand-in for what the pack imports from ComfyUI, strict about what ComfyUI has.

`tests/data/comfy_api.json` says the names and parameters; whatever is not in it is refused, since
one unknown keyword costs the user the whole pack. What ComfyUI would do (the memory, the progress
bar, the folders) is only noted down in `Modules`, for tests to look at.
"""

import inspect
import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch

TABLE = json.loads((Path(__file__).parent / "data" / "comfy_api.json").read_text(encoding="utf-8"))
IO_TYPES = {"AnyType": "*", "BoundingBox": "BOUNDING_BOX", "MultiType": "COMFY_MULTITYPED_V3"}
IO_TYPES |= {"ImageCompare": "IMAGECOMPARE"}


def signature(name: str) -> inspect.Signature:
    """Of a function or class in the table."""
    return inspect.signature(eval(f"lambda {TABLE['signatures'][name]}: None"))


class Slot:
    """An input or output: all that it was given stands in `given`."""

    name: str
    io_type: str

    def __init__(self, *args: Any, **kwargs: Any):
        bound = signature(self.name).bind(*args, **kwargs)
        bound.apply_defaults()
        self.given = bound.arguments

    def __getattr__(self, name: str) -> Any:
        if name == "given" or name not in self.given:
            raise AttributeError(f"{self.name} has no {name}")
        return self.given[name]

    def get_io_type(self) -> str:
        """IMAGE; of several types, "MASK,IMAGE"."""
        types = self.given.get("types")
        return ",".join(x.io_type for x in types) if types else self.io_type


def slots(name: str, io_type: str) -> type:
    """A class such as io.Image, with `Input` and `Output`."""
    sides = {}
    for side in ("Input", "Output"):
        if f"io.{name}.{side}" in TABLE["signatures"]:
            own = {"name": f"io.{name}.{side}", "io_type": io_type}
            sides[side] = type(side, (Slot,), own)
    return type(name, (), {"io_type": io_type, **sides})


class Schema(SimpleNamespace):
    """The properties of a node."""

    def __init__(self, *args: Any, **kwargs: Any):
        bound = signature("io.Schema").bind(*args, **kwargs)
        bound.apply_defaults()
        values = bound.arguments
        for name in ("inputs", "outputs", "hidden", "search_aliases"):
            values[name] = values[name] or []
        super().__init__(**values)
        ids = [slot.id for slot in self.inputs]
        if len(set(ids)) < len(ids):
            raise ValueError(f"Input ids must be unique: {ids}")


class ComfyNode:
    """Base of all nodes."""

    hidden: Any = None

    @classmethod
    def GET_SCHEMA(cls) -> Schema:
        """What ComfyUI asks for when it has loaded the pack."""
        return cls.define_schema()


class NodeOutput:
    """What `execute` gives."""

    def __init__(self, *args: Any, **kwargs: Any):
        bound = signature("io.NodeOutput").bind(*args, **kwargs)
        bound.apply_defaults()
        self.args, self.ui = bound.args, bound.arguments["ui"]
        if bound.arguments["expand"] is not None:
            raise ValueError("no node of the pack sets enable_expand")

    def __getitem__(self, index: int) -> Any:
        return self.args[index]


class NodeReplace(SimpleNamespace):
    """That an old node is now another one."""

    def __init__(self, *args: Any, **kwargs: Any):
        bound = signature("io.NodeReplace").bind(*args, **kwargs)
        bound.apply_defaults()
        super().__init__(**bound.arguments)


class PreviewImage:
    """Pictures shown on the node, kept as bytes instead of as files."""

    name = "ui.PreviewImage"

    def __init__(self, *args: Any, **kwargs: Any):
        bound = signature(self.name).bind(*args, **kwargs)
        bound.apply_defaults()
        self.pictures = [as_bytes(x) for x in self.images(bound.args[0])]
        self.animated = bound.arguments["animated"]

    @staticmethod
    def images(image: torch.Tensor) -> torch.Tensor:
        return image

    def as_dict(self) -> dict[str, Any]:
        return {"images": self.pictures, "animated": (self.animated,)}


class PreviewMask(PreviewImage):
    """Masks shown on the node."""

    name = "ui.PreviewMask"

    @staticmethod
    def images(image: torch.Tensor) -> torch.Tensor:
        return image.reshape(-1, *image.shape[-2:], 1).expand(-1, -1, -1, 3)


class PreviewText:
    """Text shown on the node."""

    def __init__(self, *args: Any, **kwargs: Any):
        self.value = signature("ui.PreviewText").bind(*args, **kwargs).args[0]

    def as_dict(self) -> dict[str, Any]:
        return {"text": (self.value,)}


class SavedResult(dict[str, str]):
    """A file that was written, for the page to fetch."""

    def __init__(self, *args: Any, **kwargs: Any):
        given = signature("ui.SavedResult").bind(*args, **kwargs).arguments
        super().__init__({**given, "type": given["type"].value})


class SavedImages:
    """Files shown on the node."""

    def __init__(self, *args: Any, **kwargs: Any):
        bound = signature("ui.SavedImages").bind(*args, **kwargs)
        bound.apply_defaults()
        self.results, self.is_animated = bound.args

    def as_dict(self) -> dict[str, Any]:
        animated = {"animated": (True,)} if self.is_animated else {}
        return {"images": self.results, **animated}


def as_bytes(image: torch.Tensor) -> np.ndarray:
    """As ComfyUI saves a picture (H, W, C); it takes 3 or 4 channels."""
    if image.ndim != 3 or image.shape[-1] not in (3, 4):
        raise ValueError(f"a preview of shape {tuple(image.shape)} cannot be saved")
    return np.clip(255.0 * image.cpu().numpy(), 0, 255).astype(np.uint8)


class ComfyExtension(ABC):
    """A pack."""

    async def on_load(self) -> None:  # noqa: B027 - need not be overridden, as the real one
        """Called once."""

    @abstractmethod
    async def get_node_list(self) -> list[type[ComfyNode]]:
        """All nodes."""


class InterruptProcessingException(BaseException):
    """The user wants the run to end."""


class OlderInterruption(Exception):
    """What it was in 0.18.1."""


class Modules:
    """The modules by name, and what the pack asked of them."""

    def __init__(self, folder: Path):
        self.dtype = torch.float32
        self.device = torch.device("cpu")
        self.bars: list[list[tuple[float, float]]] = []
        """One list for each progress bar: the pairs of value and total that it was told."""
        self.loads: list[tuple[list[Any], float]] = []
        """The models and the bytes of each call of load_models_gpu."""
        self.freed: list[float] = []
        self.said: list[tuple[str, str]] = []
        """Words shown on a node, and its id."""
        self.emptied = 0
        self.replaced: list[NodeReplace] = []
        self.ask: Callable[[], bool] = lambda: False
        """Whether the user has interrupted; called again and again."""
        self.reset(folder)
        self.by_name = {
            "comfy": ModuleType("comfy"),
            "comfy.model_management": self._management(),
            "comfy.model_patcher": module("comfy.model_patcher", CoreModelPatcher=CoreModelPatcher),
            "comfy.utils": self._utils(),
            "comfy_api": ModuleType("comfy_api"),
            "comfy_api.latest": self._latest(),
            "folder_paths": self._folder_paths(),
            "server": self._server(),
        }
        for name, one in self.by_name.items():
            parent, _, own = name.rpartition(".")
            if parent:
                setattr(self.by_name[parent], own, one)

    def reset(self, folder: Path) -> None:
        """As after a start, with ComfyUI's own folders below `folder`."""
        self.folder = folder
        self.dtype, self.device = torch.float32, torch.device("cpu")
        self.ask, self.emptied = (lambda: False), 0
        self.interruption = InterruptProcessingException
        for noted in (self.bars, self.loads, self.freed, self.said):
            noted.clear()
        for name in ("models/inpaint", "input", "output", "temp"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        if hasattr(self, "by_name"):
            paths = self.by_name["folder_paths"]
            paths.models_dir = str(folder / "models")
            paths.folder_names_and_paths.clear()

    def _management(self) -> ModuleType:
        def load_models_gpu(models: list[Any], memory_required: float, **_: Any) -> None:
            self.loads.append((models, memory_required))
            for model in models:
                model.model.to(model.load_device)

        def check() -> None:
            if self.ask():
                raise self.interruption

        def raise_non_oom(e: Exception) -> None:
            if not isinstance(e, torch.OutOfMemoryError):
                raise e

        def soft_empty_cache(force: bool) -> None:
            self.emptied += 1

        return module(
            "comfy.model_management",
            InterruptProcessingException=InterruptProcessingException,
            OOM_EXCEPTION=torch.OutOfMemoryError,
            get_torch_device=lambda: self.device,
            unet_offload_device=lambda: torch.device("cpu"),
            intermediate_device=lambda: torch.device("cpu"),
            intermediate_dtype=lambda: self.dtype,
            load_models_gpu=load_models_gpu,
            free_memory=lambda memory_required, **_: self.freed.append(memory_required),
            get_free_memory=lambda **_: 2**34,
            is_device_cpu=lambda device: device.type == "cpu",
            is_oom=lambda e: isinstance(e, torch.OutOfMemoryError),
            raise_non_oom=raise_non_oom,
            soft_empty_cache=soft_empty_cache,
            throw_exception_if_processing_interrupted=check,
            processing_interrupted=lambda: self.ask(),
            unload_all_models=lambda: None,
        )

    def _utils(self) -> ModuleType:
        state = self

        class ProgressBar:
            def __init__(self, *args: Any, **kwargs: Any):
                self.total = signature("comfy.utils.ProgressBar").bind(*args, **kwargs).args[0]
                self.current: float = 0
                self.told: list[tuple[float, float]] = []
                state.bars.append(self.told)

            def update_absolute(self, *args: Any, **kwargs: Any) -> None:
                bound = signature("comfy.utils.ProgressBar.update_absolute").bind(*args, **kwargs)
                self.total = bound.arguments.get("total") or self.total
                self.current = min(bound.args[0], self.total)
                self.told.append((self.current, self.total))

            def update(self, value: float) -> None:
                self.update_absolute(self.current + value)

        made = module("comfy.utils")
        made.ProgressBar = ProgressBar
        return made

    def _latest(self) -> ModuleType:
        io = ModuleType("comfy_api.latest.io")
        for key in TABLE["signatures"]:
            kind, name, *side = key.split(".")
            if kind == "io" and side and name != "Custom":
                setattr(io, name, slots(name, IO_TYPES.get(name, name.upper())))
        io.Custom = lambda io_type: slots("Custom", io_type)
        for one in (Schema, ComfyNode, NodeOutput, NodeReplace):
            setattr(io, one.__name__, one)
        for key, values in TABLE["enums"].items():
            name = key.removeprefix("io.")
            setattr(io, name, Enum(name, values, type=str))
        ui = ModuleType("comfy_api.latest.ui")
        for one in (PreviewImage, PreviewMask, PreviewText, SavedImages, SavedResult):
            setattr(ui, one.__name__, one)
        latest = ModuleType("comfy_api.latest")
        latest.io = latest.IO = io
        latest.ui = latest.UI = ui
        latest.ComfyExtension, latest.ComfyAPI = ComfyExtension, self._api()
        return latest

    def _api(self) -> Callable[[], SimpleNamespace]:
        async def register(node_replace: NodeReplace) -> None:
            self.replaced.append(node_replace)

        return lambda: SimpleNamespace(node_replacement=SimpleNamespace(register=register))

    def _server(self) -> ModuleType:
        def send_progress_text(text: str, node_id: str, sid: str | None) -> None:
            self.said.append((text, node_id))

        instance = module("server", send_progress_text=send_progress_text)
        made = ModuleType("server")
        made.PromptServer = SimpleNamespace(instance=instance)
        return made

    def _folder_paths(self) -> ModuleType:
        folders = Folders(self)
        names = [x for x in TABLE["signatures"] if x.startswith("folder_paths.")]
        functions = {x.partition(".")[2]: getattr(folders, x.partition(".")[2]) for x in names}
        made = module("folder_paths", **functions)
        made.folder_names_and_paths = folders.known
        made.models_dir = str(self.folder / "models")
        return made


class Folders:
    """ComfyUI's folders, and which files are in them."""

    def __init__(self, state: Modules):
        self.known: dict[str, tuple[list[str], set[str]]] = {}
        self._state = state

    def add_model_folder_path(
        self, folder_name: str, full_folder_path: str, is_default: bool
    ) -> None:
        paths = self.known.setdefault(folder_name, ([], set()))[0]
        if full_folder_path not in paths:
            paths.insert(0 if is_default else len(paths), full_folder_path)

    def get_folder_paths(self, folder_name: str) -> list[str]:
        return self.known[folder_name][0][:]

    def get_filename_list(self, folder_name: str) -> list[str]:
        folders, suffixes = self.known[folder_name]
        found = {
            os.path.relpath(os.path.join(at, name), folder)
            for folder in folders
            for at, _, names in os.walk(folder, followlinks=True)
            for name in names
        }
        # A folder without suffixes lists every file, as in ComfyUI.
        return sorted(
            x for x in found if not suffixes or os.path.splitext(x)[1].lower() in suffixes
        )

    def get_full_path(self, folder_name: str, filename: str) -> str | None:
        paths = [os.path.join(folder, filename) for folder in self.known[folder_name][0]]
        return next(filter(os.path.isfile, paths), None)

    def get_full_path_or_raise(self, folder_name: str, filename: str) -> str:
        found = self.get_full_path(folder_name, filename)
        if found is None:
            raise FileNotFoundError(f"{filename} is in no folder of {folder_name}")
        return found

    def get_annotated_filepath(self, name: str, default_dir: str | None = None) -> str:
        for kind in ("input", "output", "temp"):
            if name.endswith(f"[{kind}]"):
                return str(self._of(kind) / name.removesuffix(f"[{kind}]").strip())
        return os.path.join(default_dir or self._of("input"), name)

    def exists_annotated_filepath(self, name: str) -> bool:
        return os.path.exists(self.get_annotated_filepath(name))

    def get_input_directory(self) -> str:
        return str(self._of("input"))

    def get_output_directory(self) -> str:
        return str(self._of("output"))

    def get_temp_directory(self) -> str:
        return str(self._of("temp"))

    def get_save_image_path(
        self, filename_prefix: str, output_dir: str, image_width: int, image_height: int
    ) -> tuple[str, str, int, str, str]:
        folder, name = os.path.split(os.path.join(output_dir, filename_prefix))
        os.makedirs(folder, exist_ok=True)
        number = 1 + sum(x.startswith(name + "_") for x in os.listdir(folder))
        return folder, name, number, os.path.dirname(filename_prefix), filename_prefix

    def _of(self, kind: str) -> Path:
        return self._state.folder / kind


class CoreModelPatcher:
    """A model in ComfyUI's care."""

    def __init__(self, *args: Any, **kwargs: Any):
        bound = signature("comfy.model_patcher.CoreModelPatcher").bind(*args, **kwargs)
        self.model, self.load_device, self.offload_device = bound.args[:3]


def module(name: str, **members: Any) -> ModuleType:
    """A module whose functions are called by keyword, bound to the table's signatures."""
    made = ModuleType(name)
    for key, member in members.items():
        full = f"{name}.{key}"
        strict = full in TABLE["signatures"] and not inspect.isclass(member)
        setattr(made, key, checked(full, member) if strict else member)
    return made


def checked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, called by keyword with the defaults of the real one."""

    def called(*args: Any, **kwargs: Any) -> Any:
        bound = signature(name).bind(*args, **kwargs)
        bound.apply_defaults()
        return function(**bound.arguments)

    return called


@contextmanager
def installed(folder: Path) -> Iterator[Modules]:
    """The fakes in `sys.modules`, and out of it again."""
    made = Modules(folder)
    taken = set(made.by_name) & set(sys.modules)
    if taken:
        raise RuntimeError(f"these modules are there already: {sorted(taken)}")
    sys.modules.update(made.by_name)
    try:
        yield made
    finally:
        for name in made.by_name:
            del sys.modules[name]
