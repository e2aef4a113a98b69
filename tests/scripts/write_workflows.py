"""Write example_workflows/*.json from short descriptions, as the page of ComfyUI would save them.

  python tests/scripts/write_workflows.py http://127.0.0.1:8188

The server, a running ComfyUI with the pack, says which inputs and outputs the nodes have.
"""

import argparse
import json
import sys
import urllib.request
from pathlib import Path

from sheets import Sheet

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "example_workflows"
MUTED = 2
"""The mode of a node that is switched off."""
PHOTOS = "bundled/deepfillv2-photos.safetensors"
FACES = "bundled/scfegan-faces-small.safetensors"
STREETS = "bundled/spade-streets-small.safetensors"
LEFT, MIDDLE, RIGHT = 40, 460, 880
"""Columns."""
OWN = (
    "\n\n**With your own picture:** put *Load Image* in the place of *Sample Picture*, right click "
    "on it, *Open in Mask Editor*, and paint over what is to go."
)


def remove_an_object(sheet: Sheet) -> None:
    """The shortest road from a photo to a filled one."""
    sheet.note(
        "## Remove an object\n\nWhite in the mask is filled, everything else stays as it is, bit "
        "for bit. *Grow* widens a mask that was drawn too tightly." + OWN,
        LEFT, (380, 240),
    )  # fmt: skip
    model = sheet.node("GatefillLoadModel", LEFT, (380, 190), model_name=PHOTOS)
    sample = sheet.node("GatefillSample", LEFT, (380, 400), name="object")
    filled = sheet.node(
        "GatefillInpaint", MIDDLE, (380, 480), model=model["model"], image=sample["image"],
        mask=sample["mask"], grow=2,
    )  # fmt: skip
    sheet.node("PreviewImage", RIGHT, (420, 340), images=sample["image"], title="Before")
    sheet.node(
        "SaveImage", RIGHT, (420, 380), images=filled["image"], filename_prefix="gatefill",
        title="After",
    )  # fmt: skip


def sketch_a_missing_line(sheet: Sheet) -> None:
    """The same hole without and with a line drawn into it."""
    sheet.note(
        "## Sketch a missing line\n\nLines drawn into the hole say how it goes on: here the rim of "
        "the saucer. Above without, below with the line. *Clean Sketch* makes lines of a drawing "
        "on paper, *Sketch from Image* finds those of a picture." + OWN,
        LEFT, (380, 280),
    )  # fmt: skip
    model = sheet.node("GatefillLoadModel", LEFT, (380, 190), model_name=PHOTOS)
    sample = sheet.node("GatefillSample", LEFT, (380, 400), name="line")
    given = {"model": model["model"], "image": sample["image"], "mask": sample["mask"]}
    plain = sheet.node("GatefillInpaint", MIDDLE, (380, 480), title="Without", **given)
    drawn = sheet.node(
        "GatefillInpaint", MIDDLE, (380, 480), title="Along the line",
        sketch=sample["sketch"], **given,
    )  # fmt: skip
    sheet.node("PreviewImage", RIGHT, (420, 420), images=plain["image"])
    sheet.node("SaveImage", RIGHT, (420, 420), images=drawn["image"], filename_prefix="gatefill")


def color_a_face(sheet: Sheet) -> None:
    """Lines and colours together."""
    sheet.note(
        "## Color a face\n\nSC-FEGAN follows lines and takes on colours that are drawn into the "
        "hole: here a mouth is closed. Draw them in any program on black ground, or in the "
        "page with *Draw Mask, Sketch and Color* (Nodes 2.0)." + OWN,
        LEFT, (380, 260),
    )  # fmt: skip
    model = sheet.node("GatefillLoadModel", LEFT, (380, 190), model_name=FACES)
    sample = sheet.node("GatefillSample", LEFT, (380, 400), name="face")
    filled = sheet.node(
        "GatefillInpaint", MIDDLE, (380, 480), model=model["model"], image=sample["image"],
        mask=sample["mask"], sketch=sample["sketch"], color=sample["color"],
    )  # fmt: skip
    sheet.node("PreviewImage", MIDDLE, (380, 300), images=sample["color"], title="Colors")
    sheet.node("PreviewImage", RIGHT, (380, 420), images=sample["image"], title="Before")
    sheet.node(
        "SaveImage", RIGHT, (380, 460), images=filled["image"], filename_prefix="gatefill",
        title="After",
    )  # fmt: skip


def fill_a_batch(sheet: Sheet) -> None:
    """One picture with four masks, and how good each fill is."""
    sheet.note(
        "## Batch\n\nOne picture and many masks, many pictures and one mask, or as many of each: "
        "here four free-form masks. *Inpaint Metrics* compares with the true picture, in the hole "
        "and all over.",
        LEFT, (380, 200),
    )  # fmt: skip
    model = sheet.node("GatefillLoadModel", LEFT, (380, 190), model_name=PHOTOS)
    sample = sheet.node("GatefillSample", LEFT, (380, 400), name="object")
    masks = sheet.node(
        "GatefillFreeFormMask", LEFT, (380, 270), image=sample["image"], kind="10-20",
        seed=1, count=4,
    )  # fmt: skip
    filled = sheet.node(
        "GatefillInpaint", MIDDLE, (380, 480), model=model["model"], image=sample["image"],
        mask=masks["mask"],
    )  # fmt: skip
    sheet.node(
        "GatefillMetrics", MIDDLE, (380, 480), image=filled["image"],
        reference=sample["image"], mask=masks["mask"],
    )  # fmt: skip
    sheet.node("SaveImage", RIGHT, (460, 460), images=filled["image"], filename_prefix="gatefill")


