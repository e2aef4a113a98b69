"""Fill holes in photos. Needs numpy, pillow and onnxruntime, and the files beside this one.

  python infer.py PHOTO MASK -o FILLED.png
  python infer.py PHOTOS MASKS -o FOLDER

White in MASK is the hole; without MASK the hole is what is transparent. In folders the mask of
cat.jpg is cat.mask.png, cat_mask.png, cat-mask.png or cat.png, and guides are found likewise
(cat.sketch.png). Pixels outside the hole and its seam stay as they are; EXIF orientation is
applied, transparency and the colour profile are kept, other metadata is not.
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

    sys.dont_write_bytecode = True  # nothing is added to this folder
    # It lies beside this file, and no package of ours is there.
    from pictures import (  # type: ignore[import-not-found]
        FORMATS,
        READERS,
        Photo,
        Port,
        Refusal,
        fitted,
        format_of,
        partner,
        photos_below,
        read_mask,
        read_photo,
        save,
    )
except ImportError as problem:
    sys.exit(f"error: {problem}; get what is needed by `pip install -r requirements.txt`")

HERE = Path(__file__).resolve().parent
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
HELP = {
    "map": "what is drawn: light on dark, or on transparent ground",
    "labels": "map of labels: grey values, palette indices, or the network's colours; needed",
    "instances": "map whose numbers or colours differ from thing to thing",
}
"""By the kind of a port."""


class Pipeline:
    """The graph, and what it says of itself."""

    def __init__(self, model: Path, provider: str, threads: int):
        self.model, self.provider, self.threads = model, provider, threads
        self.session = self._open(model)
        about = self.session.get_modelmeta().custom_metadata_map.get("gatefill", "{}")
        info = json.loads(about)
        if info.get("kind") != "pipeline":
            raise Refusal(f"{model} is not the graph of a whole pipeline; give pipeline.onnx")
        ports: dict[str, Port] = {port["name"]: port for port in info["contract"]["inputs"]}
        names = [entry.name for entry in self.session.get_inputs()]
        self.guides = {name: ports[name] for name in names if name not in ("image", "mask")}
        """What the graph takes beside photo and mask, in its order."""

    def __call__(self, feed: dict[str, np.ndarray]) -> np.ndarray:
        """The completed picture, (H, W, 3) uint8."""
        filled = _run(self.session, feed)
        return np.ascontiguousarray(np.moveaxis(filled[0], 0, -1))

    def _open(self, model: Path) -> Any:
        """A session that really runs where it is told to."""
        if not model.is_file():
            raise Refusal(f"there is no graph at {model}; it belongs beside infer.py")
        wanted = _provider(self.provider)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 3  # errors
        try:
            session = onnxruntime.InferenceSession(str(model), options, providers=[wanted])
        except Exception as problem:  # onnxruntime's errors share no base class
            raise Refusal(f"{model} cannot be run ({_first_line(problem)}); get it anew") from None
        used = session.get_providers()[0]
        if used != wanted:
            raise Refusal(
                f"{wanted} does not load here, and onnxruntime would run {used} instead; install "
                "what it needs, or take --provider cpu"
            )
        return session


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0 all filled, 1 not, 2 wrong flags, 130 interrupted."""
    try:
        known = _parser().parse_known_args(argv)[0]
        pipeline = Pipeline(known.model, known.provider, known.threads)
        args = _parser(pipeline).parse_args(argv)
        if not args.photo.is_dir():
            fill(pipeline, args, args.photo, args.output)
            return 0
        return fill_folder(pipeline, args)
    except Refusal as problem:
        sys.stderr.write(f"error: {problem}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing is half written\n")
        return 130


def fill(pipeline: Pipeline, args: Namespace, photo_path: Path, output: Path) -> None:
    """Fill one photo; `args` has the paths that go with it."""
    photo = read_photo(photo_path)
    mask = hole_of(photo, photo_path, args.mask)
    alpha = photo.alpha
    if args.mask is None and alpha is not None:
        alpha = np.maximum(alpha, np.where(mask > 127, 255, 0).astype(np.uint8))
        alpha = None if (alpha == 255).all() else alpha
    format_of(output, alpha=alpha is not None)  # before the work, not after
    feed = feed_of(pipeline, photo, mask, args)
    started = time.perf_counter()
    pixels = pipeline(feed)
    seconds = time.perf_counter() - started
    save(output, photo, pixels, alpha)
    where = PROVIDERS[args.provider]
    sys.stderr.write(f"{output}: filled in {seconds:.2f} s by {where}\n")
    if not (mask > 127).any():
        sys.stderr.write("note: the mask is empty, so nothing is filled; white is the hole\n")


