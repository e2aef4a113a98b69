"""Training pictures: where they come from, in which order, and what happens to damaged ones."""

import io
import json
import os
import re
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from photos import smooth
from PIL import Image

from core.errors import ConfigError, TrainingError
from trainer.config import TrainConfig
from trainer.data.frame import Frame, random_frame
from trainer.data.order import StreamOrder
from trainer.data.samples import Samples, batches, find_pictures, jitter_colours
from trainer.data.shards import ShardCache
from trainer.data.sources import expand, group, read_tar

CPU = torch.device("cpu")
FEW_CORES = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
"""Of torch, for two workers on a machine with a single core."""


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    image.save(content, kind)
    return content.getvalue()


def write_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "below").mkdir()
    for seed in range(5):
        smooth(seed).save(folder / ("below" if seed % 2 else "") / f"{seed}.png")
    smooth(0).save(folder / "0.edge.png")  # a side file, not a picture
    (folder / "notes.md").write_text("no picture")
    return folder


@pytest.fixture
def config(photos, tmp_path) -> TrainConfig:
    return TrainConfig(
        data=(str(photos),), out=tmp_path / "run", preset="deepfillv2-tiny", batch=4, crop=64,
        workers=0, sketch_share=0.0, holes=("box",), device="cpu",
    )  # fmt: skip


