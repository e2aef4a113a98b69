"""Commands in processes of their own: what they say, how they fail, and how they are ended."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core import child
from core.child import run_module
from core.errors import BackendError
from core.files import part_prefix, remove_parts, whole_file
from core.progress import Stages, read_stage

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Writes a module of one's own where the commands lie; gives its name."""
    monkeypatch.setattr(child, "ROOT", tmp_path / "pack")

    def write(source: str) -> str:
        package = tmp_path / "pack" / "tools"
        package.mkdir(parents=True, exist_ok=True)
        (package / "one.py").write_text(source, encoding="utf-8")
        return "tools.one"

    return write


def test_what_a_command_says_comes_back_without_its_stages(command, tmp_path):
    source = """
import sys
print("[0%] run: exporting", file=sys.stderr)
print("[25%] run: comparing, größer", file=sys.stderr)
print(sys.argv[1:], __name__, sys.argv[0].endswith("one.py"))
print("done", file=sys.stderr)
"""
    told = []
    name = command(source)
    lines = run_module(name, ["a b", "--c='"], tmp_path, tell=lambda *stage: told.append(stage))
    assert sorted(lines) == ["['a b', \"--c='\"] __main__ True", "done"]
    assert told == [(0.0, "run: exporting"), (0.25, "run: comparing, größer")]


def test_the_last_error_of_a_command_is_the_sentence(command, tmp_path):
    source = """
import sys
print("error: of something else", file=sys.stderr)
print("error: there is no such file; name another", file=sys.stderr)
print("bye")
sys.exit(1)
"""
    with pytest.raises(BackendError, match=r"^there is no such file; name another$"):
        run_module(command(source), [], tmp_path)


def test_a_refused_argument_is_its_sentence(command, tmp_path):
    source = """
import argparse
parser = argparse.ArgumentParser(prog="python -m tools.one")
parser.add_argument("--size", type=int)
parser.parse_args()
"""
    with pytest.raises(BackendError, match=r"^argument --size: invalid int value: 'x'$"):
        run_module(command(source), ["--size", "x"], tmp_path)


def test_an_error_without_a_sentence_says_where_to_look(command, tmp_path, caplog):
    with pytest.raises(BackendError, match=r"exit code 1 \(ZeroDivisionError.*the log"):
        run_module(command("1 / 0"), [], tmp_path)
    assert "Traceback" in caplog.text and "1 / 0" in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
def test_a_command_that_was_killed_says_so(command, tmp_path):
    with pytest.raises(BackendError, match=r"signal 9 \(it said nothing\); if memory is short"):
        run_module(command("import os; os.kill(os.getpid(), 9)"), [], tmp_path)


def test_a_command_that_says_much_never_waits_to_be_read(command, tmp_path):
    """More than any pipe holds, while whoever started it looks elsewhere."""
    source = "for number in range(40000): print('line', number)"
    lines = run_module(command(source), [], tmp_path, check=lambda: time.sleep(0.2))
    assert len(lines) == child.KEPT and lines[-1] == "line 39999"


SLOW = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from core.files import whole_file
with whole_file(Path(sys.argv[1]) / "big.onnx") as part:
    part.write_text("half")
    print("[50%] writing", file=sys.stderr)
    time.sleep(60)
"""


def test_an_interruption_ends_the_command_and_leaves_nothing_half_written(command, tmp_path):
    class Interrupted(BaseException):
        pass

    out, seen, asked = tmp_path / "out", [], []
    out.mkdir()
    (out / ".part-0-other.onnx").write_text("of another process")

    def check():
        if seen:
            asked.append((time.monotonic(), [path.name for path in out.glob(".part-*")]))
            raise Interrupted

    with pytest.raises(Interrupted):
        run_module(
            command(SLOW),
            [str(out), str(REPOSITORY)],
            out,
            tell=lambda *stage: seen.append(stage),
            check=check,
        )
    ((when, names),) = asked
    assert time.monotonic() - when < 0.5
    assert len(names) == 2  # there was something half written
    assert [path.name for path in out.iterdir()] == [".part-0-other.onnx"]
    pid = next(int(name.split("-")[1]) for name in names if "other" not in name)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_parts_are_those_of_a_process(tmp_path):
    with whole_file(tmp_path / "a.json") as part:
        assert part.name.startswith(part_prefix()) and part_prefix() == f".part-{os.getpid()}-"
        part.write_text("{}")
    (tmp_path / ".part-12-folder").mkdir()
    (tmp_path / ".part-12-folder" / "x").write_text("")
    (tmp_path / ".part-12-file").write_text("")
    (tmp_path / ".part-123-file").write_text("")
    remove_parts(tmp_path, 12)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".part-123-file", "a.json"]


def test_stages_are_weighed_and_read_again():
    said: list[str] = []
    stages = Stages(12, said.append)
    stages.begin("exporting", 10)
    stages.begin("comparing, a [1%] of it")
    stages.begin("the last")
    assert said == ["[0%] exporting\n", "[83%] comparing, a [1%] of it\n", "[91%] the last\n"]
    assert read_stage(said[1]) == (0.83, "comparing, a [1%] of it")
    Stages(1).begin("nobody is told")
    for line in ("exporting", "[101%] a", "[1%]", "x [1%] a", "[a%] b", "[1/2] c"):
        assert read_stage(line) is None


@pytest.mark.skipif(sys.platform == "win32", reason="a script stands for the Python of Windows")
def test_a_python_that_ignores_its_surroundings_finds_the_module(command, tmp_path, monkeypatch):
    """As that of the portable ComfyUI, whose ._pth file keeps the working directory off the path.

    A folder of the same name where the process starts must not be found in its place either.
    """
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I "$@"\n')
    python.chmod(0o755)
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "one.py").write_text("print('of somebody else')")
    monkeypatch.chdir(tmp_path)
    name = command("import sys; print(sys.flags.isolated, __file__)")
    expected = str(tmp_path / "pack" / "tools" / "one.py")
    assert run_module(name, [], tmp_path) == [f"0 {expected}"]
    monkeypatch.setattr(sys, "executable", str(python))
    assert run_module(name, [], tmp_path) == [f"1 {expected}"]


@pytest.mark.parametrize("flag", ["-s", "-I", "-u"])
def test_a_command_sees_the_packages_that_its_front_end_sees(flag):
    code = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); from core.child import _flags; "
    command = [sys.executable, flag, "-c", code + "print(*_flags())"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert said == [*([] if flag == "-u" else [flag]), "-X", "utf8"]
