"""Curves of a run as SVG for a page: drawn by matplotlib, coloured by the style sheet of the page.

matplotlib is optional and imported where it is used; none of its settings are changed.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from io import StringIO
from typing import Any

from core.errors import ConfigError

from .history import History

SMOOTHING = 0.02
"""Share of a curve after which the weights of the moving average have halved."""
MOST_POINTS = 600
"""Beyond that a curve is thinned; a screen shows no more."""
SIZE = (3.7, 2.2)
"""Inches, at 72 points each; the page scales it."""
PAINT = {"#010101": "currentColor", "#020202": "var(--grid)", "#030303": "var(--mark)"}
PAINT |= {"#0a0a01": "var(--series-1)", "#0a0a02": "var(--series-2)"}
"""Colours that stand for those of the style sheet, so that a curve is right in light and dark."""
TEXT, GRID, MARK, *SERIES = PAINT


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One figure: which measurements, under what name, and how they are read."""

    title: str
    names: tuple[str, ...]
    reading: str
    levels: dict[float, str] = field(default_factory=dict)
    """Horizontal lines: value -> what it means."""
    percent: float = 0.0
    """By what a value is multiplied to be per cent of the range of pictures; 0 = it is no share."""


def smooth(values: Sequence[float]) -> list[float]:
    """Moving average with exponential weights to both sides, so that it does not lag behind.

    What is not finite is passed over: there the average stands alone; nan if all values are so.
    """
    keep = 0.5 ** (1 / max(SMOOTHING * len(values), 1e-9))
    before, after = _running(values, keep), _running(values[::-1], keep)[::-1]
    averages = []
    for value, (left, left_weight), (right, right_weight) in zip(
        values, before, after, strict=True
    ):
        finite = math.isfinite(value)  # it counts on both sides, and shall count once
        total = left + right - (value if finite else 0)
        weight = left_weight + right_weight - finite
        averages.append(total / weight if weight else math.nan)
    return averages


def _running(values: Sequence[float], keep: float) -> list[tuple[float, float]]:
    """At each place: sum of the values so far, older ones fading, and sum of their weights."""
    total = weight = 0.0
    sums = []
    for value in values:
        finite = math.isfinite(value)
        total, weight = keep * total + (value if finite else 0), keep * weight + finite
        sums.append((total, weight))
    return sums


def thin(steps: list[int], values: list[float]) -> tuple[list[int], list[float]]:
    """At most MOST_POINTS points: of every stretch its first lowest and first highest value."""
    if len(values) <= MOST_POINTS:
        return steps, values
    kept: list[int] = []
    stretches = MOST_POINTS // 2
    for i in range(stretches):
        ends = (i * len(values) // stretches, (i + 1) * len(values) // stretches)
        stretch = [k for k in range(*ends) if math.isfinite(values[k])]
        if stretch:
            kept += sorted(
                {min(stretch, key=values.__getitem__), max(stretch, key=values.__getitem__)}
            )
    return [steps[k] for k in kept], [values[k] for k in kept]


def draw(curve: Curve, history: History, key: str) -> str:
    """The figure as an <svg> element; `key` tells its ids from those of other figures.

    Raises ConfigError without matplotlib.
    """
    try:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError as problem:
        raise ConfigError(
            f"curves need matplotlib, which is missing ({problem.name}); install matplotlib"
        ) from None
    # Text stays text, in the font of the page; the salt makes ids of their own for each figure.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": key}):
        figure = Figure(figsize=SIZE, layout="constrained")
        canvas = FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        _style(axes, curve)
        for name, paint in zip(curve.names, SERIES, strict=False):
            _plot(axes, history, name, paint)
        _annotate(axes, curve, history)
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        text = StringIO()
        canvas.print_svg(text, metadata=nothing)
    return _inline(text.getvalue(), key, curve.title, describe(curve, history))


def describe(curve: Curve, history: History) -> str:
    """The curve in words: where it began, where it is, where it was lowest and highest."""
    sentences = []
    for name in curve.names:
        steps, values = history.values(name)
        finite = [(s, v) for s, v in zip(steps, values, strict=True) if math.isfinite(v)]
        if finite:
            (first, a), (last, b) = finite[0], finite[-1]
            low, high = min(v for _, v in finite), max(v for _, v in finite)
            sentences.append(
                f"{name}: {a:.3g} at step {first:,}, {b:.3g} at step {last:,} "
                f"(from {low:.3g} to {high:.3g})"
            )
    return "; ".join(sentences)


def _style(axes: Any, curve: Curve) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.patch.set_visible(False)
    axes.figure.patch.set_visible(False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=TEXT, color=GRID, labelsize=8, length=2)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("step", color=TEXT, fontsize=8)
    if curve.percent:
        factor = curve.percent
        second = axes.secondary_yaxis(
            "right", functions=(lambda x: factor * x, lambda x: x / factor)
        )
        second.tick_params(colors=TEXT, color=GRID, labelsize=8, length=2)
        second.yaxis.set_major_formatter("{x:g} %")
        second.spines["right"].set_color(GRID)


def _plot(axes: Any, history: History, name: str, paint: str) -> None:
    """The raw values faint, their moving average strong; a lone point as a dot."""
    steps, values = history.values(name)
    marker = "o" if len(values) == 1 else None
    axes.plot(*thin(steps, values), color=paint, alpha=0.35, linewidth=0.7, marker=marker)
    axes.plot(*thin(steps, smooth(values)), color=paint, linewidth=1.6, label=name)


def _annotate(axes: Any, curve: Curve, history: History) -> None:
    for level, meaning in curve.levels.items():
        axes.axhline(level, color=MARK, linewidth=0.8, linestyle="--")
        place = (0.995, level)
        axes.annotate(
            meaning,
            place,
            (0, 2),
            ("axes fraction", "data"),
            "offset points",
            color=TEXT,
            fontsize=7.5,
            ha="right",
            va="bottom",
        )
    for mark in history.breaks:
        axes.axvline(mark.step, color=MARK, linewidth=0.9, linestyle=":" if mark.resumed else "-")
    if len(curve.names) > 1:
        axes.legend(frameon=False, fontsize=8, labelcolor=TEXT, loc="best")


def _inline(text: str, key: str, title: str, words: str) -> str:
    """The <svg> element of a file, fit to stand in a page beside others."""
    _, _, body = text.partition("<svg ")
    head, _, body = body.partition(">")
    (box,) = re.findall(r'viewBox="[^"]*"', head)
    # The style of one figure would hold for the whole page, and ids of groups are not used.
    body = re.sub(r"<style.*?</style>|font-family: [^;]*; ", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    for stand_in, paint in PAINT.items():
        body = body.replace(stand_in, paint)
    return (
        f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" {box} role="img" '
        f'aria-labelledby="{key}-title {key}-words"><title id="{key}-title">{escape(title)}</title>'
        f'<desc id="{key}-words">{escape(words)}</desc>{body}'
    )
