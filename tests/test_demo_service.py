"""The service behind the page: files in, files out, in jobs that can be watched and ended."""

import shutil
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from demos import layer_file, mask_file, picture_file, pixels, service_in, write_models
from PIL import Image, ImageCms

from core.backends import RUNTIMES
from core.contract import Port
from core.errors import ConfigError, ImageError, ShapeError
from core.image import read_mask, read_picture
from core.options import FillOptions
from core.painted_map import brush_colours
from core.palette import parse_colour
from core.pipeline import Inpainter
from core.sketch.draw import open_drawer
from core.weights import BUNDLED, load_weights
from gradio_demo.asked import order_of
from gradio_demo.models import Models, Shared
from gradio_demo.running import Job, Stopped, Turns, Workers, result_of
from gradio_demo.service import Order
from gradio_demo.sources import Given, Painting

TINY = Order(network="tiny.safetensors")
STREETS = Order(network="streets.safetensors")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def service(models, tmp_path):
    found = service_in(tmp_path / "store", models)
    yield found
    found.workers.close()


def given(folder, suffix=".png", **options):
    size = options.pop("size", (80, 100))
    return Given(
        picture=picture_file(folder / f"photo{suffix}", size),
        mask=mask_file(folder / "mask.png", size, **options),
    )


def test_a_fill_is_that_of_the_pipeline_and_keeps_what_is_known(service, tmp_path):
    source = given(tmp_path)
    done = service.fill(source, TINY, Job())
    assert done.path.name == "photo-filled.png"
    picture = read_picture(source.picture)
    mask = read_mask(source.mask, picture.size)
    network = service.models.opened("tiny.safetensors")
    expected = Inpainter(network.backend)(picture.pixels, mask)
    found = pixels(done.path)
    assert np.array_equal(found, (expected[0].movedim(0, -1) * 255).round().byte().numpy())
    known = pixels(source.mask) == 0
    assert np.array_equal(found[known], pixels(source.picture)[known])
    assert (found[~known] != pixels(source.picture)[~known]).any()
    report = done.report
    assert report["network"] == "tiny.safetensors" and report["runs_on"] == "PyTorch on cpu"
    assert (report["height"], report["width"]) == (80, 100)
    assert report["hole_percent"] == pytest.approx(100 * 30 * 30 / 8000)
    assert report["seconds"] > 0


def test_exif_profile_and_alpha_of_the_picture_are_kept(service, tmp_path):
    image = Image.open(picture_file(tmp_path / "plain.png")).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    exif = Image.Exif()
    exif[271] = "Gatefill"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.save(tmp_path / "photo.png", exif=exif, icc_profile=profile)
    source = Given(picture=tmp_path / "photo.png", mask=mask_file(tmp_path / "mask.png"))
    with Image.open(service.fill(source, TINY, Job()).path) as found:
        assert found.mode == "RGBA"
        assert found.getexif()[271] == "Gatefill"
        assert found.info["icc_profile"] == profile
        assert np.array_equal(np.asarray(found)[..., 3], np.asarray(image)[..., 3])


def test_the_format_is_that_of_the_content_whatever_the_name_says(service, tmp_path):
    picture_file(tmp_path / "a.png").rename(tmp_path / "lies.jpg")
    source = Given(picture=tmp_path / "lies.jpg", mask=mask_file(tmp_path / "mask.png"))
    done = service.fill(source, TINY, Job())
    assert done.path.name == "lies-filled.png"
    known = pixels(source.mask) == 0
    assert np.array_equal(pixels(done.path)[known], pixels(source.picture)[known])


def test_without_a_mask_what_is_transparent_is_the_hole_and_is_so_no_longer(service, tmp_path):
    image = Image.open(picture_file(tmp_path / "plain.png")).convert("RGBA")
    image.putalpha(Image.eval(Image.open(mask_file(tmp_path / "m.png")), lambda v: 255 - v))
    image.save(tmp_path / "photo.png")
    found = pixels(service.fill(Given(picture=tmp_path / "photo.png"), TINY, Job()).path)
    assert (found[..., 3] == 255).all()
    assert (found[20:50, 30:60, :3] != np.asarray(image)[20:50, 30:60, :3]).any()


