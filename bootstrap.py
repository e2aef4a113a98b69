"""Make a private Python environment in .venv and run Gatefill in it.

Needs nothing but Python itself. The syntax stays that of Python 3.6, and nothing newer is imported
at the top, so that an old Python gets a sentence instead of a SyntaxError.
"""

import argparse
import contextlib
import errno
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 10)


def too_old(version: tuple) -> "str | None":
    """The sentence for a Python older than this project needs, or None."""
    if tuple(version[:2]) >= OLDEST:
        return None
    return (
        f"error: Gatefill needs Python {OLDEST[0]}.{OLDEST[1]} or newer, "
        f"and this is Python {version[0]}.{version[1]}"
    )


if too_old(sys.version_info):
    sys.exit(too_old(sys.version_info))

# A bug-fix release is no other Python, hence two numbers.
VERSION = "{}.{}".format(*sys.version_info[:2])
ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "gatefill.json"
LOG = VENV / "install.log"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

EXTRAS = {"demo": [], "test": ["dev", "onnx"], "check": ["dev", "onnx"]}
LINTERS = [["ruff", "format", "--check"], ["ruff", "check"], ["mypy"], ["mypy", "bootstrap.py"]]
WHOLE = ["-n", "2", "--dist", "loadfile", "--max-worker-restart", "0"]  # a crash ends the run

# Room for the packages and for pip's temporary files, in GB, with a margin.
ROOM = 4.0
ROOM_GPU = 14.0
ROOM_UPDATE = 1.0  # torch is there already

NO_ROOM = "no space left on device|not enough space on the disk|disk quota exceeded"
NO_NETWORK = (
    "failed to establish a new connection|failed to connect|connection (refused|reset)|timed out"
    "|name resolution|name or service not known|nodename nor servname|getaddrinfo failed"
    "|network is unreachable|cannot connect to proxy"
)

EPILOG = """\
Whatever else is on the command line goes to the work itself, for instance
  python bootstrap.py test -k bootstrap
File names there are relative to the repository. The first run downloads several hundred MB; later
runs start at once. On Linux the standard build of torch brings the CUDA libraries along (several GB
more); a CPU build that pip is configured to find is taken instead.
"""


class Problem(Exception):
    """Something that the user can mend; the message is one sentence."""


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python bootstrap.py",
        description=__doc__.splitlines()[0],
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "command",
        choices=sorted(EXTRAS),
        help="demo: fill the sample photo; test: run pytest; check: format, lint, types and tests",
    )
    parser.add_argument("--gpu", action="store_true", help="install the packages for a GPU too")
    parser.add_argument("--no-tests", action="store_true", help="check: leave out the tests")
    args, rest = parser.parse_known_args(argv)
    if args.no_tests and args.command != "check":
        parser.error("--no-tests goes with check")
    try:
        prepare(EXTRAS[args.command], gpu=args.gpu)
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted; run the same command again to go on\n")
        return 1
    except Problem as problem:
        sys.stderr.write(f"error: {problem}\n")
        return 1
    if args.command == "demo":
        return run(["core", "demo", *rest])
    if args.command == "test":
        return run(["pytest", *(rest or WHOLE)])
    return check(rest, tests=not args.no_tests)


def check(rest: list[str], *, tests: bool) -> int:
    """Run every check, also after a failure, and return the first exit code that is not 0."""
    failed = {}
    for work in LINTERS + ([["pytest", *(rest or WHOLE)]] if tests else []):
        say(" ".join(work))
        code = run(work)
        if code:
            failed[" ".join(work[:2])] = code
    say("check failed: " + ", ".join(failed) if failed else "check passed")
    return next(iter(failed.values()), 0)


def run(work: list[str]) -> int:
    """Run `python -m work...` in the environment, from the repository, and return its exit code."""
    with subprocess.Popen([str(PYTHON), "-m", *work], cwd=str(ROOT)) as process:
        while process.returncode is None:
            # Ctrl+C comes to the work as well, which ends in its own way.
            with contextlib.suppress(KeyboardInterrupt):
                process.wait()
    code = process.returncode
    return code if code >= 0 else 128 - code


