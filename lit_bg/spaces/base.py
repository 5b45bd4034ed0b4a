"""Contract of spaces: where configurations live, and what a density on them means."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from lit_bg.spaces.domain import Domain, Kind

Symmetry = Literal["translation", "rotation", "reflection"]  # moves of all particles at once


class Space(ABC):
    """Says where the configurations of a system live, with the reference measure and the moves that belong to it.

    A space is an immutable value. Everything that depends on the kind of the coordinates asks it: the shape of a
    configuration, how many degrees of freedom there are, what is taken out of a displacement, what comes back to where it was.
    `log_Z` and `log_q` of every system are taken in its reference measure.
    """

    centred: bool = False  # whether the centre of mass is none of the degrees of freedom, so that it must not move
    continuous: bool = True  # whether configurations vary continuously, so that energies have gradients
    types: tuple[int, ...] | None = None  # of particles: those of one type are alike; None: no particles

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Return the shape of one configuration."""

    @property
    def dim(self) -> int:
        """Return the number of coordinates, the product of `shape`."""
        return int(torch.Size(self.shape).numel())

    @property
    def dof(self) -> int:
        """Return the dimension of the reference measure; on lines it is also the virial <sum x . grad u>."""
        return self.dim

    @property
    def cell(self) -> Float[Tensor, "d d"] | None:
        """Return the (d, d) vectors of a periodic cell, one per row, float64; None: space has no end."""
        return None

    @property
    def domain(self) -> Domain:
        """Return which of the `dim` coordinates live on the line, on an interval, on a circle."""
        return Domain.linear(self.dim)

    @property
    def unbounded(self) -> bool:
        """Return whether every coordinate lives on the whole line, where the virial has a value and normal densities fit."""
        return self.continuous and self.cell is None and bool((self.domain.kinds == Kind.LINEAR).all())

    @property
    def bounded(self) -> bool:
        """Return whether some coordinate lives on an interval, which a step may leave."""
        return False

    def shares_measure_with(self, other: Space) -> bool:
        """Say whether both have one reference measure; which particles are alike does not matter."""
        return self == other

    def check(self, x: Shaped[Tensor, "B ..."], name: str = "the system") -> None:
        """Refuse a tensor that does not have the shape of configurations, (B, *shape).

        Raises:
            ValueError: another shape, with both.
        """
        if x.shape[1:] != self.shape:
            raise ValueError(
                f"{name} takes configurations of shape (B, {', '.join(map(str, self.shape))}), got {tuple(x.shape)}."
            )

    def contains(self, x: Float[Tensor, "B *shape"]) -> Bool[Tensor, "B"]:
        """Return which of the configurations (B, *shape) have values that this space holds, (B,) bool."""
        return torch.isfinite(x).flatten(1).all(1)

    def noise(self, n: int, rng: torch.Generator, dtype: torch.dtype | None = None) -> Float[Tensor, "n *shape"]:
        """Draw n standard normal displacements, (n, *shape), on the device of `rng`.

        They have variance one in each of the `dof` degrees of freedom and none in what `project` takes out.
        """
        return self.project(torch.randn(n, *self.shape, generator=rng, device=rng.device, dtype=dtype))

    def project(self, v: Float[Tensor, "B *shape"], mass: Float[Tensor, "*#shape"] | None = None) -> Float[Tensor, "B *shape"]:
        """Return displacements, (B, *shape), without their part outside of the degrees of freedom.

        It is orthogonal in the metric of `mass`, where that is given: one value per particle, (N, 1), or per coordinate. A free
        cluster comes out centred.
        """
        return v

    def wrap(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B *shape"]:
        """Return the representative of every configuration, (B, *shape), that lies in the cell or on its interval."""
        return x

    def difference(self, x: Float[Tensor, "B *shape"], y: Float[Tensor, "B *shape"]) -> Float[Tensor, "B *shape"]:
        """Return the shortest displacements that lead from y to x, (B, *shape)."""
        return self.project(x - y)

    def measure_units(self, x: Float[Tensor, "B *shape"]) -> tuple[Float[Tensor, "D"], Float[Tensor, "D"]]:
        """Return location and width of data, (B, *shape), each (D,) or (1,) as far as the space tells coordinates apart.

        Here one width, and no shift, for all: no symmetry between coordinates is lost.
        """
        width = (self.project(x).square().flatten(1).sum(-1).mean() / self.dof).sqrt()
        return torch.zeros_like(width).reshape(1), width.reshape(1)

    @property
    def units_shape(self) -> tuple[int, ...]:
        """Return the shape of what `measure_units` returns."""
        return (1,)

    @abstractmethod
    def __str__(self) -> str:
        """Say in words what lives here, such as "22 particles in 3 dimensions"."""
