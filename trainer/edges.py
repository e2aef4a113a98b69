r"""Train the edge detector on photographs with boundary maps.

  python -m trainer.edges --data edges-train.tar --out runs/edges --steps 6000

Every picture needs its map beside it as KEY.edge.png or KEY_edge.png: grey, the share of the
annotators that drew a boundary there (as BSDS500 gives it). SIGINT and SIGTERM write a checkpoint
first; --resume goes on from it.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim import AdamW
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from core.backends import choose_device
from core.errors import ConfigError, InpaintError, TrainingError
from core.files import whole_file
from core.flags import add_flags, from_flags
from core.image.exif import DAMAGE
from core.losses import balanced_cross_entropy
from core.models.edges import EdgeConfig, EdgeDetector
from core.weights import save_weights

from .config import setting
from .data.samples import Entry, find_pictures
from .data.sides import grey
from .loop import stop_signals
from .schedule import set_rate

FREE = {"data", "out", "device", "workers", "save_every"}
"""Settings that may change when a run is resumed."""


@dataclass(frozen=True, kw_only=True)
class EdgesConfig:
    """A run of the detector; each field is a flag of `python -m trainer.edges`."""

    data: tuple[str, ...] = field(metadata={"help": "folders and .tar shards with .edge.png files"})
    out: Path = field(metadata={"help": "run folder: checkpoint and weights"})
    width: int = setting(EdgeConfig.width, "channels of the first stage")
    steps: int = setting(6000, "updates in all")
    batch: int = setting(8, "crops per update")
    crop: int = setting(256, "side of the crops in pixels")
    lr: float = setting(2e-3, "highest learning rate (AdamW); falls to 0 along a cosine")
    warmup: int = setting(100, "updates over which the learning rate rises from 0")
    weight_decay: float = setting(1e-3, "decay of the weights (AdamW)")
    positive: float = setting(0.3, "share of annotators above which a pixel is an edge for sure")
    bf16: bool = setting(False, "bfloat16 autocast")
    compile: bool = setting(False, "torch.compile the detector")
    device: str = setting("", "cpu, cuda or mps; by default the best there is")
    workers: int = setting(1, "processes that make crops; 0 = the main process")
    seed: int = setting(0, "seed of weights, order and crops")
    save_every: int = setting(250, "steps between checkpoints")

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "save_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name} is {getattr(self, name)}; it must be at least 1")
        if self.crop < 32:
            raise ConfigError(f"--crop is {self.crop}; it must be at least 32")


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed, 128 + n stopped by signal n."""
    parser = argparse.ArgumentParser(
        prog="python -m trainer.edges",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    add_flags(parser, EdgesConfig)
    args = parser.parse_args(argv)
    try:
        number = train_edges(from_flags(EdgesConfig, args), resume=args.resume)
    except InpaintError as problem:
        sys.stderr.write(f"error: {problem}\n")
        return 1
    return 128 + number if number else 0


def train_edges(config: EdgesConfig, *, resume: bool = False) -> int:
    """Train to `config.steps`, or until a signal, whose number is returned (else 0)."""
    device = choose_device(config.device)
    crops = EdgeCrops(read_pairs(config.data), config)
    torch.manual_seed(config.seed)
    detector = EdgeDetector(EdgeConfig(width=config.width)).to(device)
    detector.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
    optimizer = AdamW(detector.parameters(), config.lr, weight_decay=config.weight_decay)
    state = {"detector": detector, "optimizer": optimizer}
    step = _restore(config, state, resume=resume)
    logits = torch.compile(detector.logits) if config.compile else detector.logits
    detector.train()
    stream = crop_batches(crops, config, step)
    with stop_signals() as stop, tqdm(total=config.steps, initial=step, unit="step") as progress:
        while step < config.steps and not stop:
            image, strength = (part.to(device) for part in next(stream))
            set_rate(optimizer, learning_rate(config, step))
            with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16):
                maps = logits(image.contiguous(memory_format=torch.channels_last))
            loss = detector_loss(maps, strength, positive=config.positive)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(detector.parameters(), 5.0)
            optimizer.step()
            step += 1
            progress.update()
            if step % 20 == 0:
                progress.set_postfix(loss=f"{float(loss.detach()):.3f}")
            if step % config.save_every == 0:
                _save(config, state, step)
        _save(config, state, step)
    return stop[0] if stop else 0


def learning_rate(config: EdgesConfig, step: int) -> float:
    """Linear warm-up, then half a cosine to 0."""
    rise = min(1.0, (step + 1) / max(config.warmup, 1))
    return config.lr * rise * 0.5 * (1 + math.cos(math.pi * step / config.steps))


def detector_loss(maps: Sequence[Tensor], strength: Tensor, *, positive: float) -> Tensor:
    """The class-balanced loss of every side and of the fused map, added up."""
    losses = [balanced_cross_entropy(m.float(), strength, positive=positive) for m in maps]
    return torch.stack(losses).sum()


Pair = tuple[np.ndarray, np.ndarray]
"""Picture (H, W, 3) and edge strength (H, W), uint8."""


def read_pairs(sources: Sequence[str]) -> list[Pair]:
    """Every picture that has an edge map, decoded.

    Raises TrainingError where there is none, for a damaged file and for a map of another size.
    """
    pairs = [_read_pair(entry) for entry in find_pictures(sources) if entry.edge is not None]
    if not pairs:
        raise TrainingError(
            f"no picture in {', '.join(sources)} has an edge map; each needs a KEY.edge.png"
        )
    return pairs