def prepare(extras: list[str], *, gpu: bool) -> None:
    """Bring .venv up to date for these extras; at once where the stamp says that it is."""
    table = requirement_lists((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = requirements(table, chosen(extras, gpu=gpu))
    usable = venv_is_usable()
    stamp = read_stamp() if usable else {}
    key = stamp_key()
    installed = stamp.get("requirements", []) if stamp.get("key") == key else []
    if set(wanted) <= set(installed):
        return
    try:
        check_room(ROOM_GPU if gpu else ROOM_UPDATE if stamp else ROOM)
        if not usable:
            make_venv()
        say(f"installing {len(wanted)} packages and what they need into {VENV}")
        if STAMP.exists():
            STAMP.unlink()  # an interrupted installation must not look finished
        install(wanted)
        text = json.dumps({"key": key, "requirements": sorted({*wanted, *installed})}, indent=1)
        STAMP.write_text(text, encoding="utf-8")
    except OSError as problem:
        if problem.errno == errno.ENOSPC:
            raise Problem(f"no room left on the disk of {ROOT}") from None
        raise Problem(f"cannot write to {VENV}: {problem.strerror or problem}") from None
    say("installed")


def chosen(extras: list[str], *, gpu: bool) -> list[str]:
    """The extras with those for a GPU, whose ONNX Runtime overwrites that for the CPU."""
    return [*(extra for extra in extras if extra != "onnx"), "gpu"] if gpu else extras


def requirement_lists(pyproject: str) -> dict[str, list[str]]:
    """The arrays of strings of a TOML text by "table.key"; Python 3.10 has no tomllib."""
    lists: dict[str, list[str]] = {}
    table, key = "", None
    for line in pyproject.splitlines():
        if key is None:
            header = re.match(r"\s*\[([\w.-]+)\]", line)
            start = re.match(r"\s*([\w-]+)\s*=\s*\[", line)
            if header:
                table = header.group(1)
            if not start:
                continue
            key = f"{table}.{start.group(1)}"
            lists[key] = []
            line = line[start.end() :]
        # A string is taken whole, so that a bracket or a "#" within one ends nothing.
        for double, single, end in re.findall(r'"([^"]*)"|\'([^\']*)\'|(\])|#.*', line):
            if end:
                key = None
                break
            if double or single:
                lists[key].append(double or single)
    return lists


def requirements(table: dict[str, list[str]], extras: list[str]) -> list[str]:
    """The base dependencies and those of the extras; "gatefill[other]" stands for an extra."""
    found: list[str] = []
    for name in ["dependencies"] + [f"optional-dependencies.{extra}" for extra in extras]:
        for line in table["project." + name]:
            other = re.match(r"gatefill\[(\w+)\]$", line)
            found += table[f"project.optional-dependencies.{other.group(1)}"] if other else [line]
    return list(dict.fromkeys(found))


def stamp_key() -> str:
    """What an installation depends on besides the requirements: the versions and the Python."""
    digest = hashlib.sha256((ROOT / "constraints.txt").read_bytes()).hexdigest()
    return f"{VERSION} {digest}"


def read_stamp() -> dict:
    """What the last complete installation wrote; empty where there is none."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def venv_is_usable() -> bool:
    """Whether .venv starts, has pip, and is of the Python that runs this script."""
    code = "import sys, pip; print('{}.{}'.format(*sys.version_info[:2]))"
    try:
        answer = subprocess.check_output([str(PYTHON), "-c", code], stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return False
    return answer.decode().strip() == VERSION


def check_room(needed: float) -> None:
    """Raise Problem if the disk of the repository has fewer GB free than needed."""
    if not os.access(str(ROOT), os.W_OK):
        raise Problem(f"cannot write to the folder {ROOT}; copy the repository where you may write")
    free = shutil.disk_usage(str(ROOT)).free / 1e9
    if free < needed:
        raise Problem(
            f"no room on the disk of {ROOT}: {needed:.0f} GB are needed and {free:.1f} GB are free"
        )


def make_venv() -> None:
    """Make .venv anew."""
    if VENV.exists() and not (VENV / "pyvenv.cfg").exists():
        raise Problem(f"{VENV} is no virtual environment; move it away and run this again")
    if not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        raise Problem(
            "this Python cannot make environments (no venv or ensurepip module); "
            "on Debian and Ubuntu install the package python3-venv"
        )
    say(f"making a Python {VERSION} environment in {VENV}")
    try:
        command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
        answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except KeyboardInterrupt:
        shutil.rmtree(str(VENV), ignore_errors=True)
        raise
    if answer.returncode:
        shutil.rmtree(str(VENV), ignore_errors=True)
        output = answer.stdout.decode(errors="replace")
        raise Problem(f"{reason(output, 'cannot make ' + str(VENV))}: {last_error(output)}")


def install(wanted: list[str]) -> None:
    """Have pip install what is wanted at the versions of constraints.txt; all it says is logged."""
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    command += ["--progress-bar", "off", "-c", str(ROOT / "constraints.txt"), *wanted]
    env = dict(os.environ, PIP_USER="0", PYTHONUNBUFFERED="1")
    pip = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with pip, open(str(LOG), "w", encoding="utf-8") as log:
        try:
            for line in pip.stdout or []:
                text = line.decode(errors="replace").rstrip()
                log.write(text + "\n")
                if text.lstrip().startswith(("Collecting", "Downloading", "Installing")):
                    say("  " + text.strip()[:100])
        except BaseException:  # Ctrl+C or a full disk: pip must not go on alone
            pip.terminate()
            raise
    if pip.returncode:
        output = LOG.read_text(encoding="utf-8")
        why = reason(output, "pip could not install the packages")
        raise Problem(f"{why}: {last_error(output)} (the full log is {LOG})")


def reason(output: str, otherwise: str) -> str:
    """What went wrong, from the words of pip or venv."""
    if re.search(NO_ROOM, output.lower()):
        return "no room left on the disk"
    if re.search(NO_NETWORK, output.lower()):
        return "no network, or the package index does not answer"
    return otherwise


def last_error(output: str) -> str:
    """The last line that pip marks as an error, else the last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["it gave no reason"])[-1]


def say(line: str) -> None:
    """One line on the console, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
