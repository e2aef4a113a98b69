"""What stands before the page: the guard, the words, the flags, and the cards of the networks."""

import asyncio
import json
import shutil
from typing import get_args, get_type_hints

import pytest
from demos import picture_file, service_in

from benchmarks.demo_client import BOUNDARY, form
from core.backends import RUNTIMES
from core.errors import ConfigError
from core.weights import DEFAULT_WEIGHTS
from gradio_demo.asgi import Refused
from gradio_demo.guard import HEADERS, MOST_JSON, Guard
from gradio_demo.settings import Settings
from gradio_demo.store import Limits, Store
from gradio_demo.uploads import Upload
from gradio_demo.words import LANGUAGES, WORDS, language_of, said, translations


@pytest.fixture
def store(tmp_path):
    (tmp_path / "store").mkdir()
    return Store(tmp_path / "store", keep=100, limits=Limits(bytes=100_000))


# ---- the guard ----


FORM = {"content_type": f"multipart/form-data; boundary={BOUNDARY}"}


def ask(store, path, body=b"", method="GET", query=b"", functions=(), **headers):
    """Status and text of an answer by an application that answers everything with its body."""
    sent = []

    async def app(scope, receive, send):
        if scope["path"].endswith("broken"):
            raise ZeroDivisionError("/srv/secret")
        whole = b"".join([(await receive()).get("body", b"") for _ in range(1)])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": whole})

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "path": path, "method": method, "query_string": query}
    scope["headers"] = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    asyncio.run(Guard(app, store, functions)(scope, receive, send))
    names = {name for name, _ in sent[0]["headers"]}
    assert {b"content-security-policy", b"x-content-type-options"} <= names
    return sent[0]["status"], sent[1]["body"].decode()


@pytest.mark.parametrize("path", ["/", "/config", "/config/", "/assets/a.js", "/gradio_api/info"])
def test_what_the_page_needs_is_let_through(store, path):
    assert ask(store, path)[0] == 200


@pytest.mark.parametrize(
    "path",
    ["/gradio_api/proxy=http://a/b", "/monitoring", "/gradio_api/vibe-edit", "/docs", "/dev/reload",
     "/gradio_api/deep_link", "/gradio_api", "/nothing"],
)  # fmt: skip
def test_whatever_else_gradio_has_is_not_there(store, path):
    assert ask(store, path)[0] == 404


def test_only_files_of_the_store_may_be_fetched(store, tmp_path):
    inside = picture_file(store.root / "abc" / "photo.png")
    assert ask(store, f"/gradio_api/file={inside}")[0] == 200
    picture_file(tmp_path / "photo.png")
    for name in (
        "/etc/passwd",
        f"{store.root}/../photo.png",
        f"{tmp_path}/photo.png",
        "http://127.0.0.1/a",
        "https://a.org/b.png",
        f"{inside}\0",
    ):
        status, text = ask(store, f"/gradio_api/file={name}")
        assert status == 403 and "no file of the page" in text


@pytest.mark.parametrize(
    "data",
    [
        {"data": [{"path": "http://127.0.0.1/a", "meta": {"_type": "gradio.FileData"}}]},
        {"data": [[{"deep": {"path": "https://a.org/b"}}]]},
        {"data": [7, {"path": "/a", "more": {"path": "https://a.org/b"}}], "x": 1},
        [{"path": "ftp://a/b"}],
    ],
)
def test_files_that_are_addresses_are_refused(store, data):
    for code in ("utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-16-le", "utf-32", "utf-32-be"):
        body = json.dumps(data).encode(code)  # all of which are JSON to whoever reads it
        status, text = ask(store, "/gradio_api/queue/join", body, "POST")
        assert status == 422 and "cannot be an address of the net" in text


