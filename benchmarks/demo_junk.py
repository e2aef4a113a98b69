"""Requests that no program should send to the browser demo, by seed: values, files, routes."""

import io
import json
import random
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import Any

from benchmarks.demo_client import BOUNDARY, JSON, ROOT, form

FOREIGN = (
    "/etc/passwd", "/etc/hostname", f"{ROOT}/README.md", f"{ROOT}/samples/object.jpg", "/dev/zero",
    "/proc/self/environ", "../../etc/passwd", "..\\..\\windows\\win.ini", "file:///etc/passwd",
    "http://127.0.0.1:1/a.png", "https://example.invalid/a.png", "\\\\host\\share\\a.png", ".", "",
    "/", "a\0b.png", "C:\\a.png", "~/.ssh/id_rsa", "/tmp", "x" * 5000,
)  # fmt: skip
"""Names of files that nobody uploaded."""
SCALARS = (
    None, True, False, 0, -1, 1, 7, 129, 2**31, 2**64, -(10**30), 0.5, -0.0, 1e308, float("nan"),
    float("inf"), "", " ", "auto", "0", "-1", "null", "NaN", "\0", "\u202e", "ö" * 300, "'; DROP",
    "<script>alert(1)</script>", "{{7*7}}", "%s%n", "${PATH}", "\ud800", "x" * 100_000,
)  # fmt: skip
METAS: tuple[Any, ...] = (
    {"_type": "gradio.FileData"},
    {"_type": "other"},
    {},
    None,
    "gradio.FileData",
    [1],
)
ARGUMENTS = {
    "fill": ("picture", "mask", "sketch", "color", "semantic", "instances", "style", "network",
             "backend", "strategy", "grow", "feather", "seed"),
    "sketch": ("picture", "kind"),
    "semantic": ("semantic", "instances", "style", "network", "backend", "height", "width", "seed"),
}  # fmt: skip
ROUTES = (
    "monitoring", "monitoring/summary", "gradio_api/vibe-edit", "gradio_api/vibe-code/",
    "gradio_api/process_recording", "gradio_api/deep_link?session_hash=a", "gradio_api/runs",
    "gradio_api/proxy=http://127.0.0.1:1/", "gradio_api/stream/a", "gradio_api/stream/a/1/2/3.ts",
    "gradio_api/component_server", "gradio_api/cancel", "gradio_api/reset", "gradio_api/queue/join",
    "gradio_api/queue/data", "gradio_api/queue/data?session_hash=none", "gradio_api/run/fill",
    "gradio_api/run/predict", "gradio_api/call/none", "gradio_api/call/v2/none", "gradio_api/call/",
    "gradio_api/call/fill/none", "gradio_api/upload_progress?upload_id=none", "gradio_api/upload",
    "gradio_api/custom_component/a/b/c/d", "gradio_api/dev/reload", "dev/reload", "docs", "redoc",
    "openapi.json", "static/../../../README.md", "assets/%2e%2e/%2e%2e/x", "svelte/x", "login",
    "gradio_api/profiling/traces", "gradio_api/run-history/records", "a" * 2000, "%00", "%ff%fe",
)  # fmt: skip
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "BREW")


@dataclass(frozen=True)
class Request:
    """One request of plain HTTP."""

    method: str
    path: str
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


