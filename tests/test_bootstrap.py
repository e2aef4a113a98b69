"""bootstrap.py as a user runs it: real processes in a copy of the few files that it reads.

No test takes a package from anywhere: the index is a closed port of this machine, and settings of
pip on this machine are shut out.
"""

import ast
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = ("bootstrap.py", "pyproject.toml", "constraints.txt")

# An extra that pip can provide without an index, because every environment has it already.
OFFLINE_PROJECT = """\
[project]
dependencies = ["pip"]
[project.optional-dependencies]
dev = ["pip", "setuptools-that-nobody-has"]
onnx = []
"""
WORK = "import sys; print('work', sys.argv[1:], sys.prefix); sys.exit(7)"


@pytest.fixture(scope="module")
def bootstrap():
    """The module itself, for its functions."""
    spec = importlib.util.spec_from_file_location("gatefill_bootstrap", ROOT / "bootstrap.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def copy_to(folder):
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    return folder / "bootstrap.py"


def replace(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def hermetic(index="http://127.0.0.1:9/simple"):
    """An environment in which pip finds nothing: neither packages nor settings nor a cache."""
    kept = {k: v for k, v in os.environ.items() if not k.upper().startswith(("PIP_", "PYTHON"))}
    kept = {k: v for k, v in kept.items() if not k.lower().endswith("_proxy")}
    pip = {"CONFIG_FILE": os.devnull, "INDEX_URL": index, "RETRIES": "1", "NO_CACHE_DIR": "1"}
    return {**kept, **{f"PIP_{name}": value for name, value in pip.items()}}


def run(script, *args, env=None, cwd=None):
    return subprocess.run(
        [sys.executable, str(script), *args],
        env=env or hermetic(),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )


def assert_one_sentence(done, *words):
    """The exit code is 1, and the only complaint is one line with these words."""
    assert done.returncode == 1, done
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr


def test_help_names_every_command():
    done = run(ROOT / "bootstrap.py", "--help")
    assert done.returncode == 0
    for word in ("demo", "test", "check", "--gpu", "--no-tests"):
        assert word in done.stdout


@pytest.mark.parametrize("args", [(), ("nonsense",), ("demo", "--no-tests")], ids=str)
def test_usage_errors_exit_with_2(args):
    done = run(ROOT / "bootstrap.py", *args)
    assert done.returncode == 2
    assert "usage:" in done.stderr and "Traceback" not in done.stderr


def test_an_old_python_gets_a_sentence(bootstrap):
    assert bootstrap.too_old((3, 9, 18)).endswith("3.10 or newer, and this is Python 3.9")
    assert bootstrap.too_old((3, 10, 0)) is None
    assert bootstrap.too_old((4, 0, 0)) is None


def test_the_syntax_is_one_that_python_3_6_can_read():
    ast.parse((ROOT / "bootstrap.py").read_text(encoding="utf-8"), feature_version=(3, 6))


def test_an_old_python_stops_before_anything_newer_is_evaluated():
    """The script under a pretended Python 3.6, in a process of its own."""
    pretend = "import sys, runpy; sys.version_info = (3, 6, 15); runpy.run_path(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", pretend, ROOT / "bootstrap.py"], capture_output=True, text=True
    )
    assert_one_sentence(done, "3.10 or newer", "this is Python 3.6")


def test_requirements_are_read_as_tomllib_reads_them(bootstrap):
    tomllib = pytest.importorskip("tomllib")
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    lists = bootstrap.requirement_lists(text)
    assert lists["project.dependencies"] == project["dependencies"]
    for extra, expected in project["optional-dependencies"].items():
        assert lists[f"project.optional-dependencies.{extra}"] == expected


def test_requirements_with_brackets_quotes_and_comments(bootstrap):
    text = """
    [project] # the table
    dependencies = ["a[x]>=1", # one ] two
      'b; python_version < "3.11"',
      # "not this"
    ]
    [project.optional-dependencies]
    dev = ["c", "gatefill[train]"]
    train = ["d", "a[x]>=1"]
    none = []
    """
    lists = bootstrap.requirement_lists(text)
    base = ["a[x]>=1", 'b; python_version < "3.11"']
    assert lists["project.dependencies"] == base
    assert lists["project.optional-dependencies.none"] == []
    assert bootstrap.requirements(lists, []) == base
    assert bootstrap.requirements(lists, ["dev"]) == [*base, "c", "d"]


