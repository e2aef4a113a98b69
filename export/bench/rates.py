"""What the machine can do at best, measured, and how much work the network is."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from core.backends import choose_device
from core.errors import ConfigError
from core.weights import load_weights

from .cases import Case
from .paths import network_inputs
from .torch_paths import DTYPES

SIDES = {"cpu": 2048, "cuda": 8192}
"""Of the matrices that are multiplied, at most."""
LEAST, PATIENCE = 256, 1.0
"""Their least side; seconds that a product may take. A CPU without float16 takes a minute."""
BYTES = {"cpu": 256 << 20, "cuda": 4 << 30}
"""That are copied; more than any cache holds but the largest servers'."""
TIMES = 5


def machine_rates(device: str, threads: int) -> dict[str, Any]:
    """Operations a second of a matrix product in each precision, bytes a second of a copy.

    A product of side n counts 2 n^3 operations, a copy the bytes read and those written. Each is
    the best of a few.
    """
    torch.set_num_threads(threads)
    place = choose_device(device)
    most = SIDES.get(place.type, SIDES["cpu"])
    rates: dict[str, Any] = {
        name: product_rate(dtype, place, most) for name, dtype in DTYPES.items()
    }
    count = BYTES.get(place.type, BYTES["cpu"]) // 4
    source = torch.ones(count, device=place)
    target = torch.empty_like(source)
    rates["copy"] = 8 * count / best(lambda: target.copy_(source), place)
    return rates


def product_rate(dtype: torch.dtype, place: torch.device, most: int) -> float:
    """Operations a second of products of sides up to `most`, as far as they do not take long."""
    side = min(LEAST, most)
    while True:
        a, b = (torch.randn(side, side, device=place).to(dtype) for _ in range(2))
        seconds = best(lambda a=a, b=b: a @ b, place)  # type: ignore[misc]
        if side >= most or 8 * seconds > PATIENCE:
            return 2 * side**3 / seconds
        side *= 2


def best(work: Callable[[], Any], device: torch.device) -> float:
    """Seconds of the quickest of a few runs, after one that does not count."""
    found = []
    for _ in range(TIMES + 1):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - started)
    return min(found[1:])


def network_work(weights: str, case: Case) -> dict[str, int]:
    """How much one run at the size of `case` is, every query of the attention computed.

    `operations`: multiplications and additions of convolutions and matrix products. `bytes`: what
    all operations in float32 read and write when none is merged with another.
    """
    torch.set_num_threads(case.subject.threads)
    place = choose_device(case.subject.device)
    generator = load_weights(Path(weights)).to(place)
    try:
        inputs = [x.to(place) for x in network_inputs(generator.contract, case)]
    except ConfigError:
        return {}
    counter, traffic = FlopCounterMode(display=False), Traffic()
    with torch.inference_mode(), counter, traffic:
        generator(*inputs)
    return {"operations": counter.get_total_flops(), "bytes": traffic.total}


class Traffic(TorchDispatchMode):
    """Counts the bytes of all tensors that operations take and give; views move nothing."""

    total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = func(*args, **(kwargs or {}))
        if not func.is_view:
            leaves = (*tree_leaves((args, kwargs)), *tree_leaves(given))
            self.total += sum(x.nbytes for x in leaves if isinstance(x, Tensor))
        return given
