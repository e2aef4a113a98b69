"""What layers do while a network runs, kept for whoever wants to look at it."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from .attention import ContextualAttention
from .gated import GatedConv2d
from .separate import SeparateGatedConv2d


def gated_layers(network: nn.Module) -> list[str]:
    """The names of all layers that have a gate, in the order of the network."""
    return [name for name, layer in network.named_modules() if is_gated(layer)]


def is_gated(layer: nn.Module) -> bool:
    """Whether `recorded_gates` has something to record there."""
    return isinstance(layer, SeparateGatedConv2d) or (
        isinstance(layer, GatedConv2d) and layer.gated
    )


@contextmanager
def recorded_gates(
    network: nn.Module, names: Collection[str] | None = None
) -> Iterator[dict[str, Tensor]]:
    """Collect the gates of every gated layer of `network` that runs inside the `with` block.

    Gives layer name -> (N, out_channels, h, w) in [0, 1], as figure 3 of Yu et al. 2019 pictures
    them. names: only of these layers.
    """
    gates: dict[str, Tensor] = {}

    def hooked(name: str) -> RemovableHandle:
        layer = network.get_submodule(name)
        # The second half of one convolution is the gate, or it has a convolution of its own.
        separate = isinstance(layer, SeparateGatedConv2d)

        def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            gates[name] = (output if separate else output.chunk(2, dim=1)[1]).sigmoid()

        return layer.get_submodule("gate" if separate else "conv").register_forward_hook(record)

    with _removed([hooked(x) for x in gated_layers(network) if names is None or x in names]):
        yield gates


@contextmanager
def recorded_attention(network: nn.Module) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Collect where every attention of `network` copies from that runs inside the `with` block.

    Gives layer name -> what `ContextualAttention.strongest` says of its inputs.
    """
    found: dict[str, tuple[Tensor, Tensor]] = {}

    def recorder(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def record(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            assert isinstance(module, ContextualAttention)  # no other has this hook
            found[name] = module.strongest(*inputs)

        return record

    handles = [
        layer.register_forward_pre_hook(recorder(name))
        for name, layer in network.named_modules()
        if isinstance(layer, ContextualAttention)
    ]
    with _removed(handles):
        yield found


@contextmanager
def _removed(handles: list[RemovableHandle]) -> Iterator[None]:
    """Takes all hooks away again."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
