"""Monotone rational-quadratic splines on lines, intervals and circles."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lit_bg.spaces.domain import Kind
from lit_bg.transforms.bins import Bin, find_bin, split
from lit_bg.transforms.conditional import ConditionalMap, bounded_log_scale

MIN_SLOPE = 1e-3
LINEAR_BOUND = 5.0  # a linear coordinate is bent on [-5, 5], five standard deviations of the prior
SLOPE_ONE = math.log(math.expm1(1 - MIN_SLOPE))  # softplus(SLOPE_ONE) + MIN_SLOPE = 1


class Spline(ConditionalMap):
    r"""Maps each coordinate by a monotone rational-quadratic spline of K bins.

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
        # Columns that broadcast over the batch. Numbers, not booleans: arithmetic compiles to code five times as fast
        # as a choice by a broadcast mask.
        self.register_buffer("linear", (kinds == Kind.LINEAR).to(torch.get_default_dtype())[:, None])
        self.register_buffer("circular", (kinds == Kind.CIRCULAR).to(torch.get_default_dtype())[:, None])
        self.register_buffer("scale", 1 + (LINEAR_BOUND - 1) * self.linear)

    def _split(self, params: Tensor) -> tuple[Any, ...]:
        """Return widths, heights, first slope, slopes between bins, last slope; shift and log scale, zero where unused."""
        K = self.bins
        widths, heights, start, slopes, end = split(params, [K, K, 1, K - 1, 1])
        first, last = start.single[0], end.single[0]
        shift = self.linear * first + self.circular * last
        log_scale = self.linear * bounded_log_scale(last)
        last = self.circular * first + (1 - self.linear - self.circular) * last
        return widths, heights, (1 - self.linear) * first, slopes, last, shift, log_scale

    def _wrap(self, angle: Tensor) -> Tensor:
        """Bring circular coordinates back to [-1, 1)."""
        return angle - 2 * self.circular * torch.floor((angle + 1) / 2)

    def _slopes(self, b: Bin, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """Return the slopes at the two ends of each bin."""
        raw0 = torch.where(b.number == 0, first, b.raw0)
        raw1 = torch.where(b.number == self.bins - 1, last, b.raw1)
        return F.softplus(raw0 + SLOPE_ONE) + MIN_SLOPE, F.softplus(raw1 + SLOPE_ONE) + MIN_SLOPE

    def forward(self, z: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        widths, heights, first, slopes, last, shift, log_scale = self._split(params)
        z = self._wrap(z / self.scale + self.circular * shift)
        inside = z.abs() <= 1
        at = torch.where(inside, z, 0.0)
        b = find_bin(at, widths, heights, slopes)
        s0, s1 = self._slopes(b, first, last)
        delta, xi = b.height / b.width, (at - b.left) / b.width
        mixed = xi * (1 - xi)
        x = b.bottom + b.height * (delta * xi * xi + s0 * mixed) / (delta + (s0 + s1 - 2 * delta) * mixed)
        x = torch.where(inside, x, z) * self.scale
        ladj = torch.where(inside, _log_slope(delta, s0, s1, xi), 0.0)
        return x * torch.exp(log_scale) + self.linear * shift, (ladj + log_scale).sum(0)

    def inverse(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        widths, heights, first, slopes, last, shift, log_scale = self._split(params)
        x = self._wrap((x - self.linear * shift) * torch.exp(-log_scale) / self.scale)
        inside = x.abs() <= 1
        at = torch.where(inside, x, 0.0)
        b = find_bin(at, widths, heights, slopes, by_height=True)
        s0, s1 = self._slopes(b, first, last)
        delta, rise = b.height / b.width, at - b.bottom
        bend = rise * (s0 + s1 - 2 * delta)
        q = b.height * s0 - bend
        # The root of a quadratic in the form that does not cancel; q and the root are positive.
        root = torch.sqrt((q * q + 4 * delta * rise * (b.height * (delta - s0) + bend)).clamp_min(1e-30))
        xi = 2 * delta * rise / (q + root)
        z = torch.where(inside, b.left + b.width * xi, x) * self.scale
        ladj = torch.where(inside, _log_slope(delta, s0, s1, xi), 0.0)
        return self._wrap(z - self.circular * shift), -(ladj + log_scale).sum(0)


def _log_slope(delta: Tensor, s0: Tensor, s1: Tensor, xi: Tensor) -> Tensor:
    """Return log dx/dz at xi."""
    mixed = xi * (1 - xi)
    numerator = s1 * xi * xi + 2 * delta * mixed + s0 * (1 - xi) * (1 - xi)
    slope = delta / (delta + (s0 + s1 - 2 * delta) * mixed)
    return torch.log(slope * slope * numerator)