class Junk:
    """A source of nonsense; the same seed gives the same. files: paths of uploaded bad files."""

    def __init__(self, seed: str, files: list[str]):
        self.random, self.files = random.Random(seed), files

    def value(self, depth: int = 0) -> Any:
        """Anything that JSON can hold, and some that it should not."""
        kind = self.random.randrange(8 if depth < 4 else 5)
        if kind < 4:
            return self.random.choice(SCALARS)
        if kind == 4:
            return self.file()
        if kind == 5:
            return [self.value(depth + 1) for _ in range(self.random.randrange(5))]
        names = ("path", "url", "meta", "data", "name", "image", "layers", "picture", "__type__")
        count = self.random.randrange(4)
        return {self.random.choice(names): self.value(depth + 1) for _ in range(count)}

    def file(self) -> Any:
        """What stands where a file is asked for."""
        path = self.file_name()
        given = {"path": path, "meta": self.random.choice(METAS)}
        more = {"url": self.random.choice(FOREIGN), "size": -1, "is_stream": True, "mime_type": 7}
        extra = self.random.sample(list(more), self.random.randrange(3))
        return self.random.choice([given, given | {k: more[k] for k in extra}, path, [given]])

    def call(self, endpoint: str) -> dict[str, Any] | list[Any]:
        """Values for one of the named endpoints, at least one of them bad."""
        names = ARGUMENTS[endpoint]
        if self.random.random() < 0.3:
            return [self.value() for _ in range(self.random.choice([0, 1, len(names), 40]))]
        chosen = self.random.sample(names, self.random.randint(1, len(names)))
        files = {"picture", "mask", "sketch", "color", "semantic", "instances", "style"}
        values = {n: self.file() if n in files else self.value() for n in chosen}
        if self.random.random() < 0.1:
            values[str(self.random.choice(SCALARS))[:50]] = self.value()
        return values

    def event(self, functions: dict[int, int]) -> dict[str, Any]:
        """A body for an event of the page; functions: their numbers, and how much each takes."""
        number = self.random.choice(list(functions))
        count = functions[number] if self.random.random() < 0.7 else self.random.randrange(12)
        body = {"data": [self.value() for _ in range(count)], "fn_index": number}
        if self.random.random() < 0.1:
            body |= {"fn_index": self.random.choice([-1, 10**6, None, "x"]), "event_data": {"a": 1}}
        if self.random.random() < 0.1:
            body["data"] = self.value()
        return body

    def preview(self, functions: list[tuple[int, str]]) -> dict[str, Any]:
        """A call of a function of the page beside its queue; functions: component and name."""
        number, name = self.random.choice(functions)
        body = {"session_hash": "a", "component_id": number, "fn_name": name}
        body["data"] = self.value() if self.random.random() < 0.3 else self.file_name()
        if self.random.random() < 0.3:
            body[self.random.choice(list(body))] = self.value()
        return body

    def file_name(self) -> str:
        """Of a file that nobody uploaded, or that is none of pictures."""
        return self.random.choice([*FOREIGN, *self.files, *self.files])

    def upload(self) -> Request:
        """A form that is none, or names that lead elsewhere."""
        body = bytearray(form(self.random.choice(FOREIGN[:16]), self.random.randbytes(50)))
        for _ in range(self.random.randrange(4)):
            body[self.random.randrange(len(body))] = self.random.randrange(256)
        cut = bytes(body[: self.random.randrange(len(body))])
        kinds = (
            f"multipart/form-data; boundary={BOUNDARY}", "multipart/form-data",
            "multipart/form-data; boundary=", "application/json", "text/plain", "", "multipart/x",
        )  # fmt: skip
        kind = self.random.choice(kinds)
        # A whole form of the right kind would be no nonsense.
        return Request("POST", "gradio_api/upload", cut, {"Content-Type": kind})

    def fetch(self) -> Request:
        """A file that nobody may have."""
        name = self.random.choice([n for n in FOREIGN if n.isprintable()])
        steps = self.random.choice(
            ["", "../" * 12, "%2e%2e/" * 9, "..%2f" * 9, "....//" * 5, "/" * 9]
        )
        path = "".join(c if 32 < ord(c) < 127 else f"%{ord(c):02x}" for c in steps + name)
        route = self.random.choice(["file=", "file/", "file=/", "proxy=", "call/../file="])
        return Request(self.random.choice(["GET", "HEAD"]), f"gradio_api/{route}{path[:4000]}")

    def other(self) -> Request:
        """Some route, by some method, with some body."""
        route, method = self.random.choice(ROUTES), self.random.choice(METHODS)
        body = self.random.choice(
            [b"", b"{", b"[" * 5000, b"null", b"\xff\xfe", b'{"data":', b"[]", b'"x"',
             json.dumps(self.value()).encode(errors="replace"), self.random.randbytes(200)]
        )  # fmt: skip
        headers = self.random.choice(
            [JSON, {}, {"Content-Type": "text/html"}, {"Range": "bytes=x"}]
        )
        return Request(method, route, body if method not in ("GET", "HEAD") else None, headers)


def bad_files() -> dict[str, bytes]:
    """Files that can be uploaded and are not what they seem."""
    picture = _png(64, 64)
    return {
        "empty.png": b"",
        "text.jpg": b"no picture at all",
        "cut.png": picture[: len(picture) // 2],
        "flipped.png": picture[:40] + bytes([picture[40] ^ 255]) + picture[41:],
        "huge.png": _png(2**16, 2**16, rows=1),
        "thin.png": _png(2**31 - 1, 1, rows=0),
        "page.svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        "page.html": b"<script>alert(1)</script>",
        "moving.gif": b"GIF89a" + b"\x01\x00\x01\x00\x80\x00\x00" + b"\xff" * 20,
        "bomb.zip": _zip({"a.png": b"\0" * 3_000_000}),
        "out.zip": _zip({"../../a.png": b"1", "/etc/a.png": b"2"}),
        "cut.zip": _zip({"a.png": picture})[:-10],
        "noise.webp": b"RIFF\x10\x00\x00\x00WEBPVP8 " + bytes(range(64)),
        "good.png": picture,
        "cut.tif": _tiff(64, 64)[:60],
        "huge.tif": _tiff(2**16, 2**16),
        "good.tif": _tiff(8, 8),
    }


def _png(width: int, height: int, rows: int | None = None) -> bytes:
    """Grey; with fewer `rows` than its height it is cut off."""
    lines = zlib.compress(b"\0" * ((width + 1) * min(height if rows is None else rows, 64)))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", lines), (b"IEND", b""))
    parts = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _tiff(width: int, height: int) -> bytes:
    """Grey, of 64 pixels at most, whatever it says of itself."""
    tags = ((256, width), (257, height), (258, 8), (262, 1), (273, 110), (278, height), (279, 64))
    entries = (struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(entries) + bytes(4)
    return head.ljust(110, b"\0") + b"\x80" * 64


def _zip(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()
