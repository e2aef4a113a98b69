"""Uploads, watched as they come: files and nothing else, within limits, while there is room."""

import asyncio

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gradio_demo.asgi import Message, Receive, Refused, Scope, header
from gradio_demo.store import MIB, Store
from gradio_demo.unpack import MOST_TOTAL

STRIDE = 8 * MIB
"""Bytes after which is looked again whether there is room: others upload too."""


class Upload:
    """The body of one upload; `receive` stands in for that of the server."""

    def __init__(self, scope: Scope, receive: Receive, store: Store):
        self._receive, self._store = receive, store
        self._most = MOST_TOTAL * store.limits.bytes + MIB
        self._form = Form(header(scope, "content-type"))
        length = header(scope, "content-length")
        self._stated = int(length) if length.isdigit() else 0
        self._seen = self._looked = 0

    async def begin(self) -> Receive:
        """Raise Refused for what can be told by its head to be too much."""
        self._count(self._stated)
        await self._look(self._stated)
        return self._next

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "the request was cut off")
        body = message.get("body", b"")
        self._seen += len(body)
        self._count(self._seen)
        self._form.feed(body)
        if self._seen - self._looked >= STRIDE:
            self._looked = self._seen
            await self._look(STRIDE)
        return message

    def _count(self, size: int) -> None:
        if size > self._most:
            raise Refused(413, too_large(self._most))

    async def _look(self, size: int) -> None:
        if not await asyncio.to_thread(self._store.room_for, size):
            raise Refused(507, "there is no room for more files just now; try again later")


class Form:
    """A form of files. Gradio counts those; of a part that is none it makes a value in memory."""

    def __init__(self, kind: str):
        name, options = parse_options_header(kind)
        if name != b"multipart/form-data" or not options.get(b"boundary"):
            raise Refused(400, "files are uploaded as multipart/form-data")
        self._name = self._value = b""
        self._is_file = False
        self._parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": self._begin,
                "on_header_field": self._add_name,
                "on_header_value": self._add_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_head,
            },
        )

    def feed(self, data: bytes) -> None:
        """Look at more of it. Raises Refused where it is no form, or a part of it is no file."""
        try:
            self._parser.write(data)
        except FormParserError:
            raise Refused(400, "this upload is no form that can be read") from None

    def _begin(self) -> None:
        self._is_file = False

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._is_file = b"filename" in parse_options_header(self._value)[1]
        self._name = self._value = b""

    def _end_head(self) -> None:
        if not self._is_file:
            raise Refused(400, "an upload is files alone; name each of them")


def too_large(most: int) -> str:
    """What is said of more than `most` bytes."""
    return f"the request is too large; up to {most / MIB:.0f} MiB are taken at once"
