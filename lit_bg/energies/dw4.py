"""Four particles in the plane with a double well in every distance."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.energies.base import Modes, Observable
from lit_bg.energies.pair_energy import PairEnergy, spread

D0 = 4.0  # where the barrier of a pair stands
# At kT = 1: two particles integrated out by a convolution on a grid, and the rest by quadrature, to 1e-10.
EXACT = {"log_Z": 29.66723223290, "U": -22.54150846503, "<r>": 4.04498684441, "spread": 27.27463280}


class DW4(PairEnergy):
    r"""Describes four particles in two dimensions, $U = \sum_{i<j} [-4 (r_{ij} - 4)^2 + \frac{9}{10} (r_{ij} - 4)^4]$.

    Every distance is short (2.51) or long (5.49) with a barrier of 4.44 between, and not all six can be either: the modes
    are the numbers of long distances. At kT = 1 log Z = 29.66723223290 in the measure of the centre-of-mass-free subspace,
    and <U> = -22.54150846503. A published data set of this system is more than ten standard errors away from both: simulate
    your own.

    Args:
        kT: temperature in units of the energy.

    References:
        Koehler, Klein, Noe, ICML 2020, arXiv:2006.02425, where half the sum over ordered pairs stands for that over pairs.

    >>> square = 2.0 * torch.tensor([[[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]])
    >>> DW4().modes.names[DW4().modes.label(square)]
    '0 to 2 long'
    """

    def __init__(self, kT: float = 1.0) -> None:
        super().__init__(4, 2, kT)

    def pair(self, r: Tensor) -> Tensor:
        away = (r - D0).square()
        return -4 * away + 0.9 * away.square()

    def _exact(self, name: str) -> float | None:
        return EXACT[name] if self.kT == 1.0 else None

    @property
    def log_Z(self) -> float | None:
        return self._exact("log_Z")

    @property
    def observables(self) -> dict[str, Observable]:
        return {
            "U": Observable(self.potential, exact=self._exact("U")),
            "<r>": Observable(lambda x: self.distances(x).mean(-1), exact=self._exact("<r>")),
            "r12": Observable(lambda x: self.distances(x)[:, 0], range=(1.5, 7.0), exact=self._exact("<r>")),
            "P(r<4)": Observable(lambda x: (self.distances(x) < D0).to(x.dtype).mean(-1)),
            "spread": Observable(lambda x: spread(x).sum(-1), exact=self._exact("spread")),
        }

    @property
    def modes(self) -> Modes:
        return Modes(names=("0 to 2 long", "3 long", "4 long", "5 or 6 long"), label=self._number_of_long)

    def _number_of_long(self, x: Tensor) -> Tensor:
        return ((self.distances(x) > D0).sum(-1) - 2).clamp(0, 3)

    @property
    def initial(self) -> Tensor:
        """Return one configuration to start from, (1, 4, 2)."""
        x = torch.tensor([[0.0, 0.0], [2.5, 0.0], [0.0, 2.5], [5.0, 2.5]])
        return (x - x.mean(0))[None]
