"""Fill holes in photos. Needs numpy, pillow and onnxruntime, and pipeline.onnx beside this file.

  python infer.py PHOTO MASK -o FILLED.png
  python infer.py PHOTOS MASKS -o FOLDER

White in MASK is the hole; without MASK the hole is what is transparent. In folders the mask of
cat.jpg is cat.mask.png, cat_mask.png or cat.png, and guides are found likewise (cat.sketch.png).
Pixels outside the hole and its seam stay as they are; EXIF orientation is applied, transparency and
the colour profile are kept, other metadata is not.
"""

import argparse
import json
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

try:
    import numpy as np
    import onnxruntime

    sys.dont_write_bytecode = True  # nothing is added to the folder
    # It lies beside this file in a bundle.
    import pictures  # type: ignore[import-not-found]
except ImportError as problem:
    sys.exit(f"error: {problem}; get what is needed by `pip install -r requirements.txt`")

class Pipeline:
    """The graph, and what it says of itself."""

    def __init__(self, model: Path, provider: str, threads: int):
        self.model, self.provider, self.threads = model, provider, threads
        self.session = self.open(model)
        text = self.session.get_modelmeta().custom_metadata_map.get("gatefill", "{}")
        info = json.loads(text)
        if info.get("kind") != "pipeline":
            raise Refusal(f"{model} is not the graph of a whole pipeline; give pipeline.onnx")
        self.contract = info["contract"]
        names = [entry.name for entry in self.session.get_inputs()]
        self.ports = {port["name"]: port for port in self.contract["inputs"]}
        self.guides = {name: self.ports[name] for name in names if name not in ("image", "mask")}

    def open(self, model: Path) -> Any:
        """A session that really runs where it is told to."""
        if not model.is_file():
            raise Refusal(f"there is no graph at {model}; it belongs beside infer.py")
        if not hasattr(onnxruntime, "InferenceSession"):
            raise Refusal("the package onnxruntime is broken; uninstall all its kinds, install one")
        wanted = PROVIDERS[self.provider] + "ExecutionProvider"
        if wanted not in onnxruntime.get_available_providers():
            there = ", ".join(onnxruntime.get_available_providers())
            raise Refusal(f"this onnxruntime was built without {wanted} (it has {there})")
        if self.provider in ("cuda", "tensorrt") and hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 3  # errors
        try:
            session = onnxruntime.InferenceSession(str(model), options, providers=[wanted])
        except Exception as problem:  # onnxruntime's errors share no base class
            raise Refusal(f"{model} cannot be run ({first_line(problem)}); get it anew") from None
        used = session.get_providers()[0]
        if used != wanted:
            raise Refusal(f"{wanted} does not load here and {used} would run instead; mend it")
        return session

    def __call__(self, feed: dict[str, np.ndarray]) -> np.ndarray:
        """The completed picture, (H, W, 3) uint8."""
        try:
            return np.moveaxis(self.session.run(None, feed)[0][0], 0, -1)
        except Exception as problem:  # as above
            raise Refusal(f"onnxruntime could not fill it ({first_line(problem)})") from None

    def vector(self, port: Port, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        """The look of a picture (3, H, W) outside `hole` (H, W): (1, C)."""
        model = self.model.with_name("generator.encode.onnx")
        if not model.is_file():
            raise Refusal(f"the look of a picture needs {model}; put it there, or give --seed")
        known = image[:, ~hole].mean(axis=1, dtype=np.float64)
        x = np.where(hole, known[:, None, None], image)[None].astype(np.float32) / 255
        if self.contract["order"] == "bgr":
            x = x[:, ::-1]
        ranged = self.ports["image"]
        x = x * np.float32(ranged["high"] - ranged["low"]) + np.float32(ranged["low"])
        return np.asarray(self.open(model).run(None, {"picture": x})[0])


def feed_of(pipeline: Pipeline, photo: Photo, mask: np.ndarray, args: Any) -> dict[str, np.ndarray]:
    """All inputs of the graph; `args` has a path, or None, for each guide."""
    image = np.moveaxis(photo.pixels, -1, 0)
    feed = {"image": image, "mask": mask[None]}
    for name, port in pipeline.guides.items():
        path = getattr(args, name)
        if port["kind"] == "vector":
            feed[name] = look(pipeline, port, path, (image, mask), args.seed)
        elif path is not None:
            feed[name] = fitted(path, READERS[port["kind"]](path, port), photo)
        elif port["kind"] == "labels":
            raise Refusal(f"this network needs --{name}, a {HELP['labels']}")
        else:
            feed[name] = nothing(port, feed, pipeline)
    # A vector has its batch already.
    return {k: np.ascontiguousarray(x if x.ndim == 2 else x[None]) for k, x in feed.items()}


def nothing(port: Port, feed: dict[str, np.ndarray], pipeline: Pipeline) -> np.ndarray:
    """What stands for a guide that is not given; things are as the labels are."""
    if port["kind"] == "map":
        return np.zeros((port["channels"], *feed["mask"].shape[1:]), np.uint8)
    labels = [x for n, x in feed.items() if pipeline.ports[n]["kind"] == "labels"]
    return (labels[0] if labels else np.zeros_like(feed["mask"])).astype(np.int32)


def look(
    pipeline: Pipeline, port: Port, path: Path | None, photo: Any, seed: int | None
) -> np.ndarray:
    """The vector of a reference picture, of the photo's own look, or drawn by seed: (1, C)."""
    image, mask = photo
    if path is not None:
        other = np.moveaxis(read_photo(path).pixels, -1, 0)
        return pipeline.vector(port, other, np.zeros(other.shape[1:], bool))
    if port["encoded"] and seed is None and (mask == 0).any():
        return pipeline.vector(port, image, mask > 0)
    random = np.random.default_rng((seed or 0, 0))
    return random.standard_normal((1, port["channels"]), dtype=np.float32)
