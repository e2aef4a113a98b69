"""The sample pictures as the editor takes them: files of its layers."""

import base64
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.commands.demo import SAMPLES, tasks_of
from core.commands.guides import GUIDES, MASK_ENDINGS, find_partner
from core.contract import Port
from core.errors import ConfigError
from core.image import read_guide, read_mask, read_picture, save_pixels, thumbnail
from core.painted_map import brush_colours
from core.semantic import paint_labels, read_semantic
from gradio_demo.models import Models
from gradio_demo.sources import layer_of
from gradio_demo.words import LANGUAGES

CAPTIONS = {
    "object": ("Remove an object", "移除物体", "물체 지우기", "物を消す"),
    "line": ("Draw a missing edge", "补画缺失的边线", "끊긴 선 잇기", "途切れた線を描く"),
    "face": ("Face by sketch and color", "用草图和颜色画脸", "스케치와 색으로 얼굴", "線と色で顔"),
    "street": ("Street from a map", "由语义图生成街景", "의미 지도로 거리", "ラベルで街並み"),
    "scratch": ("Mend a scratch", "修补划痕", "긁힌 자국 고치기", "傷を直す"),
}
"""The samples in the order in which they are shown: their tasks in each of `words.LANGUAGES`."""


@dataclass(frozen=True)
class Sample:
    """A picture with its task."""

    picture: Path
    layers: dict[str, Path]
    """RGBA, opaque where something is drawn."""
    network: str
    """One that can do the task."""


def caption(name: str, language: str) -> str:
    """What a sample's task is called in a language of `words`."""
    return CAPTIONS[name][LANGUAGES.index(language)]


@cache
def previews() -> list[dict[str, Any]]:
    """What the editor shows of the samples: name, captions, and a small picture as a data URL."""
    return [
        {"name": name, "captions": captions, "picture": _preview(SAMPLES / f"{name}.jpg")}
        for name, captions in CAPTIONS.items()
    ]


def sample_of(name: str, folder: Path, models: Models) -> Sample:
    """A sample, whose files are written to `folder`. Raises ConfigError for an unknown name."""
    if name not in CAPTIONS:
        raise ConfigError(f"there is no sample {name[:40]!r}; take {', '.join(CAPTIONS)}")
    image = SAMPLES / f"{name}.jpg"
    shutil.copyfile(image, folder / image.name)
    network = _network_for(name, models)
    size = read_picture(image).size
    mask = _mask_of(image, size)
    drawn = {"mask": (torch.ones_like(mask), mask)}
    for port in models.contract(network).guides:
        file = _file_of(image, port.name)
        if file is not None:
            drawn[layer_of(port)] = _layer(file, port, size)
    layers = {key: folder / f"{key}.png" for key in drawn}
    for key, (pixels, alpha) in drawn.items():
        save_pixels(layers[key], pixels, alpha=alpha)
    return Sample(folder / image.name, layers, network)


def _network_for(name: str, models: Models) -> str:
    """The first network with all guides of the sample, or with those that its task needs."""
    drawn = {port for port in GUIDES if _file_of(SAMPLES / f"{name}.jpg", port)}
    for wanted in (drawn, tasks_of(name), set[str]()):
        for network in models.names():
            if wanted <= {port.name for port in models.contract(network).guides}:
                return network
    return models.first


def _preview(image: Path) -> str:
    """The picture with its hole marked, small."""
    picture = read_picture(image)
    jpeg = thumbnail(picture.pixels, _mask_of(image, picture.size))
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def _mask_of(image: Path, size: tuple[int, int]) -> Tensor:
    """Its hole, (1, 1, H, W); size: (height, width)."""
    return read_mask(find_partner(image, image, MASK_ENDINGS), size)


def _file_of(image: Path, port: str) -> Path | None:
    """What lies beside a sample for a port."""
    side = GUIDES.get(port)
    file = find_partner(image, image, side.endings, side.suffixes) if side else None
    return file if file is not None and file.is_file() else None


def _layer(file: Path, port: Port, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """What is drawn, (1, 3 or 1, H, W), and where, (1, 1, H, W)."""
    if port.kind == "labels":
        colours = [colour for _, colour in brush_colours(port)]
        painted = paint_labels(read_semantic(file, port), colours)
        return painted, torch.ones_like(painted[:, :1])
    if port.channels == 1:
        lines = read_guide(file, size, channels=1)
        return torch.ones_like(lines), lines
    picture = read_picture(file)
    alpha = torch.ones_like(picture.pixels[:, :1]) if picture.alpha is None else picture.alpha
    return picture.pixels, alpha
