"""Sample pictures as a node gives them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
GIVEN = {
    "object": set(),
    "scratch": set(),
    "line": {"sketch"},
    "face": {"sketch", "color"},
    "street": {"semantic"},
}
"""What there is beside picture and mask."""


def test_every_sample_is_offered(pack):
    (slot,) = pack.schema("GatefillSample").inputs
    assert set(slot.options) == set(GIVEN) == {path.stem for path in SAMPLES.glob("*.jpg")}


@pytest.mark.parametrize("name", GIVEN)
def test_a_sample_has_its_own_pixels_and_what_its_task_needs(pack, name):
    image, mask, sketch, color, semantic = pack.run("GatefillSample", name=name)
    pixels = np.asarray(Image.open(SAMPLES / f"{name}.jpg"), np.float32) / 255
    assert torch.equal(image[0], torch.from_numpy(pixels))
    size = image.shape[1:3]
    assert all(x.shape[1:3] == size for x in (mask, sketch, color, semantic))
    assert 0 < mask.mean() < 0.5 and set(mask.unique().tolist()) == {0, 1}
    found = {"sketch": sketch, "color": color, "semantic": semantic}
    assert {key for key, x in found.items() if x.any()} == GIVEN[name]


def test_strokes_are_drawn_on_transparent_ground(pack):
    color = pack.run("GatefillSample", name="face")[3]
    assert color.shape[-1] == 4 and set(color[..., 3].unique().tolist()) == {0, 1}
    assert color[..., 3].mean() < 0.1


def test_the_map_of_the_street_is_in_the_network_s_own_colours(pack):
    image, mask, _, _, semantic = pack.run("GatefillSample", name="street")
    name = "bundled/spade-streets-small.safetensors"
    model = pack.run("GatefillLoadModel", model_name=name)[0]
    filled, changed = pack.run(
        "GatefillSemanticFill", model=model, image=image, mask=mask, semantic=semantic
    )
    assert torch.equal(changed, mask) and not torch.equal(filled, image)
    assert torch.equal(filled[mask == 0], image[mask == 0])
