"""Contracts of invertible maps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lit_bg.spaces import Domain, Vectors

if TYPE_CHECKING:
    from lit_bg.molecules.target import MolecularTarget


class Transform(nn.Module, ABC):
    """Maps by a bijection, with its log absolute Jacobian determinant.

    `forward(z) -> x, ladj` with ladj = log|det dx/dz|, and `inverse(x) -> z, ladj` with
    ladj = log|det dz/dx|; `(B, D)` in and out, `(B,)` for ladj.
    """

    @abstractmethod
    def forward(self, z: Float[Tensor, "B *latent"]) -> tuple[Float[Tensor, "B *shape"], Float[Tensor, "B"]]:
        """Map z -> x with log|det dx/dz|."""

    @abstractmethod
    def inverse(self, x: Float[Tensor, "B *shape"]) -> tuple[Float[Tensor, "B *latent"], Float[Tensor, "B"]]:
        """Map x -> z with log|det dz/dx|."""


class Layer(Transform):
    """Transforms as a part of a flow, which may depend on conditions (B, C); without any it gets None."""

    @abstractmethod
    def forward(
        self, z: Float[Tensor, "B D"], context: Float[Tensor, "B C"] | None = None
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B"]]:
        """Map z -> x with log|det dx/dz|."""

    @abstractmethod
    def inverse(
        self, x: Float[Tensor, "B D"], context: Float[Tensor, "B C"] | None = None
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B"]]:
        """Map x -> z with log|det dz/dx|."""


class Chart(Transform):
    """Gives a system coordinates: maps the canonical space of a flow, `(B, D)`, to configurations `(B, *event_shape)`.

    In the canonical space (`domain`) linear coordinates have mean about 0 and scale about 1, bounded
    and circular ones live on [-1, 1]. ladj is taken with respect to the system's reference measure, so
    that `log p(z) - ladj` is the log density of x whatever the chart.
    """

    event_shape: tuple[int, ...]

    @abstractmethod
    def build(self, energy: MolecularTarget) -> Self:
        """Fix shapes (and buffers, of their final shape) for this system; everything that data may refine is a buffer.

        Raises:
            ValueError: the chart does not fit the system.
        """

    @property
    @abstractmethod
    def domain(self) -> Domain:
        """Return the domain of the D canonical coordinates."""

    @property
    def space(self) -> Vectors:
        """Return the canonical space."""
        return Vectors(self.domain.dim, self.domain)

    def adapt(self, x: Float[Tensor, "B *shape"]) -> None:
        """Take location and scale from data, (B, *event_shape). By default there is nothing to take."""

    def complete(self, x: Float[Tensor, "B *shape"], rng: torch.Generator) -> Float[Tensor, "B *shape"]:
        """Draw what the coordinates leave open (an orientation, say); by default nothing."""
        return x
