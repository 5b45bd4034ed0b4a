"""Pareto tails of weights, or of the terms of an average, which tell whether a sample average is meaningful."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from lit_bg.estimators.log_weights import check_log_weights

FEWEST = 25  # samples, below which there is no tail to speak of
SMALLEST = 5  # points of a tail
FEW = 40  # points of a tail: fewer may be the first of a cluster as well as of a heavy tail
OUTLIERS = 8  # largest values, at most one in 13, on which alone no heavy tail can rest
GAP = 6.0  # log of the odds against a gap between neighbours in a Pareto tail, from which it is the edge of a cluster
REJECTED = 1.6  # Anderson-Darling statistic of a fitted Pareto tail: exceeded by one in a hundred of those that are one
EQUAL = 1e-4  # a tail that is not wider than this fraction of the largest value is none: rounding of float32 energies


class Tail(NamedTuple):
    """Describes the generalised Pareto tail of the terms of an average.

    Attributes:
        k: shape k-hat; -inf where the largest values are equal, NaN where there are too few.
        error: its standard error, (1 + k) / sqrt(m) of m points in the tail; inf where it is high by a few values alone, which
            may be the first of a cluster as well as of a heavy tail.
        share: of the sum that lies above the threshold of the tail: what would be missing if it ended there.
    """

    k: float
    error: float
    share: float


def tail(log_w: Float[Tensor, "n"], a: Shaped[Tensor, "n"] | None = None) -> Tail:
    r"""Fit the tail of the weights, or of $w |a - \langle a \rangle|$ where an observable is given.

    Below k = 0.5 the variance is finite and error bars hold; above 0.7 importance sampling does not work at this sample
    size, whatever the ESS says. k-hat of the weights alone says nothing of an average whose observable grows where q is thin.
    Of $w (a - \langle a \rangle)$ the positive and the negative tail are fitted apart, and the one with the larger k-hat among
    those that hold more than a tenth of the larger share counts.

    The largest $\min(N/5, 3 \sqrt N)$ values are fitted by the empirical Bayes estimate of Zhang and Stephens. Where the fit is
    rejected (Anderson-Darling, a gap between neighbours, a much lighter tail further up), because the tail begins below a
    cluster (weights of two values, say), the threshold moves up and the tail is halved, as long as it has ten points: a Pareto
    tail stays one, a cluster turns out to be bounded.

    Args:
        log_w: log weights, (n,).
        a: values of an observable, (n,).

    References:
        Vehtari, Simpson, Gelman, Yao, Gabry, JMLR 25, 72 (2024), arXiv:1507.02646.
        Zhang, Stephens, Technometrics 51, 316 (2009), doi:10.1198/tech.2009.08017.
        Bader, Yan, Zhang, Ann. Appl. Stat. 12, 310 (2018), doi:10.1214/17-AOAS1092, for the choice of a threshold.

    >>> g = torch.Generator().manual_seed(0)
    >>> exponential = -torch.log(torch.rand(100_000, generator=g))  # log w: w has a Pareto tail with k = 1
    >>> 0.8 < tail(exponential).k < 1.2
    True
    """
    log_w = check_log_weights(log_w).cpu()
    if len(log_w) < FEWEST or torch.isneginf(log_w).all():
        return Tail(math.nan, math.inf, math.nan)
    w = (log_w - log_w.max()).exp()
    if a is None:
        return _fit(w, w.sum().item())
    a = torch.where(w > 0, torch.as_tensor(a).detach().cpu().double(), 0.0)
    signed = w * (a - (w * a).sum() / w.sum())
    total = signed.abs().sum().item()
    if not total > 0 or not math.isfinite(total):
        return Tail(-math.inf, 0.0, 0.0) if total == 0 else Tail(math.nan, math.inf, math.nan)
    sides = [_fit(side.clamp_min(0), total) for side in (signed, -signed)]
    large = [t for t in sides if not t.share < 0.1 * max(s.share for s in sides)]
    return max(large, key=lambda t: -math.inf if math.isnan(t.k) else t.k)


def pareto_k(log_w: Float[Tensor, "n"]) -> float:
    """Return the shape k-hat of the tail of the weights (see `tail`); NaN for fewer than 25 samples or none with weight."""
    return tail(log_w).k


def tail_share(log_w: Float[Tensor, "n"]) -> float:
    r"""Return the share of the total weight above the threshold of the tail, $\sum_{tail} (w - w_0) / \sum w$ (see `tail`).

    k-hat describes the form of the tail and not its size; where all weights are nearly equal the form is of no consequence.

    >>> tail_share(torch.zeros(1000))
    0.0
    """
    return tail(log_w).share


class Selected(NamedTuple):
    """Holds the values of a tail: `top[:size]` of descending values, above the threshold `top[size]`."""

    top: Tensor
    size: int
    full: int  # size before the threshold was moved up


def select_tail(values: Tensor) -> Selected | None:
    """Choose the tail of non-negative values, (n,); None where fewer than 25 are positive (see `tail`)."""
    n, positive = len(values), int((values > 0).sum())
    if positive < FEWEST:
        return None
    size = full = max(SMALLEST, min(positive // 5, math.ceil(3 * math.sqrt(n))))
    top = torch.topk(values, size + 1).values
    while size >= 2 * SMALLEST and not _is_one_tail(top, size):
        size //= 2
    return Selected(top, size, full)


def _fit(values: Tensor, total: float) -> Tail:
    """Fit the tail of non-negative values, whose absolute sum is `total`."""
    selected = select_tail(values)
    if selected is None:
        return Tail(math.nan, math.inf, values.sum().item() / total)
    top, size, full = selected
    share = ((top[:full] - top[full]).sum() / total).item()
    k, error = k_hat(top, size)
    if math.isinf(k):
        return Tail(k, 0.0, share)
    # A few large values above the rest may be the first of a cluster as well as of a heavy tail.
    few = size < FEW or (size < full and not _is_one_tail(top, size))
    largest = min(OUTLIERS, max(4, size // 13), size // 2)
    few = few or (largest > 0 and k_hat(top[largest:], size - largest)[0] < 0.5)
    return Tail(k, math.inf if k > 0.7 and few else error, share)


def k_hat(top: Tensor, size: int) -> tuple[float, float]:
    """Return k-hat of the `size` largest of descending values with its standard error; -inf where they are equal."""
    excess = (top[:size] - top[size]).flip(0)
    if excess[-1] < EQUAL * top[0]:
        return -math.inf, 0.0
    k = fit_pareto(excess)[0]
    return k, max(0.5, 1 + k) / math.sqrt(size + 10)


def fit_pareto(excess: Tensor) -> tuple[float, float]:
    """Return k-hat and scale of the generalised Pareto distribution of ascending values above a threshold, (m,).

    The shape leans towards 0.5 by ten pseudo-observations (see `tail`, whose references it follows).
    """
    k, scale = _shape(excess)
    return (len(excess) * k + 5.0) / (len(excess) + 10.0), scale


def _is_one_tail(top: Tensor, size: int) -> bool:
    """Say whether a Pareto tail fits, and the smaller tails above it are not much lighter than it says."""
    k, error = k_hat(top, size)
    if math.isinf(k):
        return True
    excess = (top[:size] - top[size]).flip(0)
    if _misfit(excess, *_shape(excess)) > REJECTED:
        return False
    if k > 0.5:  # i log(x_i / x_(i+1)) of ordered Pareto values are exponential of mean k (Renyi)
        spacing = torch.arange(1, size, device=top.device) * (top[: size - 1] / top[1:size]).log() / min(k, 1.5)
        if (spacing[2:] > math.log(size) + GAP).any():
            return False
    part = size // 2
    while part >= SMALLEST and k > 0.5:
        lighter, its_error = k_hat(top, part)
        if lighter + 2 * its_error < k - 2 * error:
            return False
        part //= 2
    return True


def _shape(x: Tensor) -> tuple[float, float]:
    """Fit shape and scale of a generalised Pareto distribution to ordered samples: posterior mean over a grid of theta."""
    m = len(x)
    grid = 30 + int(math.sqrt(m))
    j = torch.arange(1, grid + 1, dtype=x.dtype, device=x.device)
    quartile = x[max(int(m / 4 + 0.5) - 1, 0)].clamp_min(1e-12 * x[-1])
    theta = 1 / x[-1] + (1 - torch.sqrt(grid / (j - 0.5))) / (3 * quartile)
    k = torch.log1p(-theta[:, None] * x).mean(1)
    log_likelihood = m * (torch.log(-theta / k) - k - 1)
    best = (torch.softmax(log_likelihood, 0) * theta).sum()
    k_best = torch.log1p(-best * x).mean().item()
    return k_best, -k_best / best.item()


def _misfit(x: Tensor, k: float, scale: float) -> float:
    """Return the Anderson-Darling distance of ordered samples from a generalised Pareto distribution."""
    m = len(x)
    z = x / scale
    survival = torch.exp(-z) if abs(k) < 1e-8 else torch.clamp(1 + k * z, min=0.0) ** (-1 / k)
    survival = survival.clamp(1e-12, 1 - 1e-12)
    i = torch.arange(1, m + 1, dtype=x.dtype, device=x.device)
    # both ends count: of the smallest the distribution, of the largest the survival
    return (-m - ((2 * i - 1) * (torch.log1p(-survival) + survival.flip(0).log())).sum() / m).item()
