"""The processes of a run, as PyTorch's launcher starts them: `torchrun ... -m trainer ...`.

One process is rank 0, the one that writes. What all must do alike (stop, save, give up) is agreed
on by small reductions in main memory (gloo), so that no device has to wait for them.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from core.backends import choose_device
from core.errors import BackendError, InpaintError, TrainingError

GONE = re.compile(
    "closed by peer|connection re(set|fused)|broken pipe|timed out|remote process", re.IGNORECASE
)
"""What gloo and NCCL say when another process is no longer there; they have no error of its own."""


class PeerFailed(TrainingError):
    """Another process of the run failed, and it is that one that says why."""


class PeersLost(TrainingError):
    """Another process of the run is gone, as when it was killed or its machine failed."""


@dataclass(frozen=True)
class Ranks:
    """Where a process stands among those of its run."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def highest(self, number: int) -> int:
        """The largest of the numbers that the processes give; each gets it."""
        if self.world == 1:
            return number
        numbers = torch.tensor(number)
        dist.all_reduce(numbers, dist.ReduceOp.MAX)
        return int(numbers)

    def mean(self, x: Tensor) -> Tensor:
        """Mean of `x` over the processes, on its device and without waiting for it."""
        if self.world == 1:
            return x
        x = x.detach().clone()
        dist.all_reduce(x)
        return x / self.world

    @contextmanager
    def together(self) -> Iterator[None]:
        """What fails in one process fails in all: the lowest such rank keeps its InpaintError.

        The others raise PeerFailed. Nobody leaves the block before all have come to its end, and
        inside it nobody may wait for another.
        """
        problem = None
        try:
            yield
        except InpaintError as caught:
            problem = caught
        # Rank 0 counts highest; 0 is no failure.
        failed = self.highest(0 if problem is None else self.world - self.rank)
        if problem is not None and failed == self.world - self.rank:
            raise problem
        if failed:
            raise PeerFailed(f"process {self.world - failed} failed; it says why")

    def learner(self, module: nn.Module, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, which uses the parameters of `module`; gradients are means over processes."""
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(_Called(module, function), device_ids=devices)


ALONE = Ranks(torch.device("cpu"))
"""One process; the device matters only to those who ask for it."""


def sharing(function: Callable[..., Any], *, last: bool) -> AbstractContextManager[Any]:
    """Gradients add up in each process; with the last micro-batch all of them are averaged."""
    if isinstance(function, DistributedDataParallel) and not last:
        return function.no_sync()
    return nullcontext()


class _Called(nn.Module):
    """A module that is called by another of its methods, possibly a compiled one."""

    def __init__(self, module: nn.Module, function: Callable[..., Any]):
        super().__init__()
        self.module = module
        self.function = function

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs)


@contextmanager
def process_group(device: str) -> Iterator[Ranks]:
    """The processes that the launcher started, connected; without a launcher this one alone.

    Raises BackendError for a device that is not there, PeersLost if another process is gone.
    """
    world = int(os.environ.get("WORLD_SIZE", 1))
    if world == 1:
        yield Ranks(choose_device(device))
        return
    ranks = Ranks(_own_device(device), int(os.environ["RANK"]), world)
    try:
        _connect(ranks)
        yield ranks
    except RuntimeError as problem:
        if GONE.search(str(problem)) is None:
            raise
        raise PeersLost(
            f"process {ranks.rank} lost the others: one of them is gone; with --max-restarts the "
            "launcher starts all of them again, and they go on from the last checkpoint"
        ) from None
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _connect(ranks: Ranks) -> None:
    # After a restart the launcher's store still holds the addresses of the processes before (seen
    # with PyTorch 2.13), and who reads one of those waits in vain: each start has keys of its own.
    store, rank, world = next(dist.rendezvous("env://"))
    start = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if ranks.device.type == "cuda" else "gloo",
        store=dist.PrefixStore(f"start-{start}", store),
        rank=rank,
        world_size=world,
    )


def _own_device(name: str) -> torch.device:
    """The device of this process among those on its machine."""
    local, here = int(os.environ["LOCAL_RANK"]), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    device = choose_device(name)
    if device.type == "mps" or (device.index is not None and here > 1):
        raise BackendError(
            f"{here} processes on this machine cannot share --device {device}; "
            "use --device cuda, which gives each its own GPU, or --device cpu"
        )
    if device.type != "cuda" or device.index is not None:
        return device
    if torch.cuda.device_count() < here:
        raise BackendError(
            f"{here} processes were started on a machine with {torch.cuda.device_count()} GPUs; "
            "start at most one per GPU (--nproc-per-node), or use --device cpu"
        )
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


def restarts() -> int:
    """How often the launcher has started these processes again after one of them had died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) if _launch() else 0


def meant_to_end() -> int | None:
    """The exit code with which these processes ended on purpose before they were restarted."""
    launch = _launch()
    if launch is None or not restarts():
        return None
    try:
        return int((launch / MARK).read_text())
    except (OSError, ValueError):
        return None


def mean_to_end(code: int) -> None:
    """Say that the processes end on purpose: the launcher takes any code but 0 for a crash."""
    launch = _launch()
    if launch is not None:
        (launch / MARK).write_text(str(code))


MARK = "gatefill-ended"


def _launch() -> Path | None:
    """The folder of this launch of torchrun: <folder>/attempt_N/<local rank>/error.json."""
    told = Path(os.environ.get("TORCHELASTIC_ERROR_FILE", ""))
    attempt = told.parent.parent
    return attempt.parent if attempt.name.startswith("attempt_") else None
