"""Standardisation of coordinates to order one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from lit_bg.spaces.domain import Domain, Kind
from lit_bg.transforms.base import Chart

if TYPE_CHECKING:
    from lit_bg.spaces import Target


class Standardize(Chart):
    r"""Maps $x_i = a_i + b_i z_i$ for each coordinate: vectors, fields on a lattice, particles that are held in place.

    On the line $a, b$ are `loc` and `scale`, then mean and standard deviation of the data where there
    are some. Bounded and circular coordinates have their interval mapped to [-1, 1].

    Args:
        loc: centre of the linear coordinates, in the units of the system.
        scale: their width, likewise; a few times too large is harmless, far too small starves the flow.

    Raises:
        ValueError: a scale that is not positive, a system whose coordinates do not stand alone (particles without a centre of
            mass or in a cell), data that do not vary.
    """

    loc: Tensor
    scale: Tensor
    kinds: Tensor

    def __init__(self, loc: float = 0.0, scale: float = 1.0) -> None:
        super().__init__()
        if not scale > 0:
            raise ValueError(f"Standardize needs a positive scale, got {scale}.")
        self.start = (loc, scale)

    def build(self, energy: Target) -> Self:
        refuse_particles(self, energy)
        domain = energy.space.domain
        linear = domain.kinds == Kind.LINEAR
        self.event_shape = energy.space.shape
        self.register_buffer("kinds", domain.kinds.clone())
        self.register_buffer("loc", torch.where(linear, self.start[0], (domain.lower + domain.upper) / 2))
        self.register_buffer("scale", torch.where(linear, self.start[1], (domain.upper - domain.lower) / 2))
        return self

    @property
    def domain(self) -> Domain:
        return Domain.canonical(self.kinds)

    def adapt(self, x: Tensor) -> None:
        """Take mean and standard deviation of the linear coordinates of x, (B, *shape)."""
        x = x.flatten(1).to(torch.float64)
        mean, std = x.mean(0), x.std(0, correction=0)
        linear = self.kinds == Kind.LINEAR
        stuck = torch.nonzero(linear & ~(std > 1e-10 * mean.abs().clamp_min(1e-10)))[:, 0].tolist()
        if stuck:
            raise ValueError(
                f"coordinates {stuck[:8]} do not vary over the {len(x)} frames of data: Standardize needs at least "
                "two different values of each."
            )
        self.loc.copy_(torch.where(linear, mean, self.loc.double()))
        self.scale.copy_(torch.where(linear, std, self.scale.double()))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return (self.loc + self.scale * z).reshape(-1, *self.event_shape), self.scale.log().sum().expand(len(z))

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = (x.flatten(1) - self.loc) / self.scale
        z = torch.where(self.kinds == Kind.CIRCULAR, (z + 1) % 2 - 1, z)
        return z, -self.scale.log().sum().expand(len(x))


def refuse_particles(chart: Chart, energy: Target) -> None:
    """Refuse a system whose coordinates are not D independent numbers.

    Raises:
        ValueError: particles whose centre of mass has no density or that live in a cell, or spins.
    """
    space, name = energy.space, type(energy).__name__
    if not space.continuous:
        raise ValueError(f"{type(chart).__name__} takes continuous coordinates, and {name} has {space}: no flow applies.")
    if space.cell is not None:
        raise ValueError(f"{type(chart).__name__} takes every coordinate on its own, and {name} has {space}: use PeriodicCell.")
    if space.dof != space.dim:
        way_out = (
            "put an InternalCoordinates transform between them (coordinates: InternalCoordinates), or use a generator for "
            "particles (ContinuousFlow)"
            if space.types is not None
            else "write a chart for it"
        )
        raise ValueError(
            f"{type(chart).__name__} takes {space.dim} coordinates on their own, and {name} has {space}, of which {space.dof} "
            f"are degrees of freedom: {way_out}."
        )
