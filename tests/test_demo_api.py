"""The endpoints of a real server, by Gradio's client and by plain HTTP, used well and badly."""

import http.server
import io
import itertools
import json
import re
import subprocess
import sys
import threading
import time
import urllib.request
from urllib.parse import quote

import numpy as np
import pytest
from demos import ROOT, free_port, mask_file, picture_file, pixels, running, write_models
from PIL import Image

pytest.importorskip("gradio", reason="Gradio is not installed")
client_of = pytest.importorskip("gradio_client", reason="Gradio's client is not installed")

SECRET = "/etc/hostname"
TINY = {"network": "tiny.safetensors"}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def demo(models, tmp_path_factory):
    flags = ("--models", models, "--max-pixels", 9_000_000, "--max-bytes", 2_000_000)
    with running(tmp_path_factory.mktemp("served"), *flags) as found:
        yield found
        leak = re.compile(rf"Traceback|{re.escape(str(ROOT))}")
        assert not leak.search(found.log()), found.log()


@pytest.fixture(scope="module")
def client(demo):
    return client_of.Client(demo.url, verbose=False, analytics_enabled=False)


@pytest.fixture
def photo(tmp_path):
    return picture_file(tmp_path / "my photo.png")


@pytest.fixture
def mask(tmp_path):
    return mask_file(tmp_path / "mask.png")


def test_a_fill_by_gradios_client(client, photo, mask):
    handle = client_of.handle_file
    filled, report = client.predict(
        picture=handle(str(photo)), mask=handle(str(mask)), api_name="/fill", **TINY
    )
    assert filled.endswith("photo-filled.png")
    known = pixels(mask) == 0
    assert np.array_equal(pixels(filled)[known], pixels(photo)[known])
    assert (pixels(filled)[~known] != pixels(photo)[~known]).any()
    assert report["network"] == "tiny.safetensors" and report["runs_on"] == "PyTorch on cpu"


def test_lines_and_a_picture_of_a_map_by_gradios_client(client, photo, tmp_path):
    lines = client.predict(picture=client_of.handle_file(str(photo)), api_name="/sketch")
    assert pixels(lines).shape == (80, 100)
    Image.fromarray(np.full((64, 96), 3, np.uint8)).save(tmp_path / "map.png")
    made = []
    for seed in (4, 4, 5):
        picture, report = client.predict(
            semantic=client_of.handle_file(str(tmp_path / "map.png")),
            network="streets.safetensors", seed=seed, width=64, height=32, api_name="/semantic",
        )  # fmt: skip
        made.append(pixels(picture))
        assert made[-1].shape == (32, 64, 3) and report["height"] == 32
    assert np.array_equal(made[0], made[1]) and (made[0] != made[2]).any()


def test_a_picture_of_a_map_has_both_sides_said_or_neither(demo, tmp_path):
    Image.fromarray(np.full((16, 16), 3, np.uint8)).save(tmp_path / "map.png")
    given = {"semantic": demo.give(tmp_path / "map.png"), "network": "streets.safetensors"}
    for one in ({"height": 32}, {"width": 32}):
        assert "height and width go together" in demo.error("semantic", **given, **one).lower()


def test_only_the_three_endpoints_are_offered(demo):
    info = demo.ask("gradio_api/info").json
    assert sorted(info["named_endpoints"]) == ["/fill", "/semantic", "/sketch"]
    assert not info["unnamed_endpoints"]
    takes = [p["parameter_name"] for p in info["named_endpoints"]["/fill"]["parameters"]]
    assert takes == [
        "picture", "mask", "sketch", "color", "semantic", "instances", "style", "network",
        "backend", "strategy", "grow", "feather", "seed",
    ]  # fmt: skip


def test_wherever_work_is_shown_its_failure_takes_the_bar_away(demo):
    events = demo.ask("config").json["dependencies"]
    works = [x for x in events if x["types"]["generator"] and x["api_visibility"] == "private"]
    after = {(x["trigger_after"], *x["outputs"]) for x in events if x["trigger_only_on_failure"]}
    assert len(works) == 6  # fill, lines, attention, gates; a batch; two ways
    assert all((x["id"], x["outputs"][-1]) in after for x in works)  # the status is the last


