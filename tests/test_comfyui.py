"""The pack in a real ComfyUI server: COMFYUI_DIR is a checkout, COMFYUI_PYTHON its interpreter."""

import time
from pathlib import Path

import numpy as np
import pytest
from comfyui import COMFYUI_DIR, FOLDER, Done, Prompt, Server, running
from workflows import NAMES, evaluated, known_by_pack, known_by_server, read, to_prompt

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not COMFYUI_DIR, reason="COMFYUI_DIR names no checkout of ComfyUI"),
]
PHOTOS = "bundled/deepfillv2-photos.safetensors"
NEEDS_ONNX = {"deploy_an_engine"}
"""Examples that need packages which ComfyUI does not bring."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    pytest.importorskip("websockets")
    with running(tmp_path_factory.mktemp("comfyui")) as server:
        yield server


@pytest.fixture(scope="module")
def known(server):
    return known_by_server(server.get("/object_info"))


def fill_prompt(**inputs) -> Prompt:
    """A sample, filled and saved; the node 3 fills."""
    filling = {
        "model": ["1", 0], "image": ["2", 0], "mask": ["2", 1], "seed": 0, "grow": 0, "feather": 0,
        "strategy": "auto", "context": 0.75, "work_size": 1024, "color_match": True, "seam": 6,
    }  # fmt: skip
    return {
        "1": node("GatefillLoadModel", model_name=PHOTOS, backend="auto", device="auto"),
        "2": node("GatefillSample", name="object"),
        "3": node("GatefillInpaint", **(filling | inputs)),
        "4": node("SaveImage", images=["3", 0], filename_prefix="t"),
    }


def node(kind: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": kind}}


def large(prompt: Prompt) -> Prompt:
    """The same at four times the size, all at once: some ten seconds on a CPU."""
    scaled = {"upscale_method": "bicubic", "scale_by": 4.0}
    prompt["5"] = node("ImageScaleBy", image=["2", 0], **scaled)
    prompt["3"]["inputs"] |= {"image": ["5", 0], "strategy": "full", "work_size": 4096}
    return prompt


def test_the_pack_loads_without_a_word(server):
    assert f"custom_nodes/{FOLDER}" in server.log
    assert "IMPORT FAILED" not in server.log
    ours = [line for line in server.log.splitlines() if FOLDER in line.lower()]
    assert not [line for line in ours if any(x in line.lower() for x in ("error", "warn"))]


def test_every_node_is_there_as_the_pack_says(server, pack):
    found = server.get("/object_info")
    ours = {name for name, x in found.items() if x["python_module"] == f"custom_nodes.{FOLDER}"}
    assert ours == set(pack.nodes)
    for name in ours:
        schema = pack.schema(name)
        assert found[name]["category"] == schema.category
        assert found[name]["output_name"] == [x.given["display_name"] for x in schema.outputs]


def test_examples_are_offered_with_pictures(server):
    assert set(server.get("/workflow_templates")[FOLDER]) == set(NAMES)
    for name in NAMES:
        picture = server.picture_at(f"/api/workflow_templates/{FOLDER}/{name}.jpg")
        assert min(picture.size) >= 200


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NEEDS_ONNX])
def test_an_example_gives_the_pictures_that_it_gives_here(server, known, pack, name):
    prompt = to_prompt(read(name), known)
    assert prompt == to_prompt(read(name), known_by_pack(pack))
    done = server.run(prompt)
    assert done.outcome == "execution_success"
    expected = evaluated(prompt, pack)
    assert expected
    for number, images in expected.items():
        found = done.pictures(number)
        assert len(found) == len(images)
        for picture, image in zip(found, images, strict=True):
            pixels = np.asarray(picture.convert("RGB"), np.float32)
            wanted = (image[..., :3].numpy() * 255).clip(0, 255)
            # ComfyUI cuts off what is behind the point; another thread count rounds otherwise.
            assert np.abs(pixels - np.floor(wanted)).max() <= 1
    again = server.run(prompt)
    assert again.outcome == "execution_success" and again.cached == set(prompt)


def test_the_page_hears_of_progress(server):
    done = server.run(fill_prompt(seed=1))
    told = [data for data in done.data("progress") if data.get("node") == "3"]
    shares = [data["value"] / data["max"] for data in told]
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_the_pictures_of_a_list_are_filled_one_by_one(server):
    """Lists carry pictures of different sizes, which a batch cannot."""
    prompt = fill_prompt(image=["6", 0], seed=3)
    prompt["5"] = node("RepeatImageBatch", image=["2", 0], amount=2)
    prompt["6"] = node("RebatchImages", images=["5", 0], batch_size=1)
    done = server.run(prompt)
    first, second = (np.asarray(picture) for picture in done.pictures("4"))
    assert np.array_equal(first, second)
    alone = np.asarray(server.run(fill_prompt(seed=3)).pictures("4")[0])
    assert np.array_equal(first, alone)


@pytest.mark.parametrize("strategy", ["full", "crop"])
def test_a_run_is_interrupted(server, strategy):
    asked = []

    def stop(event) -> None:
        if event[1] == "executing" and event[2].get("node") == "3" and not asked:
            time.sleep(0.7)  # well within the first pass
            asked.append(time.monotonic())
            server.send("/interrupt", {})

    prompt = large(fill_prompt(seed=7))
    prompt["3"]["inputs"]["strategy"] = strategy
    done: Done = server.run(prompt, stop)
    assert done.outcome == "execution_interrupted"
    # Half a second on an idle machine; without it the run would take some twenty.
    assert time.monotonic() - asked[0] < 3
    assert server.run(fill_prompt(seed=8)).outcome == "execution_success"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mask": ["2", 2]}, "the mask is empty: draw one"),
        ({"color": ["2", 3]}, "this network takes no 'color'; it takes image, mask, sketch"),
        ({"mask": ["6", 0]}, "the mask covers the whole picture"),
    ],
)
def test_the_first_line_of_an_error_says_what_to_do(server, change, reason):
    prompt = fill_prompt(**change)
    prompt["6"] = node("SolidMask", value=1.0, width=32, height=32)
    done = server.run(prompt)
    assert done.outcome == "execution_error" and done.error.startswith(reason)
    assert done.data("execution_error")[0]["exception_type"] == "ValueError"


def test_the_empty_mask_of_load_image_is_told(server):
    from PIL import Image

    Image.new("RGB", (80, 60), "red").save(Path(server.base, "input", "plain.png"))
    prompt = fill_prompt(image=["7", 0], mask=["7", 1])
    prompt["7"] = node("LoadImage", image="plain.png")
    assert server.run(prompt).error.startswith("the mask is empty: draw one")


def test_a_damaged_file_is_not_offered_and_one_that_went_bad_is_refused(server: Server):
    folder = Path(server.base, "models", "inpaint")
    (folder / "bad.safetensors").write_bytes(b"x" * 100)
    facts = server.get("/object_info/GatefillLoadModel")["GatefillLoadModel"]
    options = facts["input"]["required"]["model_name"]
    assert "bad.safetensors" not in str(options) and PHOTOS in str(options)
    prompt = fill_prompt()
    prompt["1"]["inputs"]["model_name"] = "bad.safetensors"
    status, answer = server.send("/prompt", {"prompt": prompt})
    assert status == 400 and "value_not_in_list" in str(answer)


def test_help_pages_are_served_for_every_node_and_language(server, pack):
    for name in pack.nodes:
        for language in ("en", "zh", "ko", "ja"):
            text = server.text_at(f"/extensions/{FOLDER}/docs/{name}/{language}.md")
            assert text.startswith("#") and len(text) > 200
    names = server.get("/i18n")
    for language in ("en", "zh", "ko", "ja"):
        assert set(names[language]["nodeDefs"]) >= set(pack.nodes)
