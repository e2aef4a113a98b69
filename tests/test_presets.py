"""Every ready configuration is a network that does what its contract says."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from core.config import PRESETS
from core.contract import Contract, Port
from core.registry import build_generator

WIDTH = 8  # the widest are of no use to a test


def example(port: Port, height: int, width: int) -> Tensor:
    """Values of the port's range at random, whole ones where it is binary, two items."""
    shape = (2, port.channels) if port.kind == "vector" else (2, port.channels, height, width)
    values = torch.rand(shape)
    values = values.round() if port.binary else values
    return port.low + (port.high - port.low) * values


def sizes(contract: Contract) -> list[tuple[int, int]]:
    step = contract.multiple_of
    return [(step, 2 * step), (3 * step, step)]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_gives_the_shape_and_range_of_its_contract(name):
    config = PRESETS[name]
    torch.manual_seed(0)
    generator = build_generator(replace(config, width=min(config.width, WIDTH))).eval()
    contract = generator.contract
    assert [port.name for port in contract.inputs[:2]] == ["image", "mask"]
    assert contract.native_size % contract.multiple_of == 0
    for height, width in sizes(contract):
        given = [example(port, height, width) for port in contract.inputs]
        with torch.inference_mode():
            filled = generator(*given)
        assert filled.shape == (2, contract.output.channels, height, width)
        assert filled.min() >= contract.output.low and filled.max() <= contract.output.high
        assert filled.std() > 0
        assert len(generator.stages(*given)[-1]) == 2


@pytest.mark.parametrize("name", [name for name in PRESETS if name.endswith("-tiny")])
def test_each_architecture_runs_in_half_precision_and_trains_under_autocast(name):
    torch.manual_seed(0)
    generator = build_generator(PRESETS[name])
    given = [example(port, 64, 96) for port in generator.contract.inputs]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fills, _ = generator.learn(given[0], *given)
    sum(fill.float().square().sum() for fill in fills).backward()
    assert all(p.grad.isfinite().all() for p in generator.parameters() if p.grad is not None)
    exact = generator.eval()(*given)
    rounded = generator.bfloat16()(*(x.bfloat16() for x in given))
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - exact).abs().mean() < 0.2 * exact.std()


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_learns_from_the_inputs_of_its_contract(name):
    config = PRESETS[name]
    torch.manual_seed(0)
    generator = build_generator(replace(config, width=min(config.width, WIDTH))).train()
    height, width = sizes(generator.contract)[0]
    given = [example(port, height, width) for port in generator.contract.inputs]
    fills, _ = generator.learn(given[0], *given)
    sum(fill.square().sum() for fill in fills).backward()
    assert all(p.grad.isfinite().all() for p in generator.parameters() if p.grad is not None)
    assert any(p.grad is not None and p.grad.any() for p in generator.parameters())
