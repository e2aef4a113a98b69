"""Making a bundle: graphs, repository, texts, manifest, and a smoke fill before it is shown."""

import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from core.errors import ConfigError
from core.graph import GraphInfo, read_graph
from core.weights import DEFAULT_WEIGHTS

from ..model_repository import Device, Entry, Serving, read_signature
from ..model_repository import write_repository as write_triton
from . import texts
from .check import check_bundle
from .folder import check_place, whole_folder
from .graphs import GENERATOR, PIPELINE, export_graphs, parse_size
from .manifest import write_manifest
from .readme import CARD, readme_values

ROOT = Path(__file__).resolve().parent.parent.parent
REPOSITORY = "model_repository"
MAKERS = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy", "pillow", "tensorrt")
USE, TERMS = "What it is for", "Data and terms"
"""Headings of a card under which it says what the weights may be used for."""


@dataclass(frozen=True, kw_only=True)
class BundleConfig:
    """What goes into the bundle; each field is a flag of `python -m export.bundle`, but `out`."""

    out: Path
    weights: Path = field(default=DEFAULT_WEIGHTS, metadata={"help": "the network"})
    precision: Literal["fp32", "fp16"] = field(
        default="fp32", metadata={"help": "what the graphs compute in"}
    )
    size: str = field(
        default="", metadata={"help": "fix the size of generator.onnx, HEIGHTxWIDTH (default: any)"}
    )
    triton_device: Device = field(default="cpu", metadata={"help": "where Triton runs the models"})
    triton_instances: int = field(
        default=1, metadata={"help": "how many of each model Triton runs at once, on each device"}
    )
    triton_batch: int = field(
        default=8, metadata={"help": "up to so many requests Triton joins for the generator"}
    )
    engines: bool = field(
        default=False, metadata={"help": "build TensorRT engines for the GPU of this machine"}
    )
    force: bool = field(default=False, metadata={"help": "replace the bundle at OUT"})

    def __post_init__(self) -> None:
        if self.triton_batch < 1:
            raise ConfigError(f"--triton-batch is {self.triton_batch}; it must be at least 1")
        parse_size(self.size)
        _ = self.serving

    @property
    def serving(self) -> Serving:
        """How Triton runs the models."""
        return Serving(device=self.triton_device, instances=self.triton_instances)

    @property
    def name(self) -> str:
        """Of the models: that of the weights, in what Triton and Docker take for a name."""
        return re.sub(r"[^a-z0-9_-]+", "-", self.weights.stem.lower()).strip("-_") or "gatefill"


def make_bundle(config: BundleConfig) -> str:
    """Make the bundle at `config.out`, whole or not at all; returns what its check said.

    Raises InpaintError where anything of it cannot be made.
    """
    check_place(config.out, force=config.force)  # before minutes of work, not after
    with whole_folder(config.out, force=config.force) as folder:
        size = parse_size(config.size)
        parity = export_graphs(
            config.weights, folder, config.out, precision=config.precision, size=size
        )
        furnish(config, folder, parity)
        return check_bundle(folder)


def furnish(config: BundleConfig, folder: Path, parity: dict[str, Any]) -> None:
    """Put everything else round the graphs that lie in `folder`; parity: how far they are off."""
    facts = facts_of(config, folder) | {"parity": parity}
    facts["engines"] = write_engines(config, folder)
    facts["triton"] = write_repository(config, folder)
    write_texts(config, folder, facts)
    write_manifest(folder, facts)


def facts_of(config: BundleConfig, folder: Path) -> dict[str, Any]:
    """What is known of the graphs and of where they come from."""
    generator = read_graph(folder / GENERATOR)
    pipeline = read_graph(folder / PIPELINE)
    return {
        "name": config.name,
        "title": config.weights.stem,
        "architecture": generator.architecture,
        "precision": generator.precision,
        "opset": generator.opset,
        "parts": list(generator.parts),
        "contract": generator.contract.to_dict(),
        "settings": {"generator": generator.settings, "pipeline": pipeline.settings},
        "versions": {
            "gatefill": texts.gatefill_version(),
            **texts.package_versions(MAKERS),
        },
        "requirements": texts.requirements(),
        "licence": {"code": "Apache-2.0", "weights": generator.about.get("licence")},
        "weights": weights_facts(config, folder, generator),
    }