def test_a_mask_of_another_size_is_scaled(service, tmp_path):
    source = Given(
        picture=picture_file(tmp_path / "photo.png"),
        mask=mask_file(tmp_path / "mask.png", (160, 200), (60, 40, 120, 100)),
    )
    found, before = pixels(service.fill(source, TINY, Job()).path), pixels(source.picture)
    changed = (found != before).any(axis=-1)
    inside = np.zeros((80, 100), bool)
    inside[20:50, 30:60] = True
    assert changed[inside].any() and not changed[~inside].any()


def painted(folder, **layers):
    size = (80, 100)
    return Painting(picture=picture_file(folder / "photo.png", size), layers=layers)


def test_layers_say_by_alpha_where_the_hole_and_the_lines_are(service, tmp_path):
    """The colour of a mask or a line means nothing: both are near black here."""
    mask, line = (
        layer_file(tmp_path / "m.png"),
        layer_file(tmp_path / "s.png", box=(30, 34, 60, 37)),
    )
    source = painted(tmp_path, mask=mask, sketch=line)
    found = pixels(service.fill(source, TINY, Job()).path)
    picture = read_picture(source.picture)
    hole, sketch = torch.zeros(1, 1, 80, 100), torch.zeros(1, 1, 80, 100)
    hole[..., 20:50, 30:60] = 1
    sketch[..., 34:37, 30:60] = 1
    pipeline = Inpainter(service.models.opened("tiny.safetensors").backend)
    expected = pipeline(picture.pixels, hole, sketch=sketch)
    assert np.array_equal(found, (expected[0].movedim(0, -1) * 255).round().byte().numpy())
    without = pixels(service.fill(painted(tmp_path, mask=mask), TINY, Job()).path)
    assert (found != without).any()


def test_colours_are_laid_on_black_and_a_style_is_looked_up(tmp_path):
    """As the networks know them: black is no colour, and a style is of any size."""
    layer = layer_file(tmp_path / "c.png", (200, 100, 50), box=(0, 0, 50, 80))
    picture = read_picture(picture_file(tmp_path / "photo.png"))
    mask, style = layer_file(tmp_path / "m.png"), picture_file(tmp_path / "style.png", (40, 30), 9)
    source = painted(tmp_path, mask=mask, color=layer, semantic=layer_file(tmp_path / "s.png"))
    source = replace(source, style=style)
    faces = load_weights(BUNDLED / "scfegan-faces-small.safetensors").contract
    _, guides = source.read(picture, faces)
    assert torch.equal(guides["color"][0, :, 0, 0] * 255, torch.tensor([200.0, 100.0, 50.0]))
    assert not guides["color"][..., 50:].any()
    labels = (Port("semantic", 12, kind="labels"), Port("style", 256, kind="vector", encoded=True))
    colour = parse_colour(brush_colours(labels[0])[3][1])
    rgb = (colour >> 16, colour >> 8 & 255, colour & 255)
    source = replace(
        source, layers={**source.layers, "semantic": layer_file(tmp_path / "s.png", rgb)}
    )
    _, guides = source.read(picture, replace(faces, inputs=(*faces.inputs[:2], *labels)))
    assert (guides["semantic"] == 3).all()
    assert torch.equal(guides["style"], read_picture(style).pixels)


def test_layers_that_a_network_does_not_take_are_left(service, tmp_path):
    mask, color = layer_file(tmp_path / "m.png"), layer_file(tmp_path / "c.png", (255, 0, 0))
    with_it = service.fill(painted(tmp_path, mask=mask, color=color), TINY, Job())
    without = service.fill(painted(tmp_path, mask=mask), TINY, Job())
    assert np.array_equal(pixels(with_it.path), pixels(without.path))


def test_a_map_is_painted_in_the_colours_of_the_labels(service, tmp_path):
    mask = layer_file(tmp_path / "m.png")
    fills = []
    for name, colour in (("road", (0x80, 0x40, 0x80)), ("car", (0x40, 0, 0x80))):
        layer = layer_file(tmp_path / f"{name}.png", colour)
        done = service.fill(painted(tmp_path, mask=mask, semantic=layer), STREETS, Job())
        fills.append(pixels(done.path))
    known = np.ones((80, 100), bool)
    known[20:50, 30:60] = False
    assert np.array_equal(fills[0][known], fills[1][known])
    assert (fills[0] != fills[1]).any()
    with pytest.raises(ConfigError, match="nothing is painted on the map of labels"):
        service.fill(painted(tmp_path, mask=mask), STREETS, Job())


