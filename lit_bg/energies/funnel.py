"""Neal's funnel: one coordinate sets the scale of all others."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from lit_bg.energies.base import Energy, Observable
from lit_bg.energies.quadrature import normal_bins
from lit_bg.spaces import Vectors


class Funnel(Energy):
    r"""Defines Neal's funnel, $x_1 \sim N(0, \sigma^2)$ and $x_i \sim N(0, e^{x_1})$ for i > 1, as an energy U = -log p.

    The width spans orders of magnitude, so no single step size or affine map fits. Normalised, hence
    log Z = 0, at kT = 1. At any other kT the system is again a funnel whose first coordinate has
    variance $kT \sigma^2$ and mean $\frac12 \sigma^2 (D - 1)(kT - 1)$, so log Z and exact samples exist at every
    temperature.

    Args:
        dim: number of coordinates D, at least two.
        sigma: standard deviation of the first coordinate at kT = 1.
        kT: temperature in units of the energy.

    Raises:
        ValueError: fewer than two dimensions, or a width that is not positive.

    References:
        Neal, Ann. Stat. 31, 705 (2003), doi:10.1214/aos/1056562461.

    >>> Funnel(10).log_Z
    0.0
    """

    def __init__(self, dim: int = 10, sigma: float = 3.0, kT: float = 1.0) -> None:
        super().__init__(kT)
        if dim < 2:
            raise ValueError(f"Funnel needs at least two dimensions, got dim={dim}.")
        if not sigma > 0:
            raise ValueError(f"Funnel needs sigma > 0, got {sigma}.")
        self.space = Vectors(dim)
        self.sigma = sigma

    @property
    def _log_norm(self) -> float:
        return 0.5 * self.dim * math.log(2 * math.pi) + math.log(self.sigma)

    def potential(self, x: Tensor) -> Tensor:
        x1, rest = x[..., 0], x[..., 1:]
        width = 0.5 * (self.dim - 1) * x1
        return 0.5 * (x1 / self.sigma) ** 2 + width + 0.5 * (rest**2).sum(-1) * torch.exp(-x1) + self._log_norm

    @property
    def _mean(self) -> float:
        return 0.5 * self.sigma**2 * (self.dim - 1) * (self.kT - 1)

    @property
    def _std(self) -> float:
        return self.sigma * math.sqrt(self.kT)

    @property
    def log_Z(self) -> float:
        flat = 0.5 * self.dim * math.log(2 * math.pi * self.kT) + math.log(self.sigma) - self._log_norm / self.kT
        return flat + 0.5 * (self._mean / self._std) ** 2

    @property
    def box(self) -> Tensor:
        # the others spread with the upper end of x1: an edge for 3 sigma of both
        edge = torch.full((self.dim,), 3 * math.sqrt(self.kT) * math.exp(0.5 * (self._mean + 2.5 * self._std)))
        lower, upper = -edge, edge.clone()
        lower[0], upper[0] = self._mean - 4 * self._std, self._mean + 4 * self._std
        return torch.stack([lower, upper])

    @property
    def observables(self) -> dict[str, Observable]:
        mean, std = self._mean, self._std
        bins = partial(normal_bins, mean, std)
        return {
            "x1": Observable(lambda x: x[..., 0], range=(mean - 3 * std, mean + 3 * std), exact=mean, exact_bins=bins),
            "P(x1<0)": Observable(lambda x: (x[..., 0] < 0).to(x.dtype), exact=0.5 * math.erfc(mean / std / math.sqrt(2))),
        }

    @property
    def initial(self) -> Tensor:
        start = torch.zeros(1, self.dim)
        start[0, 0] = self._mean
        return start

    def exact_samples(self, n: int, rng: torch.Generator) -> Tensor:
        z = torch.randn(n, self.dim, generator=rng, device=rng.device, dtype=torch.float64)
        x1 = self._mean + self._std * z[:, :1]
        x = torch.cat([x1, math.sqrt(self.kT) * torch.exp(0.5 * x1) * z[:, 1:]], -1)
        return x.to(torch.get_default_dtype())
