"""Radial basis functions: distances as features of a network."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class RadialBasis(nn.Module):
    r"""Expands a distance in Gaussians of its logarithm.

    $$\phi_k(r) = \exp\left[-\frac{(s - s_k)^2}{2 \sigma^2}\right], \qquad s = \tfrac12 \ln(r^2 + r_0^2),$$

    with K centres at equal steps $\sigma$ from $s_1 = \ln r_0$ to $\ln r_1$: fine at contact, coarse far away. They are smooth
    functions of $r^2$, also where particles meet, and vanish far beyond $r_1$.

    Args:
        n: K.
        nearest, farthest: $r_0$ and $r_1$ [length].

    Raises:
        ValueError: fewer than two centres, or distances that are not positive and in this order.

    >>> RadialBasis(3, nearest=0.5, farthest=2.0)(torch.tensor([0.0]))[0, 0].item()
    1.0
    """

    centres: Tensor

    def __init__(self, n: int, nearest: float, farthest: float) -> None:
        super().__init__()
        if n < 2 or not 0 < nearest < farthest:
            raise ValueError(
                f"RadialBasis needs two functions or more and 0 < nearest < farthest, got {n} from {nearest} to {farthest}."
            )
        self.nearest = nearest
        self.step = math.log(farthest / nearest) / (n - 1)
        self.register_buffer("centres", torch.arange(n), persistent=False)  # in steps: whole numbers in any precision

    def forward(self, r2: Tensor) -> Tensor:
        r"""Return $\phi_k$ of squared distances, (...) -> (..., K)."""
        return self.with_slope(r2)[0]

    def with_slope(self, r2: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return $\phi_k$ and $r\, d\phi_k / dr$, (...) -> (..., K) each."""
        scaled = r2 / self.nearest**2
        z = (0.5 * scaled.log1p() / self.step)[..., None] - self.centres
        phi = (-0.5 * z.square()).exp()
        return phi, -phi * z * (scaled / (1 + scaled) / self.step)[..., None]
