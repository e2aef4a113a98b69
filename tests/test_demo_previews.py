"""Pictures that no browser decodes: shown in the editor by a PNG, filled and given back as TIFF."""

import json
import threading

import numpy as np
import pytest
from demos import layer_file, mask_file, picture_file, pixels, service_in
from editor_visits import DESKTOP, SIZE
from PIL import Image

from core.errors import ConfigError, ImageError
from gradio_demo import previews as part

pytest_plugins = ("editor_fixtures", "page_fixtures")
KOREAN = "읽을 수 있는 그림이 아닙니다"
QUEUED = "gradio_api/component_server/"


@pytest.fixture
def service(tmp_path):
    found = service_in(tmp_path / "store", pixels=9000, bytes=100_000)
    yield found
    found.close()


@pytest.fixture
def tiff(service):
    return picture_file(service.store.root / "abc" / "photo.tif")


# ---- the service ----


def test_a_preview_is_of_the_file_and_is_made_once(service, tiff, monkeypatch):
    path = service.previews.of(str(tiff))
    assert path.is_relative_to(service.store.root)
    assert path.suffix == ".png" and np.array_equal(pixels(path), pixels(tiff))
    monkeypatch.setattr(part, "write_preview", None)
    assert service.previews.of(str(tiff)) == path


def test_only_what_browsers_cannot_show_is_made_into_another_file(service, tiff):
    for suffix in (".png", ".jpg", ".webp", ".bmp"):
        path = picture_file(service.store.root / "abc" / f"photo{suffix}")
        assert service.previews.shown(path) == path
    assert service.previews.shown(tiff) == service.previews.of(str(tiff))


def test_previews_are_of_files_of_the_store_within_its_limits(service, tmp_path):
    foreign = picture_file(tmp_path / "photo.tif")
    for value in (str(foreign), f"{service.store.root}/../photo.tif", None, 7, ["a"], "http://a/b"):
        with pytest.raises(ConfigError):
            service.previews.of(value)
    large = picture_file(service.store.root / "large.tif", (100, 100))
    with pytest.raises(ImageError, match="more than the 9000 allowed"):
        service.previews.of(str(large))
    (service.store.root / "long.tif").write_bytes(bytes(100_001))
    with pytest.raises(ImageError, match=r"more than the 0\.1 allowed"):
        service.previews.of(str(service.store.root / "long.tif"))


def test_previews_are_made_one_after_the_other_and_few_may_wait(service, monkeypatch):
    go, begun, most = threading.Event(), [], []

    def slow(source, target, *, max_pixels):
        begun.append(source)
        most.append(len(begun))
        assert go.wait(20)
        target.parent.mkdir(exist_ok=True)
        target.touch()
        begun.remove(source)

    monkeypatch.setattr(part, "write_preview", slow)
    files = [
        str(picture_file(service.store.root / f"{n}.tif")) for n in range(part.MOST_WAITING + 1)
    ]
    waiting = [threading.Thread(target=service.previews.of, args=(file,)) for file in files[:-1]]
    for thread in waiting:
        thread.start()
    while service.previews._waiting < part.MOST_WAITING:
        threading.Event().wait(0.01)
    with pytest.raises(ConfigError, match="too many pictures are being opened"):
        service.previews.of(files[-1])
    go.set()
    for thread in waiting:
        thread.join()
    assert max(most) == 1
    assert service.previews.of(files[-1]).is_file()


def test_the_answer_is_a_path_or_a_sentence_without_a_folder(service, tiff):
    preview = service.previews.function()
    assert preview(str(tiff)) == {"path": str(service.previews.of(str(tiff)))}
    text = service.store.root / "abc" / "notes.tif"
    text.write_text("no picture")
    answer = preview(str(text))
    assert answer["error"].startswith("notes.tif is not a picture") and answer["picture"] is False
    answer = preview("/etc/hostname")
    assert "is not a file that was uploaded here" in answer["error"] and answer["picture"] is True
    assert str(service.store.root) not in json.dumps(preview(str(text)))


# ---- the page ----


@pytest.fixture
def visit(page_visit):
    pytest.importorskip("gradio", reason="Gradio is not installed")
    return page_visit


