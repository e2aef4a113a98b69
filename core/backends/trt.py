"""TensorRT as the backend: engines that `python -m export.trt` built on this very machine."""

from pathlib import Path
from typing import Any

from ..engine_lookup import check_here, lookup, lookup_part
from ..engines import EngineRecord, read_record
from ..errors import BackendError
from ..files import sha256_of
from ..parts import Part, ports_of
from .cuda import Cuda
from .graph import GraphBackend, Runner, check_generator, check_sibling
from .lanes import Engine
from .trt_module import load_tensorrt, make_log, problems_of


class TrtBackend(GraphBackend):
    """Runs the engines of a network, all its parts, by TensorRT; any thread may call it.

    path: an engine, or an ONNX file with its engines beside it. lanes: calls that run at once, each
    with memory of its own; graphs: whether shapes that come again are run as CUDA graphs.
    Raises BackendError for an engine of another machine, and says what builds one for this.
    """

    def __init__(self, path: Path, gpu: Cuda, *, lanes: int = 2, graphs: bool = True):
        trt = load_tensorrt()
        machine = gpu.machine(trt.__version__)
        engine = lookup(path, path.parent, machine) if path.suffix == ".onnx" else path
        record = read_record(engine)
        check_here(engine, record, machine)
        check_generator(record.info, engine)
        runners: dict[Part, Runner] = {}
        for part in record.info.parts:
            file = engine if part == "run" else lookup_part(engine, record, part, machine)
            one = read_record(file)
            check_sibling(record.info, one.info, file)
            names = [port.name for port in ports_of(one.info.contract, part)[0]]
            loaded = load_engine(trt, file, one, gpu)
            runners[part] = Engine(trt, loaded, gpu, names, takes(one), lanes=lanes, graphs=graphs)
        super().__init__(record.info, runners, f"TensorRT {machine.tensorrt} on {machine.gpu}")


def open_trt(path: Path, device: str = "") -> TrtBackend:
    """The backend of an engine, or of those for this machine beside an ONNX file.

    device: cuda, cuda:1, ..., or "". Raises BackendError where TensorRT, a GPU or the engine is
    missing, or the engine is of another machine.
    """
    load_tensorrt()
    return TrtBackend(path, Cuda(device))


def find_engine(onnx_path: Path, folder: Path, device: str = "") -> Path:
    """The engine in `folder` of the graph at `onnx_path` that runs on this machine's `device`.

    Raises BackendError, which says what is missing or differs.
    """
    trt = load_tensorrt()
    return lookup(onnx_path, folder, Cuda(device).machine(trt.__version__))


def load_engine(trt: Any, path: Path, record: EngineRecord, gpu: Cuda) -> Any:
    """The engine at `path` as TensorRT's object, with its weights in place."""
    plan = path.read_bytes() if path.is_file() else b""
    if not plan or sha256_of(path) != record.plan_sha256:
        raise BackendError(
            f"{path} is missing or was changed since it was built; build it again by "
            f"`{record.command(path.with_name(record.model + '.onnx'), path.parent)}`"
        )
    log = make_log(trt)
    runtime = trt.Runtime(log)
    # A version-compatible plan brings code of its own, which TensorRT runs only if it may.
    runtime.engine_host_code_allowed = record.options.version_compatible
    with gpu.here():
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise BackendError(f"TensorRT does not load {path} ({problems_of(log)})")
        if record.options.stripped:
            refit(trt, engine, weights_of(path, record), log)
    return engine


def weights_of(path: Path, record: EngineRecord) -> Path:
    """The ONNX file with the weights of the stripped engine at `path`: beside it or one above."""
    name = record.model + ".onnx"
    for onnx in (path.with_name(name), path.resolve().parent.parent / name):
        if onnx.is_file() and sha256_of(onnx) == record.onnx_sha256:
            return onnx
    raise BackendError(
        f"{path} has no weights inside (--strip-weights); put the {name} that it was built of "
        f"beside it, in {path.parent}"
    )


def refit(trt: Any, engine: Any, onnx: Path, log: Any) -> None:
    """Put the weights of the ONNX file into an engine that was built without any."""
    refitter = trt.Refitter(engine, log)
    parser = trt.OnnxParserRefitter(refitter, log)
    if not parser.refit_from_file(str(onnx)) or not refitter.refit_cuda_engine():
        found = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        raise BackendError(
            f"the weights of {onnx} do not go into the engine "
            f"({'; '.join(found) or problems_of(log)}); build it again without --strip-weights"
        )


def takes(record: EngineRecord) -> str:
    """The sizes that an engine takes and what builds another, for a sentence."""
    spans = {
        "batches": record.profile.batch,
        "heights": record.profile.height,
        "widths": record.profile.width,
    }
    text = ", ".join(f"{name} of {span[0]} to {span[2]}" for name, span in spans.items())
    return f"it was built for {text}; build one for more by `python -m export.trt` with --max"
