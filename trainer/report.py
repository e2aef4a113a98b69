"""One page about a run, at any time: state, curves and how to read them, samples, measurements.

  python -m trainer.report runs/first

writes runs/first/report.html. The page needs nothing beside it and nothing from the network.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from core.errors import ConfigError, InpaintError, TrainingError
from core.files import whole_file

from .page.curves import Curve, describe, draw
from .page.exhibits import command_line, evaluation_tables, sample_pictures, unknown_settings
from .page.history import History, read_history
from .page.network import grid_columns, network_of
from .page.readings import curves_of, remarks

TEMPLATE = Path(__file__).parent / "page" / "report.html"
QUIET = 120.0
"""Seconds without a new line after which a run may have ended, if its lines come faster."""
NAMED = 50
"""Skipped pictures that are named on the page."""

BREAKS = {True: "resumed (dotted)", False: "rolled back (solid)"}
"""Whether the run was resumed -> what its line in the curves says."""


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed."""
    parser = argparse.ArgumentParser(
        prog="python -m trainer.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, help="folder of a run, the --out of python -m trainer")
    parser.add_argument("-o", "--out", type=Path, help="the page (default: RUN/report.html)")
    args = parser.parse_args(argv)
    try:
        sys.stdout.write(f"{write_report(args.run, args.out)}\n")
    except InpaintError as problem:
        sys.stderr.write(f"error: {problem}\n")
        return 1
    return 0


def write_report(run: Path, page: Path | None = None) -> Path:
    """Write the page about the run in the folder `run`, by default as report.html in it.

    Without matplotlib the page has no curves, and says so. Raises TrainingError for a folder that
    holds no run, and for a page that cannot be written.
    """
    page = page or run / "report.html"
    text = render(run)
    try:
        with whole_file(page) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise TrainingError(f"cannot write {page} ({problem}); name another -o") from None
    return page


def render(run: Path) -> str:
    """The page as text. Raises TrainingError for a folder that holds no run."""
    from jinja2 import Environment

    settings = read_settings(run)
    history = read_history(run / "metrics.jsonl")
    state = state_of(run, settings, history)
    network = network_of(run, settings)
    curves, note = draw_curves(curves_of(history, settings, network), history)
    columns = partial(grid_columns, network, int(settings.get("crop", 0)))
    tables, unread = evaluation_tables(list(run.glob("evaluation*.json")))
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        TEMPLATE.read_text(encoding="utf-8")
    )
    return template.render(
        name=run.resolve().name,
        made=time.strftime("%Y-%m-%d %H:%M %Z"),
        state=state,
        facts=facts_of(state, settings, history),
        remarks=remarks(history, settings),
        intro=intro(history),
        curves=curves if history.steps else [],
        note=note,
        pictures=sample_pictures(run / "samples", columns),
        tables=tables,
        unread=unread,
        skipped=read_lines(run / "skipped.jsonl", "picture", "reason"),
        rollbacks=read_lines(run / "rollbacks.jsonl", "step", "to", "rate_factor", "reason"),
        named=NAMED,
        command=command_line(settings),
        settings=settings,
        unknown=unknown_settings(settings),
    )


def read_settings(run: Path) -> dict[str, Any]:
    """config.json of the run. Raises TrainingError if there is none, or a damaged one."""
    path = run / "config.json"
    if not run.is_dir():
        raise TrainingError(f"no folder {run}; give the --out of a training run")
    if not path.exists():
        raise TrainingError(
            f"{run} holds no run (no config.json); give the --out of a training run"
        )
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        return dict(settings)
    except (OSError, ValueError, TypeError) as problem:
        raise TrainingError(f"{path} is damaged ({problem}); it belongs to the run") from None


@dataclass(frozen=True)
class State:
    """How far a run is."""

    word: str
    """finished, stopped, running, not begun or broken off."""
    done: int
    steps: int
    advice: str

    @property
    def share(self) -> float:
        """Done of all, in per cent."""
        return min(100 * self.done / max(self.steps, 1), 100.0)


