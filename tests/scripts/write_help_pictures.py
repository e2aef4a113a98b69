"""Write the pictures of the help pages, web/docs/assets/*.jpg, by running the nodes.

    python tests/scripts/write_help_pictures.py [NAME ...]

Without names all of them, but for draw.jpg, which is a photograph of the page. None may be larger
than the tests allow (tests/test_nodes_docs.py); what words say stands in the pages, not here.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests"))

from packs import Pack, loaded_pack  # noqa: E402 - lies in a folder added just above

OUT = ROOT / "web" / "docs" / "assets"
GAP = 8
"""Pixels between pictures."""
GROUND = 1.0
"""Of what is between them: white goes with light and dark pages."""


def write(name: str, rows: list[list[Tensor]], *, width: int, quality: int = 88) -> None:
    """Pictures (h, w, 3) side by side, those of a row as high as the first, `width` in all."""
    lines = []
    for row in rows:
        height = row[0].shape[0]
        scaled = [resized(x, (height, round(x.shape[1] * height / x.shape[0]))) for x in row]
        lines.append(joined(scaled, axis=1))
    widest = max(line.shape[1] for line in lines)
    lines = [resized(x, (round(x.shape[0] * widest / x.shape[1]), widest)) for x in lines]
    sheet = joined(lines, axis=0)
    small = resized(sheet, (round(sheet.shape[0] * width / sheet.shape[1]), width))
    pixels = (small.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    OUT.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(OUT / f"{name}.jpg", quality=quality, optimize=True)


def resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """(h, w, 3) -> (*size, 3)."""
    if tuple(picture.shape[:2]) == size:
        return picture
    moved = picture.movedim(-1, 0)[None]
    return F.interpolate(moved, size, mode="bilinear", antialias=True)[0].movedim(0, -1)


def joined(pictures: list[Tensor], *, axis: int) -> Tensor:
    """With a gap between."""
    shape = list(pictures[0].shape)
    shape[axis] = GAP
    gap = torch.full(shape, GROUND)
    parts = [part for one in pictures for part in (gap, one)][1:]
    return torch.cat(parts, dim=axis)


def shown(image: Tensor) -> Tensor:
    """The first of IMAGE, on grey where it is transparent; of MASK, in grey."""
    first = image[0]
    if first.ndim == 2:
        return first[..., None].expand(-1, -1, 3)
    if first.shape[-1] == 3:
        return first
    return first[..., :3] * first[..., 3:] + 0.25 * (1 - first[..., 3:])


def sample(pack: Pack, name: str) -> tuple[Tensor, ...]:
    """Picture, mask, sketch, colours and map."""
    return tuple(pack.run("GatefillSample", name=name).args)


def model(pack: Pack, name: str) -> object:
    """A bundled network."""
    return pack.run("GatefillLoadModel", model_name=f"bundled/{name}.safetensors").args[0]


def over(pack: Pack, image: Tensor, mask: Tensor) -> Tensor:
    """The preview of Mask Statistics."""
    return shown(pack.run("GatefillMaskStatistics", image=image, mask=mask).args[0])


def inpaint(pack: Pack, **inputs: object) -> Tensor:
    """What Inpaint gives."""
    return shown(pack.run("GatefillInpaint", **inputs).args[0])


def remove(pack: Pack) -> None:
    """Mask on the picture, filled."""
    image, mask, *_ = sample(pack, "object")
    filled = inpaint(pack, model=model(pack, "deepfillv2-photos"), image=image, mask=mask, grow=2)
    write("remove", [[over(pack, image, mask), filled]], width=900)


def line(pack: Pack) -> None:
    """Hole, filled without a line; the line, filled along it; all of what is round the hole."""
    image, mask, sketch, *_ = sample(pack, "line")
    task = {"model": model(pack, "deepfillv2-photos"), "image": image, "mask": mask}
    drawn = over(pack, image, mask) * (1 - shown(sketch))
    rows = [[over(pack, image, mask), inpaint(pack, **task)]]
    rows += [[drawn, inpaint(pack, **task, sketch=sketch)]]
    write("line", [[x[140:320, 290:510] for x in row] for row in rows], width=640)


def face(pack: Pack) -> None:
    """Hole, filled by itself, lines and colours, filled by them."""
    image, mask, sketch, color, _ = sample(pack, "face")
    task = {"model": model(pack, "scfegan-faces-small"), "image": image, "mask": mask}
    alpha = color[0, ..., 3:]
    drawn = over(pack, image, mask) * (1 - alpha) + color[0, ..., :3] * alpha
    drawn = drawn * (1 - shown(sketch))
    filled = inpaint(pack, **task, sketch=sketch, color=color)
    rows = [[over(pack, image, mask), inpaint(pack, **task)], [drawn, filled]]
    write("face", [[x[80:330, 60:300] for x in row] for row in rows], width=720)


def street(pack: Pack) -> None:
    """Map, hole, filled by the map, a whole picture of the map."""
    image, mask, _, _, semantic = sample(pack, "street")
    network = model(pack, "spade-streets-small")
    filled, _ = pack.run(
        "GatefillSemanticFill", model=network, image=image, mask=mask, semantic=semantic
    ).args
    made = pack.run("GatefillSemanticToImage", model=network, semantic=semantic, seed=5).args[0]
    rows = [[shown(semantic), over(pack, image, mask)], [shown(filled), shown(made)]]
    write("street", rows, width=760)


def masks(pack: Pack) -> None:
    """Kinds of free-form masks: brush, box, official-brush; 10-20, 30-40, 50-60."""
    kinds = [["brush", "box", "official-brush"], ["10-20", "30-40", "50-60"]]
    size = {"picture_width": 256, "picture_height": 192}
    rows = [
        [shown(pack.run("GatefillFreeFormMask", kind=kind, seed=3, **size).args[0]) for kind in row]
        for row in kinds
    ]
    write("masks", [[framed(x) for x in row] for row in rows], width=720)


def framed(picture: Tensor) -> Tensor:
    """With a grey rim, so that white does not run out into the page."""
    edged = picture.clone()
    for edge in (edged[:2], edged[-2:], edged[:, :2], edged[:, -2:]):
        edge.fill_(0.5)
    return edged


def grow(pack: Pack) -> None:
    """An outline, its gaps filled, grown by 12, feathered by 24."""
    canvas = Image.new("L", (256, 192), 0)
    ImageDraw.Draw(canvas).ellipse((70, 50, 180, 145), outline=255, width=5)
    mask = torch.from_numpy(np.array(canvas, np.float32) / 255)[None]
    steps = [{}, {"fill_gaps": True}, {"fill_gaps": True, "grow": 12}]
    steps.append({"fill_gaps": True, "grow": 12, "feather": 24})
    row = [
        framed(
            shown(pack.run("GatefillGrowFeatherMask", mask=mask, **({"grow": 0} | step)).args[0])
        )
        for step in steps
    ]
    write("grow", [row[:2], row[2:]], width=720)


def sketch(pack: Pack) -> None:
    """A picture, its lines by the detector, those that are sure, and by Canny."""
    image, *_ = sample(pack, "line")
    ways = [{"kind": "detector"}, {"kind": "detector", "threshold": 0.85}, {"kind": "canny"}]
    lines = [shown(pack.run("GatefillSketchFromImage", image=image, **way).args[1]) for way in ways]
    write("sketch", [[shown(image), lines[0]], lines[1:]], width=760)


def clean(pack: Pack) -> None:
    """A drawing on paper in uneven light, and its lines."""
    drawing = paper()
    lines, _ = pack.run("GatefillCleanSketch", drawing=drawing).args
    write("clean", [[shown(drawing), shown(lines)]], width=760)


def paper() -> Tensor:
    """A pencil drawing of a house, photographed: IMAGE."""
    canvas = Image.new("L", (480, 320), 230)
    pen = ImageDraw.Draw(canvas)
    pen.line([(110, 250), (110, 140), (210, 70), (310, 140), (310, 250), (110, 250)], 70, 5)
    pen.line([(110, 140), (310, 140)], 80, 4)
    pen.rectangle((185, 180, 235, 250), outline=75, width=4)
    pen.ellipse((370, 60, 430, 120), outline=70, width=5)
    pen.arc((330, 170, 450, 290), 190, 350, fill=80, width=4)
    random = np.random.default_rng(1)
    pixels = np.asarray(canvas.filter(ImageFilter.GaussianBlur(1.2)), np.float32) / 255
    light = np.linspace(1.0, 0.75, 480)[None] * np.linspace(1.0, 0.9, 320)[:, None]
    grain = random.normal(0, 0.015, pixels.shape)
    # Specks of dust, as every scanner has them.
    pixels[random.integers(0, 320, 60), random.integers(0, 480, 60)] = 0.3
    shot = np.clip(pixels * light + grain, 0, 1).astype(np.float32)
    return torch.from_numpy(shot)[None, ..., None].repeat(1, 1, 1, 3)


def strokes(pack: Pack) -> None:
    """A picture and strokes over it: few, many, areas."""
    image, *_ = sample(pack, "face")
    drawn = [
        shown(pack.run("GatefillColorStrokes", image=image, amount=amount, seed=4).args[0])
        for amount in (0.15, 0.5, 1.0)
    ]
    write("strokes", [[shown(image), drawn[0]], drawn[1:]], width=640)


def show(pack: Pack, what: str, layers: str = "") -> None:
    """What Show gives of a sample."""
    image, mask, *_ = sample(pack, "object")
    task = {"model": model(pack, "deepfillv2-photos"), "image": image, "mask": mask}
    picture = shown(pack.run("GatefillShow", what=what, layers=layers, **task).args[0])
    write(what, [[picture]], width=900, quality=85)


PICTURES: dict[str, Callable[[Pack], None]] = {
    "remove": remove,
    "line": line,
    "face": face,
    "street": street,
    "masks": masks,
    "grow": grow,
    "sketch": sketch,
    "clean": clean,
    "strokes": strokes,
    "attention": lambda pack: show(pack, "attention"),
    "gates": lambda pack: show(pack, "gates", "coarse.conv1, pmconv6, allconv16"),
}
"""File name -> what writes it."""


def main(names: list[str]) -> None:
    """Write those pictures, or all."""
    with tempfile.TemporaryDirectory() as folder, loaded_pack(Path(folder)) as pack:
        for name in names or PICTURES:
            PICTURES[name](pack)


if __name__ == "__main__":
    main(sys.argv[1:])
