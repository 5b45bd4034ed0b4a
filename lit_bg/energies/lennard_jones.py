"""Clusters of Lennard-Jones particles, held together by a weak trap."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from lit_bg.energies.base import Modes, Observable
from lit_bg.energies.bond_order import bond_order
from lit_bg.energies.clusters import cluster
from lit_bg.energies.pair_energy import PairEnergy, spread

NEIGHBOURS = 1.391  # nearer than this, in units of the pair's minimum, are bonds; between the first two shells
FCC = 0.13  # Q4 above it: the fcc funnel of 38 particles; below: icosahedra and liquid


class LennardJones(PairEnergy):
    r"""Defines $U = f \sum_{i<j} \epsilon [(r_m / r)^{12} - 2 (r_m / r)^6] + \frac{k}{2} \sum_i |x_i - \bar x|^2$.

    Units of kT at kT = 1. The trap k keeps the cluster together and does not see translations. **The factor f of the pairs
    is half the story**: what is called LJ13 has f = 1 in some papers (EACF, bgflow) and f = 2 in others (equivariant flow
    matching, iDEM, adjoint sampling), which sum over ordered pairs; their numbers cannot be compared. At kT = 1, by Monte
    Carlo and thermodynamic integration in f (errors in the last digits):

    | N | f | <U> | log Z | minimum without trap | with trap |
    |---|---|---|---|---|---|
    | 13 | 1 | 0.562(8) | 39.249(2) | -44.32680142 | -38.77218803 |
    | 13 | 2 | -42.95(2) | 59.870(5) | -88.65360284 | -83.08964407 |
    | 55 | 1 | -49.12(10) | | -279.24847046 | -212.60148145 |
    | 55 | 2 | -325.4(2) | | -558.49694093 | -491.64126911 |
    | 38 | 1 | | | -173.92842659 (fcc) | |

    Thirty-eight particles have two funnels, of the fcc truncated octahedron and of icosahedra, told apart by the bond order
    Q4; at kT of 0.1 to 0.2 (f = 1) crossing takes forever.

    Args:
        n: number of particles.
        factor: f; no default, because papers differ.
        epsilon: depth of a pair.
        r_min: distance of its minimum.
        trap: k.
        d: dimensions of space.
        kT: temperature in units of the energy.

    Raises:
        ValueError: a parameter that does not confine.

    References:
        Wales, Doye, J. Phys. Chem. A 101, 5111 (1997), doi:10.1021/jp970984n, for the minima.
        Koehler, Klein, Noe, ICML 2020, arXiv:2006.02425, for the trap.

    >>> triangle = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]]])
    >>> round(LennardJones(3, factor=1, epsilon=5.0, trap=0.0, d=2).potential(triangle).item(), 4)
    -15.0
    """

    def __init__(
        self,
        n: int,
        factor: float,
        epsilon: float = 1.0,
        r_min: float = 1.0,
        trap: float = 1.0,
        d: int = 3,
        kT: float = 1.0,
    ) -> None:
        super().__init__(n, d, kT)
        if not (factor > 0 and epsilon > 0 and r_min > 0 and trap >= 0):
            raise ValueError(
                f"LennardJones needs factor, epsilon, r_min > 0 and trap >= 0, got {factor=}, {epsilon=}, {r_min=}, {trap=}."
            )
        self.factor, self.epsilon, self.r_min, self.trap = factor, epsilon, r_min, trap

    def pair(self, r: Tensor) -> Tensor:
        y = (self.r_min / r) ** 6
        return self.factor * self.epsilon * y * (y - 2)

    def external(self, x: Tensor) -> Tensor:
        return 0.5 * self.trap * spread(x).sum(-1)

    @property
    def observables(self) -> dict[str, Observable]:
        named = super().observables | {
            "U pairs": Observable(lambda x: self.pair(self.distances(x)).sum(-1)),
            "U trap": Observable(self.external),
        }
        if self.space.d == 3:
            named["Q4"] = Observable(partial(self._bond_order, degree=4), range=(0.0, 0.25))
            named["Q6"] = Observable(partial(self._bond_order, degree=6), range=(0.0, 0.8))
        return named

    def _bond_order(self, x: Tensor, degree: int) -> Tensor:
        return bond_order(x, self.pairs, degree, NEIGHBOURS * self.r_min)

    @property
    def modes(self) -> Modes | None:
        if self.space.shape != (38, 3):
            return None
        return Modes(names=("icosahedral or liquid", "fcc"), label=lambda x: (self._bond_order(x, 4) > FCC).long())

    @property
    def initial(self) -> Tensor:
        """Return an ideal cluster, (1, N, d), near the lowest minimum for 13, 38 and 55 particles."""
        return (self.r_min * cluster(*self.space.shape))[None].to(torch.get_default_dtype())
