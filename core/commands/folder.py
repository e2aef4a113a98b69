"""What every command that works through a folder of pictures does: progress, report, exit code."""

import json
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO, TypeVar

from tqdm import tqdm

from ..errors import ImageError

Work = TypeVar("Work")


def work_through(
    jobs: Sequence[Work], attempt: Callable[[Work], dict[str, Any]], args: Namespace, *, did: str
) -> int:
    """Attempt every job, with a bar and a line of report each; the exit code, 1 if any failed.

    A line holds at least "image" and "status" ("done", "skipped" or "failed", then "error" too).
    args: `output`, `report`, `resume` and `json`. Raises ImageError if no report can be written.
    """
    report = Path(args.report) if args.report else Path(args.output) / "report.jsonl"
    counts = {"done": 0, "skipped": 0, "failed": 0}
    try:
        report.parent.mkdir(parents=True, exist_ok=True)
        # Appended line by line, so that an interrupted run has its report up to there.
        with report.open("a" if args.resume else "w", encoding="utf-8") as file:
            for job in tqdm(jobs, unit="picture", file=sys.stderr, dynamic_ncols=True):
                line = attempt(job)
                write_line(file, line)
                if args.json:
                    write_line(sys.stdout, line)
                counts[line["status"]] += 1
                if line["status"] == "failed":
                    tqdm.write(f"failed: {line['image']}: {line['error']}", file=sys.stderr)
    except OSError as problem:
        raise ImageError(f"cannot write the report {report} ({problem}); name another") from None
    done, skipped, failed = counts.values()
    say(f"{done} {did}, {skipped} skipped, {failed} failed; report in {report}")
    return 1 if failed else 0


def check_folder(image: Path, output: Path, *, beside: bool = False) -> None:
    """Raise ImageError where the results for the folder `image` cannot go to `output`.

    `beside` says that the folder itself will do, the results having names of their own.
    """
    if output.is_file():
        raise ImageError(f"{image} is a folder but {output} is a file; name a folder for -o")
    if not beside and output.resolve() == image.resolve():
        raise ImageError(f"-o is the folder of the pictures itself, {image}; name another")


def write_line(file: TextIO, line: dict[str, Any]) -> None:
    """One line of JSON, at once."""
    file.write(json.dumps(line) + "\n")
    file.flush()


def say(text: str) -> None:
    """For a person; stdout stays free for what programs read."""
    sys.stderr.write(text + "\n")
