"""Feature networks by file, against networks of torchvision's layout that are built by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from core.errors import TrainingError
from trainer.perceptual import FeatureNetwork, load_features

VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M")
VGG19 = (64, 64, "M", 128, 128, "M", *(256,) * 4, "M", *(512,) * 4, "M", 512)
"""As torchvision writes its configurations D and E, as far as a loss needs them."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, for pictures in [0, 1]."""


def make_layers(plan: tuple[int | str, ...]) -> nn.Sequential:
    """Layers in torchvision's order with small weights by seed, convolutions kept cheap."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    before = 3
    for part in plan:
        if isinstance(part, int):
            layer = nn.Conv2d(before, part, 3, padding=1)
            nn.init.normal_(layer.weight, std=(2 / (9 * before)) ** 0.5)
            nn.init.normal_(layer.bias, std=0.1)
            layers += [layer, nn.ReLU(inplace=False)]
            before = part
        else:
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
    return nn.Sequential(*layers).eval()


def state(layers: nn.Sequential) -> dict[str, Tensor]:
    """Under the names of the published files, with a part that is not needed."""
    tensors = {f"features.{name}": tensor for name, tensor in layers.state_dict().items()}
    return {**tensors, "classifier.0.weight": torch.zeros(2, 2), "classifier.0.bias": torch.ones(2)}


def after(layers: nn.Sequential, x: Tensor, numbers: tuple[int, ...]) -> list[Tensor]:
    """What the layers of these numbers give."""
    return [layers[: number + 1](x) for number in numbers]


def pictures() -> Tensor:
    """Two pictures in [-1, 1], no side a power of 2."""
    return 2 * torch.rand(2, 3, 36, 44, generator=torch.Generator().manual_seed(1)) - 1


def imagenet(x: Tensor) -> Tensor:
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, DEVIATION))
    return ((x + 1) / 2 - mean) / deviation


def test_of_vgg16_the_first_three_poolings_count(tmp_path):
    layers = make_layers(VGG16)
    assert [isinstance(layers[i], nn.MaxPool2d) for i in (4, 9, 16)] == [True] * 3
    torch.save(state(layers), tmp_path / "vgg16.pth")
    network = load_features(tmp_path / "vgg16.pth")
    found = network(pictures())
    assert [tuple(x.shape[1:]) for x in found] == [(64, 18, 22), (128, 9, 11), (256, 4, 5)]
    torch.testing.assert_close(found, after(layers, imagenet(pictures()), (4, 9, 16)))
    assert not any(p.requires_grad for p in network.parameters()) and not network.training


@pytest.mark.parametrize("normalise", [True, False])
def test_of_vgg19_the_first_relu_of_each_block_counts(tmp_path, normalise):
    layers = make_layers(VGG19)
    save_file(state(layers), tmp_path / "vgg19.safetensors")
    found = load_features(tmp_path / "vgg19.safetensors", normalise=normalise)(pictures())
    x = imagenet(pictures()) if normalise else pictures()
    assert [x.shape[1] for x in found] == [64, 128, 256, 512, 512]
    torch.testing.assert_close(found, after(layers, x, (1, 6, 11, 20, 29)))


def test_gradients_reach_the_picture(tmp_path):
    torch.save(state(make_layers(VGG16)), tmp_path / "vgg16.pth")
    x = pictures().requires_grad_()
    torch.stack(
        [layer.mean() for layer in load_features(tmp_path / "vgg16.pth")(x)]
    ).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0


def test_a_larger_network_is_run_no_farther_than_its_last_layer_that_counts(tmp_path):
    """With broken layers beyond, nothing changes."""
    tensors = state(make_layers(VGG16))
    torch.save(tensors, tmp_path / "short.pth")
    beyond = {"features.17.weight": torch.full((512, 256, 3, 3), torch.nan)}
    torch.save({**tensors, **beyond, "features.17.bias": torch.zeros(512)}, tmp_path / "long.pth")
    found = (load_features(tmp_path / name)(pictures()) for name in ("short.pth", "long.pth"))
    torch.testing.assert_close(*found, rtol=0, atol=0)


def test_half_precision_files_are_used_in_single_precision(tmp_path):
    layers = make_layers(VGG16).half()
    save_file(state(layers), tmp_path / "half.safetensors")
    found = load_features(tmp_path / "half.safetensors")(pictures())
    torch.testing.assert_close(found, after(layers.float(), imagenet(pictures()), (4, 9, 16)))


def test_the_row_of_convolutions_sees_pictures_in_0_to_1_whatever_is_asked(tmp_path):
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
    named = {"conv1": first, "conv2": second}
    tensors = {f"{n}.{k}": v for n, layer in named.items() for k, v in layer.state_dict().items()}
    save_file(tensors, tmp_path / "row.safetensors")
    one = nn.functional.leaky_relu(first((pictures() + 1) / 2), 0.1)
    two = nn.functional.leaky_relu(second(nn.functional.max_pool2d(one, 2)), 0.1)
    for normalise in (True, False):
        network = load_features(tmp_path / "row.safetensors", normalise=normalise)
        torch.testing.assert_close(network(pictures()), [one, two])
        assert network.channels == [4, 6]


def spoilt(tensors: dict[str, Tensor], **changes: Tensor | None) -> dict[str, Tensor]:
    """With other tensors, or without those that are None; _ in a name stands for a dot."""
    tensors = tensors | {name.replace("_", "."): tensor for name, tensor in changes.items()}
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


WRONG = [
    ({"features_14_weight": None}, "no features.14.weight in it"),  # as in VGG13
    ({"features_14_bias": None}, "no features.14.bias in it"),
    ({"features_2_weight": None}, "no features.2.weight in it"),  # as with batch normalisation
    ({"features_0_weight": torch.zeros(64, 3, 11, 11)}, r"is \(64, 3, 11, 11\) in place of"),
    ({"features_5_weight": torch.zeros(96, 64, 3, 3)}, r"in place of \(128, 64, 3, 3\)"),
    ({"features_16_weight": torch.zeros(256, 256, 3, 3)}, "no features.16.bias in it"),
    ({"features_0_weight": None}, "no conv1.weight in it"),
]


@pytest.mark.parametrize(("changes", "reason"), WRONG, ids=[reason for _, reason in WRONG])
def test_another_network_is_refused_with_the_reason(tmp_path, changes, reason):
    path = tmp_path / "other.pth"
    torch.save(spoilt(state(make_layers(VGG16)), **changes), path)
    refused(path, reason)


def test_files_that_hold_no_network_are_refused_with_the_reason(tmp_path):
    for name, content in (("list.pth", [torch.zeros(1)]), ("nest.pth", {"state_dict": {}})):
        torch.save(content, tmp_path / name)
        refused(tmp_path / name, "something else than tensors by name")
    torch.save({"a": np.zeros(3)}, tmp_path / "objects.pth")
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "text.safetensors").write_text("hello")
    for name in ("objects.pth", "text.pth", "text.safetensors"):
        refused(tmp_path / name, "damaged or holds more than tensors")
    refused(tmp_path / "none.pth", "No such file")


def test_a_row_whose_convolutions_do_not_follow_on_is_refused(tmp_path):
    tensors = {f"conv{i}.{part}": torch.zeros(4) for i in (1, 2) for part in ("bias",)}
    tensors |= {f"conv{i}.weight": torch.zeros(4, 3, 3, 3) for i in (1, 2)}
    save_file(tensors, tmp_path / "row.safetensors")
    refused(
        tmp_path / "row.safetensors", r"conv2.weight is \(4, 3, 3, 3\) in place of \(4, 4, 3, 3\)"
    )


def refused(path: Path, reason: str) -> None:
    with pytest.raises(
        TrainingError, match=f"{path.name} is not a feature network .*{reason}"
    ) as x:
        load_features(path)
    assert "VGG16 or VGG19" in str(x.value) and "\n" not in str(x.value)


def test_only_layers_that_count_are_kept():
    layers = make_layers((4, "M", 5, 6))
    network = FeatureNetwork(layers, (1, 2), ((0.0,), (1.0,)))
    assert len(network.layers) == 3 and network.channels == [4, 4]