def test_bodies_are_passed_on_as_they_are_and_large_ones_refused(store):
    for body in (b'{"data": [{"path": "/a"}]}', b"a=b&c=d", b"{no json", b""):
        assert ask(store, "/gradio_api/run/x", body, "POST") == (200, body.decode())
    for method in ("POST", "PUT", "PATCH"):
        status, text = ask(store, "/gradio_api/run/x", b" " * (MOST_JSON + 1), method)
        assert status == 413 and "upload files" in text
    status, text = ask(store, "/gradio_api/run/x", b"[" * 100_000, "POST")
    assert status in (200, 400)  # by the depth that this Python bears


CALL = {"session_hash": "a", "component_id": 7, "fn_name": "preview", "data": "/a"}


def test_of_functions_only_those_of_the_page_are_called_and_by_json(store):
    path, functions = "/gradio_api/component_server", {(7, "preview")}
    body = json.dumps(CALL).encode()
    for end in ("", "/"):
        assert ask(store, path + end, body, "POST", functions=functions) == (200, body.decode())
    for other in (
        {"component_id": 8}, {"component_id": [7]}, {"fn_name": "postprocess"}, {"fn_name": None},
        {"session_hash": None}, {"session_hash": "a" * 101},
    ):  # fmt: skip
        bad = json.dumps(CALL | other).encode()
        assert ask(store, path, bad, "POST", functions=functions)[0] == 404, other
    for bad in (b"", b"[]", b"{", b"null", body[:-1]):
        assert ask(store, path, bad, "POST", functions=functions)[0] == 404
    status, text = ask(
        store, path, body, "POST", functions=functions, content_type="multipart/form-data"
    )
    assert status == 404 and "no such function" in text
    assert ask(store, path, body, "POST")[0] == 404  # another page may have none


def test_uploads_are_bounded_by_what_they_say_and_by_what_they_are(store, monkeypatch):
    path = "/gradio_api/upload"
    small, large = form("a.png", b"x" * 1000), form("a.png", b"x" * 3_000_000)
    assert ask(store, path, small, "POST", **FORM, content_length="1000") == (200, small.decode())
    assert ask(store, path, b"", "POST", **FORM, content_length=str(10**9))[0] == 413
    assert ask(store, path, large, "POST", **FORM)[0] == 413
    monkeypatch.setattr("gradio_demo.store.MOST_KEPT", 999)
    status, text = ask(store, path, small, "POST", **FORM, content_length="1000")
    assert status == 507 and "no room" in text


def test_room_is_looked_for_again_while_an_upload_comes(store, monkeypatch):
    """Several at once, or one that does not state its length, fill the disk otherwise."""
    monkeypatch.setattr("gradio_demo.uploads.STRIDE", 1000)
    monkeypatch.setattr("gradio_demo.store.MOST_KEPT", 1500)
    assert ask(store, "/gradio_api/upload", form("a.png", b"x" * 900), "POST", **FORM)[0] == 200
    picture_file(store.root / "abc" / "photo.png")
    status, text = ask(store, "/gradio_api/upload", form("a.png", b"x" * 1100), "POST", **FORM)
    assert status == 507 and "no room" in text


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (form("a.png", b"x").replace(b'; filename="a.png"', b""), FORM, "files alone"),
        (form("a.png", b"x").replace(b"filename", b"filenames"), FORM, "files alone"),
        (form("a.png", b"x").replace(b"Content-Disp", b"Content-Dist"), FORM, "files alone"),
        (b"no form", FORM, "no form that can be read"),
        (form("a.png", b"x"), {"content_type": "multipart/form-data"}, "multipart/form-data"),
        (form("a.png", b"x"), {"content_type": "text/plain"}, "multipart/form-data"),
        (form("a.png", b"x"), {}, "multipart/form-data"),
    ],
)
def test_an_upload_is_a_form_of_files_and_nothing_else(store, body, kind, words):
    """Gradio holds what is no file in memory, whatever its size."""
    status, text = ask(store, "/gradio_api/upload", body, "POST", **kind)
    assert status == 400 and words in text


def upload(store, *messages):
    """What is received of an upload that comes in several messages."""
    scope = {"headers": [(b"content-type", FORM["content_type"].encode())]}
    left = [{"type": "http.request", "body": body} for body in messages]

    async def receive():
        return left.pop(0)

    async def work():
        received = await Upload(scope, receive, store).begin()
        return [(await received())["body"] for _ in messages]

    return asyncio.run(work())


