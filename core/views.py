"""Pictures of what a network looks at: its gates, and where its attention copies from.

As the papers picture them: Yu et al. 2019, "Free-Form Image Inpainting with Gated Convolution", and
Yu et al. 2018, "Generative Image Inpainting with Contextual Attention".
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .contract import THRESHOLD
from .crop import Window, nearest, resize, resize_hole
from .guides import Size
from .image.sheet import GROUND, Sheet, fitted, stacked
from .layers.flow import flow_to_image
from .pipeline import Inpainter
from .watched import CHANNELS, Gate, Sources, gates, sources

PANEL, THUMB, GAP, MARGIN = 480, 176, 16, 20
"""Pixels: longest side of a picture and of a gate, space between, and round all."""
CAPTION = 30
"""Pixels: height of a line of words, with the space under it."""
WHEEL, BAR = 200, 22
"""Pixels: across the colour wheel, and height of a scale."""
WORDS = 250
"""Pixels of width that the longest words take."""
HEAT = ("#2b0a5a", "#5c1a75", "#932667", "#dd513a", "#fca50a", "#fcffa4")
"""Colours from 0 to 1, dark to light, as far from one another as they look."""
LEAST = 130
"""Pixels of width that the words under a gate take."""
DIM = 0.35
"""Light of what is not the point of a picture."""


def attention_sheet(
    inpainter: Inpainter, image: Tensor, mask: Tensor, **guides: Tensor | None
) -> Tensor:
    """Where the hole of each picture is copied from: (N, 3, H, W) in [0, 1].

    Arguments and errors as `core.watched.sources` has them.
    """
    found = sources(inpainter, image, mask, **guides)
    alpha = inpainter.options.blending(mask.float())
    return stacked(
        [
            attention_picture(image[i % len(image), None], alpha[i % len(alpha), None], windows)
            for i, windows in enumerate(found)
        ]
    )


def gates_sheet(
    inpainter: Inpainter,
    image: Tensor,
    mask: Tensor,
    layers: Sequence[str] = (),
    **guides: Tensor | None,
) -> Tensor:
    """The gates of some layers, for each picture: (N, 3, H, W) in [0, 1].

    Arguments and errors as `core.watched.gates` has them.
    """
    found = gates(inpainter, image, mask, layers, **guides)
    alpha = inpainter.options.blending(mask.float())
    sheets = []
    for i, (task, rows) in enumerate(found):
        seen = (
            task.outer.of(image[i % len(image), None]),
            task.outer.of(alpha[i % len(alpha), None]),
        )
        sheets.append(gates_picture(*seen, rows))
    return stacked(sheets)


def gates_picture(image: Tensor, alpha: Tensor, rows: list[Gate]) -> Tensor:
    """The sheet of one window, (1, 3, H, W), (1, 1, H, W): it, and a row for each layer."""
    size = panel_size((image.shape[-2], image.shape[-1]), THUMB)
    across, down = max(size[1], LEAST) + GAP, 2 * CAPTION + size[0] + GAP
    sheet = Sheet((2 * MARGIN + down * (len(rows) + 1), 2 * MARGIN + across * CHANNELS - GAP))
    hole = (resize_hole(alpha.float().cpu(), size) > THRESHOLD)[0].float()
    sheet.write("what the network sees", (MARGIN, MARGIN))
    sheet.paste(
        resize(image.float().cpu(), size)[0] * (1 - hole) + hole, (MARGIN + CAPTION, MARGIN)
    )
    _scale(sheet, (MARGIN + CAPTION, MARGIN + across), across)
    for number, row in enumerate(rows, 1):
        top = MARGIN + number * down
        h, w = row.maps.shape[-2:]
        sheet.write(f"{row.layer}: {row.total} gates of {w} x {h} cells", (top, MARGIN))
        for i, (channel, gate) in enumerate(zip(row.channels, row.maps, strict=True)):
            left = MARGIN + i * across
            sheet.paste(_thumb(gate[None], size), (top + CAPTION, left))
            low, high = gate.aminmax()
            text = f"{channel}: {low:.2f} to {high:.2f}"
            sheet.write(
                text, (top + CAPTION + size[0] + 4, left), size=fitted(text, size[1], size=14)
            )
    return sheet.picture()


def attention_picture(image: Tensor, alpha: Tensor, windows: list[Sources]) -> Tensor:
    """The sheet of one picture (1, 3, H, W), (1, 1, H, W): it, its sources, how sure, and a key."""
    whole = (image.shape[-2], image.shape[-1])
    size = panel_size(whole, PANEL)
    picture = resize(image.float().cpu(), size)[0]
    hole = (resize_hole(alpha.cpu(), size) > THRESHOLD)[0]
    flow, weight, tint = torch.zeros(2, *size), torch.zeros(1, *size), torch.zeros(4, *size)
    for one in windows:
        cells, here = _cells_at(one, one.task.inner, whole, size)
        here = here & hole
        flow = torch.where(here, (one.taken - one.centres)[:, cells[0], cells[1]], flow)
        weight = torch.where(here, one.weight[None, cells[0], cells[1]], weight)
    copied = hole & (weight > 0)
    flow = flow * copied
    colours = (flow_to_image(flow[None])[0] + 1) / 2
    for one in windows:
        tint += _taken(one, colours * copied, copied, whole)
    taken = tint[3:] > 0
    dim = DIM * picture.mean(dim=0, keepdim=True)
    rim = (F.max_pool2d(hole.float(), 3, stride=1, padding=1) > 0) & ~hole
    panels = {
        "known cells that are copied": torch.where(taken, tint[:3] / tint[3:], picture),
        "where each cell is copied from": torch.where(copied, colours, dim),
        "how much is from that cell": torch.where(copied, heat(weight), dim),
    }
    panels = {name: torch.where(rim, 1.0, panel) for name, panel in panels.items()}
    return _laid_out(panels, float(flow.square().sum(dim=0).max().sqrt()))


def _taken(one: Sources, colours: Tensor, copied: Tensor, whole: Size) -> Tensor:
    """Each known cell in the mean colour of those that copy it: colours, and 1 where it is copied.

    colours (3, h, w), 0 where nothing is copied; copied (1, h, w) -> (4, h, w)
    """
    size = (copied.shape[-2], copied.shape[-1])
    cells, here = _cells_at(one, one.task.inner, whole, size)
    drawn = torch.cat([colours, copied.float()]) * here
    # Panel pixels to the cells that copy, those to the cells that they take, these to panel pixels.
    h, w = one.weight.shape
    rows = (one.taken[0] / one.cell[0]).long().clamp(max=h - 1)
    columns = (one.taken[1] / one.cell[1]).long().clamp(max=w - 1)
    source = (rows * w + columns).flatten()[(cells[0] * w + cells[1]).flatten()]
    summed = torch.zeros(4, one.weight.numel()).index_add(1, source, drawn.flatten(1))
    cells, here = _cells_at(one, one.task.outer, whole, size)
    found = summed.unflatten(1, one.weight.shape)[:, cells[0], cells[1]]
    return torch.where(here & (found[3:] > 0), found / found[3:].clamp(min=1e-9), 0.0)


def _cells_at(
    one: Sources, window: Window, whole: Size, size: Size
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """For each pixel of a panel of `size`: row and column of its cell, and if `window` has it."""
    places, inside = [], []
    outer = one.task.outer
    spans = ((window.top, window.bottom, outer.top), (window.left, window.right, outer.left))
    for axis, (low, high, origin) in enumerate(spans):
        pixels = (torch.arange(size[axis]) + 0.5) * whole[axis] / size[axis]
        inside.append((pixels >= low) & (pixels < high))
        cells = one.weight.shape[axis]
        places.append(((pixels - origin) / one.cell[axis]).long().clamp(0, cells - 1))
    return (places[0][:, None], places[1]), inside[0][:, None] & inside[1]


def _laid_out(panels: dict[str, Tensor], longest: float) -> Tensor:
    """Named pictures (3, h, w) of one size in two columns, and the key in the last place."""
    h, w = next(iter(panels.values())).shape[-2:]
    key = _key(longest, upright=h > w)
    width, height = max(w, key.shape[-1]), max(h, key.shape[-2])
    down, across = CAPTION + h + GAP, width + 2 * GAP
    sheet = Sheet((2 * MARGIN + down + CAPTION + height, 2 * MARGIN + across + width))
    places = ((0, 0), (0, across), (down, 0))
    for (name, panel), (top, left) in zip(panels.items(), places, strict=True):
        sheet.write(name, (MARGIN + top, MARGIN + left))
        sheet.paste(panel, (MARGIN + CAPTION + top, MARGIN + left))
    sheet.paste(key, (MARGIN + CAPTION + down, MARGIN + across))
    return sheet.picture()


def _key(longest: float, *, upright: bool) -> Tensor:
    """The colour wheel with what it means beside or under it, and the scale of weights."""
    words = (
        "A cell of the hole has the",
        "colour of the cell copied.",
        "It says in which direction",
        "that lies, and how far:",
        f"at the rim {longest:.0f} pixels.",
    )
    place = (WHEEL + GAP, 0) if upright else (0, WHEEL + GAP)
    bottom = max(WHEEL, place[0] + len(words) * CAPTION) + GAP
    width = place[1] + WORDS
    sheet = Sheet((bottom + BAR + CAPTION, width))
    sheet.paste(wheel(WHEEL), (0, 0))
    for i, text in enumerate(words):
        sheet.write(text, (place[0] + i * CAPTION, place[1]))
    sheet.paste(heat(torch.linspace(0, 1, width).expand(1, BAR, -1)), (bottom, 0))
    for text, x, anchor in (("0", 0, "la"), ("weight", width // 2, "ma"), ("1", width, "ra")):
        sheet.write(text, (bottom + BAR + 4, x), anchor=anchor)
    return sheet.picture()[0]


def wheel(side: int) -> Tensor:
    """The key to the colours of `flow_to_image`: (3, side, side), a circle on empty sheet."""
    axis = (2 * torch.arange(side) + 1) / side - 1
    flow = torch.stack(torch.meshgrid(axis, axis, indexing="ij"))
    inside = flow.square().sum(dim=0) <= 1
    colours = (flow_to_image((flow * inside)[None])[0] + 1) / 2
    return torch.where(inside, colours, torch.tensor(GROUND).view(3, 1, 1) / 255)


def heat(values: Tensor) -> Tensor:
    """Colours of `HEAT`: (1, h, w) in [0, 1] -> (3, h, w)."""
    stops = torch.tensor([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in HEAT])
    place = values[0].clamp(0, 1) * (len(stops) - 1)
    first = place.floor().long().clamp(max=len(stops) - 2)
    share = (place - first)[..., None]
    return ((1 - share) * stops[first] + share * stops[first + 1]).movedim(-1, 0)


def panel_size(size: Size, longest: int) -> Size:
    """(height, width) of which the longer side is so many pixels, in the same proportion."""
    scale = longest / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _thumb(gate: Tensor, size: Size) -> Tensor:
    """(1, h, w) -> (1, *size): shrunk smoothly, enlarged so that its cells are seen."""
    larger = max(size) > max(gate.shape[-2:])
    return nearest(gate, size) if larger else resize(gate[None], size)[0]


def _scale(sheet: Sheet, place: Size, across: int) -> None:
    """What the grey of a gate means."""
    top, left = place
    sheet.paste(torch.linspace(0, 1, 2 * across - GAP).expand(1, BAR, -1), place)
    sheet.write("0: shut", (top + BAR + 4, left))
    sheet.write("1: open", (top + BAR + 4, left + 2 * across - GAP), anchor="ra")
