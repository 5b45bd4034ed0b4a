"""Whether the tail of the weights allows a sample average at all."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lit_bg.estimators.importance import checked


def pareto_k(log_w: Tensor) -> float:
    r"""Shape of the generalised Pareto tail of the weights, k-hat.

    Below 0.5 the variance of the weights is finite and error bars hold; above 0.7 importance sampling
    does not work at this sample size, whatever the ESS says. The largest $\min(N/5, 3\sqrt{N})$ weights are
    fitted by the empirical Bayes estimate of Zhang and Stephens, drawn weakly towards 0.5. NaN for fewer
    than 25 samples, or none with weight.

    >>> g = torch.Generator().manual_seed(0)
    >>> exponential = -torch.log(torch.rand(100_000, generator=g))  # log w: w has a Pareto tail with k = 1
    >>> 0.8 < pareto_k(exponential) < 1.2
    True

    References:
        Vehtari, Simpson, Gelman, Yao, Gabry, JMLR 25, 72 (2024), arXiv:1507.02646.
        Zhang, Stephens, Technometrics 51, 316 (2009), doi:10.1198/tech.2009.08017.
    """
    log_w = checked(log_w)
    if len(log_w) < 25 or torch.isneginf(log_w).all():
        return math.nan
    excess = _excess(log_w)
    if excess[-1] < 1e-4:
        return -math.inf  # equal weights, but for the rounding of float32 energies: no tail
    k, tail = _shape(excess), len(excess)
    return (tail * k + 5.0) / (tail + 10.0)  # ten pseudo-observations of k = 0.5


def tail_share(log_w: Tensor) -> float:
    r"""Share of the total weight that the tail fitted by `pareto_k` carries above its threshold $w_0$.

    $\sum_{tail} (w - w_0) / \sum w$: what would be missing if the tail ended at its threshold. k-hat describes the form
    of the tail and not its size; where all weights are nearly equal the form is of no consequence.

    >>> tail_share(torch.zeros(1000))
    0.0
    """
    log_w = checked(log_w)
    if torch.isneginf(log_w).all():
        return math.nan
    total = (log_w - log_w.max()).exp().sum()
    return (_excess(log_w).sum() / total).item()


def _excess(log_w: Tensor) -> Tensor:
    """The largest weights relative to the maximum, above the largest that is not among them, ascending."""
    n = len(log_w)
    tail = max(1, min(n // 5, math.ceil(3 * math.sqrt(n))))
    top = torch.topk(log_w - log_w.max(), min(tail + 1, n)).values.exp()
    return (top - top[-1])[: max(1, len(top) - 1)].flip(0)


def _shape(x: Tensor) -> float:
    """Shape of a generalised Pareto distribution from its ordered samples: posterior mean over a grid of theta."""
    m = len(x)
    grid = 30 + int(math.sqrt(m))
    j = torch.arange(1, grid + 1, dtype=x.dtype, device=x.device)
    quartile = x[max(int(m / 4 + 0.5) - 1, 0)].clamp_min(1e-12 * x[-1])
    theta = 1 / x[-1] + (1 - torch.sqrt(grid / (j - 0.5))) / (3 * quartile)
    k = torch.log1p(-theta[:, None] * x).mean(1)
    log_likelihood = m * (torch.log(-theta / k) - k - 1)
    best = (torch.softmax(log_likelihood, 0) * theta).sum()
    return torch.log1p(-best * x).mean().item()