def test_the_runtimes_for_cpu_and_gpu_are_never_installed_together(bootstrap):
    lists = bootstrap.requirement_lists((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for command, extras in bootstrap.EXTRAS.items():
        for gpu in (False, True):
            wanted = bootstrap.requirements(lists, bootstrap.chosen(extras, gpu=gpu))
            runtimes = {"onnxruntime", "onnxruntime-gpu"}.intersection(wanted)
            expected = {"onnxruntime-gpu"} if gpu else {"onnxruntime"} if extras else set()
            assert runtimes == expected, command


def test_every_requirement_has_a_tested_version(bootstrap):
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = {line.split("==")[0].lower() for line in text.splitlines() if "==" in line}
    lists = bootstrap.requirement_lists((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = [name.rpartition(".")[2] for name in lists if "optional-dependencies" in name]
    wanted = {re.sub(r"\[.*\]", "", name) for name in bootstrap.requirements(lists, extras)}
    assert wanted <= pinned


def test_all_tests_run_in_two_processes_and_a_choice_of_them_in_one(bootstrap, monkeypatch):
    ran = []
    monkeypatch.setattr(bootstrap, "prepare", lambda extras, *, gpu: None)
    monkeypatch.setattr(bootstrap, "run", lambda work: ran.append(work) or 0)
    whole = ["pytest", *bootstrap.WHOLE]
    assert bootstrap.WHOLE[:2] == ["-n", "2"]
    for command in ("test", "check"):
        assert bootstrap.main([command]) == 0 and ran.pop() == whole
        assert bootstrap.main([command, "-k", "x"]) == 0 and ran.pop() == ["pytest", "-k", "x"]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("OSError: [Errno 28] No space left on device", "no room"),
        ("NewConnectionError: Failed to establish a new connection: [Errno 111]", "no network"),
        ("socket.gaierror: [Errno -3] Temporary failure in name resolution", "no network"),
        ("ReadTimeoutError: Read timed out.", "no network"),
        ("ERROR: No matching distribution found for torch==2.13.0", "otherwise"),
    ],
)
def test_the_reason_is_read_from_the_words_of_pip(bootstrap, output, expected):
    assert bootstrap.reason(output, "otherwise").startswith(expected)


def test_the_last_error_is_the_one_that_pip_marks(bootstrap):
    assert bootstrap.last_error("ERROR: first\nERROR: second\nWARNING: third\n") == "ERROR: second"
    assert bootstrap.last_error("some line\n\n") == "some line"
    assert bootstrap.last_error("") == "it gave no reason"


def test_a_full_disk_is_noticed_before_anything_is_made(tmp_path):
    script = copy_to(tmp_path)
    replace(script, "\nROOM = 4.0", "\nROOM = 3e9")
    assert_one_sentence(run(script, "demo"), "no room on the disk", "3000000000 GB are needed")
    assert not (tmp_path / ".venv").exists()


def test_a_python_without_venv_is_named(tmp_path):
    """As on Debian without python3-venv, where ensurepip is not there."""
    script = copy_to(tmp_path)
    blind = "import sys, runpy; sys.modules['ensurepip'] = None; sys.argv = sys.argv[1:]; "
    blind += "runpy.run_path(sys.argv[0], run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", blind, script, "demo"], capture_output=True, text=True
    )
    assert_one_sentence(done, "python3-venv")


def test_a_folder_that_is_no_environment_is_left_alone(tmp_path):
    script = copy_to(tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "letter.txt").write_text("dear", encoding="utf-8")
    assert_one_sentence(run(script, "demo"), "no virtual environment", "move it away")
    assert (tmp_path / ".venv" / "letter.txt").exists()


def test_a_folder_that_may_not_be_written_is_named(bootstrap, monkeypatch):
    """In this process, because a test that runs as root may write everywhere."""
    monkeypatch.setattr(bootstrap.os, "access", lambda path, mode: False)
    with pytest.raises(bootstrap.Problem, match="cannot write to the folder"):
        bootstrap.check_room(0.0)


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """A copy whose .venv is real (the one slow step) and that can install without an index."""
    folder = tmp_path_factory.mktemp("offline")
    script = copy_to(folder)
    (folder / "constraints.txt").write_text("", encoding="utf-8")
    (folder / "pyproject.toml").write_text(OFFLINE_PROJECT, encoding="utf-8")
    (folder / "core").mkdir()
    (folder / "core" / "__main__.py").write_text(WORK, encoding="utf-8")
    first = run(script, "demo", "--out", "x y", cwd=folder.parent)
    return script, first


def stamp_of(script):
    return script.parent / ".venv" / "gatefill.json"


def test_the_first_run_installs_and_then_works(offline):
    script, first = offline
    assert "making a Python" in first.stdout and "installed" in first.stdout
    assert f"work ['demo', '--out', 'x y'] {script.parent / '.venv'}" in first.stdout
    assert first.returncode == 7, first.stderr
    assert json.loads(stamp_of(script).read_text(encoding="utf-8"))["requirements"] == ["pip"]


def test_the_second_run_installs_nothing(offline):
    script, _ = offline
    before = stamp_of(script).stat().st_mtime_ns
    start = time.monotonic()
    second = run(script, "demo")
    assert time.monotonic() - start < 3
    assert second.returncode == 7
    assert second.stdout.startswith("work ['demo']")
    assert stamp_of(script).stat().st_mtime_ns == before


def test_new_versions_are_installed_and_the_environment_is_kept(offline):
    script, _ = offline
    (script.parent / "constraints.txt").write_text("# other\n", encoding="utf-8")
    again = run(script, "demo")
    assert "installing" in again.stdout and "making" not in again.stdout
    assert "installing" not in run(script, "demo").stdout


def test_without_a_network_one_sentence_says_so(offline):
    script, _ = offline
    before = stamp_of(script).exists()
    done = run(script, "test")
    assert_one_sentence(done, "no network", "ERROR:", "install.log")
    assert before and not stamp_of(script).exists()
    log = (script.parent / ".venv" / "install.log").read_text(encoding="utf-8")
    assert "setuptools-that-nobody-has" in log
    assert run(script, "demo").returncode == 7  # and the next command mends it
    assert stamp_of(script).exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_an_interrupted_installation_is_not_taken_for_a_finished_one(offline):
    script, _ = offline
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        silent.settimeout(60)
        process = subprocess.Popen(
            [sys.executable, str(script), "test"],
            env=hermetic(f"http://127.0.0.1:{silent.getsockname()[1]}/simple"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A test run in the background of a shell inherits "ignore".
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        with process:
            assert "installing" in process.stdout.readline()
            connection, _address = silent.accept()
            with connection:
                process.send_signal(signal.SIGINT)
                errors = process.stderr.read()
    assert process.returncode == 1
    assert errors == "error: interrupted; run the same command again to go on\n"
    assert not stamp_of(script).exists()