def test_what_comes_in_several_messages_is_added_up(store, monkeypatch):
    looks = []
    monkeypatch.setattr("gradio_demo.uploads.STRIDE", 1000)
    monkeypatch.setattr(type(store), "room_for", lambda self, size: not looks.append(size))
    whole = form("a.png", b"x" * 3000)
    parts = [whole[at : at + 100] for at in range(0, len(whole), 100)]
    assert upload(store, *parts) == parts
    assert looks == [0, 1000, 1000, 1000]
    with pytest.raises(Refused, match="too large"):
        upload(store, form("a.png", b"")[:-4], *[b"x" * 10_000] * 300)


def test_each_part_of_an_upload_is_a_file(store):
    one = form("a.png", b"x")
    two = one.replace(f"--{BOUNDARY}--".encode(), b"") + form("b.png", b"y")
    assert upload(store, two) == [two]
    head = b'Content-Disposition: form-data; name="files"; filename="b.png"'
    for other in (head.replace(b'; filename="b.png"', b""), b"Content-Type: image/png"):
        with pytest.raises(Refused, match="files alone"):
            upload(store, two.replace(head, other))


def test_an_upload_that_is_cut_off_leaves_no_trace_in_the_log(store, caplog):
    sent = []

    async def app(scope, receive, send):
        while True:
            await receive()

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    head = [(b"content-type", FORM["content_type"].encode())]
    scope = {"type": "http", "path": "/gradio_api/upload", "method": "POST", "headers": head}
    asyncio.run(Guard(app, store)(scope, receive, send))
    assert sent[0]["status"] == 400 and not caplog.text


def test_addresses_that_are_too_long_are_refused(store):
    """Gradio keeps the names of uploads."""
    assert ask(store, "/config", query=b"a" * 4000)[0] == 200
    assert ask(store, "/config", query=b"a" * 4001)[0] == 414


def test_a_failure_is_one_sentence_without_a_trace(store, caplog):
    status, text = ask(store, "/gradio_api/call/broken")
    assert status == 500 and "secret" not in text and "Traceback" not in text
    assert json.loads(text)["detail"].startswith("this request could not be understood")
    assert "ZeroDivisionError" in caplog.text  # the operator sees it


def test_an_answer_has_each_header_once_and_the_applications_comes_first(store):
    sent = []

    async def app(scope, receive, send):
        own = [(b"X-Content-Type-Options", b"own")]
        await send({"type": "http.response.start", "status": 200, "headers": own})

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "path": "/config", "method": "GET", "headers": []}
    asyncio.run(Guard(app, store)(scope, None, send))
    names = [name.lower() for name, _ in sent[0]["headers"]]
    assert len(names) == len(set(names)) == len(HEADERS)
    assert (b"X-Content-Type-Options", b"own") in sent[0]["headers"]


def test_nothing_but_http_is_spoken(store):
    """A web socket would go round all that is looked at here."""
    came = []

    async def app(scope, receive, send):
        came.append(scope["type"])

    for kind in ("websocket", "lifespan"):
        scope = {"type": kind, "path": "/config", "headers": []}
        asyncio.run(Guard(app, store)(scope, None, None))
    assert came == ["lifespan"]


def test_an_answer_that_fails_half_way_is_ended(store, caplog):
    """Gradio raises in its streams; a client must not wait for more."""
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ZeroDivisionError

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "path": "/config", "method": "GET", "headers": []}
    asyncio.run(Guard(app, store)(scope, None, send))
    assert [message.get("body") for message in sent] == [None, b"half", b""]
    assert sent[-1]["more_body"] is False
    assert "an answer ended early (ZeroDivisionError)" in caplog.text


