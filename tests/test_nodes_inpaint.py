"""Loading networks and filling pictures inside ComfyUI."""

import json
import shutil
import threading
from pathlib import Path

import pytest
import torch
from exports import tiny
from fake_comfy import OlderInterruption
from torch import Tensor

from core.weights import save_weights

DEFAULT = "bundled/deepfillv2-photos.safetensors"


def put(pack, preset: str = "deepfillv2-tiny", name: str = "tiny.safetensors") -> str:
    """A tiny network in models/inpaint; its name there."""
    path = pack.models() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    save_weights(path, tiny(preset))
    return name


def load(pack, preset: str = "deepfillv2-tiny", **inputs):
    """A tiny network on the socket."""
    return pack.run("GatefillLoadModel", model_name=put(pack, preset), **inputs)[0]


def picture(count: int = 1, height: int = 48, width: int = 56, channels: int = 3) -> Tensor:
    """An IMAGE of noise."""
    generator = torch.Generator().manual_seed(7)
    return torch.rand(count, height, width, channels, generator=generator)


def hole(count: int = 1, height: int = 48, width: int = 56) -> Tensor:
    """A MASK with a hole in the middle, one pixel further down for each next."""
    mask = torch.zeros(count, height, width)
    for number in range(count):
        mask[number, height // 3 + number : height // 2, width // 3 : width // 2] = 1
    return mask


def fill(pack, model, image: Tensor, mask: Tensor, **inputs):
    return pack.run("GatefillInpaint", model=model, image=image, mask=mask, **inputs)


def options_of_combo(pack, node: str, name: str) -> list[str]:
    return next(x.options for x in pack.schema(node).inputs if x.id == name)


# Files


def test_the_bundled_networks_come_first_and_the_one_for_photos_is_the_default(pack):
    put(pack, name="a/mine.safetensors")
    names = options_of_combo(pack, "GatefillLoadModel", "model_name")
    assert names[0] == DEFAULT and names[-1] == "a/mine.safetensors"
    assert all(name.startswith("bundled/") for name in names[:-1])
    assert not any("edges" in name for name in names)


def header(path: Path, change) -> None:
    """Rewrite the JSON in the metadata of a safetensors file."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    head = json.loads(content[8 : 8 + length])
    ours = json.loads(head["__metadata__"]["gatefill"])
    change(ours)
    head["__metadata__"]["gatefill"] = json.dumps(ours)
    text = json.dumps(head).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])


def test_foreign_damaged_and_newer_files_are_not_listed(pack):
    folder = pack.models()
    (folder / "lama.safetensors").write_bytes(b"\x00" * 50)
    (folder / "other.onnx").write_bytes(b"no graph")
    (folder / "other.engine").write_bytes(b"no engine")
    shutil.copy(pack.core("weights").DEFAULT_EDGES, folder / "edges.safetensors")
    put(pack, name="newer.safetensors")
    header(folder / "newer.safetensors", lambda ours: ours.update(format=99))
    put(pack, name="good.safetensors")
    names = options_of_combo(pack, "GatefillLoadModel", "model_name")
    assert [name for name in names if "/" not in name] == ["good.safetensors"]


def test_a_file_that_is_made_good_is_listed_from_then_on(pack):
    path = pack.models() / "tiny.safetensors"
    path.write_bytes(b"half a file")
    assert path.name not in options_of_combo(pack, "GatefillLoadModel", "model_name")
    put(pack)
    assert path.name in options_of_combo(pack, "GatefillLoadModel", "model_name")


def test_a_file_that_went_bad_since_it_was_listed_is_refused_in_one_sentence(pack):
    name = put(pack)
    header(pack.models() / name, lambda ours: ours.update(format=99))
    node = pack.nodes["GatefillLoadModel"]
    with pytest.raises(ValueError, match="newer than"):
        node.execute(name, "auto", "auto")
    (pack.models() / name).write_bytes(b"half a file")
    with pytest.raises(ValueError, match="damaged or not a safetensors file"):
        node.execute(name, "auto", "auto")
    (pack.models() / name).unlink()
    with pytest.raises(ValueError, match="put it into models/inpaint"):
        node.execute(name, "auto", "auto")
    with pytest.raises(ValueError, match="put it into models/inpaint"):
        node.execute("bundled/gone.safetensors", "auto", "auto")


def test_a_name_leads_to_no_file_outside_of_the_folders(pack):
    put(pack, name="../outside.safetensors")
    assert (pack.models().parent / "outside.safetensors").is_file()
    for name in ("../outside.safetensors", "bundled/../core/errors.py"):
        with pytest.raises(ValueError, match="there is no model"):
            pack.nodes["GatefillLoadModel"].execute(name, "auto", "auto")


def test_a_file_given_by_its_path_is_taken_instead_of_the_name(pack):
    put(pack, name="deploy/made.safetensors")
    path = pack.models() / "deploy" / "made.safetensors"
    assert load(pack, file=str(path)).path == path
    assert load(pack, file=str(path)).name == "deploy/made.safetensors"


def test_a_path_outside_of_the_folder_is_refused(pack, tmp_path):
    put(pack, name="made.safetensors")
    shutil.copy(pack.models() / "made.safetensors", tmp_path / "elsewhere.safetensors")
    for path in (tmp_path / "elsewhere.safetensors", pack.models() / "not_there.onnx"):
        with pytest.raises(ValueError, match=r"does not lie below models/inpaint"):
            load(pack, file=str(path))


def test_the_folder_keeps_what_other_packs_have_said_of_it(pack):
    paths = pack.comfy.by_name["folder_paths"].folder_names_and_paths
    paths["inpaint"] = (["/elsewhere"], {".patch"})
    pack.part("files").add_folder()
    pack.part("files").add_folder()
    assert paths["inpaint"] == (["/elsewhere", str(pack.models())], {".patch", ".safetensors"})


def test_a_changed_file_is_loaded_again(pack):
    fingerprint = pack.nodes["GatefillLoadModel"].fingerprint_inputs
    given = {"model_name": put(pack), "backend": "auto", "device": "auto"}
    first = fingerprint(**given)
    assert fingerprint(**given) == first
    put(pack, "scfegan-tiny")
    assert fingerprint(**given) != first
    fingerprint(model_name=None, backend=None, device=None)  # they come by links


# Devices and runtimes


def test_weights_are_in_comfyui_s_care(pack):
    model = load(pack)
    fill(pack, model, picture(), hole())
    (patchers, size), *more = pack.comfy.loads
    assert not more and len(patchers) == 1 and size >= 48 * 56 * 1000
    assert patchers[0].model is model.backend.generator
    assert patchers[0].load_device == pack.comfy.device


def test_the_memory_asked_for_is_that_of_what_the_network_sees_at_once(pack):
    model = load(pack)
    model.prepare(10)
    fill(pack, model, picture(), hole(), work_size=64)
    fill(pack, model, picture(), hole(), work_size=8192)
    sizes = [size for _, size in pack.comfy.loads]
    assert sizes[1] == sizes[2] == 48 * 56 * sizes[0] / 10


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"device": "cuda:1"}, "the device 'cuda:1' is not here; this machine has"),
        ({"device": "tensorrt"}, "the device 'tensorrt' is not here"),
        ({"backend": "tensorrt"}, "runs by torch only"),
        ({"backend": "onnxruntime"}, "runs by torch only"),
    ],
)
def test_a_device_or_runtime_that_is_not_there_is_told_in_one_sentence(pack, inputs, reason):
    with pytest.raises(ValueError, match=reason):
        load(pack, **inputs)


def exported_model(pack, exported, name: str = "graph") -> str:
    """The tiny network as graphs in models/inpaint; the name of the first part."""
    source = exported("deepfillv2-tiny")
    for path in source.parent.glob("*.onnx"):
        target = name + path.name.removeprefix(source.stem)
        shutil.copy(path, pack.models() / target)
    shutil.copy(source.with_suffix(".safetensors"), pack.models() / f"{name}.safetensors")
    return f"{name}.onnx"


def test_a_graph_fills_as_its_weights_do(pack, exported):
    pytest.importorskip("onnxruntime")
    name = exported_model(pack, exported)
    listed = options_of_combo(pack, "GatefillLoadModel", "model_name")
    assert name in listed and "graph.refine.onnx" not in listed
    inputs = {"model_name": name, "backend": "onnxruntime", "device": "cpu"}
    graph = pack.run("GatefillLoadModel", **inputs)[0]
    weights = pack.run("GatefillLoadModel", model_name="graph.safetensors")[0]
    image, mask = picture(), hole()
    torch.testing.assert_close(
        fill(pack, graph, image, mask)[0], fill(pack, weights, image, mask)[0], atol=2e-5, rtol=0
    )
    assert not pack.comfy.freed  # there is no card to make room on


def test_sessions_are_used_again_and_no_more_than_a_few_are_kept(pack, exported):
    pytest.importorskip("onnxruntime")
    loaded = pack.part("loaded")
    exported_model(pack, exported)
    paths = [pack.models() / "graph.onnx"]
    for number in range(loaded.SESSIONS):
        paths.append(pack.models() / exported_model(pack, exported, f"copy{number}"))
    open_all = [loaded.session(path, "onnxruntime", "cpu") for path in paths]
    assert len(loaded._sessions) == loaded.SESSIONS
    assert loaded.session(paths[-1], "onnxruntime", "cpu") is open_all[-1]
    assert loaded.session(paths[1], "onnxruntime", "cpu") is open_all[1]
    assert loaded.session(paths[0], "onnxruntime", "cpu") is not open_all[0]
    # The one used longest ago went, and the one just used stayed.
    assert loaded.session(paths[1], "onnxruntime", "cpu") is open_all[1]
    assert loaded.session(paths[2], "onnxruntime", "cpu") is not open_all[2]


def test_a_graph_that_was_exported_anew_is_opened_anew(pack, exported):
    pytest.importorskip("onnxruntime")
    path = pack.models() / exported_model(pack, exported)
    session = pack.part("loaded").session
    first = session(path, "onnxruntime", "cpu")
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    assert session(path, "onnxruntime", "cpu") is not first


def test_room_is_made_on_a_card_before_a_session_is_opened(pack, exported):
    pytest.importorskip("onnxruntime")
    path = pack.models() / exported_model(pack, exported)
    pack.comfy.device = torch.device("cuda")
    pack.part("loaded").session(path, "onnxruntime", "cpu")
    assert pack.comfy.freed == [4 * path.stat().st_size]


# Pictures and masks


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("strategy", ["auto", "full", "crop", "single"])
def test_known_pixels_stay_bit_for_bit(pack, dtype, strategy):
    pack.comfy.dtype = dtype
    image, mask = picture().to(dtype), hole().to(dtype)
    filled, changed = fill(pack, load(pack), image, mask, strategy=strategy)
    assert filled.dtype == dtype and torch.equal(changed, mask)
    assert torch.equal(filled[mask == 0], image[mask == 0])
    assert (filled[mask > 0] != image[mask > 0]).any()


def test_what_the_hole_holds_makes_no_difference(pack):
    model, image, mask = load(pack), picture(), hole()
    other = torch.where(mask[..., None] > 0, 1 - image, image)
    assert torch.equal(fill(pack, model, image, mask)[0], fill(pack, model, other, mask)[0])


def test_grown_and_feathered_the_changed_pixels_are_those_said(pack):
    image, mask = picture(), hole()
    filled, changed = fill(pack, load(pack), image, mask, grow=2, feather=4)
    assert torch.equal(changed > 0, torch.nn.functional.max_pool2d(mask, 13, 1, 6) > 0)
    assert ((changed > 0) & (changed < 1)).any()
    assert torch.equal(filled[changed == 0], image[changed == 0])


@pytest.mark.parametrize(("images", "masks"), [(2, 2), (2, 1), (1, 2)])
def test_each_picture_of_a_batch_is_as_by_itself(pack, images, masks):
    model, image, mask = load(pack), picture(images), hole(masks)
    filled = fill(pack, model, image, mask)[0]
    assert len(filled) == 2
    for number in range(2):
        one, its = (x[min(number, len(x) - 1)][None] for x in (image, mask))
        torch.testing.assert_close(filled[number : number + 1], fill(pack, model, one, its)[0])


def test_batches_that_do_not_fit_are_refused_with_their_counts(pack):
    with pytest.raises(ValueError, match="3 of image, 2 of mask; give as many of each"):
        fill(pack, load(pack), picture(3), hole(2))


@pytest.mark.parametrize("shape", [(48, 56), (1, 1, 48, 56)])
def test_a_mask_may_have_the_shapes_that_other_nodes_give(pack, shape):
    model, image, mask = load(pack), picture(), hole()
    expected = fill(pack, model, image, mask)[0]
    assert torch.equal(fill(pack, model, image, mask.view(shape))[0], expected)


def test_a_mask_of_another_size_is_scaled_and_stays_hard(pack):
    image = picture(height=48, width=56)
    mask = torch.zeros(1, 24, 28)
    mask[:, 6:12, 7:14] = 1
    filled, changed = fill(pack, load(pack), image, mask)
    expected = torch.zeros(1, 48, 56)
    expected[:, 12:24, 14:28] = 1
    assert torch.equal(changed, expected)
    assert torch.equal(filled[expected == 0], image[expected == 0])


def test_the_empty_mask_of_a_picture_without_transparency_says_what_to_do(pack):
    with pytest.raises(ValueError, match="the mask is empty: draw one, for example in the mask"):
        fill(pack, load(pack), picture(), torch.zeros(1, 64, 64))


def test_a_mask_of_the_whole_picture_says_what_to_do(pack):
    with pytest.raises(ValueError, match=r"covers the whole picture.*or invert it"):
        fill(pack, load(pack), picture(), torch.ones(1, 48, 56))


def test_a_mask_that_is_faint_everywhere_leaves_something_to_fill_from(pack):
    """Such as a blurred one: up to a half it blends, and is known to the network."""
    mask = hole().clamp(min=0.01)
    filled, changed = fill(pack, load(pack), picture(), mask)
    assert filled.isfinite().all() and torch.equal(changed, mask)


def test_a_picture_with_nan_is_refused(pack):
    image = picture()
    image[0, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"image has values.*without NaN"):
        fill(pack, load(pack), image, hole())


def test_a_picture_that_is_a_little_out_of_range_is_taken_as_it_would_be_shown(pack):
    model, image, mask = load(pack), picture() * 1.2 - 0.1, hole() * 1.5
    expected = fill(pack, model, image.clamp(0, 1), mask.clamp(0, 1))[0]
    assert torch.equal(fill(pack, model, image, mask)[0], expected)


def test_transparency_is_carried_along(pack):
    model, image, mask = load(pack), picture(2, channels=4), hole()
    filled = fill(pack, model, image, mask)[0]
    assert torch.equal(filled[..., 3], image[..., 3])
    assert torch.equal(filled[..., :3], fill(pack, model, image[..., :3], mask)[0])
    one = fill(pack, model, image[:1], hole(2))[0]
    assert one.shape[-1] == 4 and torch.equal(one[1, ..., 3], image[0, ..., 3])


def test_pictures_smaller_than_the_network_s_stride_are_filled(pack):
    mask = torch.zeros(1, 5, 3)
    mask[0, 2, 1] = 1
    image = picture(height=5, width=3)
    filled = fill(pack, load(pack), image, mask)[0]
    assert torch.equal(filled[mask == 0], image[mask == 0])


# Guides


def test_lines_and_colours_change_the_hole_and_nothing_else(pack):
    model, image, mask = load(pack, "scfegan-tiny"), picture(), hole()
    plain = fill(pack, model, image, mask)[0]
    lines = torch.zeros(1, 48, 56)
    lines[:, 20, 10:40] = 1
    drawn = fill(pack, model, image, mask, sketch=lines)[0]
    strokes = torch.zeros(1, 48, 56, 3)
    strokes[:, 16:24, 20:26, 0] = 1
    coloured = fill(pack, model, image, mask, color=strokes)[0]
    for other in (drawn, coloured):
        assert not torch.equal(other, plain)
        assert torch.equal(other[mask == 0], image[mask == 0])
    assert not torch.equal(drawn, coloured)


def test_a_sketch_is_the_same_as_mask_as_picture_and_on_transparent_ground(pack):
    model, image, mask = load(pack, "scfegan-tiny"), picture(), hole()
    lines = torch.zeros(1, 48, 56)
    lines[:, 20, 10:40] = 1
    light_on_dark = lines[..., None].expand(-1, -1, -1, 3)
    dark_on_nothing = torch.cat([torch.zeros(1, 48, 56, 3), lines[..., None]], dim=-1)
    fills = [
        fill(pack, model, image, mask, sketch=x)[0] for x in (lines, light_on_dark, dark_on_nothing)
    ]
    assert torch.equal(fills[0], fills[1]) and torch.equal(fills[0], fills[2])
    assert not torch.equal(fills[0], fill(pack, model, image, mask)[0])


def test_strokes_on_black_and_on_transparent_ground_are_the_same(pack):
    model, image, mask = load(pack, "scfegan-tiny"), picture(), hole()
    alpha = torch.zeros(1, 48, 56, 1)
    alpha[:, 16:24, 18:30] = 1
    strokes = torch.cat([picture(), alpha], dim=-1)
    on_black = fill(pack, model, image, mask, color=picture() * alpha)[0]
    assert torch.equal(fill(pack, model, image, mask, color=strokes)[0], on_black)


def test_the_seed_changes_the_noise_and_0_is_the_same_each_time(pack):
    model, image, mask = load(pack, "scfegan-tiny"), picture(), hole()
    fills = [fill(pack, model, image, mask, seed=seed)[0] for seed in (0, 0, 5, 5, 6)]
    assert torch.equal(fills[0], fills[1]) and torch.equal(fills[2], fills[3])
    assert not torch.equal(fills[2], fills[4])


def test_a_guide_that_the_network_has_no_port_for_is_refused_by_name(pack):
    with pytest.raises(ValueError, match="color"):
        fill(pack, load(pack), picture(), hole(), color=picture())


# Progress, interruption, memory


def test_progress_rises_to_the_end(pack):
    image, mask = picture(1, 600, 600), torch.zeros(1, 600, 600)
    mask[:, 20:50, 20:50] = mask[:, 500:530, 500:530] = 1
    fill(pack, load(pack), image, mask, strategy="crop")
    (told,) = pack.comfy.bars
    values = [value for value, _ in told]
    assert len(values) == 2 and values == sorted(values) and values[-1] == told[-1][1] == 1000
    assert 300 < values[0] < 700


@pytest.mark.parametrize("kind", ["new", "old"])
def test_the_user_ends_a_run_within_a_pass(pack, kind):
    """In older versions the interruption is an `Exception`, which must not be taken for one."""
    if kind == "old":
        pack.comfy.interruption = OlderInterruption
    model, asked = load(pack), []
    pack.comfy.ask = lambda: asked.append(1) or len(asked) > 40
    with pytest.raises(pack.comfy.interruption):
        fill(pack, model, picture(), hole())
    assert len(asked) == 41 and pack.comfy.bars == [[]]  # no pass was whole


def test_the_user_ends_a_run_between_passes(pack):
    model = load(pack)
    pack.comfy.ask = lambda: any(pack.comfy.bars)
    image, mask = picture(1, 600, 600), torch.zeros(1, 600, 600)
    mask[:, 20:50, 20:50] = mask[:, 500:530, 500:530] = 1
    with pytest.raises(pack.comfy.interruption):
        fill(pack, model, image, mask, strategy="crop")
    assert [len(told) for told in pack.comfy.bars] == [1]


@pytest.mark.parametrize("kind", ["new", "old"])
def test_the_user_ends_a_run_while_a_graph_computes(pack, exported, kind):
    pytest.importorskip("onnxruntime")
    if kind == "old":
        pack.comfy.interruption = OlderInterruption
    inputs = {"model_name": exported_model(pack, exported), "backend": "onnxruntime"}
    model = pack.run("GatefillLoadModel", device="cpu", **inputs)[0]
    threads, image, mask = threading.active_count(), picture(1, 512, 512), hole(1, 512, 512)
    # Only once the graph is running, which it does in a thread of its own.
    pack.comfy.ask = lambda: threading.active_count() > threads
    with pytest.raises(pack.comfy.interruption):
        fill(pack, model, image, mask)
    assert threading.active_count() == threads and pack.comfy.bars == [[]]
    pack.comfy.ask = lambda: False
    fill(pack, model, image, mask)  # the session is none the worse for it


def short_of_memory(model, monkeypatch, times: int) -> list[tuple[int, ...]]:
    """Let the first runs of a network fail; the shapes of what it was given, run by run."""
    shapes, real = [], model.backend.run

    def run(*inputs: Tensor) -> Tensor:
        shapes.append(tuple(inputs[0].shape))
        if len(shapes) <= times:
            raise torch.OutOfMemoryError("no room")
        return real(*inputs)

    monkeypatch.setattr(model.backend, "run", run)
    return shapes


def test_out_of_memory_it_tries_once_more_in_crops(pack, monkeypatch):
    model = load(pack)
    shapes = short_of_memory(model, monkeypatch, 1)
    image, mask = picture(1, 300, 300), torch.zeros(1, 300, 300)
    mask[:, 20:40, 20:40] = 1
    filled = fill(pack, model, image, mask, strategy="full")[0]
    assert torch.equal(filled[mask == 0], image[mask == 0])
    assert pack.comfy.emptied == 1 and len(pack.comfy.bars) == 2
    first, second = shapes
    assert second[2] * second[3] < first[2] * first[3]
    wanted = [size for _, size in pack.comfy.loads]
    assert wanted[1] < wanted[0]


@pytest.mark.parametrize(("strategy", "times"), [("auto", 2), ("crop", 1), ("single", 1)])
def test_out_of_memory_again_is_left_to_comfyui(pack, monkeypatch, strategy, times):
    """It adds its advice, and unloads all models."""
    model = load(pack)
    shapes = short_of_memory(model, monkeypatch, 99)
    with pytest.raises(torch.OutOfMemoryError):
        fill(pack, model, picture(), hole(), strategy=strategy)
    assert len(shapes) == times


def test_another_error_is_not_tried_again(pack, monkeypatch):
    model, calls = load(pack), []

    def broken(*inputs: Tensor) -> Tensor:
        calls.append(1)
        raise RuntimeError("a bug")

    monkeypatch.setattr(model.backend, "run", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        fill(pack, model, picture(), hole())
    assert len(calls) == 1 and not pack.comfy.emptied
