"""The words of ASGI, in which requests arrive, and the one error that ends them."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Refused(Exception):
    """A request that goes no further; the text is the answer."""

    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status = status


def header(scope: Scope, name: str) -> str:
    """A header of a request, "" where there is none."""
    found = (value for key, value in scope["headers"] if key == name.encode())
    return next(found, b"").decode("latin-1")
