"""A normal base density."""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor

from lit_bg.bases.base import BaseDensity
from lit_bg.energies.base import Energy
from lit_bg.spaces import Space, Symmetry


class Normal(BaseDensity):
    r"""Draws normal numbers: $\log p(z) = -\frac{|z|^2}{2 w^2} - \frac{f}{2} \ln 2 \pi w^2$ in f degrees of freedom.

    For free particles it lives on the centre-of-mass-free subspace, f = (N - 1) d; log p is that of the projection there.

    Args:
        width: w.

    Raises:
        ValueError: a width that is not positive; from `build`, coordinates that do not live on lines.

    >>> from lit_bg.energies import DW4
    >>> z, log_p = Normal().build(DW4()).sample(3, torch.Generator().manual_seed(0))
    >>> z.mean(1).abs().max().item() < 1e-6
    True
    """

    normalised = True
    exchangeable = True
    where: Tensor

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        if not width > 0:
            raise ValueError(f"a normal density needs width > 0, got {width}.")
        self.width = width

    def build(self, energy: Energy, space: Space | None = None) -> Self:
        self.space = energy.space if space is None else space
        if not self.space.unbounded:
            raise ValueError(
                f"a normal density lives on lines, and {type(energy).__name__} has {self.space}, which are not: use "
                "Canonical, or PeriodicCrystal for particles in a cell."
            )
        centre: set[Symmetry] = {"translation"} if self.space.centred else set()
        self.symmetries = frozenset[Symmetry]({"rotation", "reflection"}) | centre
        self.log_norm = 0.5 * self.space.dof * math.log(2 * math.pi * self.width**2)
        self.register_buffer("where", torch.zeros(()), persistent=False)  # its device and type are those of samples
        return self

    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        z = self.width * self.space.noise(n, rng, self.where.dtype).to(self.where.device)
        return z, self.log_prob(z)

    def log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * (self.space.project(z) / self.width).square().flatten(1).sum(-1) - self.log_norm
