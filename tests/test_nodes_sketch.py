"""Lines from pictures and drawings, and strokes of colour, inside ComfyUI."""

import sys

import numpy as np
import pytest
import torch
from fake_comfy import OlderInterruption
from torch import Tensor

from core.models.edges import EdgeConfig, EdgeDetector
from core.sketch.colors import colour_strokes
from core.weights import save_weights

pytest.importorskip("skimage")
pytest.importorskip("cv2")


def picture(count: int = 1, height: int = 64, width: int = 80) -> Tensor:
    """A dark box, further to the right for each next, on light ground."""
    image = torch.full((count, height, width, 3), 0.9)
    for number in range(count):
        image[number, 16:48, 20 + number : 60 + number] = torch.tensor([0.1, 0.2, 0.4])
    return image


def sketch(pack, image: Tensor, **inputs):
    return pack.run("GatefillSketchFromImage", image=image, **inputs)


@pytest.mark.parametrize("kind", ["detector", "canny"])
def test_the_lines_are_the_edges_of_the_picture(pack, kind):
    lines, look = sketch(pack, picture(), kind=kind)
    assert set(lines.unique().tolist()) == {0.0, 1.0}
    assert 120 < lines.sum() < 180  # the outline is 144 pixels long
    rim = torch.zeros(1, 64, 80)
    rim[:, 13:51, 17:63] = 1
    rim[:, 19:45, 23:57] = 0
    assert (lines * rim).sum() > 0.95 * lines.sum()
    assert torch.equal(look, lines[..., None].expand(-1, -1, -1, 3))
    assert pack.comfy.bars[-1] == [(1, 1)]


def test_a_batch_is_drawn_picture_by_picture(pack):
    both = sketch(pack, picture(2), kind="canny")[0]
    for number in range(2):
        one = sketch(pack, picture(2)[number : number + 1], kind="canny")[0]
        assert torch.equal(both[number : number + 1], one)
    assert pack.comfy.bars[0] == [(1, 2), (2, 2)]


def test_only_lines_inside_the_mask_are_kept(pack):
    mask = torch.zeros(1, 64, 80)
    mask[:, :32] = 1
    everywhere = sketch(pack, picture(), kind="canny")[0]
    assert torch.equal(sketch(pack, picture(), kind="canny", mask=mask)[0], everywhere * mask)
    halved = torch.nn.functional.max_pool2d(mask, 2)
    assert torch.equal(sketch(pack, picture(), kind="canny", mask=halved)[0], everywhere * mask)
    with pytest.raises(ValueError, match="the mask is empty"):
        sketch(pack, picture(), mask=torch.zeros(1, 64, 64))


def test_a_higher_threshold_leaves_less(pack):
    faint = picture() * 0.1 + 0.4
    counts = [sketch(pack, faint, threshold=x)[0].sum() for x in (0.05, 0.5, 1.0)]
    assert counts[0] > counts[2] == 0 and counts[0] >= counts[1]
    with pytest.raises(ValueError, match="canny knows no strength of lines; set the threshold to"):
        sketch(pack, picture(), kind="canny", threshold=0.5)


def test_lines_are_found_at_the_size_asked_for(pack):
    large = sketch(pack, picture(), work_size=0)[0]
    assert torch.equal(sketch(pack, picture(), work_size=80)[0], large)
    assert not torch.equal(sketch(pack, picture(), work_size=40)[0], large)


def test_a_drawer_stays_open_and_no_more_than_a_few_do(pack, monkeypatch):
    part, opened = pack.part("sketch"), []
    real = part.open_drawer
    monkeypatch.setattr(
        part, "open_drawer", lambda kind, **rest: opened.append(kind) or real(kind, **rest)
    )
    sketch(pack, picture())
    sketch(pack, picture(2))
    assert opened == ["detector"]
    torch.manual_seed(0)
    for name in ("one.safetensors", "two.safetensors"):
        save_weights(pack.models() / name, EdgeDetector(EdgeConfig()))
        sketch(pack, picture(), weights=name)
    sketch(pack, picture())
    assert opened == ["detector"] * 4 and len(part._drawers) == part.DRAWERS


