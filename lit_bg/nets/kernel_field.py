"""Velocities along the lines between particles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from lit_bg.nets.mlp import MLP
from lit_bg.nets.particle_field import ParticleField
from lit_bg.nets.radial_basis import RadialBasis
from lit_bg.nets.time_features import TIMES, time_features

if TYPE_CHECKING:
    from lit_bg.spaces import Target


class KernelField(ParticleField):
    r"""Moves particles by a pair potential that changes in time; it starts as v = 0.

    $$v_i = \frac{1}{N-1} \sum_j (x_i - x_j)\, w(r_{ij}, t), \qquad w = a_0(t) + \sum_k a_k(t)\, \phi_k(r_{ij}),$$

    with coefficients of its own for every pair of types, from one small network of time. The divergence is a sum over the
    same pairs, $\frac{1}{N-1} \sum_{i \ne j} (d\, w + r\, \partial w / \partial r)$, so it costs as much as the velocity.

    It follows rotations, reflections and exchanges of particles of one type, and does not see translations; in a trap every
    particle also feels the origin. It is the gradient of a potential at any time, and no particle sees what the others do
    to each other: cheap, and less able than an `EGNN`.

    Args:
        basis: number of functions of the distance.
        width: of the hidden layers of the network of time.
        nearest, farthest: range of distances [length] that is resolved, see `RadialBasis`.

    Raises:
        ValueError: a number below one; from `build`, a system that is not of particles or lacks the symmetries.

    References:
        Koehler, Klein, Noe, ICML 2020, arXiv:2006.02425.
    """

    pairs: Tensor
    lookup: Tensor
    kinds: Tensor
    movers: Tensor

    def __init__(self, basis: int = 32, width: int = 64, nearest: float = 0.1, farthest: float = 10.0) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"KernelField needs width >= 1, got {width=}.")
        self.basis, self.n_basis = RadialBasis(basis, nearest, farthest), basis
        self.width = width

    def build(self, energy: Target) -> Self:
        super().build(energy)
        n, m = len(energy.space.types or ()), len(self.types)
        pairs = torch.triu_indices(m, m, 1)  # i < j, each once, (2, P)
        of_types = self.types.cpu()[pairs].sort(0).values
        kinds = of_types.unique(dim=1, return_inverse=True)[1]
        lookup = torch.zeros(m, m, dtype=torch.long)  # which pair; on the diagonal any, as x_i - x_i = 0
        i, j = pairs
        lookup[i, j] = lookup[j, i] = torch.arange(pairs.shape[1])
        self.n_kinds = int(kinds.max()) + 1
        tables = {"pairs": pairs, "lookup": lookup, "kinds": kinds, "movers": (pairs < n).sum(0)}
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)
        self.coefficients = MLP(TIMES + self.context, self.n_kinds * (1 + self.n_basis), (self.width, self.width))
        return self

    def _coefficients(self, t: Tensor, context: Tensor | None) -> Tensor:
        """Return a of every pair, (B, P or 1, 1 + K)."""
        known = [] if context is None else [context]
        a = self.coefficients(torch.cat([time_features(t), *known], -1)).reshape(len(t), self.n_kinds, -1)
        return a[:, self.kinds] if self.n_kinds > 1 else a

    def _velocity(self, away: Tensor, w: Tensor) -> Tensor:
        v = torch.einsum("bij,bijd->bid", w[:, self.lookup], away) / (len(self.types) - 1)
        return self.of_particles(v)

    def forward(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        away, r2 = self._distances(x)
        a = self._coefficients(t, context)
        return self._velocity(away, a[..., 0] + (a[..., 1:] * self.basis(r2)).sum(-1))

    def _distances(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return x_i - x_j of all nodes, (B, M, M, d), and its square for i < j, (B, P)."""
        nodes = self.nodes(x)
        away = nodes[:, :, None] - nodes[:, None]
        i, j = self.pairs
        return away, away[:, i, j].square().sum(-1)

    def with_divergence(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        away, r2 = self._distances(x)
        a = self._coefficients(t, context)
        phi, slope = self.basis.with_slope(r2)
        w = a[..., 0] + (a[..., 1:] * phi).sum(-1)
        rates = x.shape[-1] * w + (a[..., 1:] * slope).sum(-1)
        # A pair stretches the space of both its particles; one with the origin, which stays, that of one.
        return self._velocity(away, w), (self.movers * rates).sum(-1) / (len(self.types) - 1)
