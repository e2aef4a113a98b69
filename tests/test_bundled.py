"""The weights that come with the project: each loads, has its card, and obeys its guides."""

import numpy as np
import pytest
import torch
from photos import smooth

from core.backends import open_backend
from core.pipeline import Inpainter
from core.weights import BUNDLED, load_network, read_info

FILES = sorted(BUNDLED.glob("*.safetensors"))


def test_there_are_those_that_the_documentation_names():
    names = {path.stem for path in FILES}
    assert names == {"deepfillv2-photos", "edges", "scfegan-faces-small", "spade-streets-small"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_loads_and_has_a_card_that_states_its_size(path):
    network = load_network(path)
    assert all(x.isfinite().all() for x in network.state_dict().values())
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    assert f"{read_info(path).parameters:,}" in card and "terms" in card


def picture() -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth colours (1, 3, 96, 128) and a hole in the middle."""
    image = torch.from_numpy(np.asarray(smooth(3, (96, 128))).copy()).movedim(-1, 0)[None] / 255
    mask = torch.zeros(1, 1, 96, 128)
    mask[..., 32:64, 48:80] = 1
    return image, mask


def test_sc_fegan_paints_in_the_colours_that_are_drawn():
    inpainter = Inpainter(open_backend(BUNDLED / "scfegan-faces-small.safetensors", "cpu"))
    image, mask = picture()
    middle = {}
    for channel, name in enumerate(("red", "green", "blue")):
        strokes = torch.zeros(1, 3, 96, 128)
        strokes[:, channel, 36:60, 52:76] = 0.8
        middle[name] = inpainter(image, mask, color=strokes)[..., 40:56, 56:72].mean((0, 2, 3))
    for channel, name in enumerate(middle):
        others = [colour for other, colour in middle.items() if other != name]
        assert all(middle[name][channel] > colour[channel] + 0.2 for colour in others)


def test_sc_fegan_heeds_lines():
    inpainter = Inpainter(open_backend(BUNDLED / "scfegan-faces-small.safetensors", "cpu"))
    image, mask = picture()
    lines = torch.zeros_like(mask)
    lines[..., 32:64, 63:65] = 1
    change = (inpainter(image, mask, sketch=lines) - inpainter(image, mask)).abs().mean(1)[0]
    assert change[36:60, 58:70].mean() > 2 * change[36:60, 49:54].mean() > 0


def test_spade_paints_what_the_map_says():
    inpainter = Inpainter(open_backend(BUNDLED / "spade-streets-small.safetensors", "cpu"))
    names = inpainter.backend.contract.port("semantic").labels
    labels = torch.full((1, 1, 96, 128), names.index("road"))
    labels[..., :48, :] = names.index("sky")
    street = inpainter.synthesize((96, 128), semantic=labels)
    assert street[..., :40, :].mean() > street[..., 56:, :].mean() + 0.3  # a bright sky
    hole = torch.zeros(1, 1, 96, 128)
    hole[..., 60:84, 40:88] = 1
    other = labels.clone()
    other[hole > 0] = names.index("car")
    road, car = (inpainter(street, hole, semantic=x) for x in (labels, other))
    outside = (1 - hole).bool().expand_as(street)
    assert torch.equal(road[outside], street[outside])
    assert (car - road).abs()[..., 64:80, 48:80].mean() > 0.05
