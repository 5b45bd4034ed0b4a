"""The Ising model on a square, where a finite system is known exactly."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lit_bg.energies.base import Energy, Modes, Observable
from lit_bg.spaces import Spins

ENUMERATED = 4  # up to this size all 2^(L L) states are summed


class Ising(Energy):
    r"""Puts spins on a periodic L x L square, $E(s) = -J \sum_{\langle ij \rangle} s_i s_j$, in units of kT at kT = 1.

    Every site has a bond to its right and to its lower neighbour, 2 L^2 in all. Below $kT / J = 2 / \ln(1 + \sqrt 2) = 2.269$
    the magnetisation of an infinite lattice is not zero; a finite one turns over, ever more rarely, and both signs have
    probability 1/2. log Z and <E> are exact at every size: by enumeration up to L = 4, else by Kaufman's formula.

    | L | J / kT | -kT log Z / L^2 | <E> / L^2 |
    |---|---|---|---|
    | 4 | 0.4 | -2.2751707850 | |
    | 16 | 0.4406867935 | -2.1153261879 | -1.45306485 |
    | 32 | 0.5 | -2.0529394289 | |

    Args:
        size: L.
        coupling: J.
        kT: temperature in units of the energy.

    Raises:
        ValueError: fewer than two sites in a row, or a coupling that is not positive.

    References:
        Onsager, Phys. Rev. 65, 117 (1944), doi:10.1103/PhysRev.65.117.
        Kaufman, Phys. Rev. 76, 1232 (1949), doi:10.1103/PhysRev.76.1232.

    >>> round(-Ising(4, kT=2.5).log_Z * 2.5 / 16, 10)
    -2.275170785
    """

    def __init__(self, size: int, coupling: float = 1.0, kT: float = 1.0) -> None:
        super().__init__(kT)
        if size < 2 or not coupling > 0:
            raise ValueError(f"Ising needs size >= 2 and coupling > 0, got {size=}, {coupling=}.")
        self.space = Spins((size, size))
        self.size, self.coupling = size, coupling

    def potential(self, x: Tensor) -> Tensor:
        return -self.coupling * (x * (x.roll(1, -1) + x.roll(1, -2))).flatten(1).sum(-1)

    @property
    def log_Z(self) -> float:
        b = torch.tensor(self.coupling / self.kT, dtype=torch.float64)
        if self.size <= ENUMERATED:
            return torch.logsumexp(-self._all_energies / self.kT, 0).item()
        return log_partition_function(b, self.size).item()

    @property
    def mean_energy(self) -> float:
        r"""Return the exact $\langle E \rangle = -\partial \log Z / \partial \beta$."""
        if self.size <= ENUMERATED:
            e = self._all_energies
            return ((-e / self.kT).softmax(0) @ e).item()
        with torch.enable_grad():
            b = torch.tensor(self.coupling / self.kT, dtype=torch.float64, requires_grad=True)
            (slope,) = torch.autograd.grad(log_partition_function(b, self.size), b)
        return -self.coupling * slope.item()

    @property
    def _all_energies(self) -> Tensor:
        return self.potential(all_spins(self.size)).double()

    @property
    def observables(self) -> dict[str, Observable]:
        sites = self.size**2
        exact = bins = None
        if self.size <= ENUMERATED:
            magnetisation = all_spins(self.size).flatten(1).mean(1).abs().double()
            p = (-self._all_energies / self.kT).softmax(0)
            exact = (p @ magnetisation).item()

            def bins(edges: Tensor) -> Tensor:
                return torch.histogram(magnetisation, edges.double(), weight=p).hist

        return {
            "E / N": Observable(lambda x: self.potential(x) / sites, exact=self.mean_energy / sites),
            "|m|": Observable(lambda x: x.flatten(1).mean(1).abs(), range=(0.0, 1.0), exact=exact, exact_bins=bins),
        }

    @property
    def modes(self) -> Modes:
        """Return the signs of the magnetisation; without any, that of the first spin, so that both are equally likely."""

        def label(x: Tensor) -> Tensor:
            m = x.flatten(1).sum(1)
            return (torch.where(m == 0, x.flatten(1)[:, 0], m) < 0).long()

        return Modes(names=("up", "down"), label=label, exact=torch.tensor([0.5, 0.5], dtype=torch.float64))

    @property
    def initial(self) -> Tensor:
        """Return all spins up and all spins down, (2, L, L)."""
        up = torch.ones(1, *self.space.shape)
        return torch.cat([up, -up])

    @property
    def has_exact_samples(self) -> bool:
        return self.size <= ENUMERATED

    def exact_samples(self, n: int, rng: torch.Generator) -> Tensor:
        if not self.has_exact_samples:
            return super().exact_samples(n, rng)
        p = (-self._all_energies / self.kT).softmax(0).to(rng.device)
        return all_spins(self.size).to(rng.device)[torch.multinomial(p, n, replacement=True, generator=rng)]


def all_spins(size: int) -> Tensor:
    """Return all configurations of an L x L square, (2^(L L), L, L)."""
    bits = torch.arange(2 ** (size**2))[:, None] >> torch.arange(size**2) & 1
    return (2.0 * bits - 1.0).reshape(-1, size, size)


def log_partition_function(b: Tensor, size: int) -> Tensor:
    r"""Return log Z of the L x L torus at $b = J / kT$, exactly; differentiable in b.

    $Z = \frac12 (2 \sinh 2 b)^{L^2 / 2} \left[ \prod 2 \cosh \frac{L \gamma_{2k+1}}{2}
    + \prod 2 \sinh \frac{L \gamma_{2k+1}}{2} + \prod 2 \cosh \frac{L \gamma_{2k}}{2}
    + \prod 2 \sinh \frac{L \gamma_{2k}}{2} \right]$, products over k = 0 to L - 1, with
    $\cosh \gamma_k = \cosh 2b \coth 2b - \cos(\pi k / L)$ and $\gamma_0 = 2b + \ln \tanh b$, which is negative above the
    critical temperature.

    References:
        Kaufman, Phys. Rev. 76, 1232 (1949), doi:10.1103/PhysRev.76.1232.
    """
    k = torch.arange(1, 2 * size, dtype=b.dtype)
    gamma = torch.acosh(torch.cosh(2 * b) / torch.tanh(2 * b) - torch.cos(math.pi * k / size))
    gamma = torch.cat([(2 * b + torch.log(torch.tanh(b))).reshape(1), gamma])
    half = 0.5 * size * gamma.abs()  # logarithms of 2 cosh and |2 sinh| of it
    log_cosh, log_sinh = half + torch.log1p(torch.exp(-2 * half)), half + torch.log(-torch.expm1(-2 * half))
    terms = torch.stack([log_cosh[1::2].sum(), log_sinh[1::2].sum(), log_cosh[::2].sum(), log_sinh[::2].sum()])
    signs = torch.stack([b.new_ones(()), b.new_ones(()), b.new_ones(()), gamma[0].detach().sign()])
    largest = terms.detach().max()
    log_sum = largest + torch.log((signs * torch.exp(terms - largest)).sum())
    return 0.5 * size**2 * torch.log(2 * torch.sinh(2 * b)) - math.log(2) + log_sum
