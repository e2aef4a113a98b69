"""From measurements to numbers that can be compared."""

import math
import statistics
from dataclasses import asdict
from typing import Any

from .measure import Found


def rows(founds: list[Found]) -> list[dict[str, Any]]:
    """One for each case of a group; times in seconds, memory in bytes.

    `to_baseline`: how many times as fast as the first of the group that ran, the median over the
    rounds of the ratios of the medians of a round.
    """
    first = next((found for found in founds if found.turns), None)
    return [row(found, first) for found in founds]


def row(found: Found, baseline: Found | None) -> dict[str, Any]:
    """What the tables need of one case, and everything else for JSON."""
    case = found.case
    about = {
        "name": case.subject.name,
        "size": list(case.size),
        "batch": case.batch,
        "pipeline": "" if case.hole is None else f"hole of {case.hole}, {case.strategy}",
        "subject": asdict(case.subject),
        **found.facts,
    }
    if "skipped" in found.facts or not found.turns:
        return {"skipped": "it was not run", **about}
    latencies = sorted(x for turn in found.turns for x in turn["latencies"])
    copies = [turn["copies"] for turn in found.turns if turn["copies"] is not None]
    return about | {
        "runs": len(latencies),
        **{f"p{n}": percentile(latencies, n) for n in (50, 90, 99)},
        "least": latencies[0],
        "pictures_per_second": case.batch * len(latencies) / sum(latencies),
        "cpu_seconds": sum(turn["cpu_seconds"] for turn in found.turns) / len(latencies),
        "copies": min(copies, default=None),
        "rounds": medians(found),
        "to_baseline": None if baseline is None else ratio(found, baseline),
    }


def medians(found: Found) -> list[float]:
    """Of each round."""
    return [statistics.median(turn["latencies"]) for turn in found.turns]


def ratio(found: Found, baseline: Found) -> float:
    """How many times as fast, round by round, of which the median."""
    pairs = zip(medians(baseline), medians(found), strict=False)
    return statistics.median(base / mine for base, mine in pairs)


def percentile(ordered: list[float], percent: int) -> float:
    """The least of the sorted values that so many per cent of them do not exceed."""
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]


def with_rates(row: dict[str, Any], rates: dict[str, Any], work: dict[str, int]) -> dict[str, Any]:
    """`row` with the share of the machine's best that it reaches; as it is where unknown."""
    precision = row.get("precision")
    if "skipped" in row or row["pipeline"] or not work or precision not in rates:
        return row
    return row | {
        "operations_share": work["operations"] / row["p50"] / rates[precision],
        # Features of half precision have half the bytes.
        "bytes_share": work["bytes"] * (1 if precision == "fp32" else 0.5)
        / row["p50"] / rates["copy"],
    }  # fmt: skip
