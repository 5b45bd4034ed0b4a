"""Whitening: coordinates without correlations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from lit_bg.spaces.domain import Domain, Kind
from lit_bg.transforms.base import Chart
from lit_bg.transforms.standardize import refuse_particles

if TYPE_CHECKING:
    from lit_bg.spaces import Target


class Whitening(Chart):
    r"""Maps $x = \mu + V \sigma z$ with the covariance of the data $V \sigma^2 V^T$: principal components of unit variance.

    Without data it is the identity. Every component is kept; a covariance of lower rank is refused,
    because a flow on fewer coordinates has no density on the others.

    Raises:
        ValueError: a system whose coordinates do not stand alone on the real line, or a singular covariance.
    """

    mean: Tensor
    axes: Tensor
    scale: Tensor

    def build(self, energy: Target) -> Self:
        refuse_particles(self, energy)
        others = int((energy.space.domain.kinds != Kind.LINEAR).sum())
        if others:
            raise ValueError(
                f"Whitening mixes coordinates, and {others} of the {energy.space.dim} of {type(energy).__name__} are bounded "
                "or circular: use Standardize."
            )
        self.start(torch.zeros(energy.space.dim), torch.ones(energy.space.dim))
        self.event_shape = energy.space.shape
        return self

    def start(self, mean: Tensor, scale: Tensor) -> Self:
        """Return location and scale of each coordinate, (D,), for as long as there are no data."""
        self.event_shape = tuple(mean.shape)
        self.register_buffer("mean", mean)
        self.register_buffer("axes", torch.eye(len(mean)))  # (D, D), one principal axis per column
        self.register_buffer("scale", scale)
        return self

    @property
    def domain(self) -> Domain:
        return Domain.linear(len(self.mean))

    def adapt(self, x: Tensor) -> None:
        """Take the principal components of x, (B, *shape)."""
        x = x.flatten(1).to(torch.float64)
        if len(x) < 2:
            raise ValueError(f"Whitening needs at least two frames of data, got {len(x)}.")
        variance, axes = torch.linalg.eigh(torch.cov(x.T).reshape(x.shape[1], -1))
        rank = int((variance > 1e-10 * variance[-1]).sum())
        if rank < x.shape[1]:
            raise ValueError(
                f"the covariance of {len(x)} frames has rank {rank} of {x.shape[1]}: Whitening needs more frames, or "
                "coordinates that are independent (Standardize does without)."
            )
        self.mean.copy_(x.mean(0))
        self.axes.copy_(axes)
        self.scale.copy_(variance.sqrt())

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return (self.mean + (z * self.scale) @ self.axes.T).reshape(-1, *self.event_shape), self.scale.log().sum().expand(
            len(z)
        )

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return ((x.flatten(1) - self.mean) @ self.axes) / self.scale, -self.scale.log().sum().expand(len(x))
