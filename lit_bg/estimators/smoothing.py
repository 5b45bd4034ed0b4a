"""Pareto-smoothed importance weights, never without the raw ones."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lit_bg.estimators.importance import ess, ess_with_error, expectation, log_z
from lit_bg.estimators.log_weights import check_log_weights
from lit_bg.estimators.pareto import EQUAL, FEWEST, SMALLEST, fit_pareto


class Smoothed(NamedTuple):
    """Holds a number from smoothed weights beside the raw one, which alone has an error bar and alone is unbiased.

    Attributes:
        raw, error: from the weights as they are, as `log_z` and `expectation` give them.
        smoothed: from the smoothed weights. Where it is further from the raw one than the error, the tail decides the number.
        k: shape k-hat of the tail that was smoothed.
    """

    raw: float
    error: float
    smoothed: float
    k: float


class SmoothedWeights(NamedTuple):
    """Holds log weights whose largest are replaced by what a Pareto distribution expects of them, with the raw ones.

    Attributes:
        log_w: smoothed, (n,) float64, in the order and on the scale of the raw ones: absolute, none above the largest raw one.
        raw: as they were given, (n,) float64.
        k: shape k-hat of the tail; smoothing is of use up to 0.7. -inf where the largest values are equal and NaN where
            there are too few, as `pareto_k` has it: nothing was smoothed.
    """

    log_w: Tensor
    raw: Tensor
    k: float

    def ess(self) -> Smoothed:
        """Return the ESS of both as fractions; that of the smoothed weights is larger, which does not make them better."""
        return Smoothed(*ess_with_error(self.raw), ess(self.log_w), self.k)

    def log_z(self) -> Smoothed:
        """Return log Z by both."""
        return Smoothed(*log_z(self.raw), torch.logsumexp(self.log_w, 0).item() - math.log(len(self.log_w)), self.k)

    def mean(self, a: Tensor) -> Smoothed:
        """Return the self-normalised average of an observable (n,) by both."""
        w = torch.softmax(self.log_w, 0)
        a = torch.as_tensor(a).detach().to(w)
        smoothed = (w * torch.where(w > 0, a, 0.0)).sum().item()
        return Smoothed(*expectation(a, self.raw), smoothed, self.k)


def smooth_weights(log_w: Tensor) -> SmoothedWeights:
    r"""Replace the largest weights by the quantiles of the Pareto distribution fitted to them.

    The M largest weights, $M = \min(n_+ / 5, 3 \sqrt n)$ with $n_+$ that are not zero, lie above a threshold $w_0$ and become
    in their order $w_0 + \sigma\, [(1 - p_j)^{-k} - 1] / k$ at $p_j = (j - 1/2) / M$, none more than the largest raw weight.
    That takes noise out of averages and puts in a bias that vanishes with n; k-hat, fitted to all M (unlike `tail`, which moves
    its threshold above clusters), says how far to believe either.

    Args:
        log_w: log weights, (n,).

    Returns:
        both, with figures from both (see `SmoothedWeights`). Fewer than 25 samples, a tail of fewer than five or of equal
        values stay as they are.

    References:
        Vehtari, Simpson, Gelman, Yao, Gabry, JMLR 25, 72 (2024), arXiv:1507.02646.

    >>> g = torch.Generator().manual_seed(0)
    >>> found = smooth_weights(-0.5 * torch.rand(4000, generator=g).log()).log_z()  # a Pareto tail with k = 0.5
    >>> abs(found.smoothed - math.log(2)) < 0.05 and abs(found.raw - found.smoothed) < 0.05
    True
    """
    raw = check_log_weights(log_w)
    positive = int(torch.isfinite(raw).sum())
    if positive < FEWEST:
        return SmoothedWeights(raw.clone(), raw, math.nan)
    size = max(SMALLEST, min(positive // 5, math.ceil(3 * math.sqrt(len(raw)))))
    top = torch.topk(raw, size + 1)
    largest, threshold = top.values[0], top.values[-1]
    tail = top.indices[top.values > threshold].flip(0)  # from the smallest on
    above = (threshold - largest).exp()
    if 1 - above < EQUAL:
        return SmoothedWeights(raw.clone(), raw, -math.inf)
    if len(tail) < SMALLEST:
        return SmoothedWeights(raw.clone(), raw, math.nan)
    k, scale = fit_pareto((raw[tail] - largest).exp() - above)
    p = (torch.arange(len(tail), dtype=raw.dtype, device=raw.device) + 0.5) / len(tail)
    quantile = -torch.log1p(-p) if abs(k) < 1e-12 else torch.expm1(-k * torch.log1p(-p)) / k
    smoothed = raw.index_put((tail,), (above + scale * quantile).log().clamp_max(0.0) + largest)
    return SmoothedWeights(smoothed, raw, k)
