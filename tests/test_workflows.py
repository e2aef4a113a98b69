"""The example workflows, run without a server by the pack itself."""

import pytest
import torch
from PIL import Image
from workflows import FOLDER, MUTED, NAMES, evaluated, known_by_pack, read, to_prompt

ASKED_FOR = {"remove_an_object", "sketch_a_missing_line", "color_a_face", "fill_a_batch"}
ASKED_FOR |= {"semantic_fill", "deploy_an_engine"}
SLOW = {"deploy_an_engine": "it exports a network, which test_nodes_deploy does with a smaller one"}
COMFYUI_S_OWN = {"MarkdownNote", "PreviewImage", "SaveImage"}


def test_the_examples_are_there_with_a_picture_each():
    assert set(NAMES) >= ASKED_FOR
    assert {path.stem for path in FOLDER.glob("*.jpg")} == set(NAMES)
    for path in FOLDER.glob("*.jpg"):
        with Image.open(path) as picture:
            assert picture.size == (480, 320)
        assert path.stat().st_size < 60_000


@pytest.mark.parametrize("name", NAMES)
def test_an_example_uses_nodes_and_inputs_that_there_are(pack, name):
    workflow = read(name)
    for node in workflow["nodes"]:
        if node["type"] in COMFYUI_S_OWN:
            continue
        inputs = {slot.id: slot for slot in pack.schema(node["type"]).inputs}
        for slot in node["inputs"]:
            assert slot["type"] == inputs[slot["name"]].get_io_type()
        outputs = [x.given["display_name"] for x in pack.schema(node["type"]).outputs]
        assert [x["name"] for x in node["outputs"]] == outputs
    prompt = to_prompt(workflow, known_by_pack(pack))
    for node in prompt.values():
        if node["class_type"] not in COMFYUI_S_OWN:
            schema = pack.schema(node["class_type"])
            needed = {slot.id for slot in schema.inputs if not slot.optional}
            assert needed <= set(node["inputs"]), node["class_type"]


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_from_and_to_slots_of_their_type(name):
    workflow = read(name)
    nodes = {node["id"]: node for node in workflow["nodes"]}
    for number, source, output, target, slot, kind in workflow["links"]:
        out, into = nodes[source]["outputs"][output], nodes[target]["inputs"][slot]
        assert number in out["links"] and into["link"] == number
        assert out["type"] == kind and kind in into["type"].split(",")


@pytest.mark.parametrize("name", NAMES)
def test_no_node_lies_on_another(name):
    boxes = [(*node["pos"], *node["size"]) for node in read(name)["nodes"]]
    for index, (left, top, width, height) in enumerate(boxes):
        for other_left, other_top, other_width, other_height in boxes[index + 1 :]:
            beside = left + width <= other_left or other_left + other_width <= left
            below = top + height < other_top - 30 or other_top + other_height < top - 30
            assert beside or below


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SLOW])
def test_an_example_runs_and_shows_pictures(pack, name):
    workflow = read(name)
    prompt = to_prompt(workflow, known_by_pack(pack))
    shown = evaluated(prompt, pack)
    count = sum(node["type"] in ("PreviewImage", "SaveImage") for node in workflow["nodes"])
    assert len(shown) == count >= 1
    for image in shown.values():
        assert image.isfinite().all() and image.std() > 0.02


def test_a_node_that_is_switched_off_is_not_posted(pack):
    workflow = read("deploy_an_engine")
    off = {str(node["id"]) for node in workflow["nodes"] if node["mode"] == MUTED}
    assert off and not off & set(to_prompt(workflow, known_by_pack(pack)))


def test_the_sketched_line_changes_the_hole_alone(pack):
    shown = evaluated(to_prompt(read("sketch_a_missing_line"), known_by_pack(pack)), pack)
    plain, drawn = shown.values()
    image, mask, *_ = pack.run("GatefillSample", name="line")
    outside = mask == 0
    assert torch.equal(plain[outside], image[outside]) and torch.equal(
        drawn[outside], image[outside]
    )
    assert (plain - drawn).abs().max() > 0.05
