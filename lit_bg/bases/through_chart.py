"""A base density of configurations, as a flow in other coordinates sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from lit_bg.bases.base import BaseDensity
from lit_bg.energies.base import Energy
from lit_bg.spaces import Space

if TYPE_CHECKING:
    from lit_bg.transforms.base import Chart


class ThroughChart(BaseDensity):
    r"""Expresses another base in the coordinates of a chart: $\log p(z) = \log p(x(z)) + \log|\det dx/dz|$.

    Args:
        base: it, built for the system.
        chart: from coordinates to configurations; whoever made it keeps its parameters.
    """

    normalised = True

    def __init__(self, base: BaseDensity, chart: Chart) -> None:
        super().__init__()
        self.base = base
        self.charts = (chart,)  # a tuple, or the chart would be a part of this module too
        self.space = chart.space

    def build(self, energy: Energy, space: Space | None = None) -> Self:
        return self

    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        x, log_p = self.base.sample(n, rng)
        z, ladj = self.charts[0].inverse(x)
        return z, log_p - ladj

    def log_prob(self, z: Tensor) -> Tensor:
        x, ladj = self.charts[0](z)
        return self.base.log_prob(x) + ladj
