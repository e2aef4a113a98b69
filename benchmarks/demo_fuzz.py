"""Nonsense for the browser demo, by seed: each request must end in a clear error.

  python -m benchmarks.demo_fuzz
  python -m benchmarks.demo_fuzz --count 100 --kinds fill upload

A server of its own is started. To each kind of endpoint go --count malformed requests: values of
any type, files that nobody uploaded or that are no pictures, broken forms, paths that lead
elsewhere, routes that are not there. An answer is right where it is an error in one sentence, or
where the nonsense happened to be none; wrong are traces, paths of this machine, errors without
words, and a server that is down. Counts are printed; the exit code is 1 where anything was wrong.
"""

import argparse
import functools
import http.client
import re
import sys
import tempfile
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.demo_client import ROOT, Answer, Client, Server, served
from benchmarks.demo_junk import Junk, Request, bad_files

CALLS = ("fill", "sketch", "semantic")
FUNCTION = "gradio_api/component_server/"
KINDS = (*CALLS, "page", "preview", "upload", "fetch", "other")
TRACE = re.compile(r"Traceback \(most recent|File \"[^\"]+\", line \d+|" + re.escape(str(ROOT)))
MOST_WORDS = 2000
"""Characters of an error."""
REFUSED, ACCEPTED = "refused", "accepted"
LISTED = 8
"""Wrong answers that are printed."""


def main(argv: list[str] | None = None) -> int:
    """Send it all, and write a table of counts; 1 where an answer was wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.demo_fuzz",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--count", type=int, default=1000, help="to each kind (default: 1000)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clients", type=int, default=4, help="at once (default: 4)")
    args = parser.parse_args(argv)
    wrong: list[str] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder), "--max-bytes", 1_000_000, "--queue", 64) as server,
    ):
        print("| endpoint | requests | refused in words | accepted | wrong |")
        print("| --- | ---: | ---: | ---: | ---: |")
        for kind in args.kinds:
            counts, bad = send_all(server, kind, args)
            wrong += bad
            print(f"| {kind} | {sum(counts.values())} | {counts[REFUSED]} | {counts[ACCEPTED]} | "
                  f"{len(bad)} |", flush=True)  # fmt: skip
            if not is_up(server):
                wrong.append(f"the server is down after {kind}")
                break
        ended = server.end()
    for line in wrong[:LISTED]:
        print(f"wrong: {line}")
    print(f"the server {'is up at the end and ended in order' if ended == 0 else 'failed'}")
    return 1 if wrong or ended else 0


def send_all(server: Server, kind: str, args: argparse.Namespace) -> tuple[Counter[str], list[str]]:
    """Counts of right answers, and what was wrong."""
    client = server.client
    files = [client.given(name, content)["path"] for name, content in bad_files().items()]
    functions = functions_of(client)
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    numbers, lock = iter(range(args.count)), threading.Lock()

    def work() -> None:
        for number in _shared(numbers, lock):
            junk = Junk(f"{args.seed} {kind} {number}", files)
            what, problem = attempt(client, kind, junk, functions)
            with lock:
                counts[what] += 1
                wrong.extend([f"{kind} {number}: {problem}"] if problem else [])

    threads = [threading.Thread(target=work) for _ in range(args.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts, wrong


def attempt(client: Client, kind: str, junk: Junk, functions: dict[int, int]) -> tuple[str, str]:
    """What came of one request, and what was wrong with the answer."""
    try:
        if kind in CALLS:
            answer = client.call(kind, junk.call(kind))
        elif kind == "page":
            answer = event(client, junk.event(functions))
        elif kind == "preview":
            answer = client.ask(FUNCTION, junk.preview(scripts_of(client)))
        else:
            answer = plain(client, getattr(junk, kind)())
    except (OSError, http.client.HTTPException, ValueError, LookupError) as problem:
        return "wrong", f"no answer ({type(problem).__name__}: {problem})"
    return judged(answer)


def event(client: Client, body: dict[str, Any]) -> Answer:
    """Join the queue as the page does, and hear what comes of it."""
    session = uuid.uuid4().hex
    begun = client.ask("gradio_api/queue/join", body | {"session_hash": session})
    if begun.status != 200:
        return begun
    heard = client.ask(f"gradio_api/queue/data?session_hash={session}")
    last = [line for line in heard.text.split("\n\n") if '"process_completed"' in line]
    return heard._replace(text=last[-1] if last else heard.text)


def plain(client: Client, request: Request) -> Answer:
    """One request as it is."""
    return client.send(request.method, request.path, request.body, request.headers)


def judged(answer: Answer) -> tuple[str, str]:
    """Whether it is an error in words or what was asked for; and what is wrong with it."""
    if found := TRACE.search(answer.text):
        return "wrong", f"it says {found.group()!r}"
    words = error_of(answer)
    if words is None:
        return ACCEPTED, ""
    if not words.strip() or len(words) > MOST_WORDS:
        return "wrong", f"status {answer.status} with {len(words)} characters of words"
    return REFUSED, ""


def error_of(answer: Answer) -> str | None:
    """The words of an error; None where the answer is none."""
    if answer.status == 200 and answer.text.startswith('{"error":'):
        return str(answer.json["error"])
    if answer.status >= 400:
        text = answer.text
        return "" if answer.status == 500 and not text.startswith("{") else text or "(no body)"
    if answer.text.startswith("event: ") and answer.events[-1][0] == "error":
        said = answer.events[-1][1]
        return str((said or {}).get("error") or "") if isinstance(said, dict) else str(said or "")
    if '"process_completed"' in answer.text and '"success":false' in answer.text:
        found = re.search(r'"error":"((?:[^"\\]|\\.)+)"', answer.text)
        return found.group(1) if found else ""
    return None


def functions_of(client: Client) -> dict[int, int]:
    """The events of the page: their numbers, and how many values each takes."""
    return {x["id"]: len(x["inputs"]) for x in client.ask("config").json["dependencies"]}


@functools.cache
def scripts_of(client: Client) -> list[tuple[int, str]]:
    """What the page's own scripts call beside the queue: number of the component, and name."""
    parts = client.ask("config").json["components"]
    return [(x["id"], name) for x in parts for name in x["props"].get("server_fns") or ()]


def is_up(server: Server) -> bool:
    """Whether the page is there, and a good request is still done."""
    client = server.client
    given = client.given("good.png", bad_files()["good.png"])
    done = client.call("sketch", {"picture": given}).events
    return client.ask("").status == 200 and bool(done) and done[-1][0] == "complete"


def _shared(numbers: Iterator[int], lock: threading.Lock) -> Iterator[int]:
    """Those of an iterator that other threads take from too."""
    while True:
        with lock:
            number = next(numbers, None)
        if number is None:
            return
        yield number


if __name__ == "__main__":
    sys.exit(main())
