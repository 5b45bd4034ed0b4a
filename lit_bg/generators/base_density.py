"""Where a continuous flow starts: densities that can be sampled, in units of the data's own width."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor, nn

from lit_bg.energies.base import Energy
from lit_bg.nets.field import centred


class BaseDensity(nn.Module, ABC):
    """A normalised density in the reference measure of the system, with samples (n, *event_shape)."""

    @abstractmethod
    def build(self, energy: Energy) -> Self:
        """Take shapes from the system."""

    @abstractmethod
    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """z (n, *event_shape) and log p(z) (n,)."""

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z), (B,) [nats]."""


class StandardNormal(BaseDensity):
    r"""$\log p(z) = -\frac12 |z|^2 - \frac{f}{2} \ln 2 \pi$ in the f degrees of freedom of the system.

    For translation-invariant systems it lives on the centre-of-mass-free subspace, f = (N - 1) d; log p is that of the
    projection there.

    >>> from lit_bg.energies import DW4
    >>> z, log_p = StandardNormal().build(DW4()).sample(3, torch.Generator().manual_seed(0))
    >>> z.mean(1).abs().max().item() < 1e-6
    True
    """

    where: Tensor

    def build(self, energy: Energy) -> Self:
        self.event_shape, self.mean_free = energy.event_shape, energy.translation_invariant
        self.log_norm = 0.5 * energy.degrees_of_freedom * math.log(2 * math.pi)
        self.register_buffer("where", torch.zeros(()), persistent=False)  # its device and type are those of samples
        return self

    def _projected(self, z: Tensor) -> Tensor:
        return centred(z) if self.mean_free else z

    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        z = torch.randn(n, *self.event_shape, generator=rng, device=self.where.device, dtype=self.where.dtype)
        z = self._projected(z)
        return z, self.log_prob(z)

    def log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * self._projected(z).square().flatten(1).sum(-1) - self.log_norm
