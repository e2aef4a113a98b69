"""What stands between the net and Gradio: only what the page needs is let through, within limits.

Gradio would fetch addresses for its visitors (`file=https://...`, a file whose path is an address),
takes bodies of any size, and has routes that this page has no use for. ASGI, hence without Gradio.
"""

import asyncio
import json
import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

from gradio_demo.asgi import App, Message, Receive, Refused, Scope, Send, header
from gradio_demo.store import MIB, Store
from gradio_demo.uploads import Upload, too_large

API = "/gradio_api/"
FILE, UPLOAD, FUNCTION = API + "file=", API + "upload", API + "component_server"
EXACT = {
    *("/", "/config", "/theme.css", "/favicon.ico", "/robots.txt", "/manifest.json", "/pwa_icon"),
    *("/login", "/logout", "/user", "/token", "/app_id", "/login_check", UPLOAD),
    FUNCTION,
    *(API + name for name in ("info", "openapi.json", "startup-events", "theme.css", "cancel")),
    *(API + name for name in ("reset", "upload_progress", "app_id", "user")),
    *(API + name for name in ("queue/join", "queue/data", "queue/status", "login_check", "token")),
}
"""What may be asked for, but for a slash at the end."""
BELOW = (
    *("/static/", "/assets/", "/svelte/", "/pwa_icon/", FILE),
    *(API + name for name in ("call/", "run/", "heartbeat/")),
)
"""What may be asked for with all that is below it."""
MOST_JSON = MIB
"""Bytes of a request that uploads no file."""
MOST_SESSION = 100
"""Characters of the name that a page gives itself."""
MOST_QUERY = 4000
"""Bytes of what comes after "?"; Gradio keeps some of it."""
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "; ".join(
        (
            "default-src 'self'",
            # Gradio's page is made by scripts inside of it, and by `new Function`.
            "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self' data: blob:",
            "media-src 'self' data: blob:",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'self'",
        )
    ),
}
BROKEN = "this request could not be understood, or something failed here; see the tab API"

log = logging.getLogger("gatefill")


class Guard:
    """Middleware round the whole application.

    store: the files that may be fetched; functions: number of a component and name, of those that
    its script in the browser calls beside the queue.
    """

    def __init__(self, app: App, store: Store, functions: Collection[tuple[int, str]] = ()):
        self.app, self.store, self.functions = app, store, functions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with one sentence."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            checked = await self._checked(scope, receive)
            await self.app(scope, checked, answer.send)
        except Refused as problem:
            await answer.refuse(problem.status, str(problem))
        except Exception as problem:  # of whatever kind: no request may take the service down
            if answer.begun:
                log.warning("an answer ended early (%s)", type(problem).__name__)
            else:
                log.exception("a request failed")
            await answer.refuse(500, BROKEN)

    async def _checked(self, scope: Scope, receive: Receive) -> Receive:
        """What the application may receive of the body. Raises Refused."""
        path = str(scope["path"])
        if path.rstrip("/") not in EXACT and path != "/" and not path.startswith(BELOW):
            raise Refused(404, "there is nothing at this address; the page is at /")
        if len(scope.get("query_string", b"")) > MOST_QUERY:
            raise Refused(414, "this address is too long; the page is at /")
        if path.startswith(FILE):
            self._check_file(path.removeprefix(FILE))
        if scope["method"] not in ("POST", "PUT", "PATCH"):
            return receive
        if path.rstrip("/") == UPLOAD:
            return await Upload(scope, receive, self.store).begin()
        body = await _whole(receive)
        value = _parsed(body)
        _check_addresses(value)
        if path.rstrip("/") == FUNCTION:
            self._check_function(scope, value)
        return _replayed(body)

    def _check_file(self, name: str) -> None:
        """Raise Refused for anything but a file below the folder of the store."""
        inside = "\0" not in name and "://" not in name
        if not inside or not Path(name).resolve().is_relative_to(self.store.root):
            raise Refused(403, "this is no file of the page; it may not be fetched")

    def _check_function(self, scope: Scope, value: Any) -> None:
        """Raise Refused for a call of anything but one of `functions`, or by a form."""
        form = header(scope, "content-type").startswith("multipart/")
        call = value if isinstance(value, dict) else {}
        asked, session = (call.get("component_id"), call.get("fn_name")), call.get("session_hash")
        named = isinstance(session, str) and len(session) <= MOST_SESSION
        if form or not named or asked not in list(self.functions):
            raise Refused(404, "this page has no such function; see the tab API")


class _Answer:
    """What is sent back, with the headers that every answer has."""

    def __init__(self, send: Send):
        self._send, self.begun = send, False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            known = {name.lower() for name, _ in message.get("headers", ())}
            more = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in known]
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        await self._send(message)

    async def refuse(self, status: int, text: str) -> None:
        """Say it in a sentence; an answer that is on its way already is ended."""
        if self.begun:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        body = json.dumps({"detail": text}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


async def _whole(receive: Receive) -> bytes:
    """The body. Raises Refused where it is too large."""
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "the request was cut off")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        more = bool(message.get("more_body"))
        if size > MOST_JSON:
            raise Refused(413, too_large(MOST_JSON) + "; upload files, and name them here")
    return b"".join(parts)


def _parsed(body: bytes) -> Any:
    """What JSON says; None where it is none. Raises Refused where it is nested too deeply.

    What is no JSON at all is passed on: forms are not, and for the rest Gradio has words. It reads
    what `json` reads, UTF-16 and a mark at the beginning included.
    """
    try:
        return json.loads(body)
    except ValueError:
        return None
    except RecursionError:
        raise Refused(400, "the request is nested too deeply") from None


def _check_addresses(value: Any) -> None:
    """Raise Refused where a file in a body is an address of the net."""
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if "://" in str(value.get("path", "")):
                raise Refused(
                    422, "a file cannot be an address of the net; upload it, and give its path"
                )
            left += value.values()
        elif isinstance(value, list):
            left += value


def _replayed(body: bytes) -> Receive:
    """A body that was read already, to be received again."""
    parts = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if parts:
            return parts.pop()
        await asyncio.Event().wait()  # until the answer is complete and this is cancelled
        raise AssertionError("nothing wakes it")

    return receive
