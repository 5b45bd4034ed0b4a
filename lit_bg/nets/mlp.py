"""The fully connected network that sets the parameters of a coupling layer."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MLP(nn.Module):
    """Chains fully connected layers with SiLU activations; the last layer starts at zero.

    Zero output makes every map of `lit_bg.transforms` the identity, so a flow starts as its prior.

    Args:
        n_in: features in.
        n_out: features out.
        hidden: widths of the hidden layers; none gives a linear map.

    Raises:
        ValueError: a width below one.

    >>> MLP(3, 5, hidden=(8,))(torch.randn(2, 3)).abs().sum().item()
    0.0
    """

    layers: list[nn.Linear]

    def __init__(self, n_in: int, n_out: int, hidden: Sequence[int] = (64, 64)) -> None:
        super().__init__()
        widths = [n_in, *hidden, n_out]
        if min(widths) < 1:
            raise ValueError(f"every layer of an MLP needs at least one unit, got widths {widths}.")
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths[:-1]))  # type: ignore[assignment]
        self.weight = nn.Parameter(torch.zeros(n_out, widths[-2]))
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, n_in) -> (B, n_out); in memory the batch is the fast axis, as elementwise maps like it."""
        x = x.T
        for layer in self.layers:
            x = F.silu(torch.addmm(layer.bias[:, None], layer.weight, x))
        return torch.addmm(self.bias[:, None], self.weight, x).T
