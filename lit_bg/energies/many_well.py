"""Independent copies of a double well: a number of modes exponential in the dimension, with exact answers."""

from __future__ import annotations

import math
from functools import lru_cache, partial

import torch
from torch import Tensor

from lit_bg.energies.base import Energy, Modes, Observable
from lit_bg.energies.quadrature import Boltzmann1D
from lit_bg.spaces import Vectors

LEFT, RIGHT = -1.71082904, 1.75251986  # minima of one copy


class ManyWell(Energy):
    r"""Joins D/2 independent tilted double wells, each with a harmonic partner.

    $U(x) = \sum_{i=1}^{D/2} [x_{2i-1}^4 - 6 x_{2i-1}^2 - \frac12 x_{2i-1} + \frac12 x_{2i}^2]$, units of kT at kT = 1.

    There are $2^{D/2}$ modes. Whether a generator covers them shows in the probability of the right
    well of every copy, 0.8443071 at kT = 1, and in the number of copies to the right, which is binomial:
    those counts are the `modes`. Exact at any kT by one-dimensional quadrature; log Z = 164.6956753 for
    D = 32 at kT = 1.

    Args:
        dim: number of coordinates D, even.
        kT: temperature in units of the energy.

    Raises:
        ValueError: a dimension that is not positive and even.

    References:
        Midgley, Stimper, Simm, Schoelkopf, Hernandez-Lobato, ICLR 2023, arXiv:2208.01893.

    >>> round(ManyWell(32).log_Z, 7)
    164.6956753
    >>> ManyWell(4).modes.names
    ('0 right', '1 right', '2 right')
    """

    def __init__(self, dim: int = 32, kT: float = 1.0) -> None:
        super().__init__(kT)
        if dim < 2 or dim % 2:
            raise ValueError(f"ManyWell is made of copies of two coordinates: dim must be even and positive, got {dim}.")
        self.space = Vectors(dim)

    @property
    def copies(self) -> int:
        return self.dim // 2

    def potential(self, x: Tensor) -> Tensor:
        well, partner = x[..., ::2], x[..., 1::2]
        return (well**4 - 6 * well**2 - 0.5 * well + 0.5 * partner**2).sum(-1)

    @property
    def log_Z(self) -> float:
        return self.copies * (_marginal(self.kT).log_Z + 0.5 * math.log(2 * math.pi * self.kT))

    @property
    def p_right(self) -> float:
        """Return the exact probability of the right well of one copy."""
        return _right(self.kT)

    @property
    def box(self) -> Tensor:
        pair = torch.tensor([math.sqrt(3) + 0.9 * self.kT**0.25, 4 * math.sqrt(self.kT)])
        edge = pair.repeat(self.copies)
        return torch.stack([-edge, edge])

    @property
    def observables(self) -> dict[str, Observable]:
        edge, marginal = float(self.box[1, 0]), _marginal(self.kT)
        named = {"x1": Observable(lambda x: x[..., 0], range=(-edge, edge), exact=marginal.mean, exact_bins=marginal.bins)}
        for i in range(self.copies):
            named[f"P(x1>0) copy {i + 1}"] = Observable(partial(_is_right, copy=i), exact=self.p_right)
        return named

    @property
    def modes(self) -> Modes:
        n, p = self.copies, self.p_right
        binomial = [math.comb(n, m) * p**m * (1 - p) ** (n - m) for m in range(n + 1)]
        return Modes(
            names=tuple(f"{m} right" for m in range(n + 1)),
            label=lambda x: (x[..., ::2] > 0).sum(-1),
            exact=torch.tensor(binomial, dtype=torch.float64),
        )

    @property
    def initial(self) -> Tensor:
        right = torch.ones(self.copies + 1, self.copies).tril(-1)  # row m: the first m copies are right
        start = torch.zeros(self.copies + 1, self.dim)
        start[:, ::2] = LEFT + (RIGHT - LEFT) * right
        return start

    def exact_samples(self, n: int, rng: torch.Generator) -> Tensor:
        well = _marginal(self.kT).sample(n * self.copies, rng).reshape(n, self.copies)
        partner = torch.randn(n, self.copies, generator=rng, device=rng.device, dtype=torch.float64)
        x = torch.stack([well, partner * math.sqrt(self.kT)], -1)
        return x.reshape(n, self.dim).to(torch.get_default_dtype())


def _is_right(x: Tensor, copy: int) -> Tensor:
    return (x[..., 2 * copy] > 0).to(x.dtype)


@lru_cache(maxsize=64)
def _marginal(kT: float) -> Boltzmann1D:
    reach = 4.0 + 2 * kT**0.25
    return Boltzmann1D(lambda s: (s**4 - 6 * s**2 - 0.5 * s) / kT, -reach, reach)


@lru_cache(maxsize=64)
def _right(kT: float) -> float:
    return _marginal(kT).probability(0.0, math.inf)