def fill_folder(pipeline: Pipeline, args: Namespace) -> int:
    """Fill every photo below a folder and go on after a bad one; 1 if any was."""
    if args.output.resolve() == args.photo.resolve():
        raise Refusal(f"-o is the folder of the photos itself, {args.output}; name another")
    done, failed = 0, 0
    for photo in photos_below(args.photo, [*pipeline.guides], args.output):
        name = photo.relative_to(args.photo)
        own = {"mask": args.mask} | {g: getattr(args, g, None) for g in pipeline.guides}
        try:
            found = {key: partner(photo, name, source, key) for key, source in own.items()}
            if args.mask is not None and found["mask"] is None:
                raise Refusal(f"{photo} has no mask in {args.mask}; add {name.stem}.mask.png")
            fill(pipeline, Namespace(**{**vars(args), **found}), photo, args.output / name)
            done += 1
        except Refusal as problem:
            sys.stderr.write(f"failed: {problem}\n")
            failed += 1
    if not done + failed:
        raise Refusal(f"no photos in {args.photo}; it needs files ending in {', '.join(FORMATS)}")
    sys.stderr.write(f"{done} filled, {failed} failed\n")
    return 1 if failed else 0


def hole_of(photo: Photo, path: Path, mask: Path | None) -> np.ndarray:
    """(H, W) uint8, above 127 = hole."""
    if mask is not None:
        return fitted(mask, read_mask(mask)[None], photo)[0]
    if photo.alpha is None:
        raise Refusal(f"{path} has no transparency to take the hole from; give a MASK")
    return 255 - photo.alpha


def feed_of(
    pipeline: Pipeline, photo: Photo, mask: np.ndarray, args: Namespace
) -> dict[str, np.ndarray]:
    """All inputs of the graph, (1, C, H, W) and (1, C)."""
    image = np.moveaxis(photo.pixels, -1, 0)
    feed = {"image": image[None], "mask": mask[None, None]}
    for name, port in pipeline.guides.items():
        path = getattr(args, name, None)
        if port["kind"] == "vector":
            feed[name] = drawn(port, args.seed)
        elif path is not None:
            feed[name] = fitted(path, READERS[port["kind"]](path, port), photo)[None]
        elif port["kind"] == "labels":
            raise Refusal(f"this network needs --{name}, a {HELP['labels']}")
        else:
            feed[name] = nothing(pipeline, port, feed)
    return {name: np.ascontiguousarray(x) for name, x in feed.items()}


def nothing(pipeline: Pipeline, port: Port, feed: dict[str, np.ndarray]) -> np.ndarray:
    """What stands for a guide that is not given; things are then as the labels are."""
    size = feed["mask"].shape[2:]
    if port["kind"] == "map":
        return np.zeros((1, port["channels"], *size), np.uint8)
    labels = [feed[n] for n, p in pipeline.guides.items() if n in feed and p["kind"] == "labels"]
    return labels[0].astype(np.int32) if labels else np.zeros((1, 1, *size), np.int32)


def drawn(port: Port, seed: int) -> np.ndarray:
    """A vector (1, C) of N(0, 1), as `python -m core fill --seed` draws it."""
    random = np.random.default_rng((seed, 0))
    return random.standard_normal((1, port["channels"]), dtype=np.float32)


def _parser(pipeline: Pipeline | None = None) -> argparse.ArgumentParser:
    """Without a pipeline only what opens one: which guides there are, the graph says."""
    about = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="infer.py", description=__doc__, formatter_class=about, add_help=pipeline is not None
    )
    parser.add_argument(
        "--model", type=Path, default=HERE / "pipeline.onnx", metavar="PATH",
        help="graph of the pipeline (default: the one beside this file)",
    )  # fmt: skip
    parser.add_argument(
        "--provider", choices=PROVIDERS, default="cpu", help="what runs it (default: cpu)"
    )
    parser.add_argument(
        "--threads", type=int, default=0, metavar="N", help="of the CPU (default: all cores)"
    )
    if pipeline is None:
        return parser
    parser.add_argument("photo", type=Path, metavar="PHOTO", help="photo, or folder of photos")
    parser.add_argument(
        "mask", type=Path, metavar="MASK", nargs="?", help="mask, or folder of masks"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT", help="file or folder"
    )
    for name, port in pipeline.guides.items():
        if port["kind"] == "vector":
            parser.add_argument("--seed", type=int, default=0, metavar="N", help=f"draws {name}")
        else:
            parser.add_argument(f"--{name}", type=Path, metavar="PATH", help=HELP[port["kind"]])
    return parser


def _provider(name: str) -> str:
    """ONNX Runtime's name of what is asked for, which must have been built in."""
    if not hasattr(onnxruntime, "InferenceSession"):
        raise Refusal("onnxruntime is broken; uninstall all packages of that name, install one")
    there = onnxruntime.get_available_providers()
    if PROVIDERS[name] not in there:
        raise Refusal(
            f"this onnxruntime was built without {PROVIDERS[name]} (it has {', '.join(there)}); "
            "install the package for that device"
        )
    if name in ("cuda", "tensorrt") and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # NVIDIA's libraries as pip installs them
    return PROVIDERS[name]


def _run(session: Any, feed: dict[str, np.ndarray]) -> np.ndarray:
    """The first output."""
    try:
        return np.asarray(session.run(None, feed)[0])
    except Exception as problem:  # onnxruntime's errors share no base class
        raise Refusal(f"onnxruntime cannot fill it ({_first_line(problem)})") from None


def _first_line(problem: Exception) -> str:
    return str(problem).strip().splitlines()[0] if str(problem).strip() else "no reason given"


if __name__ == "__main__":
    sys.exit(main())