def test_plain_http_tells_how_far_it_is_and_gives_the_file(demo, photo, mask):
    values = {"picture": demo.give(photo), "mask": demo.give(mask), **TINY}
    events = demo.call("fill", values).events
    shares = [data[1]["share"] for _, data in events if data[0] is None]
    assert shares == sorted(shares) and events[-1][0] == "complete"
    with Image.open(io.BytesIO(demo.fetch(events[-1][1][0]))) as found:
        assert found.size == (100, 80)


@pytest.mark.parametrize("name", ["Python", "curl"])
def test_the_examples_of_the_tab_work_as_they_stand(demo, name, tmp_path):
    guide = (ROOT / "gradio_demo" / "api.md").read_text(encoding="utf-8")
    code = re.search(rf"### {name}\n.*?```\w+\n(.*?)```", guide, re.DOTALL)[1]
    for suffix, source in (("jpg", "object.jpg"), ("png", "object.mask.png")):
        target = "photo.jpg" if suffix == "jpg" else "mask.png"
        (tmp_path / target).write_bytes((ROOT / "samples" / source).read_bytes())
    command = [sys.executable, "-c"] if name == "Python" else ["bash", "-ec"]
    done = subprocess.run(
        [*command, code.replace("{url}", demo.url)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    if name == "Python":
        assert "photo-filled.jpg" in done.stdout
    else:
        assert pixels(tmp_path / "filled.jpg").shape == (342, 512, 3)


# ---- what is not served, and not read ----


def test_no_file_but_those_of_the_page_is_served(demo, photo):
    inside = quote(demo.give(photo)["path"])
    assert demo.ask(f"gradio_api/file={inside}").status == 200
    root = quote(str(ROOT))  # a folder may have a space in its name
    for name in (
        SECRET,
        f"{root}/README.md",
        "README.md",
        f"{inside}/../../../../../../..{SECRET}",
        f"{inside.rsplit('/', 2)[0]}/../../..{SECRET}",
        "..%2f..%2f..%2fetc%2fhostname",
        "%2e%2e/%2e%2e/etc/hostname",
        quote(SECRET, safe=""),
        "file:///etc/hostname",
        f"{root}/weights/edges.safetensors",
    ):
        for route in ("gradio_api/file=", "gradio_api/file/", "file=", "static/", "assets/"):
            answer = demo.ask(route + name)
            assert answer.status in (400, 403, 404), (route + name, answer)
            assert root not in answer.text and str(ROOT) not in answer.text


@pytest.mark.parametrize("meta", [{"_type": "gradio.FileData"}, {}, None])
@pytest.mark.parametrize("path", [SECRET, f"{ROOT}/samples/object.jpg", "../../etc/hostname"])
def test_no_file_but_an_uploaded_one_is_read(demo, mask, path, meta):
    value = {"path": path} if meta is None else {"path": path, "meta": meta}
    for name in ("picture", "mask", "style"):
        files = {"picture": demo.give(mask), "mask": demo.give(mask), name: value}
        assert "is not a file that was uploaded here" in demo.error("fill", **files)
    assert "not a file that was uploaded" in demo.error("sketch", picture=value)
    assert "not a file that was uploaded" in demo.error("semantic", semantic=value)


class Trap(http.server.BaseHTTPRequestHandler):
    """Notes who comes."""

    came: list[str] = []  # noqa: RUF012  # one server, one test

    def do_GET(self):
        self.came.append(self.path)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        pass


def test_nothing_is_fetched_from_the_net(demo):
    with http.server.HTTPServer(("127.0.0.1", 0), Trap) as trap:
        threading.Thread(target=trap.serve_forever).start()
        url = f"http://127.0.0.1:{trap.server_port}/a.png"
        file = {"path": url, "url": url, "meta": {"_type": "gradio.FileData"}}
        assert "cannot be an address" in demo.error("fill", picture=file)
        assert "not a file" in demo.error("fill", picture={"url": url})
        for route in ("gradio_api/file=", "gradio_api/proxy=", "proxy="):
            assert demo.ask(route + url).status in (403, 404)
        body = {"data": [[file], None], "fn_index": 0, "session_hash": "a"}
        assert demo.ask("gradio_api/queue/join", body).status == 422
        trap.shutdown()
    assert Trap.came == []


def test_no_folder_of_the_machine_is_told(demo, photo, mask):
    for path in ("", "config", "gradio_api/info", "gradio_api/openapi.json", "theme.css"):
        assert str(ROOT) not in demo.ask(path).text, path
    upload = demo.give(photo)["path"]
    (text := demo.error("fill", picture={"path": upload + "x"}))
    assert upload.rsplit("/", 1)[0] not in text


# ---- what is too much, or wrong ----


def test_files_of_too_many_bytes_or_pixels_are_refused(demo, mask, tmp_path):
    (tmp_path / "large.png").write_bytes(b"\0" * 2_000_001)
    answer = demo.upload_file(tmp_path / "large.png")
    assert answer.status == 413 and "size" in answer.text
    Image.new("L", (3001, 3000)).save(tmp_path / "wide.png")
    wide = demo.give(tmp_path / "wide.png")
    error = demo.error("fill", picture=wide, mask=demo.give(mask), **TINY)
    assert "3000 x 3001 pixels, more than the 9000000 allowed" in error
    assert "more than the 9000000" in demo.error("sketch", picture=wide)


def test_what_is_no_picture_is_said_by_its_name(demo, mask, tmp_path):
    for name, content in (
        ("text.png", b"no picture"),
        ("empty.jpg", b""),
        ("cut.png", mask.read_bytes()[:60]),
        ("page.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    ):
        (tmp_path / name).write_bytes(content)
        given = demo.give(tmp_path / name)
        error = demo.error("fill", picture=given, mask=demo.give(mask), **TINY)
        assert error.startswith(name), error  # as it is written
        assert "picture" in error or "damaged" in error


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"grow": "much"}, "Grow is 'much'; it must be a whole number up to 128"),
        ({"grow": 1e9}, "Grow is"),
        ({"strategy": "fastest"}, "Strategy is 'fastest'; it must be one of"),
        ({"network": "../weights/edges"}, "There is no network '../weights/edges' here"),
        ({"network": 7}, "Network is '7'; it must be a text"),
        ({"backend": "cuda"}, "The backend 'cuda' is not one of"),
        ({"backend": "tensorrt"}, "runs by torch only"),
        ({"seed": -1}, "Seed is '-1'"),
        ({"sketch": "line.png"}, "Sketch is not a file that was uploaded here"),
        ({"mask": 5}, "Mask is not a file; upload it"),
        ({"picture": None}, "Picture is not a file; upload it"),
        ({"color": {}}, "Color is not a file"),
    ],
)
def test_what_is_wrong_with_a_call_is_said_in_a_sentence(demo, photo, mask, values, words):
    given = {"picture": demo.give(photo), "mask": demo.give(mask), **TINY}
    assert words in demo.error("fill", **{**given, **values})