@pytest.mark.parametrize(
    ("layers", "error", "words"),
    [
        ({}, ConfigError, "nothing is masked; brush over"),
        ({"mask": {"box": (0, 0, 0, 0)}}, ConfigError, "nothing is masked"),
        ({"mask": {"size": (80, 90)}}, ShapeError, "mask is 80 x 90 .* picture is 80 x 100"),
        ({"mask": {"box": (0, 0, 100, 80)}}, ConfigError, "covers the whole picture"),
    ],
)
def test_layers_that_cannot_be_filled_are_refused(service, tmp_path, layers, error, words):
    files = {name: layer_file(tmp_path / "m.png", **drawn) for name, drawn in layers.items()}
    with pytest.raises(error, match=words):
        service.fill(painted(tmp_path, **files), TINY, Job())


def test_a_file_that_is_too_large_is_refused_before_it_is_decoded(models, tmp_path, monkeypatch):
    monkeypatch.setattr("gradio_demo.service.read_picture", None)
    service = service_in(tmp_path / "store", models, pixels=7999)
    with pytest.raises(ImageError, match="80 x 100 pixels, more than the 7999 allowed"):
        service.fill(given(tmp_path), TINY, Job())
    service = service_in(tmp_path / "other", models, bytes=100)
    with pytest.raises(ImageError, match=r"photo\.png has .* more than the 0\.0 allowed"):
        service.fill(given(tmp_path), TINY, Job())
    service = service_in(tmp_path / "third", models, pixels=8000)
    large = mask_file(tmp_path / "large.png", (80, 101))
    with pytest.raises(ImageError, match=r"large\.png.* 80 x 101 pixels, more than the 8000"):
        service.fill(replace(given(tmp_path), mask=large), TINY, Job())


def test_lines_are_drawn_white_on_black_or_as_a_layer(service, tmp_path):
    image = np.zeros((60, 80, 3), np.uint8)
    image[:, 40:] = 255
    Image.fromarray(image).save(tmp_path / "edge.png")
    lines = pixels(service.sketch(tmp_path / "edge.png", "detector", Job()))
    assert set(np.unique(lines)) == {0, 255}
    assert (lines[10:50, 37:43].max(axis=1) == 255).mean() > 0.9 and not lines[:, :30].any()
    layer = pixels(service.sketch(tmp_path / "edge.png", "detector", Job(), layer=True))
    assert layer.shape == (60, 80, 4)
    assert np.array_equal(layer[..., 3], lines)
    with pytest.raises(ConfigError, match=r"no way of drawing lines is called 'x'; .*detector"):
        service.sketch(tmp_path / "edge.png", "x", Job())


