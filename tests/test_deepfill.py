"""The DeepFillv2 generator against outputs of the official TensorFlow graph, and its own promises."""

import pytest
import torch
from vectors import Vectors, from_tensorflow

from core.config import PRESETS, DeepFillConfig
from core.models.deepfill import DeepFill


@pytest.fixture(scope="module")
def official() -> Vectors:
    return Vectors("deepfill_official_net")


def build(vectors: Vectors, *, sketch: bool = False) -> DeepFill:
    network = DeepFill(DeepFillConfig(width=8, sketch=sketch)).double()
    state = vectors.under("state/")
    if sketch:
        state |= vectors.under("guided_64x64/state_override/")
    network.load_state_dict(from_tensorflow(state, network))
    return network.eval()


@pytest.mark.parametrize(("sketch", "count"), [(False, 4_052_478), (True, 4_053_678)])
def test_the_default_has_as_many_parameters_as_the_release(sketch, count):
    network = DeepFill(DeepFillConfig(sketch=sketch))
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize("budget", [1 << 40, 0], ids=["dense", "chunked"])
@pytest.mark.parametrize("case", ["per_item_64x64", "shared_64x96", "guided_64x64"])
def test_the_whole_net_is_the_official_function(official, case, budget):
    network = build(official, sketch=case.startswith("guided"))
    network.attention.memory_budget = budget
    if case.startswith("guided"):
        image, sketch = official[f"{case}/in/image_masked_and_edge"].split([3, 1], dim=1)
    else:
        image, sketch = official[f"{case}/in/image_masked"], None
    mask = official.mask(f"{case}/in/mask").expand(len(image), -1, -1, -1)
    coarse, refined = network.stages(image, mask, sketch)
    torch.testing.assert_close(coarse, official[f"out64/{case}/coarse"], atol=1e-6, rtol=0)
    torch.testing.assert_close(refined, official[f"out64/{case}/refined"], atol=1e-6, rtol=0)
