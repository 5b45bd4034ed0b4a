"""Where a flow in canonical coordinates starts."""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor

from lit_bg.bases.base import BaseDensity
from lit_bg.energies.base import Energy
from lit_bg.spaces import Kind, Space


class Canonical(BaseDensity):
    """Draws independent coordinates: standard normal on lines, uniform on intervals and circles.

    Raises:
        ValueError: from `build`, coordinates that are no vector, or an interval other than [-1, 1].

    >>> from lit_bg.spaces import Vectors
    >>> z, log_p = Canonical().on(Vectors(3)).sample(5, torch.Generator().manual_seed(0))
    >>> z.shape, log_p.shape
    (torch.Size([5, 3]), torch.Size([5]))
    """

    normalised = True
    linear: Tensor
    log_norm: Tensor

    def build(self, energy: Energy, space: Space | None = None) -> Self:
        return self.on(energy.space if space is None else space)

    def on(self, space: Space) -> Self:
        """Build the density on a space of canonical coordinates."""
        domain = space.domain
        linear = domain.kinds == Kind.LINEAR
        if space.shape != (space.dof,) or not ((domain.lower == -1) & (domain.upper == 1) | linear).all():
            raise ValueError("a canonical density lives on vectors with every interval [-1, 1]: map to it with a chart.")
        self.space = space
        self.register_buffer("linear", linear)
        n = int(linear.sum())
        log_norm = 0.5 * n * math.log(2 * math.pi) + (len(linear) - n) * math.log(2)
        self.register_buffer("log_norm", torch.tensor(log_norm))
        return self

    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        device, dtype = self.log_norm.device, self.log_norm.dtype
        z = torch.randn(n, len(self.linear), generator=rng, device=device, dtype=dtype)
        uniform = 2 * torch.rand(n, len(self.linear), generator=rng, device=device, dtype=dtype) - 1
        z = torch.where(self.linear, z, uniform)
        return z, self.log_prob(z)

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log p(z), (B,) [nats]; -inf outside an interval (beyond rounding)."""
        log_p = -0.5 * torch.where(self.linear, z, 0.0).square().sum(-1) - self.log_norm
        inside = (self.linear | (z.abs() <= 1 + 100 * torch.finfo(z.dtype).eps)).all(-1)
        return torch.where(inside, log_p, -torch.inf)