class Server:
    """A real web server in a process of its own; it writes down what it was asked for."""

    def __init__(self, folder: Path, log: Path):
        self.log = log
        command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
        with log.open("wb") as said:
            self.process = subprocess.Popen(
                [*command, "-d", str(folder)], stdout=said, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + 60
        while not (port := re.search(r"port (\d+)", log.read_text())):
            assert self.process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        self.url = f"http://127.0.0.1:{port[1]}"

    def fetched(self) -> list[str]:
        return re.findall(r"GET /(\S+)", self.log.read_text())


SHARDS, EACH = 5, 3


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    for shard in range(SHARDS):
        files = {
            f"{i}.png": encoded(smooth(10 * shard + i, (64, 64))) for i in range(EACH + shard % 2)
        }
        write_tar(folder / f"s-{shard:03d}.tar", files)
    whole = (folder / "s-001.tar").read_bytes()
    (folder / "cut.tar").write_bytes(whole[: int(len(whole) * 0.45)])
    (folder / "page.tar").write_text("<html>not here</html>")
    running = Server(folder, tmp_path_factory.mktemp("log") / "log.txt")
    yield running
    running.process.terminate()
    running.process.wait()


@pytest.fixture
def streamed(config, server) -> TrainConfig:
    """Of five shards of about 20 kB the cache keeps two."""
    pattern = f"{server.url}/s-{{000..{SHARDS - 1:03d}}}.tar"
    return replace(config, data=(pattern,), cache_gib=50_000 / 2**30, shard_window=2)


def images(config: TrainConfig, start: int, count: int, **options) -> list[torch.Tensor]:
    stream = batches(Samples(find_pictures(config.data), config), config, start, CPU, **options)
    return [next(stream).image for _ in range(count)]


# Orders


def test_samples_depend_on_seed_and_number_alone(photos, config):
    config = replace(config, holes=("brush",))
    entries = find_pictures([photos])
    assert len(entries) == 5  # recursively, without side files
    one, two = Samples(entries, config), Samples(entries, config)
    ahead = two[7]
    assert one[7].keys() == ahead.keys()
    assert all(torch.equal(part, ahead[name]) for name, part in one[7].items())
    assert not torch.equal(one[7]["image"], one[8]["image"])
    other = Samples(entries, replace(config, seed=1))
    assert not torch.equal(one[7]["image"], other[7]["image"])
    epoch = [one.order.entry(k).name for k in range(5, 10)]
    assert sorted(epoch) == sorted(entry.name for entry in entries)
    assert epoch != [one.order.entry(k).name for k in range(10, 15)]


@FEW_CORES
@pytest.mark.parametrize("workers", [1, 2])
def test_streamed_samples_are_the_same_whatever_the_workers_and_after_a_stop(streamed, workers):
    straight = images(streamed, 0, 12)  # two epochs and a half
    told = replace(streamed, out=streamed.out / "other", workers=workers)
    assert all(map(torch.equal, straight, images(told, 0, 12)))
    # Another run on another machine that never saw the shards before: the counts are fetched.
    resumed = replace(streamed, out=streamed.out / "resumed", workers=workers)
    assert all(map(torch.equal, straight[9:], images(resumed, 9, 3)))


def test_every_epoch_of_a_stream_has_every_picture_once_mixed_within_windows(streamed):
    order = Samples(find_pictures(streamed.data), streamed).order
    total = sum(EACH + shard % 2 for shard in range(SHARDS))
    names = [order.entry(k).name for k in range(2 * total)]
    first, second = names[:total], names[total:]
    assert len(set(first)) == total and sorted(first) == sorted(second) and first != second
    assert order.total() == total
    shard_of = [name.rpartition("/")[0] for name in first]
    opening = shard_of[: shard_of.index(next(s for s in shard_of if s not in shard_of[:6]))]
    assert len(set(opening)) == 2 and opening != sorted(opening)  # a window of two shards, mixed
    assert [order.entry(k).name for k in (3, total + 1, 2)] == [first[3], second[1], first[2]]


def test_the_cache_stays_small_and_remembers_what_it_deleted(streamed, server):
    order = Samples(find_pictures(streamed.data), streamed).order
    names = []
    for k in range(17):
        names.append(order.entry(k).name)
        kept = list((streamed.out / "shards").glob("*.tar"))
        assert len(kept) <= 3  # two by the bound, or those of the window
    fetched = len(server.fetched())
    order.release()
    # Sample 16 is the last of the epoch: only the shards of its window are wanted again.
    again = Samples(find_pictures(streamed.data), streamed).order
    assert again.entry(16).name == names[16]
    assert len(server.fetched()) - fetched <= 2
    assert len(list((streamed.out / "shards").glob("*.json"))) == SHARDS


def test_a_shard_that_is_being_read_is_not_deleted_by_others(server, tmp_path):
    urls = [f"{server.url}/s-{i:03d}.tar" for i in range(3)]
    mine, other = ShardCache(tmp_path, 1e-9), ShardCache(tmp_path, 1e-9)
    held = mine.hold(urls[:1])
    other.hold(urls[1:2])
    other.hold(urls[2:])
    kept = {path.name[:5] for path in tmp_path.glob("*.tar")}
    assert kept == {"s-000", "s-002"}
    assert len(held[urls[0]][0].read()) > 100
    mine.release()
    other.hold(urls[1:2])
    assert {path.name[:5] for path in tmp_path.glob("*.tar")} == {"s-001"}
    (tmp_path / "left.part").write_bytes(b"of a process that was killed")
    other.hold(urls[:1])
    assert not list(tmp_path.glob("*.part"))


def test_local_and_remote_pictures_are_mixed(streamed, photos):
    mixed = replace(streamed, data=(str(photos), *streamed.data))
    order = Samples(find_pictures(mixed.data), mixed).order
    assert isinstance(order, StreamOrder)
    names = [order.entry(k).name for k in range(22)]
    assert len(set(names)) == 22 and sum(name.startswith("http") for name in names) == 17


def test_shards_come_from_any_store_that_fsspec_opens(config, tmp_path):
    import fsspec

    shard = write_tar(tmp_path / "a.tar", {"a.png": encoded(smooth(1, (64, 64)))})
    with fsspec.open("memory://bucket/a.tar", "wb") as file:
        file.write(shard.read_bytes())
    settings = replace(config, data=("memory://bucket/a.tar",))
    image = Samples(find_pictures(settings.data), settings)[0]["image"]
    assert image.shape == (3, 64, 64)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("none.tar", "cannot fetch {}/none.tar (HTTP Error 404"),
        ("not-a-scheme", "Protocol not known"),
        ("page.tar", "{}/page.tar is not an uncompressed .tar shard"),
    ],
)
def test_a_shard_that_cannot_be_had_is_one_sentence(config, server, name, says):
    address = "gopher7://x/a.tar" if name == "not-a-scheme" else f"{server.url}/{name}"
    missing = replace(config, data=(f"{address}?key=secret",))
    with pytest.raises(TrainingError) as caught:
        images(missing, 0, 1)
    assert says.format(server.url) in str(caught.value)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)
    assert not list(config.out.rglob("*.part"))


