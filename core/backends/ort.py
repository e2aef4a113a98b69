"""ONNX Runtime as the backend, on whatever of its execution providers is asked for."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import BackendError
from ..extras import need
from ..graph import METADATA_KEY, GraphInfo
from ..parts import ports_of
from .graph import GraphBackend, Runner, check_generator, check_sibling, sibling_paths
from .providers import check_providers, provider_of


class OrtBackend(GraphBackend):
    """Runs exported graphs by ONNX Runtime.

    device: cpu, cuda, tensorrt, rtx, directml, coreml, or "" = cpu; threads: 0 = as many as there
    are cores. Raises BackendError for a graph or a device that cannot be used.
    """

    def __init__(self, path: Path, device: str = "", threads: int = 0):
        session = open_session(path, device, threads)
        info = session_info(session, path)
        check_generator(info, path)
        sessions = {"run": session}
        for part, file in sibling_paths(info, path).items():
            if part != "run":
                sessions[part] = open_session(file, device, threads)
                check_sibling(info, session_info(sessions[part], file), file)
        runners: Any = {part: runner_of(one, info, part) for part, one in sessions.items()}
        provider = session.get_providers()[0]
        super().__init__(info, runners, f"{provider} of ONNX Runtime")


def open_session(path: Path, device: str = "", threads: int = 0) -> Any:
    """An `onnxruntime.InferenceSession` that really runs on `device`."""
    ort = need("onnxruntime", "onnx")
    if not path.is_file():
        raise BackendError(f"no graph at {path}; `python -m export.onnx` makes one")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors; what a user must know is said by check_providers
    wanted = provider_of(device)
    try:
        session = ort.InferenceSession(str(path), options, providers=[wanted])
    except Exception as problem:  # onnxruntime's errors share no base class
        raise BackendError(
            f"{path} cannot be run by ONNX Runtime ({first_line(problem)}); export it again"
        ) from None
    check_providers(wanted, session.get_providers())
    return session


def session_info(session: Any, path: Path) -> GraphInfo:
    """What the graph of a session says of itself."""
    found = session.get_modelmeta().custom_metadata_map
    return GraphInfo.from_json(found.get(METADATA_KEY, ""), str(path))


def runner_of(session: Any, info: GraphInfo, part: Any) -> Runner:
    """What runs one part by its session."""
    names = [port.name for port in ports_of(info.contract, part)[0]]

    def run(*inputs: Tensor) -> Tensor:
        feed = {n: x.detach().cpu().numpy() for n, x in zip(names, inputs, strict=True)}
        return torch.from_numpy(session.run(None, feed)[0]).to(inputs[0].device)

    return run


def first_line(problem: Exception) -> str:
    """The first line of an error's text, for a sentence."""
    return str(problem).strip().partition("\n")[0][:300]
