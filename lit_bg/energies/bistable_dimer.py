"""A dimer with two bond lengths in a box of soft disks."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.energies.base import Modes, Observable
from lit_bg.energies.pair_energy import PairEnergy
from lit_bg.spaces import Particles

R_M = 1.1  # [length] of the repulsion
MIDDLE = 1.5  # [length] between the two bond lengths of the dimer


class BistableDimer(PairEnergy):
    r"""Describes two bonded particles (the first two) among N - 2 soft disks, in the plane; units of kT at kT = 1.

    $$U = \sum_{i<j}' (1.1 / r_{ij})^{12} + 20 [(x_1 + x_2)^2 + y_1^2 + y_2^2] + s d_0 - 25 d_0^2 + 10 d_0^4 + W,$$

    $d_0 = 2 (r_{12} - 1.5)$, the first sum without the dimer's own pair. W is a wall of $k_w \delta^2$ per coordinate that
    lies $\delta$ outside [-3, 3]. Closed (r = 0.94) and open (2.06) dimers are 15.6 kT apart by the bond, and the disks must
    make way. For 36 disks, slope s = -1/2: $-\ln P_{closed} / P_{open}$ = -1.10(4) at kT = 1 and -1.02(4) at kT = 2; s = 2:
    -6.78(2) and -3.97(1) (flat-histogram Monte Carlo, seen as equal for walls of 100, 200 and 400).

    Args:
        disks: number of disks, a square number: they start on a square lattice.
        slope: s; published tilted data have 2.
        wall: $k_w$: 200 as simulated by the authors, who print 100 and train on 400.
        kT: temperature in units of the energy.

    Raises:
        ValueError: a number of disks that is no square, or walls that do not hold.

    References:
        Noe, Olsson, Koehler, Wu, Science 365, eaaw1147 (2019), doi:10.1126/science.aaw1147; constants of the authors' code,
        which the supplement does not print.
    """

    symmetries = frozenset()

    def __init__(self, disks: int = 36, slope: float = -0.5, wall: float = 200.0, kT: float = 1.0) -> None:
        super().__init__(disks + 2, 2, kT)
        self.side = round(disks**0.5)
        if self.side**2 != disks or self.side < 2 or not wall > 0:
            raise ValueError(f"BistableDimer needs a square number of disks, 4 or more, and wall > 0, got {disks=}, {wall=}.")
        self.space = Particles(disks + 2, 2, [0, 0] + [1] * disks, centred=False)
        self.slope, self.wall = slope, wall

    def pair(self, r: Tensor) -> Tensor:
        repulsion = (R_M / r[:, 1:]) ** 12  # the first pair is the dimer
        d0 = 2 * (r[:, :1] - MIDDLE)
        return torch.cat([self.slope * d0 - 25 * d0**2 + 10 * d0**4, repulsion], -1)

    def external(self, x: Tensor) -> Tensor:
        outside = (x.abs() - 3).clamp_min(0)
        dimer = (x[:, 0, 0] + x[:, 1, 0]) ** 2 + x[:, 0, 1] ** 2 + x[:, 1, 1] ** 2
        return 20 * dimer + self.wall * outside.square().flatten(1).sum(-1)

    @property
    def observables(self) -> dict[str, Observable]:
        return {
            "U": Observable(self.potential),
            "d": Observable(lambda x: self.distances(x)[:, 0], range=(0.7, 2.3)),
            "P(closed)": Observable(lambda x: (self.distances(x)[:, 0] < MIDDLE).to(x.dtype)),
        }

    @property
    def modes(self) -> Modes:
        return Modes(names=("closed", "open"), label=lambda x: (self.distances(x)[:, 0] >= MIDDLE).long())

    @property
    def initial(self) -> Tensor:
        """Return a closed and an open dimer, (2, N, 2), with the disks on a lattice that fills the box."""
        line = torch.linspace(-3, 3, self.side)
        disks = torch.cartesian_prod(line, line)
        pairs = torch.tensor([[[-0.47, 0.0], [0.47, 0.0]], [[-1.03, 0.0], [1.03, 0.0]]])
        return torch.stack([torch.cat([pair, disks]) for pair in pairs])
