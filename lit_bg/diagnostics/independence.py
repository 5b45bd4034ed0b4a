"""Tests whether proposals are independent."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lit_bg.estimators.time_series import statistical_inefficiency

NEAR = 1e-3  # of a typical distance: two configurations so near are one, where chance does not bring them together
CHANCE = 1e-3  # pairs that chance may bring so near, in all proposals
NEIGHBOURS = 3  # along a line, among which a copy is looked for
MOST_SERIES = 12  # numbers of a configuration that are followed in the order of drawing
LAGS = 10
PORTMANTEAU = 60.0  # of LAGS autocorrelations: chi-squared of 10 degrees of freedom exceeds it once in 3e8
LEAST_INEFFICIENCY = 1.05


@dataclass(frozen=True)
class EffectiveDraws:
    """Says how many of the proposals are independent draws.

    Attributes:
        drawn: proposals as they came.
        distinct: of them, those that repeat no other.
        inefficiency: draws per independent draw, from their correlation in the order of drawing; 1 where there is none.
        coordinates: of a configuration; of a single one chance repeats some values.
    """

    drawn: int
    distinct: int
    inefficiency: float
    coordinates: int = 2

    @property
    def left(self) -> float:
        """Return the number of independent draws, n."""
        return self.distinct / self.inefficiency


def find_repeats(x: Tensor) -> Tensor:
    r"""Mark configurations that repeat another one, all but one of each, (n,) bool.

    Two are the same when their distance, in units of the width of every coordinate, is below $10^{-3}$ of a typical one, and
    below what chance brings together: $n^2 r^D < 10^{-3}$. So a copy with a little noise is a copy in many dimensions, and in
    one only equal numbers are; of these chance makes some in float32, which is for the reader of the count to know. Copies
    are looked for among neighbours along one random line, which takes n log n steps.

    Args:
        x: configurations of a continuous space, (n, *event_shape).

    >>> find_repeats(torch.tensor([[0.0, 1.0], [2.0, 0.5], [0.0, 1.0], [1.0, 3.0]])).sum()
    tensor(1)
    """
    z = x.detach().flatten(1).double().cpu()
    n, d = z.shape
    if n < 2:
        return torch.zeros(n, dtype=torch.bool)
    z = (z - z.mean(0)) / z.std(0).clamp_min(torch.finfo(torch.float64).tiny)
    z = z.nan_to_num(0.0, 0.0, 0.0)
    line = torch.randn(d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    order = torch.argsort(z @ line, stable=True)
    z = z[order]
    near = min(NEAR, (CHANCE / n**2) ** (1 / d)) * math.sqrt(2 * d)
    repeated = torch.zeros(n, dtype=torch.bool)
    for k in range(1, min(NEIGHBOURS, n - 1) + 1):
        repeated[k:] |= (z[k:] - z[:-k]).norm(dim=1) <= near
    found = torch.zeros(n, dtype=torch.bool)
    found[order] = repeated
    return found


def serial_inefficiency(x: Tensor, *numbers: Tensor) -> float:
    r"""Return the draws per independent draw, from correlation in the order of drawing; 1 where there is none.

    Followed are the `numbers` of a configuration (its energy, say) and some of its coordinates, each by its ranks, so that
    heavy tails do not matter. Of independent draws $n \sum_{k \le 10} \rho_k^2$ is chi-squared of ten degrees of freedom; where
    it says otherwise, the statistical inefficiency counts. Draws that avoid each other (antithetic, quasi-random) are not
    counted against a generator.

    Args:
        x: configurations in the order of drawing, (n, *event_shape).
        numbers: one value per configuration, (n,) each.
    """
    from scipy.stats import rankdata

    flat = x.detach().flatten(1)
    columns = torch.linspace(0, flat.shape[1] - 1, min(flat.shape[1], MOST_SERIES)).long().unique()
    series = [*(v.detach() for v in numbers), *flat[:, columns.to(flat.device)].T]
    worst = 1.0
    for a in series:
        a = a.double().cpu()
        rank = torch.from_numpy(rankdata(a.nan_to_num(0.0, 0.0, 0.0).numpy()))  # equal values share a rank
        n = len(rank)
        if n < 10 * LAGS or a.min() == a.max():
            continue
        centred = rank - rank.mean()
        rho = torch.stack([(centred[k:] * centred[:-k]).sum() for k in range(1, LAGS + 1)]) / centred.square().sum()
        if n * rho.square().sum() > PORTMANTEAU and rho.sum() > 0:
            g = statistical_inefficiency(rank)
            worst = max(worst, g if g > LEAST_INEFFICIENCY else 1.0)
    return worst