def weights_facts(config: BundleConfig, folder: Path, info: GraphInfo) -> dict[str, Any]:
    """Where the weights come from and their terms, by the card beside them, which is copied."""
    facts = {"file": config.weights.name, "sha256": info.weights_sha256, "about": info.about}
    path = config.weights.with_suffix(".md")
    if not path.is_file():
        return {**facts, "card": None, "use": None, "terms": None}
    card = texts.card_without_pictures(path.read_text(encoding="utf-8"))
    (folder / CARD).write_text(card, encoding="utf-8")
    said = texts.sections(card)
    return {**facts, "card": CARD, "use": said.get(USE), "terms": said.get(TERMS)}


def write_engines(config: BundleConfig, folder: Path) -> dict[str, Any]:
    """The engines of this machine's GPU, or the script that builds them elsewhere."""
    from ..trt import TrtConfig, build_engines, trtexec_text

    engines = folder / "engines"
    engines.mkdir()
    graphs = (folder / GENERATOR, folder / PIPELINE)
    lines = "".join(trtexec_text(TrtConfig(model=graph)) for graph in graphs).splitlines()
    commands = [f"#   {line}".replace(f"{folder}/", "") for line in lines if line[:1] != "#"]
    script = texts.from_template("build_engines.sh", trtexec="\n".join(commands))
    (folder / "build_engines.sh").write_text(script, encoding="utf-8")
    if not config.engines:
        (engines / "README.md").write_text(texts.from_template("engines.md"), encoding="utf-8")
        return {"built": []}
    built = [
        path for graph in graphs for path in build_engines(TrtConfig(model=graph, out=engines))
    ]
    return {"built": [f"engines/{path.name}" for path in built]}


def write_repository(config: BundleConfig, folder: Path) -> dict[str, Any]:
    """That of Triton: the parts of the network in batches, the pipeline as requests come."""
    info = read_graph(folder / GENERATOR)
    names = {part: config.name if part == "run" else f"{config.name}_{part}" for part in info.parts}
    entries = []
    for part, name in names.items():
        graph = folder / (GENERATOR if part == "run" else f"generator.{part}.onnx")
        entries.append(Entry(name=name, graph=graph, max_batch=config.triton_batch))
    entries.append(Entry(name=f"{config.name}_pipeline", graph=folder / PIPELINE))
    schema = write_triton(folder / REPOSITORY, entries, config.serving)
    return {
        "models": [entry.name for entry in entries],
        "device": config.triton_device,
        "instances": config.triton_instances,
        "max_batch_size": config.triton_batch,
        "validated_by": schema,
    }


def write_texts(config: BundleConfig, folder: Path, facts: dict[str, Any]) -> None:
    """infer.py, what it needs, the image of it, the terms, and what to do with all that."""
    for name in texts.COMMAND:
        shutil.copyfile(texts.TEMPLATES / name, folder / name)
    shutil.copyfile(ROOT / "LICENSE", folder / "LICENSE")
    pins = facts["requirements"]
    lines = "".join(f"{name}=={version}\n" for name, version in pins.items())
    (folder / "requirements.txt").write_text(lines, encoding="utf-8")
    card = [CARD] if facts["weights"]["card"] else []
    dockerfile = texts.from_template(
        "Dockerfile",
        image=config.name,
        onnxruntime=pins["onnxruntime"],
        files=" ".join([PIPELINE, *texts.COMMAND, "LICENSE", *card]),
    )
    (folder / "Dockerfile").write_text(dockerfile, encoding="utf-8")
    generator, pipeline = (read_signature(folder / name) for name in (GENERATOR, PIPELINE))
    values = readme_values(facts, generator, pipeline)
    readme = texts.from_template("README.md", **values)
    (folder / "README.md").write_text(readme, encoding="utf-8")
