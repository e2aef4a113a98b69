"""Show Gates and Attention: what it draws, and what it refuses."""

import pytest
import torch
from exports import tiny

from core.backends.eager import TorchBackend
from core.pipeline import Inpainter
from core.views import attention_sheet, gates_sheet
from core.weights import save_weights

SIZE = (48, 56)


def load(pack, preset: str = "deepfillv2-tiny"):
    """A tiny network on the socket."""
    save_weights(pack.models() / "tiny.safetensors", tiny(preset))
    return pack.run("GatefillLoadModel", model_name="tiny.safetensors")[0]


def picture(count: int = 1) -> torch.Tensor:
    """An IMAGE of noise."""
    return torch.rand(count, *SIZE, 3, generator=torch.Generator().manual_seed(7))


def box(*size: int) -> torch.Tensor:
    """A MASK of the quarter in the middle."""
    height, width = size
    mask = torch.zeros(1, height, width)
    mask[:, height // 4 : -height // 4, width // 4 : -width // 4] = 1
    return mask


def show(pack, model, image, mask, **inputs):
    output = pack.run("GatefillShow", model=model, image=image, mask=mask, **inputs)
    assert len(output.ui.pictures) == len(output[0])
    return output[0]


def expected(draw, image, mask, **rest) -> torch.Tensor:
    """As the core draws it, outside of ComfyUI."""
    inpainter = Inpainter(TorchBackend(tiny("deepfillv2-tiny")))
    return draw(inpainter, image.movedim(-1, 1), mask[:, None], **rest).movedim(1, -1)


def test_it_draws_what_the_core_draws(pack):
    model, image, mask = load(pack), picture(), box(*SIZE)
    torch.testing.assert_close(
        show(pack, model, image, mask), expected(attention_sheet, image, mask)
    )
    gates = show(pack, model, image, mask, what="gates")
    torch.testing.assert_close(gates, expected(gates_sheet, image, mask))
    assert pack.comfy.bars[-1][-1] == (1000, 1000)


def test_layers_are_named_with_commas_between(pack):
    model, image, mask = load(pack), picture(), box(*SIZE)
    found = show(pack, model, image, mask, what="gates", layers=" conv1 ,decoder.*, ")
    names = ["conv1", "decoder.*"]
    torch.testing.assert_close(found, expected(gates_sheet, image, mask, layers=names))
    with pytest.raises(ValueError, match="'conv99'; there are "):
        show(pack, model, image, mask, what="gates", layers="conv99")


def test_a_mask_and_a_sketch_of_other_sizes_are_scaled(pack):
    model, image = load(pack), picture()
    mask, lines = box(24, 28), torch.zeros(1, 96, 112)
    lines[:, :, 50:60] = 1
    found = show(pack, model, image, mask, sketch=lines)
    plain = show(pack, model, image, mask)
    larger = mask.repeat_interleave(2, 1).repeat_interleave(2, 2)
    sketch = torch.nn.functional.interpolate(lines[None], SIZE, mode="bilinear", antialias=True)
    torch.testing.assert_close(found, expected(attention_sheet, image, larger, sketch=sketch))
    assert not torch.equal(found, plain)


def test_every_picture_has_a_sheet(pack):
    sheets = show(pack, load(pack), picture(2), box(*SIZE))
    assert len(sheets) == 2 and not torch.equal(sheets[0], sheets[1])


def test_a_graph_says_that_weights_are_needed(pack, exported):
    path = exported("deepfillv2-tiny")
    for file in path.parent.glob("*.onnx"):
        (pack.models() / file.name).write_bytes(file.read_bytes())
    model = pack.run("GatefillLoadModel", model_name=path.name, backend="onnxruntime")[0]
    for what in ("attention", "gates"):
        with pytest.raises(ValueError, match="load the weights"):
            show(pack, model, picture(), box(*SIZE), what=what)


def test_a_network_without_them_says_so(pack):
    model = load(pack, "pconv-tiny")
    with pytest.raises(ValueError, match="no attention"):
        show(pack, model, picture(), box(*SIZE))
    with pytest.raises(ValueError, match="no gates"):
        show(pack, model, picture(), box(*SIZE), what="gates")


def test_nothing_known_and_no_hole_are_refused(pack):
    model = load(pack)
    with pytest.raises(ValueError, match="whole picture"):
        show(pack, model, picture(), torch.ones(1, *SIZE))
    with pytest.raises(ValueError, match="mask is empty"):
        show(pack, model, picture(), torch.zeros(1, *SIZE))


def test_it_can_be_interrupted(pack):
    model, asked = load(pack), []
    pack.comfy.ask = lambda: bool(asked.append(1)) or len(asked) > 40
    with pytest.raises(BaseException) as caught:
        show(pack, model, picture(), box(*SIZE), what="gates")
    assert type(caught.value) is pack.comfy.interruption
    network = model.backend.generator
    assert not any(layer._forward_hooks for layer in network.modules())  # nothing is left behind
