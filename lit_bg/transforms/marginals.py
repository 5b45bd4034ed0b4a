"""Maps that make the distribution of angles in data uniform."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.transforms.base import Transform

KNOTS = 36  # ten degrees apart
FLOOR = 0.02  # least share of the uniform density


class CircularMarginals(Transform):
    r"""Applies the distribution function of each of d angles: what is uniform in z has the marginals of the data in x.

    $z = 2 F(x) - 1$ on the circle [-1, 1), with a density $F'$ that is linear between equidistant knots and
    joins up where the circle closes. F is quadratic in each interval, so both directions are exact:
    with s = 2F' at the two ends of an interval of width h, and t the way into it,

    $$z = z_0 + s_0 t + \frac{s_1 - s_0}{2h} t^2, \quad t = \frac{2 (z - z_0)}{s_0 + \sqrt{s_0^2 + 2 (z - z_0)(s_1 - s_0)/h}}.$$

    Without data F is the uniform distribution, and the map the identity.

    Args:
        dim: number of angles d.
        knots: of the density of each.
    """

    slope: Tensor

    def __init__(self, dim: int, knots: int = KNOTS) -> None:
        super().__init__()
        self.register_buffer("slope", torch.ones(dim, knots))  # 2F' at the knots, mean one

    def adapt(self, x: Tensor) -> None:
        """Take the marginals of x, (B, d) in [-1, 1).

        A frame is shared by the two knots beside it. A uniform part of weight K / (K + B), at least 2 percent,
        stands for what B frames do not show, so that no angle has density zero.
        """
        K = self.slope.shape[1]
        at = (x.T.double() + 1) * (K / 2)
        knot, share = at.floor(), at - at.floor()
        left = knot.long() % K
        counts = torch.zeros(self.slope.shape, dtype=torch.float64, device=x.device)
        counts.scatter_add_(1, left, 1 - share).scatter_add_(1, (left + 1) % K, share)
        uniform = max(FLOOR, K / (K + len(x)))
        self.slope.copy_((1 - uniform) * counts * (K / len(x)) + uniform)

    def _lower_ends(self) -> Tensor:
        """Return z at the knots, (d, K)."""
        rise = (self.slope + self.slope.roll(-1, 1)) / self.slope.shape[1]
        return torch.cat([torch.zeros_like(rise[:, :1]), rise[:, :-1].cumsum(1)], 1) - 1

    def _interval(self, ends: Tensor, k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return z_0, s_0 and (s_1 - s_0) / h of the k-th interval of each angle, (d, B)."""
        bend = (self.slope.roll(-1, 1) - self.slope) * (self.slope.shape[1] / 2)
        return ends.gather(1, k), self.slope.gather(1, k), bend.gather(1, k)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        z, ends, K = _on_circle(z).T.contiguous(), self._lower_ends(), self.slope.shape[1]
        k = torch.searchsorted(ends[:, 1:].contiguous(), z.detach(), right=True)
        z0, s0, bend = self._interval(ends, k)
        rise = z - z0
        slope = (s0 * s0 + 2 * rise * bend).clamp_min(1e-6).sqrt()  # rounding only: a slope is 0.02 or more
        x = k * (2 / K) - 1 + 2 * rise / (s0 + slope)
        return x.T, -slope.log().sum(0)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x, ends, K = _on_circle(x).T, self._lower_ends(), self.slope.shape[1]
        k = ((x.detach() + 1) * (K / 2)).long().clamp(0, K - 1)
        z0, s0, bend = self._interval(ends, k)
        t = x - (k * (2 / K) - 1)
        return (z0 + t * (s0 + 0.5 * bend * t)).T, (s0 + bend * t).log().sum(0)


def _on_circle(x: Tensor) -> Tensor:
    return x - 2 * torch.floor((x + 1) / 2)
