"""HED: the function of the published conversions, out of the files that users bring."""

import math

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from core.errors import BackendError, WeightsError
from core.models.hed import Hed, from_published
from core.sketch.draw import draw_lines, open_drawer
from core.sketch.hed import MARGIN, MULTIPLE, load_hed
from core.sketch.tiles import in_tiles

WIDTHS = {"One": (3, 64), "Two": (64, 128), "Thr": (128, 256), "Fou": (256, 512), "Fiv": (512, 512)}
CONVS = {"One": (0, 2), "Two": (1, 3), "Thr": (1, 3, 5), "Fou": (1, 3, 5), "Fiv": (1, 3, 5)}


def filled(*shape: int, phase: float, gain: float = 2.0) -> Tensor:
    """Numbers of the size that a layer likes, from no random generator."""
    fan_in, count = math.prod(shape[1:]), math.prod(shape)
    x = torch.arange(min(count, 1009), dtype=torch.float64)  # a prime: no row repeats another
    wave = (x * 0.7123 + phase).cos() + (x * x * 0.00137 + phase).sin()
    wave = (wave * math.sqrt(gain / fan_in)).float()
    return wave.repeat(count // len(wave) + 1)[:count].reshape(shape)


def sniklaus_file() -> dict[str, Tensor]:
    """Names and shapes of network-bsds500.pytorch; the numbers are made up."""
    state: dict[str, Tensor] = {}
    for stage, (before, width) in WIDTHS.items():
        for k, place in enumerate(CONVS[stage]):
            shape = (width, width if k else before, 3, 3)
            state[f"moduleVgg{stage}.{place}.weight"] = filled(*shape, phase=place)
            state[f"moduleVgg{stage}.{place}.bias"] = torch.full((width,), 0.01 * place)
        state[f"moduleScore{stage}.weight"] = filled(1, width, 1, 1, phase=2, gain=0.001)
        state[f"moduleScore{stage}.bias"] = torch.full((1,), 0.1)
    state["moduleCombine.0.weight"] = torch.linspace(-0.3, 0.5, 5).reshape(1, 5, 1, 1)
    state["moduleCombine.0.bias"] = torch.full((1,), -0.2)
    return state


def controlnet_file() -> dict[str, Tensor]:
    """Names and shapes of ControlNetHED.pth; the numbers are made up."""
    state = {"norm": torch.tensor([120.0, 110.0, 100.0]).reshape(1, 3, 1, 1)}
    for i, (stage, (before, width)) in enumerate(WIDTHS.items(), start=1):
        for k, place in enumerate(CONVS[stage]):
            shape = (width, width if k else before, 3, 3)
            state[f"block{i}.convs.{k}.weight"] = filled(*shape, phase=place)
            state[f"block{i}.convs.{k}.bias"] = torch.full((width,), 0.01 * place)
        state[f"block{i}.projection.weight"] = filled(1, width, 1, 1, phase=2, gain=0.001)
        state[f"block{i}.projection.bias"] = torch.full((1,), 0.1)
    return state


def picture(height: int = 48, width: int = 32) -> Tensor:
    """(1, 3, H, W) in [0, 1], of all colours."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    waves = [(0.3 * y + c + 0.2 * x).sin() * (0.11 * x * (c + 1)).cos() for c in range(3)]
    return torch.stack(waves)[None] / 2 + 0.5


@pytest.fixture(scope="module")
def sniklaus():
    return sniklaus_file()


@pytest.fixture(scope="module")
def controlnet():
    return controlnet_file()


def network_of(tensors: dict[str, Tensor]) -> Hed:
    """Our network with the weights of a published file."""
    state = from_published(tensors)
    assert state is not None
    with torch.device("meta"):
        network = Hed()
    network.load_state_dict(state, assign=True)
    return network


def strength_at_places(tensors: dict[str, Tensor]) -> Tensor:
    """Four places and the mean of the whole, by our network."""
    with torch.no_grad():
        strength = network_of(tensors)(picture())[0, 0]
    return torch.stack(
        [strength[0, 0], strength[47, 31], strength[20, 11], strength[33, 5], strength.mean()]
    )


def test_it_computes_what_the_pytorch_conversion_computes(sniklaus):
    """Numbers of run.py of sniklaus/pytorch-hed with these weights, blue first."""
    expected = torch.tensor([0.406192, 0.315952, 0.471760, 0.438387, 0.403484])
    torch.testing.assert_close(strength_at_places(sniklaus), expected, atol=2e-6, rtol=0)


def test_it_computes_what_controlnet_computes(controlnet):
    """Numbers of annotator/hed of lllyasviel/ControlNet with these weights."""
    expected = torch.tensor([0.649138, 0.591514, 0.609173, 0.520249, 0.596464])
    torch.testing.assert_close(strength_at_places(controlnet), expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize("name", ["network-bsds500.pytorch", "ControlNetHED.pth", "x.safetensors"])
def test_a_published_file_opens_as_a_drawer(name, sniklaus, controlnet, tmp_path):
    path, tensors = tmp_path / name, controlnet if "Control" in name else sniklaus
    (save_file if name.endswith("safetensors") else torch.save)(tensors, path)
    drawer = open_drawer("hed", weights=path, device="cpu")
    assert (drawer.kind, drawer.threshold, drawer.drawn) == ("hed", 0.6, False)
    with torch.no_grad():
        expected = network_of(tensors)(picture())
    torch.testing.assert_close(drawer.strength(picture()), expected)


@pytest.fixture(scope="module")
def drawer(sniklaus, tmp_path_factory):
    path = tmp_path_factory.mktemp("hed") / "hed.pth"
    torch.save({"state_dict": sniklaus}, path)
    return open_drawer("hed", weights=path, device="cpu")


@pytest.mark.parametrize("size", [(1, 1), (17, 35)])
def test_pictures_of_any_size_are_taken(drawer, size):
    """The network alone needs 16 pixels."""
    strength = drawer.strength(torch.rand(2, 3, *size))
    assert strength.shape == (2, 1, *size) and strength.dtype == torch.float32
    assert strength.min() >= 0 and strength.max() <= 1
    lines = draw_lines(drawer, torch.rand(2, 3, *size))
    assert lines.shape == (2, 1, *size) and set(lines.unique().tolist()) <= {0.0, 1.0}


def test_a_large_picture_in_pieces_is_the_picture_at_once(drawer):
    torch.manual_seed(0)
    pixels = torch.rand(1, 3, 16, 416)
    with torch.no_grad():
        whole = drawer.network(pixels)
        pieces = in_tiles(drawer.network, pixels, margin=MARGIN, multiple=MULTIPLE, tile=32)
        cut = in_tiles(drawer.network, pixels, margin=64, multiple=MULTIPLE, tile=32)
    torch.testing.assert_close(pieces, whole, atol=1e-5, rtol=0)
    assert (cut - whole).abs().max() > 1e-4  # so that the margin is seen to matter


def test_a_file_of_another_network_is_told_in_one_sentence(tmp_path, sniklaus):
    path = tmp_path / "other.pth"
    torch.save({"conv.weight": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match=r"does not hold HED in a layout known here"):
        load_hed(path)
    torch.save([1, 2], path)
    with pytest.raises(WeightsError, match="does not hold HED"):
        load_hed(path)
    torch.save({**sniklaus, "moduleScoreTwo.weight": torch.zeros(1, 7, 1, 1)}, path)
    with pytest.raises(WeightsError, match=r"does not fit HED .*scores\.1\.weight"):
        load_hed(path)


@pytest.mark.parametrize("name", ["damaged.pth", "damaged.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04 a torn archive"])
def test_a_damaged_file_is_told_in_one_sentence(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match="is damaged or holds no weights"):
        load_hed(tmp_path / name)
    with pytest.raises(WeightsError, match="no weights of HED at"):
        load_hed(tmp_path / "absent.pth")


def test_a_file_that_would_run_code_is_refused(tmp_path):
    path = tmp_path / "code.pth"
    torch.save({"norm": print}, path)
    with pytest.raises(WeightsError, match="is damaged or holds no weights"):
        load_hed(path)


def test_a_device_that_is_not_there_is_told(tmp_path):
    with pytest.raises(BackendError, match="abacus"):
        open_drawer("hed", weights=tmp_path / "absent.pth", device="abacus")