def tiff_file(path, mode="RGB", **options):
    """A TIFF of SIZE, its right half black."""
    image = Image.open(picture_file(path.with_suffix(".png"), SIZE)).convert(mode)
    image.paste(0, (150, 0, 300, 200))
    image.save(path, compression="tiff_lzw", **options)
    return path


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_a_tiff_is_shown_filled_and_given_back_as_it_was(visit, tmp_path, mode):
    photo = tiff_file(tmp_path / "scan.tif", mode, tiffinfo={271: "Gatefill"}, dpi=(300, 300))
    here = visit()
    here.open(photo)
    seen = here.seen()
    height, width = seen.shape[:2]
    left, right = seen[height // 2, width // 2 - 30], seen[height // 2, width // 2 + 30]
    assert left.max() > 40 and (mode == "RGBA" or right.max() < 8)
    here.load_layer(layer_file(tmp_path / "hole.png", (255, 255, 255), size=SIZE))
    here.wait(undo="1", busy="false")
    here.fill_now()
    after = here.seen()
    assert (after != seen).any()
    saved = here.download(".gf-download", tmp_path)
    assert saved.name == "scan-filled.tif"
    with Image.open(saved) as image:
        assert (image.format, image.mode, image.size) == ("TIFF", mode, SIZE[::-1])
        assert image.getexif()[271] == "Gatefill" and image.info["dpi"] == (300, 300)
    known = np.asarray(Image.open(tmp_path / "hole.png"))[..., 3] == 0
    assert np.array_equal(pixels(saved)[known], pixels(photo)[known])
    assert (pixels(saved)[~known] != pixels(photo)[~known]).any()
    here.page.click("[data-act=use]")
    here.wait(showing="false", busy="false", picture="scan-filled.tif")


def test_a_mask_may_be_a_tiff_of_sixteen_bits(visit, photo, tmp_path):
    values = np.asarray(Image.open(mask_file(tmp_path / "mask.png", SIZE))).astype(np.uint16)
    Image.fromarray(values * 257).save(tmp_path / "mask.tif")
    here = visit()
    here.open(photo)
    here.load_layer(tmp_path / "mask.tif")
    here.wait(undo="1", busy="false")
    lines = pixels(here.download("[data-act=save]", tmp_path))[..., 0]
    assert np.array_equal(lines, values)


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("en-US", "notes.tif is no picture that can be read here"),
        ("zh-CN", "无法读取 notes.tif"),
        ("ko-KR", f"notes.tif은(는) {KOREAN}"),
        ("ja-JP", "notes.tif は読み込める画像ではありません"),
    ],
)
def test_what_is_no_picture_is_said_in_the_language_of_the_browser(visit, tmp_path, locale, words):
    (tmp_path / "notes.tif").write_text("no picture")
    here = visit(locale=locale, **DESKTOP)
    here.page.set_input_files(".gf-open-file", tmp_path / "notes.tif")
    here.wait(error="notPicture", busy="false")
    assert here.said().startswith(words) and "TIFF" in here.said()


def test_why_a_picture_cannot_be_shown_is_said(visit, tmp_path):
    page = Image.new("RGB", (10, 10))
    page.save(tmp_path / "pages.tif", save_all=True, append_images=[page])
    page.save(tmp_path / "moving.gif")
    here = visit()
    here.page.set_input_files(".gf-open-file", tmp_path / "pages.tif")
    here.wait(error="notShown", busy="false")
    assert here.said().startswith("pages.tif cannot be shown: the file holds 2 pictures")
    here.page.set_input_files(".gf-open-file", tmp_path / "moving.gif")
    here.wait(error="notPicture", busy="false")  # browsers show it, but it could not be filled
    assert here.state("ready") == "0"


def test_the_door_of_previews_is_for_them_alone(page_demo, tmp_path):
    config = page_demo.ask("config").json
    (number,) = (x["id"] for x in config["components"] if x["props"].get("server_fns"))
    call = {"session_hash": "a", "component_id": number, "fn_name": "preview", "data": "/etc/a"}
    answer = page_demo.ask(QUEUED, call)
    assert answer.status == 200 and "was uploaded here" in answer.json["error"]
    path = page_demo.give(tiff_file(tmp_path / "a.tif"))["path"]
    made = page_demo.ask(QUEUED, call | {"data": path}).json["path"]
    assert page_demo.file(made).status == 200
    for other in (
        {"fn_name": "postprocess"}, {"fn_name": None}, {"component_id": number + 1},
        {"component_id": str(number)}, {"session_hash": 7}, {"session_hash": "a" * 101},
    ):  # fmt: skip
        answer = page_demo.ask(QUEUED, call | other)
        assert answer.status == 404 and "no such function" in answer.json["detail"]
