"""Charges of one sign in a harmonic trap."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.energies.base import Observable
from lit_bg.energies.clusters import cluster
from lit_bg.energies.pair_energy import PairEnergy


class CoulombGas(PairEnergy):
    r"""Traps charges: $U = \sum_{i<j} 1 / r_{ij} + \sum_i |x_i|^2$; the trap has no factor 1/2, and holds the centre of mass.

    Six charges in the plane at kT = 0.1: the lowest minimum is 16.827338 (one in the middle, five around), <U> =
    17.38638(20) by HMC and F = -kT log Z = 16.8317(6) by thermodynamic integration in the coupling, without 1/N!. The
    virial gives $2 \langle \sum |x|^2 \rangle - \langle \sum 1/r \rangle = N d\, kT$ exactly.

    Args:
        n: number of charges.
        d: dimensions of space.
        kT: temperature in units of the energy.

    References:
        Xie, Zhang, Wang, J. Mach. Learn. 1, 38 (2022), arXiv:2105.08644, for the quantum gas in this trap.
    """

    symmetries = frozenset({"rotation", "reflection"})

    def __init__(self, n: int = 6, d: int = 2, kT: float = 0.1) -> None:
        super().__init__(n, d, kT)

    def pair(self, r: Tensor) -> Tensor:
        return 1 / r

    def external(self, x: Tensor) -> Tensor:
        return x.square().flatten(1).sum(-1)

    @property
    def observables(self) -> dict[str, Observable]:
        return super().observables | {
            "U trap": Observable(self.external),
            "virial": Observable(self._virial, exact=self.space.dof * self.kT),
        }

    def _virial(self, x: Tensor) -> Tensor:
        return 2 * self.external(x) - self.pair(self.distances(x)).sum(-1)

    @property
    def initial(self) -> Tensor:
        """Return an ideal cluster, (1, N, d)."""
        return cluster(*self.space.shape)[None].to(torch.get_default_dtype())
