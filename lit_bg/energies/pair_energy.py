"""Identical particles that interact in pairs."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from lit_bg.energies.base import Energy, Observable
from lit_bg.spaces import Particles

TINY = 1e-30  # of a squared distance: the gradient of particles on one spot is a number


class PairEnergy(Energy):
    r"""Describes N identical particles in d dimensions, $U(x) = \sum_{i<j} v(r_{ij}) + V(x)$, by v and V of a subclass.

    Without V, or with one that does not see translations, the reference measure is the centre-of-mass-free subspace,
    (N - 1) d dimensions. The integral of log Z runs over all labellings of the particles, without 1/N!.

    Args:
        n: number of particles N.
        d: dimensions of space.
        kT: temperature in units of the energy.

    Raises:
        ValueError: fewer than two particles, or no dimension.
    """

    symmetries = frozenset({"translation", "rotation", "reflection"})
    space: Particles
    pairs: Tensor

    def __init__(self, n: int, d: int, kT: float = 1.0) -> None:
        super().__init__(kT)
        if n < 2 or d < 1:
            raise ValueError(f"{type(self).__name__} needs two particles or more in one dimension or more, got {n} in {d}.")
        self.space = Particles(n, d, (0,) * n, centred="translation" in self.symmetries)
        self.register_buffer("pairs", torch.triu_indices(n, n, 1), persistent=False)  # (2, N (N - 1) / 2)

    @abstractmethod
    def pair(self, r: Tensor) -> Tensor:
        """Return v of the distances of all pairs i < j, (B, N (N - 1) / 2)."""

    def external(self, x: Tensor) -> Tensor | float:
        """Return V of configurations, (B, N, d) -> (B,)."""
        return 0.0

    def potential(self, x: Tensor) -> Tensor:
        return self.pair(self.distances(x)).sum(-1) + self.external(x)

    def distances(self, x: Tensor) -> Tensor:
        """Return |x_i - x_j| of all pairs i < j, (B, N (N - 1) / 2)."""
        i, j = self.pairs
        return self.space.separations(x[:, i] - x[:, j]).square().sum(-1).clamp_min(TINY).sqrt()

    @property
    def observables(self) -> dict[str, Observable]:
        return {
            "U": Observable(self.potential),
            "<r>": Observable(lambda x: self.distances(x).mean(-1)),
            "nearest": Observable(lambda x: self.distances(x).amin(-1)),
            "Rg": Observable(lambda x: spread(x).mean(-1).sqrt()),
        }


def spread(x: Tensor) -> Tensor:
    """Return squared distances of the particles to their centre of mass, (B, N, d) -> (B, N)."""
    return (x - x.mean(1, keepdim=True)).square().sum(-1)
