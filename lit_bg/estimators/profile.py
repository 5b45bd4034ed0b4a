"""Free energy along a coordinate."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lit_bg.estimators.importance import FEWEST, certain_count, resolves_averages, unseen_weight
from lit_bg.estimators.log_weights import checked


def _bins(a: Tensor, edges: Tensor, periodic: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Edges, bin index of each value (number of bins where it lies outside), all in float64."""
    edges = torch.as_tensor(edges).detach().to(torch.float64).cpu()
    if edges.ndim != 1 or len(edges) < 2 or not (edges.diff() > 0).all():
        raise ValueError(f"edges must increase and bound at least one bin, got {edges.tolist()}.")
    a = torch.as_tensor(a).detach().to(torch.float64).cpu()
    if periodic:
        a = edges[0] + torch.remainder(a - edges[0], edges[-1] - edges[0])
    index = torch.searchsorted(edges, a, right=True) - 1
    index[a == edges[-1]] = len(edges) - 2
    outside = (index < 0) | (index >= len(edges) - 1) | torch.isnan(a)
    return edges, a, torch.where(outside, len(edges) - 1, index)


def _weights(a: Tensor, log_w: Tensor | None) -> Tensor:
    n = len(torch.as_tensor(a))
    if log_w is None:
        return torch.full((n,), 1 / n, dtype=torch.float64)
    log_w = checked(log_w).cpu()
    if len(log_w) != n:
        raise ValueError(f"one value per weight, got {n} values and {len(log_w)} weights.")
    if torch.isneginf(log_w).all():
        raise ValueError("all weights are zero: no proposal has a finite energy, so there is no profile.")
    return torch.softmax(log_w, 0)


def profile(a: Tensor, log_w: Tensor | None, edges: Tensor, periodic: bool = False) -> tuple[Tensor, Tensor]:
    r"""Free energy $F_i = -\log(p_i / \Delta_i)$ along a coordinate, with its standard error.

    $p_i = \sum_{a \in i} w / \sum w$ is the weight in bin i, $\Delta_i$ the width of the bin. F is minus the log of a
    normalised density, not shifted, so that profiles of one quantity lie on each other. The error is
    that of $p_i$, $\sqrt{\sum \bar w^2 (1_i - p_i)^2 + \bar w_{unseen}^2} / p_i$ with normalised weights (see
    `expectation`), infinite for a bin with fewer than five effective samples and where `expectation` has none: for correlated
    frames multiply it by the root of the statistical inefficiency.

    Args:
        a: values of the coordinate, (B,); values outside the edges count in the norm alone.
        log_w: log weights, (B,); None for samples of the target itself.
        edges: of the bins, increasing, (K+1,).
        periodic: wrap values into [edges[0], edges[-1]).

    Returns:
        F and its error, (K,) float64 [kT]; NaN where a bin is empty.

    Raises:
        ValueError: edges that do not increase, or weights that are all zero, NaN, or of another length.

    >>> f, err = profile(torch.tensor([0.5, 0.5, 1.5, 1.5]), None, torch.tensor([0.0, 1.0, 2.0, 3.0]))
    >>> f
    tensor([0.6931, 0.6931,    nan], dtype=torch.float64)
    """
    edges, _, index = _bins(a, edges, periodic)
    w = _weights(a, log_w)
    k = len(edges) - 1
    p = torch.zeros(k + 1, dtype=torch.float64).index_add_(0, index, w)[:k]
    w2 = torch.zeros(k + 1, dtype=torch.float64).index_add_(0, index, w**2)[:k]
    seen = torch.zeros(k + 1, dtype=torch.float64).scatter_reduce_(0, index, w, "amax")[:k]
    held = torch.zeros(k + 1, dtype=torch.float64).index_add_(0, index, (w > 0).double())[:k]
    count = certain_count(p, w2, held, w)
    unseen = unseen_weight(seen, count, w.max())
    var = w2 * (1 - p) ** 2 + ((w**2).sum() - w2) * p**2 + unseen**2
    empty = p == 0
    f = torch.where(empty, math.nan, -torch.log(p / edges.diff()))
    error = torch.where((count < FEWEST * (1 - 1e-9)) | (not resolves_averages(w)), math.inf, var.clamp_min(0).sqrt() / p)
    return f, torch.where(empty, math.nan, error)


def effective_count(a: Tensor, log_w: Tensor | None, edges: Tensor, periodic: bool = False) -> Tensor:
    r"""Effective number of samples in every bin, $(\sum_i w)^2 / \sum_i w^2$, (K,) float64; arguments as for `profile`.

    >>> effective_count(torch.tensor([0.5, 0.5, 1.5]), None, torch.tensor([0.0, 1.0, 2.0]))
    tensor([2., 1.], dtype=torch.float64)
    """
    edges, _, index = _bins(a, edges, periodic)
    w = _weights(a, log_w)
    k = len(edges) - 1
    total = torch.zeros(k + 1, dtype=torch.float64).index_add_(0, index, w)[:k]
    w2 = torch.zeros(k + 1, dtype=torch.float64).index_add_(0, index, w**2)[:k]
    return torch.where(w2 > 0, total**2 / w2, 0.0)
