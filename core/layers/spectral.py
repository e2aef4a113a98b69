"""Spectral normalisation (Miyato et al. 2018): a layer's weight over its largest singular value."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import full_precision


def power_iteration(matrix: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """One round of algorithm 1: v from u, then u from v, both constants for the gradient.

    matrix (rows, columns), u (rows,) -> new u (rows,) and v (columns,), of length 1.
    """
    with torch.no_grad():
        v = F.normalize(u @ matrix, dim=0)
        return F.normalize(matrix @ v, dim=0), v


class SpectralConv2d(nn.Conv2d):
    """A convolution whose weight is divided by its largest singular value, about.

    One power iteration per forward in training; in evaluation the stored vectors are used as they
    are. As `torch.nn.utils.spectral_norm`, but a copy of it and a compiled graph work.
    """

    u: Tensor
    v: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel: int, **options: int | bool):
        super().__init__(in_channels, out_channels, kernel, **options)  # type: ignore[arg-type]
        matrix = self.weight.detach().flatten(1)
        # One iteration, or a fresh layer in evaluation would divide by about nothing.
        u, v = power_iteration(matrix, F.normalize(torch.randn(len(matrix)), dim=0))
        self.register_buffer("u", u)
        self.register_buffer("v", v)

    def forward(self, x: Tensor) -> Tensor:
        with full_precision(x):
            weight = self.weight / self._sigma()
        return self._conv_forward(x, weight, self.bias)

    @torch.no_grad()
    def merged(self) -> nn.Conv2d:
        """A plain convolution that computes what this one does in evaluation."""
        plain = nn.Conv2d(
            self.in_channels, self.out_channels, self.kernel_size,  # type: ignore[arg-type]
            self.stride, self.padding, self.dilation, self.groups, self.bias is not None,  # type: ignore[arg-type]
            self.padding_mode, self.weight.device, self.weight.dtype,
        )  # fmt: skip
        matrix = self.weight.flatten(1)
        plain.weight.copy_(self.weight / torch.dot(self.u, matrix @ self.v))
        if self.bias is not None and plain.bias is not None:
            plain.bias.copy_(self.bias)
        return plain.train(self.training)

    def _sigma(self) -> Tensor:
        """The largest singular value of the kernel as a matrix (out_channels, the rest), about."""
        matrix = self.weight.flatten(1)
        if self.training:
            u, v = power_iteration(matrix, self.u)
            self.u.copy_(u)
            self.v.copy_(v)
        # Copies: the next forward changes the buffers in place before the backward has used them.
        return torch.dot(self.u.clone(), matrix @ self.v.clone())
