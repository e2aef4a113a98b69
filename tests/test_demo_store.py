"""What comes and goes with visitors: their files, zips of them, and what they may not do."""

import json
import os
import struct
import time
import zipfile

import pytest
from demos import mask_file, picture_file, pixels, service_in, write_models
from PIL import Image

from core.errors import ConfigError, ImageError
from core.progress import interruptible
from gradio_demo.batch import fill_batch
from gradio_demo.running import Job, Stopped
from gradio_demo.service import Order
from gradio_demo.store import Limits, Store, result_name
from gradio_demo.unpack import MOST_DIRECTORY, unpack

TINY = Order(network="tiny.safetensors")


@pytest.fixture
def store(tmp_path):
    (tmp_path / "store").mkdir()
    return Store(tmp_path / "store", keep=100, limits=Limits(bytes=100_000))


# ---- files ----


def test_only_files_below_the_folder_are_taken(store, tmp_path):
    inside = picture_file(store.root / "abc" / "photo.png")
    assert store.uploaded(str(inside), "the picture") == inside
    assert store.uploaded({"path": str(inside)}, "the picture") == inside
    outside = picture_file(tmp_path / "photo.png")
    (store.root / "link.png").symlink_to(outside)
    for name in (
        str(outside),
        f"{store.root}/../photo.png",
        f"{store.root}/link.png",
        "/etc/hostname",
        "photo.png",
        "http://127.0.0.1/photo.png",
        f"file://{inside}",
    ):
        with pytest.raises(ConfigError, match="the picture is not a file that was uploaded here"):
            store.uploaded(name, "the picture")
    for value in (None, 7, [str(inside)], {}, {"path": None}, {"path": {"path": str(inside)}}):
        with pytest.raises(ConfigError, match="the picture is not a file; upload it"):
            store.uploaded(value, "the picture")
    for name in (f"{inside}\0", "x" * 5000, f"{store.root}/\ud800.png"):
        with pytest.raises(ConfigError, match="not the name of a file"):
            store.uploaded(name, "the picture")


def test_a_file_that_is_gone_is_said_to_have_been_kept_for_its_time(store):
    with pytest.raises(ConfigError, match=r"not here any more; files are kept for 0\.0278 hours"):
        store.uploaded(f"{store.root}/abc/photo.png", "the picture")
    with pytest.raises(ConfigError, match="not here any more"):
        store.uploaded(f"{store.root}/{'x' * 300}.png", "the picture")


def test_files_go_when_nobody_used_them_for_their_time_and_folders_with_them(store):
    old, young = (picture_file(store.root / name / "photo.png") for name in ("old", "young"))
    for path in (old, old.parent):
        os.utime(path, (time.time() - 101,) * 2)
    os.utime(young, (time.time() - 99,) * 2)
    assert store.sweep() == 1
    assert young.is_file() and not old.exists()
    os.utime(old.parent, (time.time() - 101,) * 2)
    os.utime(young, (time.time() - 101,) * 2)
    store.uploaded(str(young), "the picture")  # used again
    assert store.sweep() == 0 and young.is_file() and not old.parent.exists()


