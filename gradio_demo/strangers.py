"""Who may ask: programs, and the page itself; not the pages of other web sites.

A browser sends requests to this machine for whatever page it shows. A page from elsewhere could
make its visitors upload and compute, or, where its name is made to lead to this machine (DNS
rebinding), read the answers too. Hence the name by which a request comes is looked at, and for what
changes something also from which page it comes.
"""

from collections.abc import Collection
from urllib.parse import urlsplit

from gradio_demo.asgi import App, Receive, Refused, Scope, Send, header

HARMLESS = ("GET", "HEAD", "OPTIONS")
OWN = ("same-origin", "none")
"""What browsers say in `sec-fetch-site` of the page's own requests, and of those made by hand."""


class Strangers:
    """Raises Refused for requests from the pages of others.

    names: hosts by which the page may be asked for; None = all, since it is served to more than
    this machine, under names that it does not know.
    """

    def __init__(self, app: App, names: Collection[str] | None):
        self.app, self.names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or raise Refused."""
        if scope["type"] == "http":
            self._check(scope)
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        host = header(scope, "host")
        if self.names is not None and _name(f"//{host}") not in self.names:
            raise Refused(
                403, "this page is for this machine alone, and not served by that name; see --names"
            )
        if scope["method"] not in HARMLESS and not self._is_own(scope, host):
            raise Refused(403, "the page of another web site may not do this; see --names")

    def _is_own(self, scope: Scope, host: str) -> bool:
        """Whether no browser sent it, or one for this page."""
        site, origin = header(scope, "sec-fetch-site"), header(scope, "origin")
        if site or not origin:  # where it is not said, over plain http, there is the origin
            return site in (*OWN, "")
        return origin.partition("://")[2] == host or _name(origin) in (self.names or ())


def _name(address: str) -> str:
    """The host of an address, without its port."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
