"""Exact answers for one-dimensional Boltzmann distributions, by quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


class Boltzmann1D:
    """The distribution exp(-u(s)) / Z on an interval, exact to about 1e-12 for smooth u that ends high.

    The trapezoid rule converges faster than any power of the step for a smooth integrand that vanishes
    at both ends, so a plain grid is enough.

    Args:
        u: reduced energy, (K,) -> (K,), float64.
        lower, upper: an interval holding all the probability.

    >>> gauss = Boltzmann1D(lambda s: s**2 / 2, -10, 10)
    >>> round(gauss.log_Z, 9) == round(0.5 * math.log(2 * math.pi), 9)
    True
    """

    def __init__(self, u: Callable[[Tensor], Tensor], lower: float, upper: float, points: int = 20001) -> None:
        self.u = u
        self.s = torch.linspace(lower, upper, points, dtype=torch.float64)
        self.log_cell = math.log((upper - lower) / (points - 1))
        log_p = -u(self.s)
        self.log_Z = torch.logsumexp(log_p, 0).item() + self.log_cell
        self.p = (log_p - torch.logsumexp(log_p, 0)).exp()  # (points,), sums to one

    def expectation(self, a: Callable[[Tensor], Tensor]) -> float:
        """<a(s)> for a smooth a."""
        return (self.p * a(self.s)).sum().item()

    def probability(self, lower: float, upper: float) -> float:
        """P(lower < s < upper), by Gauss-Legendre quadrature on the piece so that the edge may lie anywhere."""
        lo, hi = max(lower, self.s[0].item()), min(upper, self.s[-1].item())
        return (self._integral(lo, hi).sum() / math.exp(self.log_Z - self._shift)).item()

    @property
    def _shift(self) -> float:
        return -self.u(self.s).min().item()

    def _integral(self, lo: float, hi: float, panels: int = 200) -> Tensor:
        import numpy as np

        node, weight = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(16))
        edges = torch.linspace(lo, hi, panels + 1, dtype=torch.float64)
        half = (edges[1] - edges[0]) / 2
        s = (edges[:-1, None] + half * (1 + node)).flatten()
        return (-self.u(s) - self._shift).exp() * weight.repeat(panels) * half

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        """Independent samples, (n,) float64, by inverting the piecewise-linear distribution function."""
        cdf = torch.cat([torch.zeros(1, dtype=torch.float64), ((self.p[1:] + self.p[:-1]) / 2).cumsum(0)])
        cdf = (cdf / cdf[-1]).to(rng.device)
        s = self.s.to(rng.device)
        r = torch.rand(n, generator=rng, device=rng.device, dtype=torch.float64)
        i = torch.searchsorted(cdf, r).clamp(1, len(cdf) - 1)
        f = (r - cdf[i - 1]) / (cdf[i] - cdf[i - 1]).clamp_min(1e-300)
        return s[i - 1] + f * (s[i] - s[i - 1])