def test_what_draws_lines_is_opened_once(service, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(
        "gradio_demo.service.open_drawer",
        lambda kind, **how: opened.append(kind) or open_drawer(kind, **how),
    )
    picture = picture_file(tmp_path / "photo.png")
    for kind in ("detector", "canny", "detector"):
        service.sketch(picture, kind, Job())
    assert opened == ["detector", "canny"]


@pytest.mark.parametrize(("backend", "device"), [("torch", "cuda:1"), ("auto", "")])
def test_lines_are_drawn_on_the_operators_device(tmp_path, monkeypatch, backend, device):
    service = service_in(tmp_path)
    service.models = Models(backend=backend, device="cuda:1")
    asked = []
    monkeypatch.setattr(
        "gradio_demo.service.open_drawer",
        lambda kind, **how: asked.append(how["device"]) or open_drawer(kind),
    )
    service.sketch(picture_file(tmp_path / "photo.png"), "canny", Job())
    assert asked == [device]


def test_a_whole_picture_is_made_of_a_map(service, tmp_path):
    Image.fromarray(np.full((64, 96), 3, np.uint8)).save(tmp_path / "map.png")
    files = {"semantic": tmp_path / "map.png"}
    by_seed = [Order(network="streets.safetensors", options=FillOptions(seed=s)) for s in (1, 1, 2)]
    first, again, other = (service.synthesize(files, None, x, Job()) for x in by_seed)
    assert pixels(first.path).shape == (64, 96, 3)
    assert np.array_equal(pixels(first.path), pixels(again.path))
    assert (pixels(first.path) != pixels(other.path)).any()
    assert pixels(service.synthesize(files, (32, 64), by_seed[0], Job()).path).shape == (32, 64, 3)
    with pytest.raises(ConfigError, match=r"tiny\.safetensors makes no pictures of maps"):
        service.synthesize(files, None, TINY, Job())
    with pytest.raises(ConfigError, match="up to 2048 a side"):
        service.synthesize(files, (4096, 64), STREETS, Job())


@pytest.mark.parametrize("view", ["attention", "gates"])
def test_what_a_network_looks_at_is_a_picture(service, tmp_path, view):
    class Alone(Job):
        def tell(self, share):
            assert service.models.turns.waiting == 1  # what is recorded is of this job alone

    sheet = pixels(service.look(view, given(tmp_path), TINY, Alone()))
    assert sheet.ndim == 3 and min(sheet.shape[:2]) > 100
    with pytest.raises(ConfigError, match="no view"):
        service.look("x-rays", given(tmp_path), TINY, Job())


def test_two_ways_of_filling_share_the_progress(service, tmp_path):
    told = []

    class Listening(Job):
        def tell(self, share):
            super().tell(share)
            told.append(self.share)

    other = Order(network="deepfillv2-photos")
    first, second = service.compare(given(tmp_path), [TINY, other], Listening())
    assert [done.report["network"] for done in (first, second)] == [TINY.network, other.network]
    assert told == sorted(told) and told[-1] == 1
    assert any(share == pytest.approx(0.5) for share in told)


def test_a_name_that_is_no_network_is_refused_whatever_it_is(service):
    names = ("../../etc/passwd", "/etc/passwd", "", "tiny", 7, None, ["tiny.safetensors"], "edges")
    for name in names:
        with pytest.raises(ConfigError, match=r"there is no network .*deepfillv2-photos") as caught:
            service.models.opened(name)
        assert str(service.store.root.parent) not in str(caught.value)


def test_a_network_whose_file_changed_is_opened_anew(tmp_path):
    folder = write_models(tmp_path / "models")
    models = Models(folder)
    before = models.opened("tiny.safetensors").backend.backend
    assert models.opened("tiny.safetensors").backend.backend is before
    shutil.copy(BUNDLED / "scfegan-faces-small.safetensors", folder / "tiny.safetensors")
    after = models.opened("tiny.safetensors")
    assert after.backend.backend is not before
    assert {port.name for port in after.contract.guides} >= {"sketch", "color"}


def test_the_network_of_the_flags_comes_first_and_the_bundled_ones_before_others(models):
    found = Models(models, models / "tiny.safetensors").names()
    assert found[0] == "tiny.safetensors" and found[1:4] == sorted(found[1:4])
    assert [("." in name) for name in found] == [True, False, False, False, True]
    assert Models(models).names()[0] == "deepfillv2-photos"


def test_a_network_of_the_folder_that_the_flags_name_is_there_once(models, monkeypatch):
    monkeypatch.chdir(models.parent)  # so that one way of naming it is relative
    folder = Path(models.name)
    for first in (folder / "tiny.safetensors", models / "tiny.safetensors"):
        names = Models(folder, first).names()
        assert names[0] == "tiny.safetensors" and len(names) == len(set(names)) == 5


def test_whatever_a_shared_backend_does_it_does_in_its_turn():
    turns = Turns()

    def noted(*tensors):
        return turns.waiting, len(tensors)

    backend = SimpleNamespace(contract=None, run=noted, refine=noted, encode=noted)
    shared = Shared(backend, turns)
    assert [shared.run(0, 0), shared.refine(0, 0, 0), shared.encode(0)] == [(1, 2), (1, 3), (1, 1)]
    assert turns.waiting == 0


def test_the_device_is_that_of_the_operators_backend_alone(models, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "gradio_demo.models.open_backend",
        lambda path, *how: asked.append(how) or SimpleNamespace(contract=None),
    )
    found = Models(models, backend="torch", device="cuda:1")
    for backend in (None, "torch", "auto", "onnxruntime"):
        found.opened("tiny.safetensors", backend)
    assert asked == [("cuda:1", "torch"), ("", "auto"), ("", "onnxruntime")]


def test_networks_that_were_used_longest_ago_make_room(models, tmp_path):
    for number in range(5):
        shutil.copy(models / "tiny.safetensors", models / f"copy{number}.safetensors")
    service = service_in(tmp_path / "store", models)

    def fresh(number):
        return service.models.opened(f"copy{number}.safetensors").seconds > 0

    assert [fresh(number) for number in range(4)] == [True] * 4
    assert not fresh(0)  # used again
    assert fresh(4)
    assert [fresh(number) for number in (4, 0, 3, 2)] == [False] * 4
    assert fresh(1)  # it had to go
    for number in range(5):
        (models / f"copy{number}.safetensors").unlink()


def test_a_graph_runs_by_what_is_asked_for_and_says_so(exported, tmp_path):
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    graph = exported("deepfillv2-tiny")
    folder = tmp_path / "models"
    shutil.copytree(graph.parent, folder)
    service = service_in(tmp_path / "store", folder)
    assert service.models.backends(graph.name) == RUNTIMES
    assert service.models.backends("deepfillv2-photos") == ("auto", "torch")
    names = [name for name in service.models.names() if name.startswith("deepfillv2-tiny")]
    assert names == ["deepfillv2-tiny.onnx", "deepfillv2-tiny.safetensors"]  # its parts are none
    source = given(tmp_path)
    done = [
        service.fill(source, Order(network=graph.name, backend=runtime), Job())
        for runtime in ("onnxruntime", "torch")
    ]
    assert "PyTorch" not in done[0].report["runs_on"]
    assert done[1].report["runs_on"] == "PyTorch on cpu"
    first, second = (pixels(one.path).astype(int) for one in done)
    assert np.abs(first - second).max() <= 1
    with pytest.raises(ConfigError, match="does not tell what it looks at"):
        service.look("gates", source, Order(network=graph.name, backend="onnxruntime"), Job())
    service.workers.close()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"grow": -1}, "grow is '-1'; it must be a whole number up to 128"),
        ({"grow": 129}, "grow is '129'"),
        ({"grow": 1.5}, r"grow is '1\.5'"),
        ({"grow": True}, "grow is 'True'"),
        ({"feather": "9"}, "feather is '9'"),
        ({"feather": float("nan")}, "feather is 'nan'"),
        ({"feather": float("inf")}, "feather is 'inf'"),
        ({"seed": 2**32}, "seed is '4294967296'"),
        ({"seed": {}}, "seed is"),
        ({"strategy": "best"}, "strategy is 'best'; it must be one of auto, full"),
        ({"strategy": None}, "strategy is 'None'; it must be a text"),
        ({"backend": ["auto"]}, "backend is"),
        ({"network": "x" * 401}, "network is"),
    ],
)
def test_values_that_cannot_be_are_named(values, words):
    with pytest.raises(ConfigError, match=words):
        order_of(**{"network": "tiny", **values})