def test_weights_are_offered_that_may_draw_lines(pack):
    folder = pack.models()
    for name in ("network-bsds500.pytorch", "a/face_landmarker.task", "big-lama.pt", "notes.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"-")
    (folder / "other.safetensors").write_bytes(b"-")
    save_weights(folder / "mine.safetensors", EdgeDetector(EdgeConfig()))
    slot = next(x for x in pack.schema("GatefillSketchFromImage").inputs if x.id == "weights")
    assert slot.options == [
        *("of the kind", "a/face_landmarker.task", "big-lama.pt", "mine.safetensors"),
        "network-bsds500.pytorch",
    ]


@pytest.mark.parametrize(
    ("kind", "file"), [("hed", "network-bsds500.pytorch"), ("landmarks", "face_landmarker.task")]
)
def test_a_kind_without_its_weights_says_which_and_where_to_put_them(pack, kind, file):
    with pytest.raises(ValueError, match=f"{kind} needs {file}.*put it into models/inpaint"):
        sketch(pack, picture(), kind=kind)


def test_weights_of_another_network_and_of_none_are_told(pack):
    (pack.models() / "big-lama.pt").write_bytes(b"-")
    for kind, reason in (
        ("hed", "big-lama.pt is damaged or holds no weights"),
        ("detector", "big-lama.pt is damaged or not a safetensors file"),
        ("canny", "canny takes no weights"),
    ):
        with pytest.raises(ValueError, match=reason):
            sketch(pack, picture(), kind=kind, weights="big-lama.pt")
    with pytest.raises(ValueError, match=r"no file 'gone\.pt' in models/inpaint"):
        pack.nodes["GatefillSketchFromImage"].execute(picture(), "hed", 0.0, 0, "gone.pt")


def test_changed_weights_are_read_again(pack):
    fingerprint = pack.nodes["GatefillSketchFromImage"].fingerprint_inputs
    (pack.models() / "big-lama.pt").write_bytes(b"-")
    first = fingerprint(weights="big-lama.pt")
    (pack.models() / "big-lama.pt").write_bytes(b"--")
    assert fingerprint(weights="big-lama.pt") != first
    assert fingerprint(weights="of the kind") == fingerprint(weights=None)


@pytest.mark.parametrize("kind", ["new", "old"])
def test_the_user_ends_the_drawing(pack, kind):
    if kind == "old":
        pack.comfy.interruption = OlderInterruption
    asked = []
    pack.comfy.ask = lambda: asked.append(1) or len(asked) > 30
    with pytest.raises(pack.comfy.interruption):
        sketch(pack, picture(4))
    assert pack.comfy.bars == [[]]


# Drawings by hand


def scan(dark: bool = True) -> Tensor:
    """A thick line, a speck and some grain, of ink on paper or chalk on a board: IMAGE."""
    grey = 0.9 + 0.03 * torch.rand(1, 40, 60, 1, generator=torch.Generator().manual_seed(1))
    grey[:, 18:23, 8:52] = 0.15
    grey[:, 5, 5] = 0.15
    return (grey if dark else 1 - grey).expand(-1, -1, -1, 3)


def clean(pack, drawing: Tensor, **inputs) -> Tensor:
    return pack.run("GatefillCleanSketch", drawing=drawing, **inputs)[0]


def test_a_drawing_becomes_one_clean_line(pack):
    lines = clean(pack, scan())
    assert set(lines.unique().tolist()) == {0.0, 1.0}
    assert 35 < lines.sum() < 50 and lines[0, 20, 12:48].all() and not lines[0, 5, 5]
    look = pack.run("GatefillCleanSketch", drawing=scan())[1]
    assert torch.equal(look, lines[..., None].expand(-1, -1, -1, 3))


def test_ink_is_dark_or_light_by_itself_or_as_said(pack):
    expected = clean(pack, scan())
    assert torch.equal(clean(pack, scan(dark=False)), expected)
    assert torch.equal(clean(pack, scan(), ink="dark"), expected)
    assert clean(pack, scan(), ink="light", thin=False).mean() > 0.8  # the paper


def test_lines_on_transparent_ground_are_what_is_opaque(pack):
    ink = (scan() < 0.5).float()[..., :1]
    drawn = torch.cat([torch.zeros(1, 40, 60, 3), ink], dim=-1)
    for choice in ("auto", "dark", "light"):
        assert torch.equal(clean(pack, drawn, ink=choice), clean(pack, scan()))


def test_thick_lines_and_specks_are_kept_where_wanted(pack):
    assert clean(pack, scan(), thin=False).sum() == 5 * 44
    kept = clean(pack, scan(), thin=False, specks=1)
    assert kept.sum() == 5 * 44 + 1 and kept[0, 5, 5] == 1


def test_a_mask_is_cleaned_too(pack):
    assert torch.equal(clean(pack, 1 - scan()[..., 0]), clean(pack, scan()))


def test_without_scikit_image_one_sentence_says_so(pack, monkeypatch):
    for name in ("skimage.filters", "skimage.morphology"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match="needs scikit-image; install scikit-image"):
        clean(pack, scan())


# Strokes of colour


def strokes(pack, image: Tensor, **inputs):
    return pack.run("GatefillColorStrokes", image=image, **inputs)


def test_strokes_have_the_colours_of_the_picture_on_transparent_ground(pack):
    color, painted = strokes(pack, picture(), amount=0.5)
    assert color.shape == (1, 64, 80, 4) and torch.equal(color[..., 3], painted)
    assert set(painted.unique().tolist()) == {0.0, 1.0} and 0.1 < painted.mean() < 1
    assert not color[painted == 0].any()
    near = [
        (color[..., :3] - torch.tensor(x)).abs().amax(-1) < 0.2
        for x in ([0.9] * 3, [0.1, 0.2, 0.4])
    ]
    assert (near[0] | near[1])[painted > 0].all()


def test_strokes_depend_on_seed_and_amount(pack):
    first = strokes(pack, picture(), seed=1)[0]
    assert torch.equal(strokes(pack, picture(), seed=1)[0], first)
    assert not torch.equal(strokes(pack, picture(), seed=2)[0], first)
    shares = [
        sum(strokes(pack, picture(), seed=s, amount=a)[1].mean() for s in range(5))
        for a in (0.05, 0.3, 1.0)
    ]
    assert shares == sorted(shares)


def test_at_0_strokes_are_drawn_as_in_training(pack):
    """From nothing, one time in twenty, to everything."""
    image = (picture()[0].movedim(-1, 0) * 255).round().to(torch.uint8)
    for seed in range(8):
        color = strokes(pack, picture(), seed=seed, amount=0.0)[0][0]
        expected = colour_strokes(image, None, np.random.default_rng(seed))
        assert torch.equal((color[..., :3] * 255).round().byte(), expected.movedim(0, -1))


def test_strokes_of_a_batch_are_those_of_the_next_seeds(pack):
    two = strokes(pack, picture(2), seed=4)[0]
    assert torch.equal(two[1:], strokes(pack, picture(2)[1:], seed=5)[0])


def test_only_strokes_inside_the_mask_are_kept(pack):
    mask = torch.zeros(1, 64, 80)
    mask[:, :, :40] = 1
    color, painted = strokes(pack, picture(), amount=1.0, mask=mask)
    everywhere = strokes(pack, picture(), amount=1.0)
    assert torch.equal(painted, everywhere[1] * mask)
    assert torch.equal(color, everywhere[0] * mask[..., None])


def test_the_strokes_of_a_face_network_are_taken_by_it(pack):
    """What one node gives, the other takes."""
    from exports import tiny

    save_weights(pack.models() / "face.safetensors", tiny("scfegan-tiny"))
    model = pack.run("GatefillLoadModel", model_name="face.safetensors")[0]
    mask = torch.zeros(1, 64, 80)
    mask[:, 20:40, 30:50] = 1
    given = {"model": model, "image": picture(), "mask": mask}
    plain = pack.run("GatefillInpaint", **given)[0]
    color = strokes(pack, picture(), amount=1.0, mask=mask)[0]
    lines = sketch(pack, picture(), kind="canny")[0]
    assert not torch.equal(pack.run("GatefillInpaint", color=color, **given)[0], plain)
    lines = lines + mask * (torch.arange(64) == 30).float().view(1, 64, 1)
    assert not torch.equal(pack.run("GatefillInpaint", sketch=lines, **given)[0], plain)
