"""Every coordinate on its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lit_bg.transforms.base import Transform
from lit_bg.transforms.conditional import ConditionalMap


class Elementwise(Transform):
    """An elementwise map with free parameters: what a coupling becomes when there is nothing to depend on.

    Args:
        map: the elementwise map of all coordinates.
    """

    def __init__(self, map: ConditionalMap) -> None:
        super().__init__()
        self.map = map
        self.params = nn.Parameter(torch.zeros(map.n_params, len(map.kinds), 1))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        x, ladj = self.map(z.T, self.params.expand(-1, -1, len(z)))
        return x.T, ladj

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z, ladj = self.map.inverse(x.T, self.params.expand(-1, -1, len(x)))
        return z.T, ladj
