"""Monotone rational-quadratic splines on lines, intervals and circles."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from lit_bg.transforms.bins import Bin, find_bin
from lit_bg.transforms.conditional import ConditionalMap, bounded_log_scale
from lit_bg.transforms.domain import Kind

MIN_SLOPE = 1e-3
LINEAR_BOUND = 5.0  # a linear coordinate is bent on [-5, 5], five standard deviations of the prior
SLOPE_ONE = math.log(math.expm1(1 - MIN_SLOPE))  # softplus(SLOPE_ONE) + MIN_SLOPE = 1


class Spline(ConditionalMap):
    r"""A monotone rational-quadratic spline of K bins per coordinate.

    Within a bin of width w, height h and end slopes $s_0, s_1$, with $\xi = (z - z_0) / w$ and $\Delta = h / w$,

    $$x = x_0 + h \frac{\Delta \xi^2 + s_0 \xi (1-\xi)}{\Delta + (s_0 + s_1 - 2 \Delta) \xi (1-\xi)}.$$

    Every coordinate takes 3K+1 unconstrained parameters (K widths, K heights, K+1 slopes), so lines,
    intervals and circles mix in one call; all live on [-1, 1] here, a linear coordinate after division by 5.
    The first and last slope mean:

    * bounded: the slopes at the two ends of the interval;
    * circular: the slope where the circle closes, and a shift along the circle, applied first;
    * linear: slopes at the ends are 1, beyond them the spline is the identity, and the two parameters
      are shift and log scale of an affine map applied last, as in RealNVP. Without it no layer could
      change the tails, and the tails decide the weights.

    Args:
        kinds: where each coordinate lives, (d,).
        bins: number of bins K.

    Raises:
        ValueError: fewer than 2 or more than 100 bins.

    References:
        Durkan, Bekasov, Murray, Papamakarios, Neural spline flows (2019), arXiv:1906.04032.
        Rezende et al., Normalizing flows on tori and spheres (2020), arXiv:2002.02428.
    """

    linear: Tensor
    circular: Tensor
    scale: Tensor

    def __init__(self, kinds: Tensor, bins: int = 8) -> None:
        super().__init__(kinds)
        if not 2 <= bins <= 100:
            raise ValueError(f"a spline needs between 2 and 100 bins, got bins={bins}.")
        self.bins = bins
        self.n_params = 3 * bins + 1
        # Columns, so that they broadcast over the batch.
        self.register_buffer("linear", (kinds == Kind.LINEAR)[:, None])
        self.register_buffer("circular", (kinds == Kind.CIRCULAR)[:, None])
        self.register_buffer("scale", torch.where(self.linear, LINEAR_BOUND, 1.0))

    def _affine(self, params: Tensor) -> tuple[Tensor, Tensor]:
        """What the first and last slope mean beside slopes: shift and log scale, (d, B), zero where unused."""
        first, last = params[2 * self.bins], params[-1]
        shift = torch.where(self.linear, first, torch.where(self.circular, last, 0.0))
        return shift, torch.where(self.linear, bounded_log_scale(last), 0.0)

    def _bin(self, point: Tensor, params: Tensor, by_height: bool) -> tuple[Bin, Tensor, Tensor]:
        """The bin of each point, and the slopes at its two ends."""
        b = find_bin(point, params, self.bins, by_height)
        first, last = params[2 * self.bins], params[-1]
        first, last = torch.where(self.linear, 0.0, first), torch.where(self.circular, first, last)
        last = torch.where(self.linear, 0.0, last)
        raw0 = torch.where(b.number == 0, first, b.raw0)
        raw1 = torch.where(b.number == self.bins - 1, last, b.raw1)
        return b, F.softplus(raw0 + SLOPE_ONE) + MIN_SLOPE, F.softplus(raw1 + SLOPE_ONE) + MIN_SLOPE

    def forward(self, z: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        shift, log_scale = self._affine(params)
        z = torch.where(self.circular, wrap(z + shift), z / self.scale)
        inside = z.abs() <= 1
        at = torch.where(inside, z, 0.0)
        b, s0, s1 = self._bin(at, params, by_height=False)
        delta, xi = b.height / b.width, (at - b.left) / b.width
        mixed = xi * (1 - xi)
        x = b.bottom + b.height * (delta * xi**2 + s0 * mixed) / (delta + (s0 + s1 - 2 * delta) * mixed)
        x = torch.where(inside, x, z) * self.scale
        ladj = torch.where(inside, _log_slope(delta, s0, s1, xi), 0.0)
        return torch.where(self.linear, x * torch.exp(log_scale) + shift, x), (ladj + log_scale).sum(0)

    def inverse(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        shift, log_scale = self._affine(params)
        x = torch.where(self.linear, (x - shift) * torch.exp(-log_scale), x) / self.scale
        x = torch.where(self.circular, wrap(x), x)
        inside = x.abs() <= 1
        at = torch.where(inside, x, 0.0)
        b, s0, s1 = self._bin(at, params, by_height=True)
        delta, rise = b.height / b.width, at - b.bottom
        bend = rise * (s0 + s1 - 2 * delta)
        q = b.height * s0 - bend
        # The root of a quadratic in the form that does not cancel; both terms of the sum are positive.
        root = torch.sqrt((q**2 + 4 * delta * rise * (b.height * (delta - s0) + bend)).clamp_min(1e-30))
        xi = 2 * delta * rise / (q + root)
        z = torch.where(inside, b.left + b.width * xi, x) * self.scale
        ladj = torch.where(inside, _log_slope(delta, s0, s1, xi), 0.0)
        return torch.where(self.circular, wrap(z - shift), z), -(ladj + log_scale).sum(0)


def _log_slope(delta: Tensor, s0: Tensor, s1: Tensor, xi: Tensor) -> Tensor:
    """log dx/dz at xi."""
    mixed = xi * (1 - xi)
    numerator = s1 * xi**2 + 2 * delta * mixed + s0 * (1 - xi) ** 2
    return torch.log(delta**2 * numerator / (delta + (s0 + s1 - 2 * delta) * mixed) ** 2)


def wrap(angle: Tensor) -> Tensor:
    """The point of the circle [-1, 1) that `angle` stands for.

    >>> wrap(torch.tensor([0.5, 1.25, -3.5]))
    tensor([ 0.5000, -0.7500,  0.5000])
    """
    return angle - 2 * torch.floor((angle + 1) / 2)
