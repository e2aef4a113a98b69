"""Who may ask the demo: programs and its own page, and not the pages of other web sites."""

import asyncio

import pytest

from gradio_demo.asgi import Refused
from gradio_demo.settings import Settings
from gradio_demo.strangers import Strangers


def stranger(names, method="POST", **headers):
    """Whether a request gets through."""
    came = []

    async def app(scope, receive, send):
        came.append(scope)

    scope = {"type": "http", "path": "/", "method": method}
    scope["headers"] = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    try:
        asyncio.run(Strangers(app, names)(scope, None, None))
    except Refused as problem:
        assert problem.status == 403 and not came
        return False
    return len(came) == 1


LOOPBACK = Settings().hosts
HERE = {"host": "127.0.0.1:7860"}


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost", "LOCALHOST:80", "[::1]:7860"])
def test_this_machine_asks_by_its_own_names(host):
    assert stranger(LOOPBACK, "GET", host=host) and stranger(LOOPBACK, "POST", host=host)


@pytest.mark.parametrize("host", ["evil.org", "evil.org:7860", "127.0.0.1.evil.org", "", "[::1"])
def test_a_name_that_was_made_to_lead_here_is_refused(host):
    """DNS rebinding: to the browser all is of one site, so it lets that site read."""
    for method in ("GET", "POST"):
        origin = {"origin": f"http://{host}", "sec_fetch_site": "same-origin"}
        assert not stranger(LOOPBACK, method, host=host, **origin)
        assert stranger(None, method, host=host, **origin)


def test_the_pages_of_others_change_nothing_here():
    for method in ("PUT", "PATCH", "DELETE"):
        assert not stranger(LOOPBACK, method, **HERE, sec_fetch_site="cross-site")
    for site in ("cross-site", "same-site"):
        assert not stranger(LOOPBACK, **HERE, sec_fetch_site=site)
        assert not stranger(None, **HERE, sec_fetch_site=site, origin="http://127.0.0.1:7860")
        assert stranger(LOOPBACK, "GET", **HERE, sec_fetch_site=site)  # a link
    for origin in ("https://evil.org", "null", "http://127.0.0.1:3000", "http://localhost"):
        assert not stranger(None, **HERE, origin=origin)
        assert stranger(None, "GET", **HERE, origin=origin)


def test_the_page_and_programs_may_ask():
    for site in ("same-origin", "none"):
        assert stranger(LOOPBACK, **HERE, sec_fetch_site=site, origin="https://by.a.proxy")
    assert stranger(LOOPBACK, **HERE)
    assert stranger(None, **HERE, origin="http://127.0.0.1:7860")
    assert stranger(Settings(names="a.org").hosts, host="a.org", origin="http://a.org")
    assert stranger(Settings(names="a.org").hosts, **HERE, origin="https://a.org")  # by a proxy


def test_the_flags_say_by_which_names_the_page_is_there():
    assert Settings().hosts == {"127.0.0.1", "localhost", "::1"}
    assert Settings(names=" A.org, b.org,").hosts == {*LOOPBACK, "a.org", "b.org"}
    assert Settings(host="0.0.0.0").hosts is None and Settings(share=True).hosts is None
    assert Settings(host="0.0.0.0", names="a.org").hosts == {*LOOPBACK, "0.0.0.0", "a.org"}
