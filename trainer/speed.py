"""How fast updates are here and what memory they take; `python -m benchmarks.training` shows it.

Each call measures one thing in a process of its own and writes what it found as JSON to stdout:
  updates   pictures a second of the plain update (float32, eager) and of the fast one (--bf16
            --channels-last --compile), which take turns round by round
  memory    by how many bytes one update, the first of its size, raises the peak of the process
  loader    samples a second of one worker of the loader, as its settings are by default
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from core.backends import choose_device
from core.errors import ConfigError, InpaintError
from core.flags import add_flags, from_flags

from .build import build_callables, build_state, check_settings
from .config import TrainConfig
from .data.samples import Batch, Samples, find_pictures
from .loop import formatted
from .ranks import Ranks
from .step import train_step

SMALLEST = 64
"""Side of the pictures of the first update, which loads what the first of anything loads."""
WARM_UPS = 2
PICTURES, SIDES = 8, (480, 640)
"""How many pictures are made up for the loader, and their height and width."""


@dataclass(frozen=True, kw_only=True)
class SpeedConfig:
    """What to measure."""

    what: Literal["updates", "memory", "loader"] = field(metadata={"help": "see above"})
    preset: str = field(default="deepfillv2-small", metadata={"help": "network"})
    crop: int = field(default=128, metadata={"help": "side of the training crops in pixels"})
    batch: int = field(default=8, metadata={"help": "pictures per update"})
    rounds: int = field(default=3, metadata={"help": "turns of each kind of update"})
    seconds: float = field(default=5.0, metadata={"help": "length of a turn, about"})
    threads: int = field(default=1, metadata={"help": "threads of PyTorch"})
    device: str = field(default="", metadata={"help": "by default the best there is"})
    bf16: bool = field(default=False, metadata={"help": "memory: in bfloat16"})
    checkpointing: bool = field(default=False, metadata={"help": "memory: with checkpointing"})
    data: tuple[str, ...] = field(default=(), metadata={"help": "loader: pictures to load"})

    def training(self) -> TrainConfig:
        """The settings of a run, those of the paper's objective."""
        return TrainConfig(
            data=self.data,
            out=Path("nowhere"),
            preset=self.preset,
            crop=self.crop,
            batch=self.batch,
            bf16=self.bf16,
            checkpointing=self.checkpointing,
            device=self.device,
        )


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed."""
    parser = argparse.ArgumentParser(
        prog="python -m trainer.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_flags(parser, SpeedConfig)
    args = parser.parse_args(argv)
    kinds = {"updates": updates, "memory": memory, "loader": loader}
    try:
        config = from_flags(SpeedConfig, args)
        torch.set_num_threads(config.threads)
        if config.what is None:
            raise ConfigError(f"--what is missing; it must be one of {', '.join(kinds)}")
        found = kinds[config.what](config)
    except InpaintError as problem:
        sys.stderr.write(f"error: {problem}\n")
        return 1
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def updates(config: SpeedConfig) -> dict[str, Any]:
    """Pictures a second: kind -> one number per round."""
    plain = config.training()
    fast = replace(plain, bf16=True, channels_last=True, compile=True)
    runs = {"plain": update_of(plain), "fast": update_of(fast)}
    for update in runs.values():
        for _ in range(WARM_UPS):
            update()
    counts = {}
    for kind, update in runs.items():
        started = time.perf_counter()
        update()
        counts[kind] = max(1, round(config.seconds / (time.perf_counter() - started)))
    found: dict[str, list[float]] = {kind: [] for kind in runs}
    for _ in range(config.rounds):
        for kind, update in runs.items():
            started = time.perf_counter()
            for _ in range(counts[kind]):
                update()
            seconds = time.perf_counter() - started
            found[kind].append(counts[kind] * config.batch / seconds)
    return found


def memory(config: SpeedConfig) -> dict[str, Any]:
    """Bytes, or None where the system does not tell them."""
    settings = config.training()
    update = update_of(settings, sides=(SMALLEST, settings.crop))
    update()  # optimisers and gradients have their memory from here on
    before = peak_memory(settings)
    update()
    after = peak_memory(settings)
    return {"growth": None if before is None or after is None else after - before}


def loader(config: SpeedConfig) -> dict[str, Any]:
    """Samples a second, epochs after the first, in one process."""
    with tempfile.TemporaryDirectory() as folder:
        settings = config.training()
        if not config.data:
            settings = replace(settings, data=(folder,))
            make_pictures(Path(folder))
        samples = Samples(find_pictures(settings.data), settings)
        for k in range(PICTURES):
            samples[k]
        started, k = time.perf_counter(), PICTURES
        while time.perf_counter() - started < config.seconds * config.rounds:
            samples[k]
            k += 1
        return {"samples": (k - PICTURES) / (time.perf_counter() - started)}


def update_of(config: TrainConfig, sides: tuple[int, ...] = ()) -> Callable[[], None]:
    """A function that makes one update and waits for it, with pictures of `sides` in turn."""
    ranks = Ranks(choose_device(config.device))
    check_settings(config, ranks)
    state = build_state(config, ranks.device)
    callables = build_callables(state, config, ranks.device)
    given = [
        formatted(made_up_batch(config.batch, side, ranks.device), config)
        for side in sides or (config.crop,)
    ]

    def update() -> None:
        batch = given[0] if len(given) == 1 else given.pop(0)
        float(train_step(state, callables, [batch], config)["g"])

    return update


def made_up_batch(count: int, side: int, device: torch.device) -> Batch:
    """Smooth random pictures with a square hole and some lines."""
    torch.manual_seed(0)
    small = torch.rand(count, 3, 8, 8) * 2 - 1
    image = torch.nn.functional.interpolate(small, (side, side), mode="bilinear")
    mask = torch.zeros(count, 1, side, side)
    mask[..., side // 4 : -(side // 4), side // 4 : -(side // 4)] = 1
    sketch = (torch.rand(count, 1, side, side) > 0.95).float() * mask
    return Batch(image, mask, {"sketch": sketch}).map(lambda part: part.to(device))


def make_pictures(folder: Path) -> None:
    """JPEG files with something of photographs: large and small shapes, and noise."""
    random = np.random.default_rng(0)
    height, width = SIDES
    for i in range(PICTURES):
        picture = random.normal(0, 6, (height, width, 3))
        for cells in (4, 12, 40):
            coarse = random.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
            layer = Image.fromarray(coarse).resize((width, height), Image.Resampling.NEAREST)
            picture += np.asarray(layer, dtype=float) / 3
        pixels = picture.clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.jpg", quality=90)


def peak_memory(config: TrainConfig) -> int | None:
    """Most bytes that were ever held: on a GPU by tensors, else by the process; None = unknown."""
    if choose_device(config.device).type == "cuda":
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


if __name__ == "__main__":
    sys.exit(main())
