"""The latencies as a picture."""

from itertools import groupby
from pathlib import Path
from typing import Any

from core.errors import ConfigError
from core.extras import need
from core.files import whole_file

from .table import group_of, milliseconds

BAR, BASE, WHISKER = "#4878a8", "#9a9a9a", "#202020"
COLUMNS = 2


def write_plot(path: Path, rows: list[dict[str, Any]]) -> None:
    """Bars to p50, whiskers to p90, and the ratio to the first of each group.

    Raises BackendError without matplotlib, ConfigError if the file cannot be written.
    """
    figure = drawn(rows)
    try:
        with whole_file(path) as part:
            figure.savefig(part, dpi=120)
    except (OSError, ValueError) as problem:
        raise ConfigError(f"cannot write {path} ({problem}); name another --plot") from None


def drawn(rows: list[dict[str, Any]]) -> Any:
    """The figure: one panel for each group of what is compared."""
    figures = need("matplotlib.figure", "bench")
    kept = [row for row in rows if "skipped" not in row]
    groups = [(key, list(group)) for key, group in groupby(kept, key=group_of)]
    across = min(COLUMNS, max(len(groups), 1))
    down = max(-(-len(groups) // across), 1)
    most = max((len(group) for _, group in groups), default=1)
    figure = figures.Figure(figsize=(6.4 * across, down * (1.1 + 0.36 * most)), layout="tight")
    for place, (key, group) in enumerate(groups, start=1):
        panel(figure.add_subplot(down, across, place), key, group)
    return figure


def panel(axes: Any, title: str, rows: list[dict[str, Any]]) -> None:
    """One group, the first on top."""
    places = list(range(len(rows)))
    p50 = [1e3 * row["p50"] for row in rows]
    p90 = [1e3 * row["p90"] for row in rows]
    colours = [BASE if place == 0 else BAR for place in places]
    axes.barh(places, p50, color=colours, height=0.62)
    axes.hlines(places, p50, p90, color=WHISKER, linewidth=1.2)
    axes.plot(p90, places, "|", color=WHISKER, markersize=7)
    widest = max(p90)
    for place, row in enumerate(rows):
        text = f"{milliseconds(row['p50'])} ms"
        text += "" if place == 0 else f", {row['to_baseline']:.2f}x"
        axes.text(p90[place] + 0.015 * widest, place, text, va="center", fontsize=8)
    axes.set_yticks(places, [row["name"] for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.28 * widest)
    axes.set_xlabel("milliseconds: bar to p50, line to p90", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.set_title(title, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
