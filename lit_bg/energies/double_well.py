"""The tilted double well of the first Boltzmann generator paper."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from lit_bg.energies.base import Energy, Modes, Observable
from lit_bg.energies.quadrature import Boltzmann1D
from lit_bg.spaces import Vectors


class DoubleWell(Energy):
    r"""Defines a tilted double well along $x_1$, harmonic in every other direction.

    $U(x) = a_4 x_1^4 - a_2 x_1^2 + a_1 x_1 + \frac{k}{2} \sum_{i>1} x_i^2$, units of kT at kT = 1.

    The barrier is 7.3 kT seen from the right well and 10.8 kT from the left one, so a local sampler
    practically never crosses it while 3.3 % of the probability lies to the right. Exact values come
    from one-dimensional quadrature at the kT asked for; at kT = 1 in 2D, log Z = 11.02046723 and
    P(x1 < 0) = 0.96707045.

    Args:
        dim: number of coordinates.
        a4, a2, a1, k: coefficients; all but `a1` positive.
        kT: temperature in units of the energy.

    Raises:
        ValueError: a potential that does not confine, or has no barrier.

    References:
        Noe, Olsson, Koehler, Wu, Science 365, eaaw1147 (2019), doi:10.1126/science.aaw1147; the
        coefficients of the authors' code (the supplement prints others).

    >>> round(DoubleWell().log_Z, 6)
    11.020467
    """

    def __init__(
        self, dim: int = 2, a4: float = 1.0, a2: float = 6.0, a1: float = 1.0, k: float = 1.0, kT: float = 1.0
    ) -> None:
        super().__init__(kT)
        if dim < 1:
            raise ValueError(f"DoubleWell needs at least one dimension, got dim={dim}.")
        if not (a4 > 0 and a2 > 0 and k > 0):
            raise ValueError(f"DoubleWell needs a4, a2, k > 0 to be confining with a barrier, got {a4=}, {a2=}, {k=}.")
        self.space = Vectors(dim)
        self.a4, self.a2, self.a1, self.k = a4, a2, a1, k

    def potential(self, x: Tensor) -> Tensor:
        x1, rest = x[..., 0], x[..., 1:]
        return self.a4 * x1**4 - self.a2 * x1**2 + self.a1 * x1 + 0.5 * self.k * (rest**2).sum(-1)

    @property
    def _marginal(self) -> Boltzmann1D:
        """Return the exact distribution of x1."""
        return _tilted_well(self.a4, self.a2, self.a1, self.kT)

    @property
    def p_left(self) -> float:
        """Return P(x1 < 0), exactly."""
        return _below_zero(self.a4, self.a2, self.a1, self.kT)

    @property
    def box(self) -> Tensor:
        edge = torch.full((self.dim,), 4 * math.sqrt(self.kT / self.k))
        edge[0] = math.sqrt(self.a2 / (2 * self.a4)) + 0.8 * (self.kT / self.a4) ** 0.25
        return torch.stack([-edge, edge])

    @property
    def log_Z(self) -> float:
        return self._marginal.log_Z + 0.5 * (self.dim - 1) * math.log(2 * math.pi * self.kT / self.k)

    @property
    def observables(self) -> dict[str, Observable]:
        edge, marginal = float(self.box[1, 0]), self._marginal
        return {
            "x1": Observable(lambda x: x[..., 0], range=(-edge, edge), exact=marginal.mean, exact_bins=marginal.bins),
            "P(x1<0)": Observable(lambda x: (x[..., 0] < 0).to(x.dtype), exact=self.p_left),
        }

    @property
    def modes(self) -> Modes:
        return Modes(
            names=("left", "right"),
            label=lambda x: (x[..., 0] > 0).long(),
            exact=torch.tensor([self.p_left, 1 - self.p_left], dtype=torch.float64),
        )

    @property
    def initial(self) -> Tensor:
        start = torch.zeros(2, self.dim)
        start[:, 0] = math.sqrt(self.a2 / (2 * self.a4)) * torch.tensor([-1.0, 1.0])
        return start

    def exact_samples(self, n: int, rng: torch.Generator) -> Tensor:
        x1 = self._marginal.sample(n, rng)
        rest = torch.randn(n, self.dim - 1, generator=rng, device=rng.device, dtype=torch.float64)
        x = torch.cat([x1[:, None], rest * math.sqrt(self.kT / self.k)], -1)
        return x.to(torch.get_default_dtype())


@lru_cache(maxsize=64)
def _tilted_well(a4: float, a2: float, a1: float, kT: float) -> Boltzmann1D:
    reach = math.sqrt(a2 / (2 * a4)) + 2 * (kT / a4) ** 0.25 + 2
    return Boltzmann1D(lambda s: (a4 * s**4 - a2 * s**2 + a1 * s) / kT, -reach, reach)


@lru_cache(maxsize=64)
def _below_zero(a4: float, a2: float, a1: float, kT: float) -> float:
    return _tilted_well(a4, a2, a1, kT).probability(-math.inf, 0.0)