def test_values_that_can_be_are_taken():
    order = order_of("tiny", "", "crop", 3.0, 4, 5)
    assert order == Order(
        network="tiny", options=FillOptions(strategy="crop", grow=3, feather=4, seed=5)
    )
    assert order_of("tiny", "torch").backend == "torch"


# ---- jobs ----


def test_steps_yield_the_job_and_return_what_it_gives():
    workers, go = Workers(1), threading.Event()

    def work(job):
        job.at("filling")
        job.tell(0.25)
        go.wait(10)
        return "done"

    steps = workers.steps(work)
    while (job := next(steps)).doing != "filling":
        pass
    assert job.share == 0.25
    go.set()
    assert result_of(steps) == "done"
    assert not workers._jobs  # or they would be kept for ever
    workers.close()


def test_beside_all_workers_there_is_one_for_what_takes_long():
    workers, both = Workers(1), threading.Barrier(2)
    first, second = (workers.steps(lambda job: both.wait(20)) for _ in range(2))
    next(first)
    assert {result_of(second), result_of(first)} == {0, 1}
    workers.close()


def test_memory_is_given_back_after_each_job_whatever_comes_of_it(monkeypatch):
    given_back = []
    monkeypatch.setattr("gradio_demo.running.give_back", lambda: given_back.append(1))
    workers = Workers(1)
    result_of(workers.steps(lambda job: None))
    with pytest.raises(ZeroDivisionError):
        result_of(workers.steps(lambda job: 1 / 0))
    workers.close()
    assert len(given_back) == 2


