"""Standard errors of weighted sums whose largest terms may not have been seen."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lit_bg.estimators.pareto import Tail, k_hat, select_tail
from lit_bg.estimators.student import widening

HEAVY = 0.7  # k-hat of an average from which no error bar is honest,
DOUBT = 0.5  # once it is above by this many of its standard errors: few samples scatter about it
STEEPEST = 0.9  # shape that an unseen tail is reckoned with at most
NEGLIGIBLE = 0.01  # share of the sum in a tail that does not matter
LEAST = 0.05  # k-hat below which a tail is as good as bounded
UNSEEN = 10  # times as many samples as there are would show the largest term that an error bar reckons with
UNCERTAIN = 0.5  # k-hat of the weights above which the mean itself is likely short of what has not been seen
LARGEST = 10  # weights whose configurations stand for what lies beyond


def standard_error(residuals: Tensor, of: Tail | None = None) -> float:
    r"""Return the standard error of a sum of independent residuals $r_i$ of mean zero.

    It is $t \sqrt{\sum r^2}$ with two corrections for terms that are rare and large. The second moment of either tail is at
    least that of the generalised Pareto distribution fitted to it, up to what ten times as many samples would show. And t is
    Student's, with the $\nu = 2 (\sum r^2)^2 / \sum r^4$ degrees of freedom of the variance: the larger of the factors at one
    and, halved, at two standard errors. Values are never smoothed, only their error.

    Args:
        residuals: (n,).
        of: the tail of the average, where it is known already: one too heavy, or high by a few values alone, allows no error
            bar; of one that is none (-inf, equal values) only rounding is left.

    Returns:
        the error, infinite where none is honest.
    """
    squares = residuals.square()
    total = squares.sum().item()
    if total == 0 or not math.isfinite(total):
        return 0.0 if total == 0 else math.inf
    if of is not None and of.k == -math.inf:
        return math.sqrt(total)
    matters = of is None or not of.share <= NEGLIGIBLE  # a tail of no size, whatever its form, leaves the error as it is
    if of is not None and matters and of.k > HEAVY and (math.isinf(of.error) or of.k - DOUBT * of.error > HEAVY):
        return math.inf
    variance = total
    for side in (residuals.clamp_min(0), (-residuals).clamp_min(0)):
        extra, certain = _unseen_variance(side)
        if certain > HEAVY and of is None:
            return math.inf
        variance += extra if matters else 0.0
    dof = 2 * total**2 / squares.square().sum().clamp_min(torch.finfo(squares.dtype).tiny).item()
    return math.sqrt(variance) * widening(dof).item()


def _unseen_variance(values: Tensor) -> tuple[float, float]:
    """Return by how much the second moment of a tail falls short of its Pareto distribution, and the least value of k-hat."""
    selected = select_tail(values)
    if selected is None:
        return 0.0, -math.inf
    top, size, _ = selected
    k, error = k_hat(top, size)
    if k <= LEAST:
        return 0.0, k
    k_, threshold, scale = _generalised_pareto(top, size, min(k, STEEPEST))
    cut = 1 / (UNSEEN * size)
    at, slope = threshold - scale / k_, scale / k_  # a quantile is at + slope v^-k, with v uniform above the cut
    second = at**2 * (1 - cut)
    second += 2 * at * slope * (1 - cut ** (1 - k_)) / (1 - k_)
    second += slope**2 * (1 - cut ** (1 - 2 * k_)) / (1 - 2 * k_)
    return max(0.0, size * second - top[:size].square().sum().item()), k - DOUBT * error


def _generalised_pareto(top: Tensor, size: int, k: float) -> tuple[float, float, float]:
    """Return shape (off the poles of the moments), threshold and scale, which keeps the mean excess."""
    for pole in (0.5, 1.0):
        if abs(k - pole) < 1e-3:
            k = pole + 1.1e-3
    threshold = top[size].item()
    return k, threshold, (top[:size] - threshold).mean().item() * max(1 - k, 0.1)


def pull_of_tail(w: Tensor, a: Tensor, mean: float) -> float:
    """Return how far one more sample of the largest weight would move an average, beyond scatter.

    Args:
        w: normalised weights, (n,).
        a: observable, (n,).
        mean: its weighted average.
    """
    index = torch.topk(w, min(LARGEST, len(w))).indices
    beyond = (w[index] * a[index]).sum().item() / w[index].sum().item()
    width = math.sqrt(max((w * (a - mean) ** 2).sum().item(), 0.0))
    return _largest_weight(w) * max(0.0, abs(beyond - mean) - width)


def unseen_mass(w: Tensor) -> float:
    r"""Return the share of the weight that a heavy tail has likely not shown yet, $\bar w_{max} / (1 - k)$.

    That is what a Pareto tail of shape k holds beyond its expected largest weight. A sum without it is too small by more than
    it scatters once the variance is infinite, k > 0.5; it counts in full from 0.7, and between them in proportion.

    Args:
        w: normalised weights, (n,).
    """
    selected = select_tail(w)
    if selected is None:
        return 0.0
    k, _ = k_hat(selected.top, selected.size)
    part = min(max(0.0, (k - UNCERTAIN) / (HEAVY - UNCERTAIN)), 1.0)
    return part * _largest_weight(w) / max(1 - k, 0.2) if part else 0.0


def _largest_weight(w: Tensor) -> float:
    """Return the expected largest weight, by the Pareto tail of the weights."""
    selected = select_tail(w)
    if selected is None:
        return w.max().item()
    top, size, _ = selected
    k, _ = k_hat(top, size)
    if k <= LEAST:
        return top[0].item()
    k, threshold, scale = _generalised_pareto(top, size, min(k, STEEPEST))
    edge = scale / k * (size**k - 1)  # exceeded once
    return threshold + edge + (scale + k * edge) / max(1 - k, 0.2)