def test_an_error_begins_with_a_capital_unless_with_a_name_and_is_no_markup():
    """The page takes it for HTML."""
    page = pytest.importorskip("gradio_demo.page", reason="Gradio is not installed")
    assert (
        page._error("the zip names '<img src=x>'").message
        == "The zip names '\u2039img src=x\u203a'"
    )
    assert page._error("cat.png is damaged").message == "cat.png is damaged"
    assert page._error("").message == ""


# ---- words, flags and cards ----


def test_every_text_is_there_in_every_language_with_the_same_values():
    for key, texts in WORDS.items():
        assert len(texts) == len(LANGUAGES) and all(texts), key
        names = [{part.split("}")[0] for part in text.split("{")[1:]} for text in texts]
        assert all(found == names[0] for found in names), key
    assert translations()["ko"]["fill"] == "채우기"
    assert said("loaded", "ko", task="cat") == "cat: 채우기를 누르세요"


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        ("de,fr;q=0.9", "en"),
        ("de,ja;q=0.5,zh;q=0.7", "zh"),
        ("en;q=0.1,zh-TW;q=0.2", "zh"),
        ("", "en"),
        ("ja;q=nonsense", "ja"),
        ("," * 1000, "en"),
    ],
)
def test_the_language_is_that_which_the_browser_wants_most(accepted, language):
    assert language_of(accepted) == language


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"workers": 0}, "--workers is 0; it must be at least 1"),
        ({"max_bytes": -5}, "--max-bytes is -5"),
        ({"port": 70_000}, "--port is 70000"),
        ({"host": " "}, "--host is empty"),
        ({"auth": "me"}, "--auth must be USER:PASSWORD"),
        ({"auth": ":secret"}, "--auth must be USER:PASSWORD"),
    ],
)
def test_flags_that_cannot_work_are_named(values, words):
    with pytest.raises(ConfigError, match=words):
        Settings(**values)


def test_every_runtime_can_be_named():
    assert get_args(get_type_hints(Settings)["backend"]) == RUNTIMES


def test_flags_say_who_may_come():
    assert Settings().url == "http://127.0.0.1:7860/" and not Settings().is_open
    assert Settings(host="0.0.0.0").is_open and Settings(share=True).is_open
    assert not Settings(host="0.0.0.0", auth="me:a:b").is_open
    assert Settings(auth="me:a:b").credentials == ("me", "a:b")
    assert Settings(host="::1", port=80).url == "http://[::1]:80/"


def test_networks_are_listed_with_their_terms_and_cards(tmp_path):
    tab = pytest.importorskip("gradio_demo.about_tab", reason="Gradio is not installed")
    service = service_in(tmp_path)
    lines = tab.table(service.models).splitlines()
    assert "| deepfillv2-photos | sketch | 1,806,198 | see its card |" in lines
    assert any("scfegan-faces-small | sketch, color | 7,254,204 | research" in x for x in lines)
    found = dict(tab.cards(service.models))
    assert {"deepfillv2-photos", "edges", "spade-streets-small"} <= set(found)
    text = tab.card(found["spade-streets-small"])
    assert text.startswith("# Model card") and "![" not in text and "](../" not in text


def test_no_name_of_a_network_breaks_the_table(tmp_path):
    tab = pytest.importorskip("gradio_demo.about_tab", reason="Gradio is not installed")
    (tmp_path / "models").mkdir()
    shutil.copy(DEFAULT_WEIGHTS, tmp_path / "models" / "a|b.safetensors")
    lines = tab.table(service_in(tmp_path / "files", tmp_path / "models").models).splitlines()
    assert any(line.startswith(r"| a\|b.safetensors | sketch | ") for line in lines)


def test_cards_keep_their_links_to_the_net(tmp_path):
    tab = pytest.importorskip("gradio_demo.about_tab", reason="Gradio is not installed")
    path = tmp_path / "a.md"
    path.write_text("![x](y.png)\nsee [the paper](https://a.org/b) and [this](c.md)")
    assert tab.card(path) == "see [the paper](https://a.org/b) and this"
    path.write_bytes("Größe".encode("latin-1"))  # of whatever coding, it is no failure
    assert tab.card(path) == "Gr\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}e"
