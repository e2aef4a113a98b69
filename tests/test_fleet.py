"""A fleet job on a real Ray of two workers, and its parts called as Ray calls them."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from PIL import Image

from core.backends import RUNTIMES, open_backend
from core.config import PRESETS
from core.errors import BackendError, ConfigError, ImageError
from core.image import read_mask, read_picture, write_picture
from core.pipeline import Inpainter
from core.registry import build_generator
from core.weights import save_weights
from export.fleet.__main__ import main
from export.fleet.attempts import Attempt
from export.fleet.config import FleetConfig
from export.fleet.job import check_python, pool_size
from export.fleet.planning import open_input, plan
from export.fleet.readers import split_member
from export.fleet.shards import Shard
from export.fleet.storage import open_store
from export.fleet.worker import ShardWorker, Task

pytest.importorskip("pyarrow", reason="pyarrow is not installed; see the extra 'cluster'")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Two tiny networks that take sketches: plain.safetensors and other.safetensors."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    for name in ("plain", "other"):
        generator = build_generator(PRESETS["deepfillv2-tiny"])
        for parameter in generator.parameters():
            parameter.data *= 4  # so that a sketch is seen in 8 bits without any training
        save_weights(folder / f"{name}.safetensors", generator)
    return folder


def encoded(samples: np.ndarray, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, form)
    return buffer.getvalue()


def picture(seed: int, form: str = "PNG", side: int = 48) -> bytes:
    samples = np.random.default_rng(seed).integers(0, 256, (side, side + 8, 3), dtype=np.uint8)
    return encoded(samples, form)


def mask(seed: int, side: int = 48) -> bytes:
    samples = np.zeros((side, side + 8), np.uint8)
    top, left = np.random.default_rng(seed).integers(0, side // 2, 2)
    samples[top : top + 12, left : left + 12] = 255
    return encoded(samples)


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def write_tar(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def in_tar(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        names = tar.getnames()
        assert len(names) == len(set(names))
        return {name: tar.extractfile(name).read() for name in names}


def report_of(output: Path) -> dict[str, dict]:
    """By id, its line; an id that is there twice fails."""
    lines = [json.loads(line) for line in (output / "report.jsonl").read_text().splitlines()]
    ids = Counter((line["shard"], line["id"]) for line in lines)
    assert set(ids.values()) <= {1}, ids
    return {line["id"]: line for line in lines}


def filled_directly(weights: Path, tmp_path: Path, files: dict[str, bytes]) -> bytes:
    """The file that `Inpainter` makes of NAME.suffix and NAME.mask.png, without any fleet."""
    folder = write(tmp_path / "direct", files)
    image, drawn = (folder / name for name in files)
    read = read_picture(image)
    inpainter = Inpainter(open_backend(weights / "plain.safetensors", "cpu"))
    out = folder / ("out" + image.suffix)
    write_picture(out, read, inpainter(read.pixels, read_mask(drawn, read.size)))
    return out.read_bytes()


def do_here(config: FleetConfig) -> list[dict]:
    """All shards by one worker in this process, without Ray: what it returned."""
    pictures, output = open_input(config.input), open_store(config.output)
    shards = plan(config, pictures, output)
    worker = ShardWorker(Task.of(config, config.format or shards[0].form, pictures, output))
    return [worker({"shard": shard.to_json()}) for shard in shards]


def lines_in(output: Path) -> list[dict]:
    """Of all records, which are what the report is made of."""
    records = sorted((output / "_fleet" / "done").rglob("*.jsonl"))
    return [json.loads(line) for path in records for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def ray():
    """A Ray of two cores, for all tests here."""
    if " " in sys.executable:
        pytest.skip("Ray starts no workers where there is a space in the path of Python")
    with warnings.catch_warnings():
        # Ray's own, while it is imported and while it starts: files left open, old names.
        warnings.simplefilter("ignore")
        ray = pytest.importorskip("ray", reason="Ray is not installed; see the extra 'cluster'")
        pytest.importorskip("ray.data")
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=100 << 20,
            log_to_driver=False,
            logging_level="CRITICAL",
            runtime_env={"env_vars": {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}},
        )
        yield ray
        ray.shutdown()


ray_warns = pytest.mark.filterwarnings(
    "ignore:.*:ResourceWarning", "ignore::DeprecationWarning:ray.*", "ignore::FutureWarning:ray.*"
)


@ray_warns
def test_every_item_is_there_once_though_a_worker_was_killed(ray, tmp_path, weights):
    """Two tar files of 30 items, and bad ones; the first worker seen to be at work is killed."""
    for shard in "ab":
        files = {}
        for seed in range(30):
            files[f"{shard}{seed:02d}.png"] = picture(seed)
            files[f"{shard}{seed:02d}.mask.png"] = mask(seed)
        files[f"{shard}-damaged.png"] = picture(1)[:300]
        files[f"{shard}-damaged.mask.png"] = mask(1)
        files[f"{shard}-bare.png"] = picture(2)
        write_tar(tmp_path / "in" / f"{shard}.tar", files)
    out = tmp_path / "out"
    killed: list[int] = []
    killer = threading.Thread(target=kill_a_worker, args=(out, killed))
    killer.start()
    flags = ["--model", str(weights / "plain.safetensors"), "--device", "cpu"]
    code = main([str(tmp_path / "in"), str(out), *flags])
    killer.join()
    assert (code, len(killed)) == (1, 2)
    assert killed[0] != killed[1]  # another process did the shard again
    assert sorted(path.name for path in out.iterdir()) == [
        *("_fleet", "a.tar", "b.tar", "report.jsonl")
    ]
    report = report_of(out)
    for shard in "ab":
        wanted = {f"{shard}{seed:02d}" for seed in range(30)}
        names = {f"{key}{end}" for key in wanted for end in (".png", ".json")}
        assert set(in_tar(out / f"{shard}.tar")) == names
        assert {key for key, line in report.items() if line["shard"] == shard} == {
            *wanted, f"{shard}-damaged", f"{shard}-bare"
        }  # fmt: skip
        assert "damaged" in report[f"{shard}-damaged"]["error"]
        assert "no mask" in report[f"{shard}-bare"]["error"]
        assert str(tmp_path) not in (out / "report.jsonl").read_text()
        for seed in (0, 17, 29):
            pair = {"x.png": picture(seed), "x.mask.png": mask(seed)}
            direct = filled_directly(weights, tmp_path, pair)
            assert in_tar(out / f"{shard}.tar")[f"{shard}{seed:02d}.png"] == direct


def kill_a_worker(out: Path, killed: list[int]) -> None:
    """Kill the worker on the first shard whose note is seen; wait for who does it again."""
    deadline = time.monotonic() + 120
    while len(killed) < 2 and time.monotonic() < deadline:
        for path in (out / "_fleet" / "trying").glob("*.json"):
            try:
                note = json.loads(path.read_text())
            except FileNotFoundError:  # done meanwhile
                continue
            if not killed and note["pid"] != os.getpid():
                time.sleep(0.1)  # some items of thirty
                assert not (out / "a.tar").exists() or not (out / "b.tar").exists()
                os.kill(note["pid"], signal.SIGKILL)
                killed.append(note["pid"])
            elif killed and note["deaths"]:
                killed.append(note["pid"])
                break
        time.sleep(0.002)


@ray_warns
def test_a_killed_job_is_gone_on_with_and_does_only_what_is_missing(ray, tmp_path, weights, capsys):
    for seed in range(48):
        write(tmp_path / "in", {f"{seed:02d}.jpg": picture(seed, "JPEG")})
        write(tmp_path / "masks", {f"{seed:02d}.png": mask(seed)})
    out = tmp_path / "out"
    flags = [str(tmp_path / "in"), str(out), "--model", str(weights / "plain.safetensors")]
    flags += ["--masks", str(tmp_path / "masks"), "--shard-size", "8", "--device", "cpu"]
    address = ray.get_runtime_context().gcs_address
    first = subprocess.Popen(
        [sys.executable, "-m", "export.fleet", *flags, "--address", address],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    done = out / "_fleet" / "done"
    deadline = time.monotonic() + 120
    while not (finished := list(done.glob("*"))) and time.monotonic() < deadline:
        assert first.poll() is None, first.communicate()[1]
        time.sleep(0.002)
    first.kill()
    first.communicate()
    assert 1 <= len(finished) < 6
    before = {path: path.stat().st_mtime_ns for path in finished}

    assert main([*flags, "--resume"]) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    names = sorted(path.name for path in out.iterdir())
    assert names == [*(f"{seed:02d}.jpg" for seed in range(48)), "_fleet", "report.jsonl"]
    assert {line["status"] for line in report_of(out).values()} == {"done"}
    assert sorted(report_of(out)) == [f"{seed:02d}.jpg" for seed in range(48)]
    assert not list((out / "_fleet" / "trying").glob("*"))
    for seed in (0, 47):
        pair = {"x.jpg": picture(seed, "JPEG"), "x.mask.png": mask(seed)}
        assert (out / f"{seed:02d}.jpg").read_bytes() == filled_directly(weights, tmp_path, pair)

    capsys.readouterr()
    assert main([*flags, "--resume"]) == 0  # nothing is left, and no worker started
    assert "6 shards, 6 of them done before" in capsys.readouterr().err


@ray_warns
def test_a_network_that_cannot_be_used_is_one_sentence(ray, tmp_path, capsys):
    folder = write(tmp_path / "in", {"a.png": picture(0), "a.mask.png": mask(0)})
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"no network")
    assert main([str(folder), str(tmp_path / "out"), "--model", str(bad), "--workers", "1"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") and "is damaged or not a safetensors file" in last


def test_parquet_becomes_parquet_with_guides_and_ids(tmp_path, weights):
    """Rows in groups of two, at most four in a shard: five rows make shards of four and one."""
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    lines = np.zeros((48, 56), np.uint8)
    lines[20] = 255
    rows = [
        {"id": f"row-{seed}", "image": picture(seed, "WEBP"), "mask": {"bytes": mask(seed)}}
        | {"sketch": encoded(lines) if seed == 3 else None}
        for seed in range(5)
    ]
    (tmp_path / "in").mkdir()
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "in/t.parquet", row_group_size=2)
    config = FleetConfig(
        input=str(tmp_path / "in"), output=str(tmp_path / "out"), shard_size=4, device="cpu",
        model=weights / "plain.safetensors",
    )  # fmt: skip
    each = plan(replace(config, shard_size=1), open_input(config.input), open_store(config.output))
    assert [(shard.groups, shard.first) for shard in each] == [((0,), 0), ((1,), 2), ((2,), 4)]
    came = do_here(config)
    assert [(row["shard"], row["done"]) for row in came] == [("t-00000", 4), ("t-00001", 1)]
    found = parquet.read_table(tmp_path / "out").to_pylist()
    assert [row["id"] for row in found] == [f"row-{seed}" for seed in range(5)]
    assert [(row["height"], row["width"]) for row in found] == [(48, 56)] * 5
    assert found[0]["hole_percent"] == pytest.approx(100 * 144 / (48 * 56), abs=1e-3)
    inpainter = Inpainter(open_backend(weights / "plain.safetensors", "cpu"))
    for seed in (2, 3):
        folder = write(tmp_path / f"d{seed}", {"x.webp": rows[seed]["image"], "m.png": mask(seed)})
        read = read_picture(folder / "x.webp")
        guides = {"sketch": torch.from_numpy(lines / np.float32(255))[None, None]}
        drawn = read_mask(folder / "m.png", read.size)
        completed = inpainter(read.pixels, drawn, **(guides if seed == 3 else {}))
        write_picture(folder / "out.webp", read, completed)
        assert found[seed]["image"] == (folder / "out.webp").read_bytes()
        plain = inpainter(read.pixels, drawn)
        assert torch.equal(completed, plain) == (seed == 2)  # the sketch is seen


@pytest.mark.parametrize("form", ["folder", "webdataset", "parquet"])
def test_any_form_becomes_any_other(tmp_path, weights, form):
    """Of a folder: names with dots, which end a key of WebDataset."""
    parquet = pytest.importorskip("pyarrow.parquet")
    files = {"a/cat.v1.png": picture(0), "a/cat.v1.mask.png": mask(0)}
    files |= {"a/cat.v2.png": picture(1), "a/cat.v2_mask.png": mask(1)}
    folder = write(tmp_path / "in", files)
    config = FleetConfig(
        input=str(folder), output=str(tmp_path / "out"), device="cpu", format=form,
        model=weights / "plain.safetensors",
    )  # fmt: skip
    (came,) = do_here(config)
    assert (came["done"], came["failed"], came["stopped_by"]) == (2, 0, "")
    out = tmp_path / "out"
    if form == "folder":
        found = [(out / name).read_bytes() for name in ("a/cat.v1.png", "a/cat.v2.png")]
    elif form == "webdataset":
        members = in_tar(out / "part-00000.tar")
        found = [members["a/cat_v1_png.png"], members["a/cat_v2_png.png"]]
        assert json.loads(members["a/cat_v2_png.json"])["id"] == "a/cat.v2.png"
    else:
        rows = parquet.read_table(out / "part-00000.parquet").to_pylist()
        assert [row["id"] for row in rows] == ["a/cat.v1.png", "a/cat.v2.png"]
        found = [row["image"] for row in rows]
    for seed, content in enumerate(found):
        pair = {"x.png": picture(seed), "x.mask.png": mask(seed)}
        assert content == filled_directly(weights, tmp_path, pair)


def test_what_cannot_be_filled_is_reported_and_the_rest_is_done(tmp_path, weights):
    other = encoded(np.zeros((8, 8), np.uint8))
    files = {
        "good.png": picture(0),
        "good.mask.png": mask(0),
        "small.png": picture(1),
        "small.mask.png": other,
        "text.png": b"hello",
        "text.mask.png": mask(0),
        "bare.png": picture(2),
        "only.mask.png": mask(0),
        "../out.png": picture(3),
        "../out.mask.png": mask(3),
    }
    tar = write_tar(tmp_path / "in" / "s.tar.gz", files)
    again = {"good.png": picture(4), "good.mask.png": mask(4)}
    write_tar(tmp_path / "in" / "t.tar", {**again, "a.png": picture(0)})
    twice = tmp_path / "in" / "u.tar"
    with tarfile.open(twice, "w") as whole:  # the same key, but not neighbours
        for name in ("x.png", "x.mask.png", "y.png", "y.mask.png", "x.png", "x.mask.png"):
            content = mask(1) if "mask" in name else picture(1)
            info = tarfile.TarInfo(name)
            info.size = len(content)
            whole.addfile(info, io.BytesIO(content))
    cut = write_tar(
        tmp_path / "in" / "v.tar", {**again, "b.png": picture(5), "b.mask.png": mask(5)}
    )
    cut.write_bytes(cut.read_bytes()[:14000])  # in the middle of b.png
    (tmp_path / "in" / "w.tar").write_bytes(b"this is no tar file" * 100)
    config = FleetConfig(
        input=str(tar.parent), output=str(tmp_path / "out"), format="folder", device="cpu",
        model=weights / "plain.safetensors",
    )  # fmt: skip
    assert {row["stopped_by"] for row in do_here(config)} == {""}
    lines = {
        (line["shard"], line["id"], line["status"]): line for line in lines_in(tmp_path / "out")
    }
    errors = {key[:2]: line["error"] for key, line in lines.items() if key[2] == "failed"}
    done = {key[:2] for key in lines if key[2] == "done"}
    assert done == {("s", "good"), ("t", "good"), ("u", "x"), ("u", "y"), ("v", "good")}
    wanted = {
        ("s", "small"): "mask.png is 8 x 8 pixels",
        ("s", "text"): "image.png is not a picture that can be read",
        ("s", "bare"): "there is no mask",
        ("s", "only"): "there is no image",
        ("s", "../out"): "leads out of OUTPUT",
        ("t", "a"): "there is no mask",
        ("u", "x"): "has the same name",
        ("v", "v.tar"): "damaged after 1 items",
        ("w", "w.tar"): "damaged after 0 items",
    }
    assert set(errors) == set(wanted)
    assert all(wanted[key] in errors[key] for key in wanted), errors
    assert not any(tempfile.gettempdir() in error for error in errors.values())
    results = sorted((tmp_path / "out").rglob("*.png"))
    names = [path.relative_to(tmp_path / "out").as_posix() for path in results]
    assert names == ["s/good.png", "t/good.png", "u/x.png", "u/y.png", "v/good.png"]


def test_an_item_that_workers_die_of_is_left_out(tmp_path):
    """Deaths as they come: nobody knows of what; then on "b", twice; "a" is done each time."""
    output, shard = open_store(str(tmp_path)), Shard(name="s", form="folder")
    Attempt(output, shard).begin("a")  # and dies at once, or later: no note of the item
    for _ in range(2):
        turn = Attempt(output, shard)
        assert (turn.begin("a"), turn.begin("b")) == ("", "")
    turn = Attempt(output, shard)
    assert turn.begin("a") == ""
    assert "its worker died 2 times on it (killed" in turn.begin("b")
    assert turn.begin("c") == ""
    turn.finish()
    assert not list((tmp_path / "_fleet" / "trying").iterdir())

    for _ in range(2):
        turn = Attempt(output, shard)
        turn.begin("b")
        turn.died_of("b", RuntimeError("no kernel\nmore"))
    assert "died 2 times on it (RuntimeError: no kernel);" in Attempt(output, shard).begin("b")


def test_workers_that_die_of_nothing_known_end_the_job(tmp_path):
    output, shard = open_store(str(tmp_path)), Shard(name="s", form="folder")
    for _ in range(21):
        Attempt(output, shard)
    with pytest.raises(BackendError, match="died 21 times on the shard s"):
        Attempt(output, shard)


def test_a_fault_of_ours_ends_the_process_and_leaves_a_note(tmp_path, weights):
    """In a process of its own: the backend raises what no user can cause."""
    folder = write(tmp_path / "in", {"a.png": picture(0), "a.mask.png": mask(0)})
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.test_fleet import FleetConfig, do_here\n"
        "from core.backends.eager import TorchBackend\n"
        "def broken(self, *inputs):\n"
        "    raise RuntimeError('device-side assert')\n"
        "TorchBackend.run = broken\n"
        "try:\n"
        "    do_here(FleetConfig(input=sys.argv[1], output=sys.argv[2], model=Path(sys.argv[3])))\n"
        "finally:\n"
        "    print('went on')\n"
    )
    args = [str(folder), str(tmp_path / "out"), str(weights / "plain.safetensors")]
    done = subprocess.run(
        [sys.executable, "-c", script, *args], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "device-side assert" in done.stderr
    note = json.loads((tmp_path / "out/_fleet/trying/part-00000.json").read_text())
    assert (note["item"], note["reasons"]) == (
        "a.png",
        {"a.png": "RuntimeError: device-side assert"},
    )
    assert not (tmp_path / "out" / "_fleet" / "done").exists()


def test_a_folder_is_paired_as_the_fill_command_does_here_and_elsewhere(tmp_path):
    """By a path, and by a URI of fsspec that is only listed."""
    files = {
        "b/two.jpg": b"",
        "b/two_mask.png": b"",
        "b/two.sketch.png": b"",
        "b/two.seg.npy": b"",
        "one.png": b"",
        "one.mask.webp": b"",
        "notes.txt": b"",
        "bare.tif": b"",
        "out/old.png": b"",
    }
    folder = write(tmp_path / "in", files)
    found = {}
    for place in (str(folder), folder.as_uri(), f"local://{folder}"):
        config = FleetConfig(input=place, output=f"{place}/out", shard_size=2)
        shards = plan(config, open_input(place), open_store(config.output))
        assert [shard.name for shard in shards] == ["part-00000", "part-00001"]
        assert [Shard.from_json(shard.to_json()) for shard in shards] == shards
        found[place] = [item for shard in shards for item in shard.items]
    assert next(iter(found.values())) == [
        {"image": "b/two.jpg", "mask": "b/two_mask.png"}
        | {"sketch": "b/two.sketch.png", "semantic": "b/two.seg.npy"},
        {"image": "bare.tif"},
        {"image": "one.png", "mask": "one.mask.webp"},
    ]
    assert all(items == next(iter(found.values())) for items in found.values())


def test_storage_by_fsspec_gets_whole_files(tmp_path, weights):
    folder = write(tmp_path / "in", {"a.png": picture(0), "a.mask.png": mask(0)})
    for scheme in ("local://", "file://"):
        out = tmp_path / scheme[:4]
        for _ in range(2):  # also over what is there
            config = FleetConfig(
                input=f"{scheme}{folder}", output=f"{scheme}{out}", device="cpu",
                model=weights / "plain.safetensors",
            )  # fmt: skip
            (came,) = do_here(config)
            assert came["done"] == 1
        names = sorted(
            path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()
        )
        assert names == ["_fleet/done/part-00000.jsonl", "a.png"]
        pair = {"x.png": picture(0), "x.mask.png": mask(0)}
        assert (out / "a.png").read_bytes() == filled_directly(weights, tmp_path, pair)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("cat.jpg", ("cat", "image", ".jpg")),
        ("./a.b/cat.PNG", ("a.b/cat", "image", ".png")),
        ("a/cat.mask.png", ("a/cat", "mask", ".png")),
        ("cat.seg.npy", ("cat", "semantic", ".npy")),
        ("cat.semantic.png", ("cat", "semantic", ".png")),
        ("cat.json", ("cat", "", ".json")),
        ("cat.caption.txt", ("cat", "", ".txt")),
        (".hidden.png", ("", "", ".png")),
        ("__meta.png", ("__meta", "", "")),
    ],
)
def test_a_member_of_a_tar_file_says_what_it_is(name, parts):
    key, port, suffix = split_member(name)
    assert port == parts[1]
    assert not port or (key, suffix) == (parts[0], parts[2])


@pytest.mark.parametrize(
    ("flags", "files", "sentence"),
    [
        ([], {}, "no files in .*in; name a folder"),
        (
            [],
            {"a.zip": b"", "b.zip": b""},
            "holds no pictures, tar or Parquet files but such as a.z",
        ),
        ([], {"a.png": b"", "b.tar": b""}, "holds webdataset and folder files mixed"),
        ([], {"a.mask.png": b""}, "holds masks and guides alone"),
        ([], {"a.tar": b"", "a.tgz": b""}, "two files of INPUT would both become a"),
        (["--masks", "in"], {"a.tar": b""}, "--masks is for folders of pictures"),
        (["--masks", "void"], {"a.png": b""}, "no files in the folder of masks, void"),
        (["--model", "no.onnx"], {"a.png": b""}, "no network at no.onnx"),
        (["--model", "in"], {"a.png": b""}, "no generator.onnx in the bundle in"),
        (["--resume"], {"a.png": b""}, "out has no job to go on with"),
        (["--resume", "--force"], {"a.png": b""}, "give one of them"),
        (["--shard-size", "0"], {"a.png": b""}, "--shard-size is 0; it must be 1 or more"),
        (["--cpus-per-worker", "0"], {"a.png": b""}, "--cpus-per-worker is 0"),
        (["--work-size", "8"], {"a.png": b""}, "work_size is 8"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, monkeypatch, capsys, flags, files, sentence):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in", files)
    assert main(["in", "out", *flags]) == 1
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    with pytest.raises(ConfigError, match=sentence):
        raise ConfigError(said)
    assert not (tmp_path / "out").exists()


def test_places_that_cannot_be_are_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in", {"a.png": picture(0)})
    write(tmp_path / "out", {"mine.txt": b"keep"})
    for args, sentence in [
        (["in", "out"], "out is not empty; name another OUTPUT"),
        (["in", "in", "--force"], "OUTPUT is the folder of INPUT itself, in"),
        (["nowhere", "new"], "no files in nowhere"),
        (["nosuch://in", "new"], "no file system for nosuch://"),
    ]:
        assert main(args) == 1
        said = capsys.readouterr().err
        assert said.startswith("error: ") and sentence in said and len(said.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_a_table_without_the_columns_is_refused_by_what_it_has(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"picture": [b""], "label": [1]}), tmp_path / "t.parquet")
    config = FleetConfig(input=str(tmp_path), output=str(tmp_path / "out"))
    with pytest.raises(
        ImageError, match=r"no column image and no column mask \(it has picture, label\)"
    ):
        plan(config, open_input(config.input), open_store(config.output))


def test_a_job_begun_otherwise_is_not_gone_on_with(tmp_path, weights, capsys):
    folder = write(tmp_path / "in", {"a.png": picture(0), "a.mask.png": mask(0)})
    flags = [str(folder), str(tmp_path / "out"), "--model", str(weights / "plain.safetensors")]
    pretend_to_run(flags, tmp_path)
    assert main([*flags, "--resume", "--grow", "3"]) == 1
    assert "was begun with options" in capsys.readouterr().err
    flags[-1] = str(weights / "other.safetensors")
    assert main([*flags, "--resume"]) == 1
    assert "was begun with network" in capsys.readouterr().err
    (tmp_path / "out" / "_fleet" / "plan.jsonl").write_text("{}\n")
    assert main([*flags, "--resume"]) == 1
    assert "cannot be read" in capsys.readouterr().err


def pretend_to_run(flags: list[str], tmp_path: Path) -> None:
    """Begin a job, which stops as there is no Ray at that address."""
    from export.fleet import job

    config = FleetConfig(input=flags[0], output=flags[1], model=Path(flags[3]))
    job._begun(config, open_input(config.input), open_store(config.output))


def test_force_deletes_what_the_job_made_and_nothing_else(tmp_path, weights):
    from export.fleet.journal import forget

    folder = write(tmp_path / "in", {"a.png": picture(0), "a.mask.png": mask(0)})
    config = FleetConfig(
        input=str(folder), output=str(tmp_path / "out"), model=weights / "plain.safetensors"
    )
    pretend_to_run([config.input, config.output, "--model", str(config.model)], tmp_path)
    do_here(config)
    write(tmp_path / "out", {"mine.png": b"keep"})
    assert (tmp_path / "out" / "a.png").exists()
    forget(open_store(config.output))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.png"]


@pytest.mark.parametrize(
    ("flags", "there", "size"),
    [
        ({}, {"CPU": 8.0}, (8, 0.0)),
        ({"cpus_per_worker": 2.0}, {"CPU": 7.0}, (3, 0.0)),
        ({}, {"CPU": 8.0, "GPU": 1.0}, (4, 0.25)),
        ({"device": "cpu"}, {"CPU": 8.0, "GPU": 1.0}, (8, 0.0)),
        ({"gpus_per_worker": 0.5}, {"CPU": 16.0, "GPU": 2.0}, (4, 0.5)),
        ({"workers": 3}, {"CPU": 8.0}, (3, 0.0)),
    ],
)
def test_the_pool_is_as_large_as_there_is_room(flags, there, size):
    assert pool_size(FleetConfig(input="in", output="out", **flags), there) == size


def test_the_flag_offers_every_runtime():
    assert get_args(get_type_hints(FleetConfig)["backend"]) == RUNTIMES


def test_a_worker_without_room_is_one_sentence():
    config = FleetConfig(input="in", output="out", gpus_per_worker=1.0)
    with pytest.raises(ConfigError, match="needs 1 CPU and 1 GPU, and Ray has 4 and 0"):
        pool_size(config, {"CPU": 4.0})


def test_without_ray_the_sentence_names_the_extra(tmp_path, monkeypatch, capsys, weights):
    folder = write(tmp_path / "in", {"a.png": picture(0), "a.mask.png": mask(0)})
    flags = [str(folder), str(tmp_path / "out"), "--model", str(weights / "plain.safetensors")]
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    assert main(flags) == 1
    assert "the extra 'cluster' of pyproject.toml" in capsys.readouterr().err


def test_a_python_that_ray_cannot_start_is_named_instead_of_waited_for():
    with pytest.raises(ConfigError, match="no workers where there is a space in the path of Py"):
        check_python("/home/a b/.venv/bin/python")
    check_python("/home/ab/.venv/bin/python")