def test_an_error_comes_out_of_the_steps_and_the_next_job_is_done():
    workers = Workers(1)
    with pytest.raises(ZeroDivisionError):
        result_of(workers.steps(lambda job: 1 / 0))
    assert result_of(workers.steps(lambda job: 7)) == 7
    workers.close()


def test_closing_the_steps_ends_a_fill_within_half_a_second_and_the_device_is_free(
    models, tmp_path
):
    service = service_in(tmp_path / "store", models, workers=1)
    source = given(tmp_path, size=(1400, 1400), box=(100, 100, 1300, 1300))
    order = Order(network="deepfillv2-photos", options=FillOptions(strategy="full"))
    steps = service.workers.steps(partial(service.fill, source, order))
    job = next(steps)
    while job.doing != "filling" or not service.models.turns.waiting:
        next(steps)
    for _ in range(8):
        next(steps)
    started = time.perf_counter()
    steps.close()
    while service.models.turns.waiting:
        time.sleep(0.005)
    assert time.perf_counter() - started < 0.5
    service.fill(given(tmp_path), TINY, Job())
    assert not list(service.store.root.rglob("photo-filled.png"))[1:]
    service.workers.close()


def test_a_job_that_was_ended_while_it_waited_never_begins():
    workers, go, begun = Workers(1), threading.Event(), []
    blocking = [workers.steps(lambda job: go.wait(10)) for _ in range(2)]  # and the thread beside
    for steps in blocking:
        next(steps)
    waiting = workers.steps(lambda job: begun.append(1))
    assert next(waiting).doing == "waiting"
    waiting.close()
    go.set()
    for steps in blocking:
        result_of(steps)
    workers.close()
    assert begun == []


def test_turns_are_had_in_the_order_in_which_they_were_asked_for():
    turns, order, threads = Turns(), [], []

    def take(number):
        with turns.turn():
            order.append(number)

    with turns.turn():
        for number in range(5):
            threads.append(threading.Thread(target=take, args=(number,)))
            threads[-1].start()
            while turns.waiting < number + 2:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert order == list(range(5)) and turns.waiting == 0


def test_whoever_waits_for_a_turn_can_be_ended():
    workers, turns = Workers(1), Turns()

    def work(job):
        with turns.turn():
            raise AssertionError("it is not its turn")

    with turns.turn():
        steps = workers.steps(work)
        while turns.waiting < 2:
            next(steps)
        steps.close()
        while turns.waiting > 1:
            time.sleep(0.001)
    workers.close()


def test_parts_of_a_job_add_up():
    job, seen = Job(), []
    for outer in range(2):
        with job.part(outer, 2):
            for inner in range(2):
                with job.part(inner, 2):
                    job.tell(0.5)
                    seen.append(job.share)
    assert seen == [0.125, 0.375, 0.625, 0.875]
    assert job.share == 1


def test_a_stopped_job_says_so_at_the_next_check():
    job = Job()
    job.check()
    job.stop()
    with pytest.raises(Stopped):
        job.at("writing")


@pytest.mark.slow
def test_a_small_fill_is_done_while_a_photo_of_12_megapixels_is_worked_on(models, tmp_path):
    service = service_in(tmp_path / "store", models)
    large = tmp_path / "large"
    picture, mask = picture_file(large / "photo.png", (3000, 4000)), Image.new("L", (4000, 3000))
    for left in range(200, 3800, 600):
        for top in (300, 1500, 2700):
            mask.paste(255, (left, top, left + 60, top + 60))
    mask.save(large / "mask.png")
    order = Order(network="deepfillv2-photos")
    source = Given(picture=picture, mask=large / "mask.png")
    ended = {}

    def note(name, source):
        steps = service.workers.steps(lambda job: service.fill(source, order, job))
        if name == "large":
            while next(steps).share == 0:
                pass
            begun.set()
        result_of(steps)
        ended[name] = time.perf_counter()

    begun = threading.Event()
    first = threading.Thread(target=note, args=("large", source))
    first.start()
    begun.wait(120)
    note("small", given(tmp_path))
    first.join()
    assert ended["small"] < ended["large"]
    service.workers.close()
