"""Where a transport starts."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lit_bg.spaces.domain import Domain, Kind


class Prior(nn.Module):
    """Independent coordinates of a canonical domain: standard normal on lines, uniform on intervals and circles.

    Args:
        domain: a canonical domain, all intervals [-1, 1].

    Raises:
        ValueError: an interval other than [-1, 1].

    >>> z, log_p = Prior(Domain.linear(3)).sample(5, torch.Generator().manual_seed(0))
    >>> z.shape, log_p.shape
    (torch.Size([5, 3]), torch.Size([5]))
    """

    normalised = True
    linear: Tensor
    log_norm: Tensor

    def __init__(self, domain: Domain) -> None:
        super().__init__()
        linear = domain.kinds == Kind.LINEAR
        if not ((domain.lower == -1) & (domain.upper == 1) | linear).all():
            raise ValueError("a prior lives on a canonical domain, every interval [-1, 1]: map to it with a chart.")
        self.register_buffer("linear", linear)
        n = int(linear.sum())
        log_norm = 0.5 * n * math.log(2 * math.pi) + (len(linear) - n) * math.log(2)
        self.register_buffer("log_norm", torch.tensor(log_norm))

    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """z (n, D) and log p(z) (n,)."""
        device, dtype = self.log_norm.device, self.log_norm.dtype
        z = torch.randn(n, len(self.linear), generator=rng, device=device, dtype=dtype)
        uniform = 2 * torch.rand(n, len(self.linear), generator=rng, device=device, dtype=dtype) - 1
        z = torch.where(self.linear, z, uniform)
        return z, self.log_prob(z)

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z), (B,) [nats]; -inf outside an interval (beyond rounding)."""
        log_p = -0.5 * torch.where(self.linear, z, 0.0).square().sum(-1) - self.log_norm
        inside = (self.linear | (z.abs() <= 1 + 100 * torch.finfo(z.dtype).eps)).all(-1)
        return torch.where(inside, log_p, -torch.inf)