def state_of(run: Path, settings: Mapping[str, Any], history: History) -> State:
    """Read off the newest line and the newest checkpoint, which a stopped run writes last."""
    saved = [int(p.stem) for p in (run / "checkpoints").glob("*.pt") if p.stem.isdigit()]
    newest, last = max(saved, default=0), max(history.steps, default=0)
    done, steps = max(newest, last), int(settings.get("steps", 0))
    if done >= steps > 0:
        return State("finished", done, steps, "")
    if not done:
        return State("not begun", 0, steps, "No step has been logged yet; come back later.")
    if newest >= last and newest % int(settings.get("save_every", 1)):
        advice = "It was told to stop and saved its state; --resume goes on from there."
        return State("stopped", done, steps, advice)
    age = time.time() - (run / "metrics.jsonl").stat().st_mtime if last else QUIET
    if age < max(QUIET, 5 * interval(history, settings)):
        return State("running", done, steps, "")
    advice = (
        f"There has been no new line for {duration(age)}. If it is not running any more, --resume "
        f"goes on from step {newest:,}."
    )
    return State("broken off", done, steps, advice)


def interval(history: History, settings: Mapping[str, Any]) -> float:
    """Seconds between lines of metrics.jsonl, about."""
    per_step = history.seconds / max(len(history.steps), 1)
    return per_step if history.steps else float(settings.get("log_every", 0))


def speed_of(settings: Mapping[str, Any], history: History) -> float:
    """Pictures per second lately; over the whole run where lines do not tell; 0 = unknown."""
    _, speeds = history.values("images_per_second")
    if speeds:
        return median(speeds[-20:])
    if not history.steps or not history.seconds:
        return 0.0
    return history.steps[-1] * int(settings.get("batch", 0)) / history.seconds


def facts_of(state: State, settings: Mapping[str, Any], history: History) -> list[tuple[str, str]]:
    """What stands at the top of the page: name and value."""
    batch, speed = int(settings.get("batch", 0)), speed_of(settings, history)
    facts = [("steps", f"{state.done:,} of {state.steps:,}")]
    facts.append(("pictures seen", f"{state.done * batch:,}"))
    facts.append(("time", duration(history.seconds)))
    facts.append(("speed", f"{speed:.3g} pictures/s" if speed else "unknown"))
    if speed and state.word == "running":
        facts.append(("to go", duration((state.steps - state.done) * batch / speed)))
    facts.append(("batch, crop", f"{batch} of {settings.get('crop')} x {settings.get('crop')}"))
    begun = settings.get("init")
    network = f"that of {Path(begun).name}" if begun else settings.get("preset", "unknown")
    facts.append(("network", str(network)))
    resumed = sum(mark.resumed for mark in history.breaks)
    facts.append(("resumed", f"{resumed} time{'s' * (resumed != 1)}"))
    return facts


def duration(seconds: float) -> str:
    """Two units at most: 75 -> "1 min 15 s"."""
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    rest = round(seconds)
    parts = []
    for name, length in units:
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "0 s"


def intro(history: History) -> str:
    """What the lines of the curves are, and what is missing in them."""
    sentences = ["Strong: smoothed. Faint: as logged."]
    kinds = {mark.resumed for mark in history.breaks}
    names = [name for kind, name in BREAKS.items() if kind in kinds]
    if names:
        sentences.append(
            f"Vertical lines: the run was {' or '.join(names)} there; what it had done beyond "
            "that step is not shown."
        )
    if history.damaged:
        plural = "lines of metrics.jsonl are" if history.damaged > 1 else "line of metrics.jsonl is"
        sentences.append(f"{history.damaged} {plural} damaged and left out.")
    return " ".join(sentences)


def draw_curves(curves: list[Curve], history: History) -> tuple[list[tuple[Curve, str, str]], str]:
    """(curve, its words, its <svg>) for each; and why there are none, for the page and stderr."""
    try:
        figures = [draw(curve, history, f"curve{i}") for i, curve in enumerate(curves)]
    except ConfigError as problem:
        sys.stderr.write(f"note: the report has no curves; {problem}\n")
        figures, note = [""] * len(curves), str(problem)
    else:
        note = ""
    words = [describe(curve, history) for curve in curves]
    return list(zip(curves, words, figures, strict=True)), note


def read_lines(path: Path, *names: str) -> list[tuple[str, ...]]:
    """The entries `names` of every JSON line, as text; damaged lines and no file are left out."""
    found = []
    for raw in path.read_bytes().splitlines() if path.exists() else []:
        try:
            line = json.loads(raw)
            found.append(tuple(str(line[name]) for name in names))
        except (ValueError, KeyError, TypeError):
            continue
    return found


if __name__ == "__main__":
    sys.exit(main())
