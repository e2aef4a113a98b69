"""The tables, in Markdown."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

MIB = 1 << 20
RULES = (
    "p50, p90, p99: milliseconds that so many per cent of the runs do not exceed. Speed: how many "
    "times as fast as the first row, the median over rounds in which all took turns. CPU s: of all "
    "threads, one run. Growth: by how much the first run raised the memory of the process, peak: "
    "all its memory at most; MiB. Whole pictures go from bytes to bytes, by the strategy named; "
    "the graph of the pipeline knows but its own, single."
)
SHARES = (
    "Of products, of copies: the share that the network's operations and bytes a second, at p50, "
    "are of the rates of the machine above. Bytes are counted as if no operation were merged with "
    "another, so merging can bring it above 100 %."
)


def text(rows: list[dict[str, Any]], machine: dict[str, Any]) -> str:
    """Everything as one Markdown text."""
    parts = ["\n".join(machine_lines(machine))]
    for key, group in groupby(rows, key=group_of):
        parts.append(f"### {key}\n\n" + "".join(latency_table(list(group))))
    parts.append(RULES)
    if any("operations_share" in row for row in rows):
        parts.append(SHARES)
    return "\n\n".join(parts) + "\n"


def machine_lines(machine: dict[str, Any]) -> Iterator[str]:
    """What it was measured on."""
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    yield f"- {machine['processor']}, {machine['cores']} cores; {machine['system']}"
    yield f"- {machine['threads']} threads for each backend; Python {machine['python']}; {versions}"
    if machine.get("card"):
        yield f"- {machine['card']}"
    if rates := machine.get("rates"):
        products = ", ".join(
            f"{name} {rates[name] / 1e12:.3g}" for name in ("fp32", "bf16", "fp16") if name in rates
        )
        yield (
            f"- measured rates: products of matrices, 10^12 operations a second: {products}; "
            f"copying, 10^9 bytes a second: {rates['copy'] / 1e9:.3g}"
        )


def group_of(row: dict[str, Any]) -> str:
    """What is compared with one another."""
    height, width = row["size"]
    what = f"whole picture, {row['pipeline']}" if row["pipeline"] else "network"
    return f"{height}x{width}, batch {row['batch']}, {what}"


def latency_table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """One group."""
    copies = any(row.get("copies") is not None for row in rows)
    shares = any("operations_share" in row for row in rows)
    heads = ["p50", "p90", "p99", "least", "speed", "pictures/s", "CPU s", "growth", "peak"]
    heads += ["copies ms"] if copies else []
    heads += ["of products", "of copies"] if shares else []
    heads += ["runs", "computes in", "runs on"]
    yield "| | " + " | ".join(heads) + " |\n"
    yield "| --- |" + " ---: |" * (len(heads) - 2) + " --- | --- |\n"
    for row in rows:
        if "skipped" in row:
            empty = " |" * (len(heads) - 1)
            yield f"| {row['name']} |{empty} not measured: {row['skipped']} |\n"
        else:
            cells = [*numbers(row, copies=copies, shares=shares), *about(row)]
            yield f"| {row['name']} | {' | '.join(cells)} |\n"


def numbers(row: dict[str, Any], *, copies: bool, shares: bool) -> Iterator[str]:
    """The cells of one row."""
    yield from (milliseconds(row[key]) for key in ("p50", "p90", "p99", "least"))
    yield f"{row['to_baseline']:.2f}"
    yield f"{row['pictures_per_second']:.3g}"
    yield f"{row['cpu_seconds']:.3g}"
    for key in ("growth", "resident"):
        yield "" if row[key] is None else f"{row[key] / MIB:.0f}"
    if copies:
        yield "" if row["copies"] is None else f"{1e3 * row['copies']:.3g}"
    for key in ("operations_share", "bytes_share") if shares else ():
        yield f"{row[key]:.0%}" if key in row else ""


def milliseconds(seconds: float) -> str:
    """Three digits or more, without an exponent."""
    number = 1e3 * seconds
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def about(row: dict[str, Any]) -> tuple[str, str, str]:
    """The last cells of one row."""
    return str(row["runs"]), row["precision"], row["runs_on"]


def quality_table(found: dict[str, Any]) -> str:
    """What each precision loses, in Markdown."""
    head = (
        f"### Quality on photographs: {found['pictures']}, with official brush masks\n\n"
        "| | hole L1 % | difference | hole PSNR | difference | hole PSNR to float32 | computes in "
        "| runs on |\n| --- | ---: | ---: | ---: | ---: | ---: | --- | --- |\n"
    )
    return head + "".join(quality_line(row) for row in found["rows"])


def quality_line(row: dict[str, Any]) -> str:
    """One backend and precision."""
    if "skipped" in row:
        return f"| {row['name']} | | | | | | | not measured: {row['skipped']} |\n"
    close = row["psnr_to_float32"]
    cells = [
        row["name"],
        f"{row['hole_l1']:.3f}",
        f"{row['hole_l1_difference']:+.3f}",
        f"{row['hole_psnr']:.3f}",
        f"{row['hole_psnr_difference']:+.3f}",
        "" if close is None else f"{close:.1f}",
        row["precision"],
        row["runs_on"],
    ]
    return f"| {' | '.join(cells)} |\n"