def test_guides_that_a_network_does_not_take_are_refused(demo, photo, mask):
    given = {"picture": demo.give(photo), "mask": demo.give(mask), **TINY}
    error = demo.error("fill", **given, color=demo.give(photo))
    assert "color" in error and "sketch" in error


@pytest.mark.parametrize("data", [[], [1], [None] * 40, {"a": 1}, "text", None, 7])
def test_calls_of_another_form_get_a_sentence(demo, data):
    for endpoint in ("fill", "sketch", "semantic"):
        begun = demo.ask(f"gradio_api/call/{endpoint}", {"data": data})
        if begun.status == 200:
            text = demo.ask(f"gradio_api/call/{endpoint}/{begun.json['event_id']}").text
            assert text.startswith("event: error"), text
            assert json.loads(text.split("data: ", 1)[1])["error"]
        else:
            assert begun.status in (400, 422) and isinstance(begun.json["detail"], str)


def test_what_gradio_says_of_a_value_is_cut(demo):
    """It repeats the value, of whatever length."""
    config = demo.ask("config").json
    (how,) = (x for x in config["components"] if x["props"].get("elem_id") == "edit-strategy")
    event = next(x for x in config["dependencies"] if how["id"] in x["inputs"])
    data = ["x" * 100_000 if number == how["id"] else None for number in event["inputs"]]
    body = {"data": data, "fn_index": event["id"], "session_hash": "long"}
    assert demo.ask("gradio_api/queue/join", body).status == 200
    said = demo.ask("gradio_api/queue/data?session_hash=long").text
    assert '"success":false' in said and "xxx..." in said and len(said) < 5000