def _read_pair(entry: Entry) -> Pair:
    assert entry.edge is not None  # the caller has looked
    picture = np.asarray(entry.decode())
    try:
        edges = grey(entry.edge.read())
    except DAMAGE as problem:
        raise TrainingError(
            f"{entry.edge.name} is not a readable edge map ({problem}); remove or replace it"
        ) from None
    if edges.shape != picture.shape[:2]:
        raise TrainingError(
            f"{entry.edge.name} is {edges.shape[0]} x {edges.shape[1]} pixels (height x width) "
            f"but its picture is {picture.shape[0]} x {picture.shape[1]}; make them alike"
        )
    return picture, edges


class EdgeCrops(Dataset[tuple[Tensor, Tensor]]):
    """Crop k for every k >= 0, a function of (seed, k): scaled, turned, mirrored, re-lit."""

    def __init__(self, pairs: Sequence[Pair], config: EdgesConfig):
        self.pairs = pairs
        self.config = config

    def __len__(self) -> int:
        return self.config.steps * self.config.batch

    def __getitem__(self, k: int) -> tuple[Tensor, Tensor]:
        """Image (3, crop, crop) in [-1, 1], strength (1, crop, crop) in [0, 1]."""
        random = np.random.default_rng((self.config.seed, k))
        epoch, place = divmod(k, len(self.pairs))
        order = np.random.default_rng((self.config.seed, 0, epoch)).permutation(len(self.pairs))
        picture, edges = self.pairs[order[place]]
        scale = math.exp(random.uniform(math.log(0.6), math.log(1.5)))
        crop = self.config.crop
        scale = max(scale, crop / min(edges.shape))
        image, strength = _scaled(picture, edges, scale)
        top, left = (int(random.integers(0, n - crop + 1)) for n in strength.shape)
        window = np.s_[top : top + crop, left : left + crop]
        image, strength = image[window], strength[window]
        turns, mirror = int(random.integers(4)), random.random() < 0.5
        image, strength = np.rot90(image, turns), np.rot90(strength, turns)
        if mirror:
            image, strength = image[:, ::-1], strength[:, ::-1]
        light = np.exp(random.uniform(-0.35, 0.35)) * np.exp(random.uniform(-0.1, 0.1, 3))
        pixels = np.clip(image.astype(np.float32) * light.astype(np.float32) / 127.5 - 1, -1, 1)
        return (
            torch.from_numpy(np.ascontiguousarray(pixels)).movedim(-1, 0),
            torch.from_numpy(np.ascontiguousarray(strength))[None],
        )


def _scaled(picture: np.ndarray, edges: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Both scaled; a boundary one pixel wide keeps its strength where averaging would thin it."""
    height, width = (math.ceil(n * scale) for n in edges.shape)
    resample = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
    image = np.asarray(Image.fromarray(picture).resize((width, height), resample))
    strength = np.asarray(
        Image.fromarray(edges).resize((width, height), Image.Resampling.BILINEAR), np.float32
    )
    return image, np.clip(strength / 255 / min(scale, 1.0), 0, 1)


def crop_batches(
    crops: EdgeCrops, config: EdgesConfig, start: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches from update `start` on."""
    numbers = range(start * config.batch, config.steps * config.batch)
    loader: DataLoader[Any] = DataLoader(
        crops, config.batch, sampler=numbers, num_workers=config.workers
    )
    yield from loader


def _restore(config: EdgesConfig, state: dict[str, Any], *, resume: bool) -> int:
    path = config.out / "checkpoint.pt"
    if not path.exists():
        return 0
    if not resume:
        raise TrainingError(
            f"{config.out} already holds a run; go on with --resume or name another --out"
        )
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, UnpicklingError) as problem:
        reason = str(problem).partition("\n")[0]
        raise TrainingError(f"{path} is damaged ({reason}); begin anew in another --out") from None
    old, new = saved["config"], _plain(config)
    changed = [name for name in new if name not in FREE and old.get(name) != new[name]]
    if changed:
        raise TrainingError(
            f"the run in {config.out} began with another --{', --'.join(changed)}; go on with "
            "that or name another --out"
        )
    for name, part in state.items():
        part.load_state_dict(saved[name])
    return saved["step"]


def _save(config: EdgesConfig, state: dict[str, Any], step: int) -> None:
    parts = {name: part.state_dict() for name, part in state.items()}
    path = config.out / "checkpoint.pt"
    try:
        with whole_file(path) as part:
            torch.save(parts | {"step": step, "config": _plain(config)}, part)
    except (OSError, RuntimeError) as problem:  # torch reports a full disk as RuntimeError
        raise TrainingError(
            f"cannot write {path} ({problem}); the one before is whole, make room and --resume"
        ) from None
    about = {"steps": step, "batch": config.batch, "crop": config.crop}
    save_weights(config.out / "edges.safetensors", state["detector"], about=about)


def _plain(config: EdgesConfig) -> dict[str, Any]:
    values = asdict(config).items()
    return {name: v if isinstance(v, (int, float)) else str(v) for name, v in values}


if __name__ == "__main__":
    sys.exit(main())
