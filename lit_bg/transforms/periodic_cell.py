"""Particles in a periodic cell, by their fractions of its vectors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from lit_bg.spaces import Domain, Kind, Particles
from lit_bg.transforms.base import Chart

if TYPE_CHECKING:
    from lit_bg.spaces import Target


class PeriodicCell(Chart):
    r"""Maps $x_i = x_0 + H^T (z_i + 1) / 2$ with circular z in [-1, 1), H the vectors of the cell: rectangular or triclinic.

    With all coordinates measured $x_0 = 0$. Where translations do not count, the first particle is the origin, the others have
    $(N - 1) d$ circles, and the mean is taken out of x: $d\mu = N^{-d/2} \prod_{i>1} d(x_i - x_1)$ in an orthonormal basis of
    the subspace of zero mean.

    Raises:
        ValueError: from `build`, a system without a periodic cell.
    """

    vectors: Tensor
    inverse_vectors: Tensor

    def build(self, energy: Target) -> Self:
        space = energy.space
        if not isinstance(space, Particles) or space.cell is None:
            raise ValueError(f"PeriodicCell holds particles in a cell, and {type(energy).__name__} has {space}: leave it out.")
        self.particles, self.event_shape = space, space.shape
        cell = space.cell
        self.register_buffer("vectors", cell.to(torch.get_default_dtype()), persistent=False)
        self.register_buffer("inverse_vectors", torch.linalg.inv(cell).to(torch.get_default_dtype()), persistent=False)
        self.moving = space.n - space.centred
        self.ladj = self.moving * math.log(space.volume / 2**space.d) - space.centred * 0.5 * space.d * math.log(space.n)
        return self

    @property
    def domain(self) -> Domain:
        return Domain.canonical(torch.full((self.moving * self.particles.d,), int(Kind.CIRCULAR)))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        x = 0.5 * (z.reshape(len(z), self.moving, -1) + 1) @ self.vectors
        if self.particles.centred:
            x = torch.cat([torch.zeros_like(x[:, :1]), x], 1)
            x = x - x.mean(1, keepdim=True)
        return x, z.new_full((len(z),), self.ladj)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x[:, 1:] - x[:, :1] if self.particles.centred else x
        fraction = x @ self.inverse_vectors
        z = 2 * (fraction - fraction.floor()) - 1
        return z.flatten(1), x.new_full((len(x),), -self.ladj)