def test_requests_do_not_skip_the_queue(demo, photo):
    body = {"data": [demo.give(photo), "detector"]}
    answer = demo.ask("gradio_api/run/sketch", body)
    assert answer.status == 404 and "queue" in answer.json["detail"]


# ---- ending, waiting, keeping ----


def long_work(folder):
    """A fill that takes long: 100 holes far apart, each a pass by itself."""
    picture, mask = picture_file(folder / "wide.jpg", (3200, 3200)), Image.new("L", (3200, 3200))
    for left, top in itertools.product(range(100, 3200, 320), repeat=2):
        mask.paste(255, (left, top, left + 90, top + 90))
    mask.save(folder / "wide.png")
    return picture, folder / "wide.png"


NOTED = """
import gradio_demo.service as service
fill = service.Service.fill
def noted(self, source, order, job):
    try:
        return fill(self, source, order, job)
    finally:
        (self.store.root.parent / f"{source.picture.name} ended").touch()
service.Service.fill = noted
"""


RACED = """
import gradio.routes as routes
apps, begin, close = [], routes.App.__init__, routes.safe_aclose_iterator
def noted(self, *args, **options):
    begin(self, *args, **options)
    apps.append(self)
async def raced(iterator):
    await close(iterator)
    for app in apps:
        app.iterators.clear()  # as the queue does, which has seen the end at the same time
routes.App.__init__, routes.safe_aclose_iterator = noted, raced
"""


def ended_within(seconds, folder):
    """Whether the long fill comes to its end so soon."""
    deadline = time.monotonic() + seconds
    while not (folder / "wide.jpg ended").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return (folder / "wide.jpg ended").exists()


