"""Monotone rational-quadratic splines on lines, intervals and circles."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lit_bg.transforms.conditional import ConditionalMap, bounded_log_scale
from lit_bg.transforms.domain import Kind

MIN_BIN = 1e-3  # of the interval: bins keep a width that float32 resolves
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

    def _slopes(self, params: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Unconstrained slopes (K+1, d, B), and the two spare parameters: shift and log scale, zero where unused."""
        raw = params[2 * self.bins :]
        first, last = raw[:1], raw[-1:]
        ends = (
            torch.where(self.linear, 0.0, first),
            torch.where(self.linear, 0.0, torch.where(self.circular, first, last)),
        )
        shift = torch.where(self.linear, first[0], torch.where(self.circular, last[0], 0.0))
        log_scale = torch.where(self.linear, bounded_log_scale(last[0]), 0.0)
        return torch.cat([ends[0], raw[1:-1], ends[1]]), shift, log_scale

    def _bins(self, params: Tensor) -> tuple[Tensor, Tensor]:
        """Widths and heights, (K, d, B) each, summing to 2."""
        K = self.bins
        return _partition(params[:K]), _partition(params[K : 2 * K])

    def forward(self, z: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        slopes, shift, log_scale = self._slopes(params)
        z = z / self.scale
        z = torch.where(self.circular, wrap(z + shift), z)
        x, ladj = _spline(z, *self._bins(params), slopes)
        x = torch.where(self.linear, (x * self.scale) * torch.exp(log_scale) + shift, x)
        return x, (ladj + log_scale).sum(0)

    def inverse(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        slopes, shift, log_scale = self._slopes(params)
        x = torch.where(self.linear, (x - shift) * torch.exp(-log_scale) / self.scale, x)
        x = torch.where(self.circular, wrap(x), x)
        widths, heights = self._bins(params)
        z, ladj = _inverse_spline(x, widths, heights, slopes)
        z = torch.where(self.circular, wrap(z - shift), z)
        return z * self.scale, -(ladj + log_scale).sum(0)


def wrap(angle: Tensor) -> Tensor:
    """The point of the circle [-1, 1) that `angle` stands for.

    >>> wrap(torch.tensor([0.5, 1.25, -3.5]))
    tensor([ 0.5000, -0.7500,  0.5000])
    """
    return angle - 2 * torch.floor((angle + 1) / 2)


def _partition(raw: Tensor) -> Tensor:
    """(K, ...) unconstrained -> K positive lengths that sum to 2."""
    return 2 * (MIN_BIN + (1 - MIN_BIN * len(raw)) * raw.softmax(0))


class _Bin(NamedTuple):
    """The bin a point falls into, (d, B) each."""

    left: Tensor
    width: Tensor
    bottom: Tensor
    height: Tensor
    s0: Tensor  # slopes at its two ends
    s1: Tensor


def _find(point: Tensor, along: Tensor, widths: Tensor, heights: Tensor, raw_slopes: Tensor) -> _Bin:
    """The bin of `point` when `along` (the widths, or the heights) are laid end to end from -1."""
    with torch.no_grad():
        below = point >= along[:-1].cumsum(0) - 1  # (K-1, d, B)
        index = below.sum(0, keepdim=True)
    below = below.to(point.dtype)

    def pick(values: Tensor, index: Tensor) -> Tensor:
        return values.gather(0, index).squeeze(0)

    return _Bin(
        (widths[:-1] * below).sum(0) - 1,
        pick(widths, index),
        (heights[:-1] * below).sum(0) - 1,
        pick(heights, index),
        _slope(pick(raw_slopes, index)),  # softplus of the two slopes that are needed, not of all
        _slope(pick(raw_slopes, index + 1)),
    )


def _slope(raw: Tensor) -> Tensor:
    return F.softplus(raw + SLOPE_ONE) + MIN_SLOPE


def _log_slope(b: _Bin, xi: Tensor) -> tuple[Tensor, Tensor]:
    """log dx/dz at xi, and the denominator of the spline there."""
    delta = b.height / b.width
    mixed = xi * (1 - xi)
    denominator = delta + (b.s0 + b.s1 - 2 * delta) * mixed
    numerator = b.s1 * xi**2 + 2 * delta * mixed + b.s0 * (1 - xi) ** 2
    return torch.log(delta**2 * numerator / denominator**2), denominator


def _spline(z: Tensor, widths: Tensor, heights: Tensor, raw_slopes: Tensor) -> tuple[Tensor, Tensor]:
    """x and log dx/dz, (d, B); the identity outside [-1, 1]."""
    inside = z.abs() <= 1
    at = torch.where(inside, z, 0.0)
    b = _find(at, widths, widths, heights, raw_slopes)
    xi = (at - b.left) / b.width
    ladj, denominator = _log_slope(b, xi)
    x = b.bottom + b.height * (b.height / b.width * xi**2 + b.s0 * xi * (1 - xi)) / denominator
    return torch.where(inside, x, z), torch.where(inside, ladj, 0.0)


def _inverse_spline(x: Tensor, widths: Tensor, heights: Tensor, raw_slopes: Tensor) -> tuple[Tensor, Tensor]:
    """z and log dx/dz there, (d, B). The root of the quadratic in the form that does not cancel."""
    inside = x.abs() <= 1
    at = torch.where(inside, x, 0.0)
    b = _find(at, heights, widths, heights, raw_slopes)
    delta = b.height / b.width
    rise = at - b.bottom
    bend = rise * (b.s0 + b.s1 - 2 * delta)
    q = b.height * b.s0 - bend
    root = torch.sqrt((q**2 + 4 * delta * rise * (b.height * (delta - b.s0) + bend)).clamp_min(1e-30))
    xi = 2 * delta * rise / (q + root)
    z = b.left + b.width * xi
    return torch.where(inside, z, x), torch.where(inside, _log_slope(b, xi)[0], 0.0)