def semantic_fill(sheet: Sheet) -> None:
    """What shall be there, said by a map of labels."""
    sheet.note(
        "## Semantic fill\n\nSPADE makes what a map of labels says: here a car on the road. Each "
        "label has its colour; paint maps in flat colours with hard edges. *Semantic to Image* "
        "makes a whole picture of a map.",
        LEFT, (380, 200),
    )  # fmt: skip
    model = sheet.node("GatefillLoadModel", LEFT, (380, 190), model_name=STREETS)
    sample = sheet.node("GatefillSample", LEFT, (380, 400), name="street")
    filled = sheet.node(
        "GatefillSemanticFill", MIDDLE, (380, 560), model=model["model"],
        image=sample["image"], mask=sample["mask"], semantic=sample["semantic"],
    )  # fmt: skip
    whole = sheet.node(
        "GatefillSemanticToImage", MIDDLE, (380, 320), model=model["model"],
        semantic=sample["semantic"], seed=5,
    )  # fmt: skip
    sheet.node("PreviewImage", RIGHT, (400, 340), images=sample["semantic"], title="Map")
    sheet.node(
        "SaveImage", RIGHT, (400, 360), images=filled["image"], filename_prefix="gatefill",
        title="Filled",
    )  # fmt: skip
    sheet.node("PreviewImage", RIGHT, (400, 340), images=whole["image"], title="Made whole")


def deploy_an_engine(sheet: Sheet) -> None:
    """A graph, run at once; an engine where there is a card for it."""
    sheet.note(
        "## Deploy\n\n*Export ONNX* writes the network as a graph into models/inpaint and compares "
        "it with PyTorch; here the graph fills the picture at once. It needs the packages onnx, "
        "onnxscript and onnxruntime.\n\nOn a machine with TensorRT, switch *Build TensorRT Engine* "
        "on (Ctrl+M) and wire its path to the loader.",
        LEFT, (380, 260),
    )  # fmt: skip
    weights = sheet.node("GatefillLoadModel", LEFT, (380, 190), model_name=PHOTOS)
    sample = sheet.node("GatefillSample", LEFT, (380, 400), name="object")
    graph = sheet.node(
        "GatefillExportOnnx", MIDDLE, (380, 420), model=weights["model"],
        file_name="photos.onnx", overwrite=True,
    )  # fmt: skip
    sheet.node("GatefillBuildEngine", MIDDLE, (380, 520), mode=MUTED, file=graph["path"])
    model = sheet.node(
        "GatefillLoadModel", RIGHT, (380, 190), model_name=PHOTOS, backend="onnxruntime",
        device="cpu", file=graph["path"], title="Load the graph",
    )  # fmt: skip
    filled = sheet.node(
        "GatefillInpaint", RIGHT, (380, 480), model=model["model"], image=sample["image"],
        mask=sample["mask"], grow=2,
    )  # fmt: skip
    sheet.node(
        "SaveImage", RIGHT + 420, (420, 380), images=filled["image"],
        filename_prefix="gatefill",
    )  # fmt: skip


def show_gates_and_attention(sheet: Sheet) -> None:
    """What the network looks at."""
    sheet.note(
        "## Gates and attention\n\nWhere the fill copies from, by direction and distance, and what "
        "the gates of each layer let through, as in the figures of the papers.",
        LEFT, (380, 180),
    )  # fmt: skip
    model = sheet.node("GatefillLoadModel", LEFT, (380, 190), model_name=PHOTOS)
    sample = sheet.node("GatefillSample", LEFT, (380, 400), name="scratch")
    given = {"model": model["model"], "image": sample["image"], "mask": sample["mask"]}
    looks = sheet.node("GatefillShow", MIDDLE, (380, 300), what="attention", **given)
    gates = sheet.node("GatefillShow", MIDDLE, (380, 300), what="gates", **given)
    sheet.node("PreviewImage", RIGHT, (460, 380), images=looks["image"])
    sheet.node("PreviewImage", RIGHT, (460, 460), images=gates["image"])


WORKFLOWS = (
    remove_an_object, sketch_a_missing_line, color_a_face, fill_a_batch, semantic_fill,
    deploy_an_engine, show_gates_and_attention,
)  # fmt: skip


def main() -> int:
    """Write them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="of the running server")
    url = parser.parse_args().url.rstrip("/")
    with urllib.request.urlopen(url + "/object_info") as answer:
        nodes = json.load(answer)
    for build in WORKFLOWS:
        sheet = Sheet(nodes)
        build(sheet)
        path = OUT / f"{build.__name__}.json"
        path.write_text(json.dumps(sheet.saved(), indent=1) + "\n", encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