def test_a_fetch_that_breaks_off_is_tried_again(tmp_path):
    """First the server is busy, then it hangs up half-way, then it sends everything."""
    shard = write_tar(tmp_path / "a.tar", {"a.png": encoded(smooth(1))}).read_bytes()
    answers = [(503, b""), (200, shard[: len(shard) // 2]), (200, shard)]

    class Flaky(BaseHTTPRequestHandler):
        def do_GET(self):
            code, content = answers.pop(0)
            self.send_response(code)
            self.send_header("Content-Length", str(len(shard) if code == 200 else 0))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_): ...

    with HTTPServer(("127.0.0.1", 0), Flaky) as flaky:
        thread = threading.Thread(target=flaky.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{flaky.server_port}/a.tar"
        try:
            (entry,) = ShardCache(tmp_path / "cache", 1).hold([url])[url]
        finally:
            flaky.shutdown()
            thread.join()
    assert entry.read() == encoded(smooth(1)) and not answers


def test_a_shard_that_changed_since_is_refused(config, tmp_path):
    import fsspec

    url, cache = "memory://bucket/b.tar", ShardCache(tmp_path / "cache", 1)
    for seed, kind in ((1, "PNG"), (2, "JPEG")):
        shard = write_tar(tmp_path / "b.tar", {"a.png": encoded(smooth(seed), kind)})
        with fsspec.open(url, "wb") as file:
            file.write(shard.read_bytes())
        if seed == 1:
            cache.hold([url])
            cache.release()
            next((tmp_path / "cache").glob("*.tar")).unlink()
    with pytest.raises(TrainingError, match="is not what it was"):
        cache.hold([url])


@pytest.mark.parametrize(("world", "accumulate"), [(1, 1), (2, 1), (4, 1), (1, 2), (2, 2)])
def test_processes_and_micro_batches_share_the_batch_exactly(config, world, accumulate):
    """Rank r, micro-batch a of update u has samples u B + (a W + r) m and the m - 1 after it."""
    whole = images(config, 3, 2)
    shared = replace(config, accumulate=accumulate)
    ranks = [images(shared, 3, 2 * accumulate, rank=r, world=world) for r in range(world)]
    for update in range(2):
        parts = [ranks[r][update * accumulate + a] for a in range(accumulate) for r in range(world)]
        assert torch.equal(torch.cat(parts), whole[update])
    with pytest.raises(ConfigError, match=r"--batch is 4.*must be a multiple of 3"):
        images(shared if accumulate == 3 else replace(config, accumulate=3), 0, 1)


# Sources


def test_tar_shards_give_the_pictures_of_their_folder(photos, tmp_path):
    shard = tmp_path / "shard.tar"
    with tarfile.open(shard, "w") as tar:
        for path in sorted(photos.rglob("*.*")):
            tar.add(path, path.relative_to(photos))
    from_tar, from_folder = find_pictures([shard]), find_pictures([photos])
    assert len(from_tar) == len(from_folder) == 5
    contents = {entry.read() for entry in from_folder}
    assert {entry.read() for entry in from_tar} == contents
    with_edges = [entry for entry in from_tar if entry.edge]
    assert [entry.name for entry in with_edges] == [f"{shard}/0.png"]
    assert with_edges[0].edge.read() == (photos / "0.edge.png").read_bytes()


def test_side_files_are_known_by_name():
    """KEY.role and KEY_role with a picture KEY; photos that are only called so stay photos."""
    names = "a.jpg a_edge.png a_seg.png a.landmarks.json b.b.png b.b.seg.png water_edge.jpg "
    names += "c.jpg c.mask.png d.edge.png __meta__.png .hidden.png x/a.png x/a.edge.jpg"
    entries = group({name: name for name in names.split()})
    found = {e.place: (e.edge, e.seg, e.landmarks) for e in entries}
    assert found == {
        "a.jpg": ("a_edge.png", "a_seg.png", "a.landmarks.json"),
        "b.b.png": (None, "b.b.seg.png", None),
        "water_edge.jpg": (None, None, None),
        "c.jpg": (None, None, None),
        "x/a.png": ("x/a.edge.jpg", None, None),
    }


def test_a_list_names_pictures_relative_to_itself(photos, tmp_path):
    chosen = tmp_path / "chosen.txt"
    relative = os.path.relpath(photos / "0.png", tmp_path)
    chosen.write_text(f"# some\n\n{relative}\n{photos / 'below' / '1.png'}\n")
    first, second = find_pictures([chosen])
    assert first.edge is not None and second.edge is None
    assert second.read() == (photos / "below" / "1.png").read_bytes()
    chosen.write_text(f"{relative}\ngone.png\n")
    with pytest.raises(TrainingError, match=r"chosen\.txt names 1 files .*: gone\.png;"):
        find_pictures([chosen])


def test_braces_stand_for_many_names():
    assert expand("p-{008..011}.tar") == ["p-008.tar", "p-009.tar", "p-010.tar", "p-011.tar"]
    assert expand("s3://{a,b}/{1..2}.tar") == [
        "s3://a/1.tar", "s3://a/2.tar", "s3://b/1.tar", "s3://b/2.tar"
    ]  # fmt: skip
    assert expand("plain.tar") == ["plain.tar"]


def test_remote_shards_cannot_be_listed(server):
    with pytest.raises(TrainingError, match="is remote and can only be trained on"):
        find_pictures([f"{server.url}/s-000.tar"])[:3]


def test_shards_are_cut_everywhere_and_give_what_was_before(tmp_path):
    """After every member and inside of it; the names of the whole ones are always the same."""
    whole = write_tar(tmp_path / "w.tar", {f"{i}.png": bytes(700) for i in range(3)})
    starts = [0, 512 + 1024, 2 * (512 + 1024)]  # a header, then contents in blocks of 512
    for length in (600, 1000, 1300, 1536, 1600, 2200, 4000, 4608):
        cut = tmp_path / "cut.tar"
        cut.write_bytes(whole.read_bytes()[:length])
        members, place = read_tar(cut)
        complete = [i for i, start in enumerate(starts) if start + 512 + 700 <= length]
        assert [name for name, _, _ in members] == [f"{i}.png" for i in complete], length
        assert place is not None and place <= length
    assert read_tar(whole)[1] is None
    spoilt = bytearray(whole.read_bytes())
    spoilt[1536:1600] = b"x" * 64  # the second header: Python takes it for the end
    cut.write_bytes(spoilt)
    assert [name for name, _, _ in read_tar(cut)[0]] == ["0.png"] and read_tar(cut)[1] == 1536


@pytest.mark.parametrize("where", ["here", "remote"])
def test_a_cut_shard_is_used_up_to_the_cut_and_reported(config, server, tmp_path, where):
    source = f"{server.url}/cut.tar"
    if where == "here":
        from urllib.request import urlopen

        source = str(tmp_path / "cut.tar")
        with urlopen(f"{server.url}/cut.tar") as answer:
            Path(source).write_bytes(answer.read())
    told: list[tuple[str, str]] = []
    images(replace(config, data=(source,)), 0, 3, skipped=lambda *said: told.append(said))
    ((name, reason),) = told
    assert name == source and re.search(r"cut off or damaged at byte \d+", reason)


# Damage


@FEW_CORES
@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_pictures_are_replaced_by_the_next_one_and_named_once(
    config, photos, tmp_path, workers
):
    folder = tmp_path / "some"
    folder.mkdir()
    for seed in range(6):
        content = encoded(smooth(seed, (64, 64)))
        (folder / f"{seed}.png").write_bytes(content[:200] if seed in (2, 5) else content)
    settings = replace(config, data=(str(folder),), workers=workers)
    told: list[str] = []
    seen = images(settings, 0, 4, skipped=lambda name, reason: told.append(name))
    assert sorted(told) == [str(folder / "2.png"), str(folder / "5.png")]
    assert all(map(torch.equal, seen[2:], images(settings, 2, 2, skipped=lambda *_: None)))
    samples = Samples(find_pictures(settings.data), settings)
    for k in range(16):
        place = k
        while samples.order.entry(place).path.stem in "25":
            place += 1
        expected = samples.order.entry(place).decode()
        frame = random_frame((64, 64), 64, 0.5, np.random.default_rng((settings.seed, 1, k)))
        image = frame.picture(np.asarray(expected)).float() / 127.5 - 1
        assert torch.equal(seen[k // 4][k % 4], image)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_set_of_damaged_pictures_is_named(config, tmp_path, workers):
    folder = tmp_path / "damaged"
    folder.mkdir()
    (folder / "cut.png").write_bytes(encoded(smooth(0))[:200])
    with pytest.raises(TrainingError, match=r"cut\.png is not a readable picture") as caught:
        images(replace(config, data=(str(folder),), workers=workers), 0, 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"workers": 6}, "--workers is 6 but there are only 5 pictures"),
        ({"crop": 368}, "--crop is 368 but the short side of the largest .* is 90; use at most 36"),
        ({"holes": ("segments",)}, "no picture has a label map"),
    ],
)
def test_settings_that_cannot_work_with_the_pictures_are_refused(config, change, says):
    with pytest.raises(ConfigError, match=says):
        images(replace(config, **change), 0, 1)


def test_an_empty_set_is_refused(config):
    with pytest.raises(TrainingError, match="there are no pictures to train on"):
        Samples([], config)


# Crops


def test_small_pictures_are_enlarged_to_the_crop(config, tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    smooth(0, (20, 33)).save(folder / "a.png")
    parts = Samples(find_pictures([folder]), config)[0]
    assert parts["image"].shape == (3, 64, 64)
    assert parts["mask"].shape == parts["sketch"].shape == (1, 64, 64)


def position_picture(size: tuple[int, int]) -> np.ndarray:
    """Red is x, green is y: a picture that says where each pixel was."""
    rows, columns = np.indices(size, dtype=np.uint8)
    return np.stack([columns, rows, rows * 0], axis=-1)


def test_side_files_follow_their_picture_through_crop_zoom_and_flip():
    size, random = (120, 200), np.random.default_rng(0)
    source = position_picture(size)
    label_map = torch.from_numpy(source[..., 0].astype(np.int64) // 20)
    seen = set()
    for _ in range(40):
        frame = random_frame(size, 64, 0.5, random)
        seen.add(frame.mirrored)
        image = frame.picture(source).float()
        strength = frame.strength(source[..., 1])[0] * 255
        # Lanczos and the plain average differ at most where the ramp ends.
        assert (strength - image[1]).abs()[4:-4].max() <= 2
        labels = frame.labels(label_map)
        assert set(labels.unique().tolist()) <= set(range(10))
        inside = (image[0] % 20 > 3) & (image[0] % 20 < 16)  # away from the borders of labels
        assert torch.equal(labels[inside], (image[0] // 20).long()[inside])
        x, y = 20, 33  # a pixel of the sample, found again by where it says it was
        place = torch.tensor([[image[0, y, x], image[1, y, x]]])
        assert (frame.points(place) - torch.tensor([[x, y]])).abs().max() < 1.5
    assert seen == {True, False}


def test_a_side_file_of_half_the_size_covers_the_same_area():
    frame = Frame((100, 200), (40.0, 20.0, 104.0, 84.0), 32, False)
    halves = torch.arange(100)[None].expand(50, 100)
    # Pixel i of the sample covers 40 + 2 i and the next; halved 20 + i.
    assert frame.labels(halves)[0].tolist() == list(range(20, 52))
    with pytest.raises(TrainingError, match="it is 50 x 50 pixels and its picture 100 x 200"):
        frame.strength(np.zeros((50, 50), np.uint8))


def test_side_files_are_used_and_damaged_ones_reported_but_not_the_picture(config, tmp_path):
    folder = tmp_path / "sides"
    folder.mkdir()
    smooth(0, (64, 64)).save(folder / "a.png")
    drawn = np.zeros((64, 64), np.uint8)
    drawn[:, 30:34] = 255
    Image.fromarray(drawn).save(folder / "a_edge.png")
    labels = np.zeros((64, 64), np.uint8)
    labels[10:30, 20:50] = 7
    Image.fromarray(labels).save(folder / "a.seg.png")
    settings = replace(
        config, data=(str(folder),), holes=("segments",), sketch_share=1.0, zoom=1.0,
        line_shift=0.0, line_drop=0.0,
    )  # fmt: skip
    parts = Samples(find_pictures(settings.data), settings)[0]
    mask, lines = parts["mask"], parts["sketch"]
    columns = lines[0].nonzero()[:, 1]
    assert len(columns) > 50 and columns.min() >= 29 and columns.max() <= 34
    assert (mask > 0).any() and mask.float().mean() <= 0.6
    (folder / "a_edge.png").write_bytes(b"damaged")
    (folder / "a.seg.png").unlink()
    Image.fromarray(labels).save(folder / "a.seg.jpg")
    (folder / "a.landmarks.json").write_text("[[1, 2], [3]]")
    told = {}
    images(settings, 0, 1, skipped=told.__setitem__)
    assert told.keys() == {
        str(folder / f"a{s}") for s in ("_edge.png", ".seg.jpg", ".landmarks.json")
    }
    assert "must be lossless" in told[str(folder / "a.seg.jpg")]


def test_jitter_turns_colours_and_leaves_grey_grey():
    random = np.random.default_rng(0)
    image = torch.full((3, 4, 4), 100, dtype=torch.uint8)
    image[:, 2:] = torch.tensor([200, 50, 50])[:, None, None]
    seen = [jitter_colours(image, random, strength=1.0) for _ in range(30)]
    for jittered in seen:
        assert (jittered[:, :2] == jittered[:1, :2]).all()
    strongest = {int(jittered[:, 3, 3].float().argmax()) for jittered in seen}
    assert strongest == {0, 1, 2}
    same = jitter_colours(image, random, strength=0.0)
    assert (same.int() - image.int()).abs().max() <= 1


def test_the_folder_of_shards_holds_an_index_that_says_what_is_in_them(streamed, server):
    ShardCache(streamed.out, 1).count(f"{server.url}/s-001.tar")
    (index,) = streamed.out.glob("s-001-*.json")
    found = json.loads(index.read_text())
    assert [name for name, _, _ in found["members"]] == ["0.png", "1.png", "2.png", "3.png"]
    assert found["cut"] is None and found["url"] == f"{server.url}/s-001.tar"
