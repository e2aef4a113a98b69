"""Speed and memory of training, and whether the loader keeps up.

  python -m benchmarks.training
  python -m benchmarks.training --crops 128 256 --rounds 5 --threads 2 --json numbers.json
  python -m benchmarks.training --memory --crops 256 512

Updates are those of the paper's objective, discriminator and generator, of one network:
  plain     float32, as PyTorch runs it
  fast      --bf16 --channels-last --compile of the trainer
Both stand in one process and take turns, round by round; pictures a second are medians over the
rounds, and the ratio is the median of the ratios of the rounds. Compiling comes before. `loader` is
how many samples a second one worker draws, with the trainer's masks and lines as they are by
default, from --data or from made-up pictures of 640x480: one worker for each time that this goes
into the pictures of the fast update.

With --memory: by how much one update, the first of its size, raised the peak of the memory of the
process (on a GPU: of its tensors), each in a process of its own, without and with --checkpointing.
"""

import json
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core.errors import BackendError, ConfigError
from core.files import write_json
from core.flags import run_command

ROOT = Path(__file__).resolve().parents[1]
MIB = 1 << 20
SPEED_HEAD = (
    "| crop | plain, pictures/s | fast, pictures/s | fast to plain | loader, samples/s |\n"
    "| ---: | ---: | ---: | ---: | ---: |\n"
)
MEMORY_HEAD = (
    "| crop | precision | growth MiB | with checkpointing | share left |\n"
    "| ---: | --- | ---: | ---: | ---: |\n"
)


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """What to measure; each field is a flag of `python -m benchmarks.training`."""

    crops: tuple[int, ...] = field(
        default=(128, 256), metadata={"help": "sides of the training crops in pixels"}
    )
    preset: str = field(default="deepfillv2-small", metadata={"help": "network"})
    batch: int = field(default=8, metadata={"help": "pictures per update"})
    rounds: int = field(default=3, metadata={"help": "turns of each kind of update"})
    seconds: float = field(default=5.0, metadata={"help": "length of a turn, about"})
    threads: int = field(default=1, metadata={"help": "threads of PyTorch"})
    device: str = field(default="", metadata={"help": "by default the best there is"})
    data: tuple[str, ...] = field(default=(), metadata={"help": "pictures for the loader"})
    memory: bool = field(default=False, metadata={"help": "measure memory, not speed"})
    json: Path | None = field(default=None, metadata={"help": "file for all the numbers"})

    def __post_init__(self) -> None:
        for crop in self.crops:
            if crop < 64 or crop % 8:
                raise ConfigError(f"--crops has {crop}; each must be a multiple of 8, at least 64")
        for name in ("batch", "rounds", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name} is {getattr(self, name)}; it must be at least 1")
        if not self.seconds > 0:
            raise ConfigError(f"--seconds is {self.seconds}; it must be more than 0")


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed, 130 interrupted."""
    return run_command(argv, "benchmarks.training", __doc__, BenchConfig, bench)


def bench(config: BenchConfig) -> None:
    """Measure and write the table to stdout, crop by crop, then the file of numbers."""
    sys.stdout.write(MEMORY_HEAD if config.memory else SPEED_HEAD)
    found = []
    for crop in config.crops:
        rows = memory_rows(config, crop) if config.memory else [speed_row(config, crop)]
        show = memory_line if config.memory else speed_line
        sys.stdout.writelines(show(row) for row in rows)
        sys.stdout.flush()
        found += rows
    if config.json is not None:
        content = {"settings": asdict(config), "results": found}
        write_json(config.json, content)


def speed_row(config: BenchConfig, crop: int) -> dict[str, Any]:
    """Medians, and every round."""
    rounds = measured(config, "updates", crop)
    ratios = [fast / plain for fast, plain in zip(rounds["fast"], rounds["plain"], strict=True)]
    data = ("--data", *config.data) if config.data else ()
    return {
        "crop": crop,
        "plain": statistics.median(rounds["plain"]),
        "fast": statistics.median(rounds["fast"]),
        "to_plain": statistics.median(ratios),
        "loader": measured(config, "loader", crop, *data)["samples"],
        "rounds": rounds,
    }


def memory_rows(config: BenchConfig, crop: int) -> list[dict[str, Any]]:
    """One row in float32 and one in bfloat16; growths in bytes, or None where they are unknown."""
    rows = []
    for precision in ("float32", "bfloat16"):
        flags = ("--bf16",) if precision == "bfloat16" else ()
        plain = measured(config, "memory", crop, *flags)["growth"]
        saving = measured(config, "memory", crop, "--checkpointing", *flags)["growth"]
        rows.append({"crop": crop, "precision": precision, "plain": plain, "saving": saving})
    return rows


def measured(config: BenchConfig, what: str, crop: int, *flags: str) -> dict[str, Any]:
    """What `python -m trainer.speed` finds. Raises BackendError if it fails, with what it says."""
    given = ["--what", what, "--crop", crop]
    for name in ("preset", "batch", "rounds", "seconds", "threads"):
        given += [f"--{name}", getattr(config, name)]
    given += ["--device", config.device] if config.device else []
    command = [sys.executable, "-m", "trainer.speed", *map(str, given), *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it was killed, probably for want of memory"]
        raise BackendError(f"measuring {what} at crop {crop} failed: {said[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def speed_line(row: dict[str, Any]) -> str:
    """A row of the Markdown table."""
    numbers = f"{row['plain']:.2f} | {row['fast']:.2f} | {row['to_plain']:.2f}"
    return f"| {row['crop']} | {numbers} | {row['loader']:.1f} |\n"


def memory_line(row: dict[str, Any]) -> str:
    """A row of the Markdown table."""
    plain, saving = row["plain"], row["saving"]
    cells = ["not known here", "", ""]
    if plain is not None and saving is not None:
        share = f"{saving / plain:.2f}" if plain else ""
        cells = [f"{plain / MIB:.0f}", f"{saving / MIB:.0f}", share]
    return f"| {row['crop']} | {row['precision']} | {' | '.join(cells)} |\n"


if __name__ == "__main__":
    sys.exit(main())
