"""Elementwise layers: every coordinate is mapped on its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lit_bg.nets.mlp import MLP
from lit_bg.transforms.base import Layer
from lit_bg.transforms.conditional import ConditionalMap


class Elementwise(Layer):
    """Maps elementwise with free parameters: a coupling becomes this when it depends on nothing but conditions.

    Args:
        map: the elementwise map of all coordinates.
        conditions: number of conditions, which a network adds to the parameters.
        hidden: widths of its hidden layers.
    """

    def __init__(self, map: ConditionalMap, conditions: int = 0, hidden: Sequence[int] = (64, 64)) -> None:
        super().__init__()
        self.map = map
        self.params = nn.Parameter(torch.zeros(map.n_params, len(map.kinds), 1))
        self.net = MLP(conditions, len(map.kinds) * map.n_params, hidden) if conditions else None

    def _params(self, n: int, context: Tensor | None) -> Tensor:
        """Map (B, C) or None -> (n_params, d, B)."""
        params = self.params.expand(-1, -1, n)
        if self.net is None or context is None:
            return params
        return params + self.net(context).T.unflatten(0, (self.map.n_params, -1))

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, ladj = self.map(z.T, self._params(len(z), context))
        return x.T, ladj

    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, ladj = self.map.inverse(x.T, self._params(len(x), context))
        return z.T, ladj
