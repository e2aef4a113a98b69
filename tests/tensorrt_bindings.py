"""The names and signatures of the module `tensorrt`, read from NVIDIA's published bindings.

Run it to make tests/data/tensorrt_api.json anew, from a copy of https://github.com/NVIDIA/TensorRT
that has the branches of `VERSIONS`:

  python tests/tensorrt_bindings.py COPY
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parent / "data" / "tensorrt_api.json"
VERSIONS = ("10.1", "10.8", "10.16", "11.0", "11.1")
FILES = (
    "python/src/infer/pyCore.cpp",
    "python/src/infer/pyFoundationalTypes.cpp",
    "python/src/infer/pyGraph.cpp",
    "python/src/parsers/pyOnnx.cpp",
)
_CLASSES = """
ILogger Severity Builder INetworkDefinition OnnxParser ParserError IBuilderConfig ITimingCache
IOptimizationProfile IHostMemory IProgressMonitor Runtime ICudaEngine IExecutionContext Refitter
OnnxParserRefitter BuilderFlag MemoryPoolType HardwareCompatibilityLevel TensorIOMode DataType
NetworkDefinitionCreationFlag ExecutionContextAllocationStrategy
"""
WANTED = frozenset(_CLASSES.split())
KINDS = {"": "method", "_property": "property", "_property_readonly": "read only"}
START = re.compile(r"py::(?:class|enum)_<|\bbaseLoggerBinding\s*\.def")
ARGUMENT = re.compile(r'(?:"(\w+)"_a|py::arg\("(\w+)"\))\s*(=)?')


def read_api(copy: Path) -> dict[str, Any]:
    """The table: class -> member -> what it is, and in which versions."""
    commits, classes = {}, {}
    for version in VERSIONS:
        branch = f"release/{version}"
        commits[version] = git(copy, "rev-parse", branch).strip()
        for file in FILES:
            for name, member, what in members(git(copy, "show", f"{branch}:{file}")):
                if name in WANTED:
                    forms = classes.setdefault(name, {}).setdefault(member, {})
                    found = forms.setdefault(json.dumps(what), [])
                    found += [version] if version not in found else []
    table = {
        name: {
            member: [{**json.loads(what), "in": found} for what, found in forms.items()]
            for member, forms in sorted(members.items())
        }
        for name, members in sorted(classes.items())
    }
    return {
        "source": "https://github.com/NVIDIA/TensorRT, Apache-2.0: " + ", ".join(FILES),
        "commits": commits,
        "classes": table,
    }


def to_text(table: dict[str, Any]) -> str:
    """JSON with a line for each member."""
    head = {key: table[key] for key in ("source", "commits")}
    parts = [json.dumps(head, indent=1)[:-2] + ',\n "classes": {']
    for number, (name, found) in enumerate(table["classes"].items()):
        lines = [f"   {json.dumps(member)}: {json.dumps(what)}" for member, what in found.items()]
        end = "" if number == len(table["classes"]) - 1 else ","
        parts.append(f'  "{name}": {{\n' + ",\n".join(lines) + f"\n  }}{end}")
    return "\n".join(parts) + "\n }\n}\n"


def members(source: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Class, member and facts of each binding in a C++ text."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/|^\s*#[^\n]*", "", source, flags=re.DOTALL | re.MULTILINE)
    for start in START.finditer(text):
        statement = text[start.start() : end_of(text, start.end(), ";")]
        named = re.search(r'"(\w+)"', statement)
        name = "ILogger" if statement.startswith("baseLoggerBinding") else named and named[1]
        for value in re.findall(r'\.value\(\s*"(\w+)"', statement):
            yield str(name), value, {"kind": "value"}
        for found in re.finditer(r"\.def(\w*)\s*\(", statement):
            inside = statement[found.end() : end_of(statement, found.end(), ")")]
            literal = re.match(r'\s*"(\w+)"', inside)
            if literal is None and "py::init" not in inside[:40]:
                continue
            member = literal[1] if literal else "__init__"
            yield str(name), member, facts(found[1], inside)


def facts(suffix: str, inside: str) -> dict[str, Any]:
    """What a member is: its kind, and the arguments of a method, "=" after those with default."""
    if suffix == "_property" and re.match(r'\s*"\w+",\s*nullptr', inside):
        return {"kind": "write only"}
    kind = KINDS.get(suffix, suffix)
    if kind != "method":
        return {"kind": kind}
    return {"kind": kind, "args": [(a or b) + c for a, b, c in ARGUMENT.findall(inside)]}


def end_of(text: str, start: int, mark: str) -> int:
    """Where `mark` comes outside all brackets that open after `start`."""
    depth = 0
    for place in range(start, len(text)):
        if depth == 0 and text[place] == mark:
            return place
        depth += (text[place] in "([{") - (text[place] in ")]}")
    return len(text)


def git(copy: Path, *words: str) -> str:
    command = ["git", "-C", str(copy), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    TABLE.write_text(to_text(read_api(Path(sys.argv[1]))), encoding="utf-8")