def test_the_oldest_go_first_where_there_is_too_much(store, monkeypatch):
    files = [picture_file(store.root / str(number) / "photo.png") for number in range(3)]
    size = files[0].stat().st_size
    store.keep = 10_000
    for age, path in zip((3000, 2000, 10), files, strict=True):
        os.utime(path, (time.time() - age,) * 2)
    monkeypatch.setattr("gradio_demo.store.MOST_KEPT", 2 * size)
    assert not store.room_for(2 * size + 1)
    assert [path.exists() for path in files] == [False, True, True]
    monkeypatch.setattr("gradio_demo.store.MOST_KEPT", size // 2)
    store.sweep()
    assert [path.exists() for path in files] == [False, False, True]  # the last was just used
    assert store.room_for(0) is False


def test_what_came_in_part_goes_sooner(store):
    """Whoever uploads may go away; what is complete lies in a folder of its own."""
    store.keep = 10_000
    part, whole = store.root / "tmpabc", picture_file(store.root / "abc" / "photo.png")
    part.write_bytes(b"x")
    assert store.sweep() == 0  # it may still be coming
    for path in (part, whole):
        os.utime(path, (time.time() - 601,) * 2)
    assert store.sweep() == 1 and whole.is_file() and not part.exists()


def test_nothing_is_made_where_there_is_no_room(store, monkeypatch):
    assert store.new_folder(1000).is_dir()
    monkeypatch.setattr("gradio_demo.store.MOST_KEPT", 999)
    with pytest.raises(ConfigError, match="no room for more files"):
        store.new_folder(1000)
    monkeypatch.setattr("gradio_demo.store.LEAST_FREE", 2**60)
    with pytest.raises(ConfigError, match="no room for more files"):
        store.new_folder()


def test_the_oldest_goes_whatever_it_is_called(store, monkeypatch):
    ages = {"a": 1000, "b": 3000, "c": 2000, "d": 5000, "e": 4000}
    files = {name: picture_file(store.root / name / "photo.png") for name in ages}
    store.keep = 10_000
    for name, age in ages.items():
        os.utime(files[name], (time.time() - age,) * 2)
    monkeypatch.setattr("gradio_demo.store.MOST_KEPT", 3 * files["a"].stat().st_size)
    assert store.sweep() == 2
    assert [name for name, path in files.items() if path.exists()] == ["a", "b", "c"]


def test_a_file_of_too_many_bytes_is_not_opened(store):
    (store.root / "photo.png").write_bytes(b"x" * 100_001)
    with pytest.raises(ImageError, match=r"photo\.png has 0\.1 MiB, more than the 0\.1 allowed"):
        store.picture(store.root / "photo.png")


def test_no_message_names_a_folder(store):
    for text, plain in (
        (f"{store.root}/0f3a/my photo.png is damaged", "my photo.png is damaged"),
        (f"'{store.root}/results/ab/a.png'", "'a.png'"),
        ("no file at /srv/gatefill/weights/a.onnx; make one", "no file at a.onnx; make one"),
        (r"cannot write C:\Users\me\a.png", "cannot write a.png"),
        ("TIFF/PNG, 3 x 4, 1/2 of it: see https://a.org/b/c", None),
    ):
        assert store.plain(text) == (text if plain is None else plain)


@pytest.mark.parametrize(
    ("name", "form", "result"),
    [
        ("photo.jpg", "JPEG", "photo-filled.jpg"),
        ("photo.JPEG", "JPEG", "photo-filled.jpeg"),
        ("photo.tif", "TIFF", "photo-filled.tif"),
        ("photo.jpg", "PNG", "photo-filled.png"),
        ("photo", "WEBP", "photo-filled.webp"),
        ("x" * 200 + ".png", "PNG", "x" * 80 + "-filled.png"),
    ],
)
def test_results_are_called_after_their_picture(name, form, result):
    assert result_name(name, form) == result


def test_the_folder_is_swept_by_itself_and_goes_in_the_end(tmp_path):
    (tmp_path / "own").mkdir()
    store = Store(tmp_path / "own", keep=0.5, limits=Limits())
    path = picture_file(store.root / "photo.png")
    store.keep_swept()
    deadline = time.monotonic() + 20
    while path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not path.exists()
    store.close()
    assert not store.root.exists()


# ---- zips ----


def zipped(path, members, **options):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_pictures_come_out_of_zips_and_loose_and_litter_is_left(store, tmp_path, folder):
    members = {"a/b.png": b"1", "__MACOSX/a/._b.png": b"2", "notes.txt": b"3", ".c.png": b"4"}
    archive = zipped(tmp_path / "pictures.zip", members)
    loose = picture_file(tmp_path / "loose.png")
    assert unpack([archive, loose], folder, store.limits) == ["a/b.png", "loose.png"]
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {"a/b.png", "loose.png"}


def test_unpacking_ends_with_its_job(store, tmp_path, folder):
    archive = zipped(tmp_path / "pictures.zip", {"a.png": b"1", "b.png": b"2"})
    job = Job()
    job.stop()
    with pytest.raises(Stopped), interruptible(job.check):
        unpack([archive], folder, store.limits)


@pytest.mark.parametrize(
    "name",
    ["../a.png", "a/../../b.png", "/etc/a.png", "..\\a.png", "C:\\a.png", "a" * 300 + ".png"],
)
def test_names_that_lead_out_of_a_zip_are_refused(store, tmp_path, folder, name):
    archive = zipped(tmp_path / "bad.zip", {name: b"1"})
    with pytest.raises(ImageError, match="which leads out of it"):
        unpack([archive], folder, store.limits)
    assert not list(tmp_path.glob("*.png")) and not list(folder.rglob("*.png"))


def test_links_in_a_zip_are_refused(store, tmp_path, folder):
    link = zipfile.ZipInfo("a.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(link, "/etc/hostname")
    with pytest.raises(ImageError, match="which leads out of it"):
        unpack([tmp_path / "bad.zip"], folder, store.limits)


def test_a_bomb_is_told_by_what_comes_out_and_not_by_what_it_says(store, tmp_path, folder):
    archive = zipped(tmp_path / "bomb.zip", {"a.png": b"\0" * 10_000_000})
    data = bytearray(archive.read_bytes())
    at = data.rindex(b"PK\1\2")
    data[at + 24 : at + 28] = (50).to_bytes(4, "little")  # the size that the list states
    data[22:26] = (50).to_bytes(4, "little")
    archive.write_bytes(bytes(data))
    with pytest.raises(ImageError):
        unpack([archive], folder, store.limits)
    assert sum(path.stat().st_size for path in folder.rglob("*.png")) <= 100_000
    honest = zipped(tmp_path / "honest.zip", {"b.png": b"\0" * 100_001})
    with pytest.raises(ImageError, match=r"b\.png takes more than the 0\.1 MiB"):
        unpack([honest], folder, store.limits)


def test_many_files_that_are_too_much_together_are_refused(store, tmp_path, folder):
    archive = zipped(tmp_path / "many.zip", {f"{n}.png": b"\0" * 100_000 for n in range(17)})
    with pytest.raises(ImageError, match="or all together more than 16 times as much"):
        unpack([archive], folder, store.limits)
    archive = zipped(tmp_path / "more.zip", {f"{n}.png": b"" for n in range(501)})
    (folder / "next").mkdir()
    with pytest.raises(ImageError, match="more than 500 pictures"):
        unpack([archive], folder / "next", store.limits)


def test_a_list_of_members_that_would_fill_the_memory_is_not_read(
    store, tmp_path, folder, monkeypatch
):
    archive = zipped(tmp_path / "list.zip", {f"{n}.txt": b"" for n in range(100)})
    monkeypatch.setattr("gradio_demo.unpack.MOST_DIRECTORY", 1000)
    monkeypatch.setattr("zipfile.ZipFile", None)
    with pytest.raises(ImageError, match="names too many files"):
        unpack([archive], folder, store.limits)


@pytest.mark.parametrize("kind", ["a record within the record", "Zip64"])
def test_a_list_of_members_cannot_hide_behind_another_record(store, tmp_path, folder, kind):
    """`zipfile` goes by the outer record, and by that of a Zip64 whatever the plain one says."""
    member = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, *[0] * 8, 1, *[0] * 6) + b"a"
    count = MOST_DIRECTORY // len(member) + 1
    size = count * len(member)
    long = struct.pack("<4sHH2s2sLLH", b"PK\5\6", 0, 0, b"PK", b"\5\6", size, 0, 0)
    if kind == "Zip64":
        long = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, 0)
        long += struct.pack("<4sLQL", b"PK\6\7", 0, size, 1)
        long += struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(member), 0, 0)
    (tmp_path / "list.zip").write_bytes(member * count + long)
    with zipfile.ZipFile(tmp_path / "list.zip") as archive:
        assert len(archive.namelist()) == count  # it is one
    with pytest.raises(ImageError, match="names too many files"):
        unpack([tmp_path / "list.zip"], folder, store.limits)


