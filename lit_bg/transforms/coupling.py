"""Coupling layers: one part of the coordinates is moved as the rest says."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lit_bg.nets.mlp import MLP
from lit_bg.spaces.domain import Kind
from lit_bg.transforms.base import Layer
from lit_bg.transforms.conditional import ConditionalMap


class Coupling(Layer):
    r"""Moves one half of the coordinates by an elementwise map whose parameters come from the other half.

    $x_A = z_A$, $x_B = \tau(z_B; \theta(z_A))$: the Jacobian is triangular, so its determinant is that of
    $\tau$ alone. The network sees circular coordinates as sine and cosine, all others as they are.

    Args:
        map: the elementwise map of the moved half.
        frozen: kinds of the half that stays, (a,), a >= 1.
        hidden: widths of the network's hidden layers.
        first: whether the half that stays comes first.
        conditions: number of conditions, which the network sees as well.

    References:
        Dinh, Sohl-Dickstein, Bengio, Density estimation using Real NVP (2017), arXiv:1605.08803.
    """

    circular: Tensor
    other: Tensor

    def __init__(
        self,
        map: ConditionalMap,
        frozen: Tensor,
        hidden: Sequence[int] = (64, 64),
        first: bool = True,
        conditions: int = 0,
    ) -> None:
        super().__init__()
        self.map = map
        self.first = first
        self.sizes = (len(frozen), len(map.kinds)) if first else (len(map.kinds), len(frozen))
        self.register_buffer("circular", torch.nonzero(frozen == Kind.CIRCULAR)[:, 0])
        self.register_buffer("other", torch.nonzero(frozen != Kind.CIRCULAR)[:, 0])
        n_in = len(self.other) + 2 * len(self.circular) + conditions
        self.net = MLP(n_in, len(map.kinds) * map.n_params, hidden)

    def _params(self, frozen: Tensor, context: Tensor | None) -> Tensor:
        """Map (a, B), (B, C) or None -> (n_params, b, B)."""
        angle = math.pi * frozen[self.circular]
        known = [] if context is None else [context.T]
        features = torch.cat([frozen[self.other], torch.sin(angle), torch.cos(angle), *known])
        return self.net(features.T).T.unflatten(0, (self.map.n_params, -1))

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        halves = z.T.split(self.sizes)
        frozen, moved = halves if self.first else halves[::-1]
        moved, ladj = self.map(moved, self._params(frozen, context))
        return torch.cat([frozen, moved] if self.first else [moved, frozen]).T, ladj

    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        halves = x.T.split(self.sizes)
        frozen, moved = halves if self.first else halves[::-1]
        moved, ladj = self.map.inverse(moved, self._params(frozen, context))
        return torch.cat([frozen, moved] if self.first else [moved, frozen]).T, ladj
