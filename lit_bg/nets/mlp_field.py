"""A velocity field without structure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_bg.nets.field import VectorField
from lit_bg.nets.time_features import TIMES, time_features

if TYPE_CHECKING:
    from lit_bg.spaces import Target


class MLPField(VectorField):
    """Gives v by a fully connected network of configuration, time and conditions, for shape (D,); it starts as v = 0.

    The divergence is propagated forward with the values: D tangents at the cost of D passes, without a graph of its own.

    Args:
        hidden: widths of the hidden layers.

    Raises:
        ValueError: no hidden layer; from `build`, a system of particles.
    """

    def __init__(self, hidden: Sequence[int] = (64, 64, 64)) -> None:
        super().__init__()
        self.hidden = tuple(hidden)
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"MLPField needs one hidden layer or more, of one unit or more, got {self.hidden}.")

    def build(self, energy: Target) -> Self:
        if energy.space.shape != (energy.space.dim,):
            raise ValueError(
                f"MLPField takes vectors, and {type(energy).__name__} has {energy.space}: use a field for particles (EGNN), or "
                "CouplingFlow."
            )
        self.event_shape, self.context = energy.space.shape, len(energy.conditions)
        n = energy.space.dim
        widths = [n + TIMES + self.context, *self.hidden]
        linear = [nn.Linear(a, b) for a, b in itertools.pairwise(widths)]
        self.layers = nn.ModuleList(linear)
        self.last = nn.Linear(widths[-1], n)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        return self

    def _features(self, t: Tensor, x: Tensor, context: Tensor | None) -> Tensor:
        known = [] if context is None else [context]
        return torch.cat([x, time_features(t), *known], -1)

    def forward(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        h = self._features(t, x, context)
        for layer in self.layers:
            h = F.silu(layer(h))
        return self.last(h)

    def with_divergence(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        h = self._features(t, x, context)
        n = x.shape[1]
        tangent = torch.eye(len(h[0]), n, device=x.device, dtype=x.dtype).T[None]  # dh / dx_k, (B or 1, D, width)
        for layer in self.layers:
            a = layer(h)
            gate = torch.sigmoid(a)
            h = a * gate
            slope = (gate * (1 + a - h))[:, None]  # of silu
            tangent = slope * F.linear(tangent, layer.get_parameter("weight"))
        return self.last(h), torch.einsum("bkh,kh->b", tangent, self.last.weight)