def test_a_zip_with_a_password_is_said_to_have_one(store, tmp_path, folder):
    path = zipped(tmp_path / "a.zip", {"a.png": b"x"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(ImageError, match="the zip is encrypted; make it anew without a password"):
        unpack([path], folder, store.limits)


def test_what_is_no_zip_or_has_no_pictures_is_refused(store, tmp_path, folder):
    (tmp_path / "bad.zip").write_bytes(b"no zip")
    with pytest.raises(ImageError, match=r"bad\.zip is no zip file that can be unpacked"):
        unpack([tmp_path / "bad.zip"], folder, store.limits)
    with pytest.raises(ImageError, match="no pictures among these files"):
        unpack([zipped(tmp_path / "text.zip", {"a.txt": b"1"})], folder, store.limits)
    twice = [picture_file(tmp_path / name / "a.png") for name in ("one", "two")]
    with pytest.raises(ImageError, match=r"two files called 'a\.png'"):
        unpack(twice, folder, store.limits)


# ---- batches ----


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def service(models, tmp_path):
    found = service_in(tmp_path / "served", models, pixels=20_000)
    yield found
    found.workers.close()


def results(done):
    """The files of a batch's zip, and its report by picture."""
    with zipfile.ZipFile(done.path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    lines = [json.loads(line) for line in files.pop("report.jsonl").splitlines()]
    assert lines == done.report["lines"]
    return files, {line["image"]: line for line in lines}


def test_masks_and_guides_are_found_by_name_and_the_report_names_no_folder(service, tmp_path):
    zip_of = tmp_path / "zip"
    picture_file(zip_of / "a" / "cat.png", seed=1)
    mask_file(zip_of / "a" / "cat.mask.png")
    mask_file(zip_of / "a" / "cat.sketch.png", box=(30, 34, 60, 36))
    picture_file(zip_of / "dog.jpg", seed=2)
    mask_file(zip_of / "dog_mask.png")
    picture_file(zip_of / "alone.png", seed=3)
    picture_file(zip_of / "large.png", (200, 300))
    mask_file(zip_of / "large.mask.png", (200, 300))
    files = {p.relative_to(zip_of).as_posix(): p.read_bytes() for p in zip_of.rglob("*.*")}
    archive = zipped(tmp_path / "pictures.zip", files)
    seen = []

    class Listening(Job):
        def tell(self, share):
            super().tell(share)
            seen.append(self.share)

    done = fill_batch(service, [archive], [], TINY, Listening())
    found, report = results(done)
    assert set(found) == {"a/cat.png", "dog.jpg"}
    assert (done.report["done"], done.report["failed"]) == (2, 2)
    cat = report["a/cat.png"]
    assert cat["status"] == "done" and cat["mask"] == "a/cat.mask.png"
    assert cat["guides"] == {"sketch": "a/cat.sketch.png"}
    assert "alone.mask.png" in report["alone.png"]["error"]
    assert "more than the 20000 allowed" in report["large.png"]["error"]
    assert str(tmp_path) not in json.dumps(done.report)
    assert seen == sorted(seen) and seen[-1] < 1
    assert [path.name for path in service.store.root.rglob("*.*")] == ["filled.zip"]


def test_masks_may_come_apart_and_one_alone_serves_all(service, tmp_path):
    pictures = [picture_file(tmp_path / f"{name}.png", seed=n) for n, name in enumerate("ab")]
    own = [mask_file(tmp_path / "masks" / f"{name}.png") for name in "ab"]
    for masks in (own, [mask_file(tmp_path / "hole.png")]):
        found, report = results(fill_batch(service, pictures, masks, TINY, Job()))
        assert set(found) == {"a.png", "b.png"}
        assert all(line["status"] == "done" for line in report.values())
    found, report = results(fill_batch(service, pictures, own[:1], TINY, Job()))
    assert set(found) == {"a.png"}  # by its name it is that of a alone
    assert report["b.png"]["status"] == "failed"


def test_without_any_masks_what_is_transparent_is_filled(service, tmp_path):
    image = Image.open(picture_file(tmp_path / "plain.png")).convert("RGBA")
    image.putalpha(Image.eval(Image.open(mask_file(tmp_path / "hole.png")), lambda v: 255 - v))
    image.save(tmp_path / "photo.png")
    done = fill_batch(service, [tmp_path / "photo.png"], [], TINY, Job())
    found, _ = results(done)
    (tmp_path / "found.png").write_bytes(found["photo.png"])
    assert (pixels(tmp_path / "found.png")[..., 3] == 255).all()


def test_an_error_in_the_report_names_no_folder_of_the_machine(service, tmp_path, monkeypatch):
    said = "no weights at /srv/networks/a.onnx; export it"
    monkeypatch.setattr(
        "gradio_demo.batch.attempt", lambda inpainter, job: {"status": "failed", "error": said}
    )
    done = fill_batch(service, [picture_file(tmp_path / "a.png")], [], TINY, Job())
    assert done.report["lines"] == [
        {"status": "failed", "error": "no weights at a.onnx; export it"}
    ]


def test_masks_alone_are_no_batch(service, tmp_path):
    with pytest.raises(ConfigError, match="all of these files are masks or guides"):
        fill_batch(service, [mask_file(tmp_path / "a.mask.png")], [], TINY, Job())
    assert not list(service.store.root.rglob("*.*"))  # a small zip can hold a lot


def test_a_batch_is_not_begun_where_there_is_no_room(service, tmp_path, monkeypatch):
    most = 16 * service.store.limits.bytes
    monkeypatch.setattr("gradio_demo.store.MOST_KEPT", most - 1)
    with pytest.raises(ConfigError, match="no room for more files"):
        fill_batch(service, [picture_file(tmp_path / "a.png")], [], TINY, Job())


def test_a_batch_takes_no_more_room_than_a_part_of_all(service, tmp_path, monkeypatch):
    """Or with large files allowed there would never be any."""
    picture = picture_file(tmp_path / "a.png")
    mask = mask_file(tmp_path / "a.mask.png")
    for module in ("store", "batch"):
        monkeypatch.setattr(f"gradio_demo.{module}.MOST_KEPT", 1_000_000)
    picture_file(service.store.root / "abc" / "photo.png")
    assert fill_batch(service, [picture, mask], [], TINY, Job()).report["done"] == 1
