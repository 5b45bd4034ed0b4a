"""Lennard-Jones particles in a periodic cell, on the sites of a crystal."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from lit_bg.energies.base import Energy, Observable
from lit_bg.energies.pair_energy import TINY
from lit_bg.spaces import Particles


class LennardJonesSolid(Energy):
    r"""Defines $U = \sum_{i<j} v(r_{ij}) - v(r_c)$ for $r_{ij} < r_c$, $v(r) = 4 [r^{-12} - r^{-6}]$, in a cubic cell.

    Sigma and epsilon are 1, distances are to the nearest image. Translations do not count: the measure is that of
    configurations up to them, (N - 1) 3 dimensions. At density 1.28 and kT = 2 it is a crystal, and with cutoff 2.7 the perfect
    fcc lattice has U / N = -6.3032264458, and <U> / N of 256 particles is -3.520(2) by Monte Carlo.

    Args:
        cells: cubic cells of fcc in every direction, of four particles each.
        density: particles per volume [sigma^-3].
        cutoff: r_c [sigma], at most half the length of the cell.
        kT: temperature in units of the energy.

    Raises:
        ValueError: no cell, a density that is not positive, or a cutoff that reaches further than the nearest image.

    References:
        Wirnsberger et al., Mach. Learn.: Sci. Technol. 3, 025009 (2022), arXiv:2111.08696, for this crystal.

    >>> solid = LennardJonesSolid(4)
    >>> round(solid.potential(solid.initial.double()).item() / 256, 5)
    -6.30323
    """

    symmetries = frozenset({"translation"})

    space: Particles

    def __init__(self, cells: int, density: float = 1.28, cutoff: float = 2.7, kT: float = 2.0) -> None:
        super().__init__(kT)
        if cells < 1 or not density > 0:
            raise ValueError(f"LennardJonesSolid needs cells >= 1 and density > 0, got {cells=}, {density=}.")
        n = 4 * cells**3
        self.length = (n / density) ** (1 / 3)
        if not 0 < cutoff <= self.length / 2:
            raise ValueError(
                f"cutoff = {cutoff} must be positive and at most half the cell, {self.length / 2:.4g}: give more cells."
            )
        self.cells, self.density, self.cutoff = cells, density, cutoff
        self.space = Particles(n, 3, (0,) * n, centred=True, box=self.length * torch.eye(3, dtype=torch.float64))

    def potential(self, x: Tensor) -> Tensor:
        return self._pairs(x)[0]

    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if type(self).forward is not Energy.forward or type(self).potential is not LennardJonesSolid.potential:
            return super().value_and_gradient(x)
        self.space.check(x, type(self).__name__)
        with torch.no_grad():
            found = [self._pairs(part, forces=True) for part in x.split(max(1, 2**16 // x.shape[1] ** 2))]
        self.meter.values += len(x)
        self.meter.gradients += len(x)
        return torch.cat([u for u, _ in found]) / self.kT, torch.cat([g for _, g in found]) / self.kT

    def _pairs(self, x: Tensor, forces: bool = False) -> tuple[Tensor, Tensor]:
        """Return U and, if asked for, its gradient: sums over ordered pairs, with coordinates first, so that rows are long."""
        y = x.transpose(1, 2)  # (B, 3, N)
        d = y[..., :, None] - y[..., None, :]
        d = d - self.length * torch.round(d / self.length)
        r2 = d.square().sum(1).clamp_min(TINY)  # (B, N, N)
        near = (r2 < self.cutoff**2) & ~torch.eye(x.shape[1], dtype=torch.bool, device=x.device)
        s6 = torch.where(near, r2, 1.0).pow(-3)
        shift = 4 * (self.cutoff**-12 - self.cutoff**-6)
        u = 0.5 * torch.where(near, 4 * s6 * (s6 - 1) - shift, 0.0).sum((1, 2))
        if not forces:
            return u, x
        slope = torch.where(near, -24 * s6 * (2 * s6 - 1) / r2, 0.0)  # v'(r) / r
        return u, (d * slope[:, None]).sum(-1).transpose(1, 2)

    @property
    def initial(self) -> Tensor:
        """Return the fcc lattice, (1, N, 3), with its centre of mass in the origin."""
        corners = torch.tensor(list(itertools.product(range(self.cells), repeat=3)), dtype=torch.float64)
        basis = torch.tensor([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]], dtype=torch.float64) / 2
        x = (corners[:, None] + basis).reshape(1, -1, 3) * (self.length / self.cells)
        return (x - x.mean(1, keepdim=True)).to(torch.get_default_dtype())

    @property
    def observables(self) -> dict[str, Observable]:
        n = self.space.n
        return {"U / N": Observable(lambda x: self.potential(x) / n)}