@pytest.mark.slow
def test_a_fill_that_is_cancelled_ends_and_the_next_one_is_done(models, tmp_path, photo, mask):
    folder = tmp_path / "served"
    with running(folder, "--models", models, "--workers", 1, before=NOTED) as demo:
        client = client_of.Client(demo.url, verbose=False, analytics_enabled=False)
        picture, hole = map(client_of.handle_file, map(str, long_work(tmp_path)))
        job = client.submit(picture=picture, mask=hole, api_name="/fill")
        deadline = time.monotonic() + 60
        while not any(x[1]["doing"] == "filling" for x in job.outputs()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(1)
        assert not job.done()
        job.cancel()
        assert ended_within(3, folder)
        demo.result("fill", picture=demo.give(photo), mask=demo.give(mask), **TINY)
        assert demo.end() == 0
        assert not list(folder.glob("gatefill-demo-*"))


@pytest.mark.slow
def test_a_fill_that_nobody_waits_for_any_more_is_ended(models, tmp_path):
    folder = tmp_path / "served"
    with running(folder, "--models", models, "--workers", 1, before=NOTED) as demo:
        picture, hole = map(demo.give, long_work(tmp_path))
        begun = demo.ask("gradio_api/call/v2/fill", {"picture": picture, "mask": hole})
        number = begun.json["event_id"]
        with urllib.request.urlopen(f"{demo.url}gradio_api/call/fill/{number}") as stream:
            while b"filling" not in stream.readline():
                pass
        assert ended_within(5, folder)  # the connection is closed


@pytest.mark.slow
def test_a_full_queue_and_what_has_expired_are_said(models, tmp_path, photo, mask):
    flags = ("--models", models, "--workers", 1, "--queue", 1, "--keep", 2)
    with running(tmp_path / "served", *flags, before=RACED) as demo:
        old = demo.give(photo)
        picture, hole = map(demo.give, long_work(tmp_path))
        call = {"picture": picture, "mask": hole}
        answers = [demo.ask("gradio_api/call/v2/fill", call) for _ in range(4)]
        assert answers[0].status == 200
        full = [answer for answer in answers if answer.status == 503]
        assert full and all("Queue is full. Max size is 1" in x.json["detail"] for x in full)
        deadline = time.monotonic() + 30
        while demo.ask(f"gradio_api/file={quote(old['path'])}").status == 200:
            assert time.monotonic() < deadline
            time.sleep(0.3)
        assert not list((tmp_path / "served").rglob("my photo.png"))
        for answer in answers:  # nobody listens any more
            if answer.status == 200:
                number = answer.json["event_id"]
                body = {"event_id": number, "session_hash": number, "fn_index": 0}
                assert demo.ask("gradio_api/cancel", body).json == {"success": True}
        deadline = time.monotonic() + 60
        while "here any more" not in (error := demo.error("sketch", picture=old)):
            assert "Queue is full" in error and time.monotonic() < deadline
            time.sleep(0.5)


CRASH = """
import gradio_demo.service as service
fill = service.Service.fill
def crash(self, source, order, job):
    if order.options.grow == 13:
        raise MemoryError("/srv/secret/weights.bin")
    return fill(self, source, order, job)
service.Service.fill = crash
"""


@pytest.mark.slow
def test_a_job_that_crashes_is_said_and_the_next_one_is_done(models, tmp_path, photo, mask):
    with running(tmp_path / "served", "--models", models, before=CRASH) as demo:
        given = {"picture": demo.give(photo), "mask": demo.give(mask), **TINY}
        for _ in range(5):  # more than there are workers
            error = demo.error("fill", **given, grow=13)
            assert error.startswith("Something failed here") and "secret" not in error
        assert demo.result("fill", **given)[1]["seconds"] > 0
        assert "MemoryError" in demo.log()


@pytest.mark.slow
def test_a_password_is_asked_for_everywhere(models, tmp_path, photo):
    with running(tmp_path / "served", "--models", models, "--auth", "me:secret") as demo:
        for path in ("config", "gradio_api/info", f"gradio_api/file={SECRET}"):
            assert demo.ask(path).status in (401, 403), path
        assert demo.upload_file(photo).status == 401
        assert demo.ask("gradio_api/call/sketch", {"data": [None, ""]}).status == 401
        client = client_of.Client(
            demo.url, auth=("me", "secret"), verbose=False, analytics_enabled=False
        )
        lines = client.predict(picture=client_of.handle_file(str(photo)), api_name="/sketch")
        assert pixels(lines).shape == (80, 100)


def command(*flags):
    port = () if "--port" in flags else ("--port", free_port())
    return subprocess.run(
        [sys.executable, "-m", "gradio_demo", *map(str, (*port, *flags))],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.mark.slow
def test_what_cannot_be_served_is_said_in_a_sentence(tmp_path):
    with http.server.HTTPServer(("127.0.0.1", free_port()), Trap) as taken:
        done = command("--port", taken.server_port)
    assert done.returncode == 1 and "cannot listen at 127.0.0.1" in done.stderr
    assert "GRADIO" not in done.stderr and done.stderr.count("\n") == 1
    done = command("--host", "nobody.invalid")
    assert done.returncode == 1 and "cannot listen at nobody.invalid" in done.stderr
    assert done.stderr.count("\n") == 1
    done = command("--weights", ROOT / "weights" / "edges.safetensors")
    assert done.returncode == 1 and "no network that fills pictures" in done.stderr
    done = command("--backend", "openvino")
    assert done.returncode == 1 and "runs by torch only" in done.stderr
    done = command("--models", tmp_path / "missing")
    assert done.returncode == 1 and "no folder of models" in done.stderr
