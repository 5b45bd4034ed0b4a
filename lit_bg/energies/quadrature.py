"""Exact answers for Boltzmann distributions of one variable, and of one projection of two, by quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

TOLERANCE = 1e-6  # of a probability


class Boltzmann1D:
    """Integrates the distribution exp(-u(s)) / Z on an interval, exact to about 1e-12 for smooth u that ends high.

    The trapezoid rule converges faster than any power of the step for a smooth integrand that vanishes
    at both ends, so a plain grid is enough.

    Args:
        u: reduced energy, (K,) -> (K,), float64.
        lower, upper: an interval holding all the probability.
        points: of the grid.

    >>> gauss = Boltzmann1D(lambda s: s**2 / 2, -10, 10)
    >>> round(gauss.log_Z, 9) == round(0.5 * math.log(2 * math.pi), 9)
    True
    """

    def __init__(self, u: Callable[[Tensor], Tensor], lower: float, upper: float, points: int = 20001) -> None:
        self.u = u
        self.s = torch.linspace(lower, upper, points, dtype=torch.float64)
        log_p = -u(self.s)
        self.log_Z = torch.logsumexp(log_p, 0).item() + math.log((upper - lower) / (points - 1))
        self.p = torch.softmax(log_p, 0)  # (points,), sums to one

    @cached_property
    def mean(self) -> float:
        """Return the mean of the variable, <s>."""
        return self.expectation(lambda s: s)

    def expectation(self, a: Callable[[Tensor], Tensor]) -> float:
        """Return <a(s)> for a smooth a."""
        return (self.p * a(self.s)).sum().item()

    def probability(self, lower: float, upper: float) -> float:
        """Return P(lower < s < upper), by Gauss-Legendre quadrature on the piece so that the edge may lie anywhere.

        >>> round(Boltzmann1D(lambda s: s**2 / 2, -10, 10).probability(-1.0, 1.0), 9)
        0.682689492
        """
        lo, hi = max(lower, self.s[0].item()), min(upper, self.s[-1].item())
        p = self._integrate(torch.linspace(lo, hi, 101, dtype=torch.float64)).sum().item()
        if not p < 1 + TOLERANCE:
            raise ValueError(
                f"the quadrature of a distribution gives a probability of {p:.6g}: raise kT, its wells are too narrow."
            )
        return min(p, 1.0)

    def bins(self, edges: Tensor) -> Tensor:
        """Return P(edges[i] < s < edges[i+1]) of every bin, (K,) float64, by Gauss-Legendre quadrature in each.

        Args:
            edges: of the bins, increasing, (K+1,).

        >>> p = Boltzmann1D(lambda s: s**2 / 2, -10, 10).bins(torch.tensor([-20.0, -1.0, 1.0, 20.0]))
        >>> round(p[1].item(), 9)
        0.682689492
        """
        pieces = 4 * math.ceil(25 / (len(edges) - 1))  # of a bin: a hundred over all of them, at least
        share = torch.arange(pieces, dtype=torch.float64) / pieces
        edges = edges.double().clamp(self.s[0].item(), self.s[-1].item())
        fine = (edges[:-1, None] + share * edges.diff()[:, None]).flatten()
        return self._integrate(torch.cat([fine, edges[-1:]])).reshape(-1, pieces).sum(-1)

    def _integrate(self, edges: Tensor) -> Tensor:
        """Return the probability between neighbouring edges, which lie close, (K,)."""
        node, weight = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(8))
        half = edges.diff()[:, None] / 2
        s = edges[:-1, None] + half * (1 + node)
        return ((-self.u(s.flatten()) - self.log_Z).exp().reshape(s.shape) * weight * half).sum(-1)

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        """Draw independent samples, (n,) float64, by inverting the piecewise-linear distribution function.

        The density differs from the true one by h^2 u'' / 8 in relative terms, 1e-6 on the grids used here.
        """
        cdf = torch.cat([torch.zeros(1, dtype=torch.float64), ((self.p[1:] + self.p[:-1]) / 2).cumsum(0)])
        cdf = (cdf / cdf[-1]).to(rng.device)
        s = self.s.to(rng.device)
        r = torch.rand(n, generator=rng, device=rng.device, dtype=torch.float64)
        i = torch.searchsorted(cdf, r).clamp(1, len(cdf) - 1)
        f = (r - cdf[i - 1]) / (cdf[i] - cdf[i - 1]).clamp_min(1e-300)
        return s[i - 1] + f * (s[i] - s[i - 1])


def project_out(
    u: Callable[[Tensor], Tensor],
    angle: float,
    center: tuple[float, float],
    radius: float,
    points: int = 1001,
) -> Boltzmann1D:
    r"""Return the exact distribution of the projection $s = x \cos\alpha + y \sin\alpha$ of a planar system.

    The orthogonal coordinate is integrated out by the trapezoid rule at any s, so averages of s and
    probabilities of half planes come to about ten digits, and log_Z is that of the plane.

    Args:
        u: reduced energy, (K, 2) -> (K,), float64.
        angle: of the direction to project on [rad].
        center, radius: a disk holding all the probability.
        points: of the grid, in each of the two directions.

    >>> gauss = project_out(lambda x: (x**2).sum(-1) / 2, angle=0.3, center=(0.0, 0.0), radius=9.0)
    >>> round(gauss.log_Z, 9) == round(math.log(2 * math.pi), 9)
    True
    """
    along = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
    across = torch.tensor([-along[1], along[0]], dtype=torch.float64)
    c = torch.tensor(center, dtype=torch.float64)
    t = torch.linspace(-radius, radius, points, dtype=torch.float64) + c @ across

    def free_energy(s: Tensor) -> Tensor:
        rows = []
        for part in s.split(100):  # keeps the grid small enough for the cache
            x = part[:, None, None] * along + t[:, None] * across
            rows.append(-torch.logsumexp(-u(x.reshape(-1, 2)).reshape(len(part), points), -1))
        return torch.cat(rows) - math.log(2 * radius / (points - 1))

    middle = float(c @ along)
    return Boltzmann1D(free_energy, middle - radius, middle + radius, points)


def normal_bins(mean: float | Tensor, std: float | Tensor, edges: Tensor) -> Tensor:
    """Return the probability of every bin of a normal variable, (K,) float64; of several, (..., K).

    Args:
        mean, std: of the variable, numbers or (...,).
        edges: of the bins, increasing, (K+1,).

    >>> round(normal_bins(0.0, 1.0, torch.tensor([-1.0, 1.0])).item(), 9)
    0.682689492
    """
    mean, std = (torch.as_tensor(a, dtype=torch.float64).cpu()[..., None] for a in (mean, std))
    return torch.special.ndtr((edges.double() - mean) / std).diff(dim=-1)
