"""Probabilities of many events that exclude each other (bins, say), with errors, from samples of any kind."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lit_bg.estimators.importance import FEWEST, certain_count, resolves_averages, unseen_weight
from lit_bg.estimators.log_weights import check_log_weights_of
from lit_bg.estimators.student import widening
from lit_bg.estimators.time_series import inefficiencies
from lit_bg.samples import Dependence

AT_ONCE = 2**22  # numbers of all series that are transformed together


class Events(NamedTuple):
    """Holds the probabilities of K events."""

    p: Tensor  # (K,) float64
    error: Tensor  # (K,) standard error, infinite where none is honest
    effective: Tensor  # (K,) effective samples in each


def normalised(log_w: Tensor, dependence: Dependence) -> Tensor:
    """Return weights that sum to one, float64, of the shape of log weights.

    Raises:
        ValueError: a shape that is not (B,) of draws, (T, W) of chains or (P, N) of populations, or weights that are all zero.
    """
    log_w = check_log_weights_of(log_w, dependence)
    if torch.isneginf(log_w).all():
        raise ValueError("all weights are zero: no configuration has a finite energy, so there is nothing to average.")
    return torch.softmax(log_w.flatten(), 0).reshape(log_w.shape)


def probabilities(
    index: Tensor, w: Tensor, events: int, dependence: Dependence = "draws", ancestor: Tensor | None = None
) -> Events:
    r"""Return $p_k = \sum_{i \in k} \bar w_i$ of every event with its standard error, infinite below five effective samples.

    * Of independent draws the error is $\sqrt{\sum \bar w^2 (1_k - p_k)^2 + \bar w_{unseen}^2}$ (see `expectation`).
    * Of chains the effective samples are fewer by the statistical inefficiency $g_k$ of the series $\bar w (1_k - p_k)$, its
      own in every event; the variance grows by it, and what is unseen weighs $g_k$ times as much.
    * Of populations it is what a jackknife over whole populations says, widened by Student's factor for as many degrees of
      freedom as populations hold the event, but one: $n_k = (\sum_j S_{jk})^2 / \sum_j S_{jk}^2$ of their shares of its weight.
      Where ancestors are known it is at least what these say (see `populations.spread_of_families`), and widened for the
      degrees of freedom of both.

    Args:
        index: of the event of each sample, of the shape of `w`; `events` for none of them.
        w: weights that sum to one, (B,) of draws, (T, W) of chains, (P, N) of populations.
        events: K.
        dependence: what samples know of each other.
        ancestor: (P, N) long, of populations.

    >>> found = probabilities(torch.tensor([0, 0, 1, 2]), torch.full((4,), 0.25), 2)
    >>> found.p, found.effective
    (tensor([0.5000, 0.2500], dtype=torch.float64), tensor([2., 1.], dtype=torch.float64))
    """
    if dependence == "populations":
        return _between_populations(index, w.double(), events, ancestor)
    flat, at = w.double().flatten(), index.flatten()
    p, squares = _sums(at, flat, events), _sums(at, flat**2, events)
    largest = torch.zeros(events + 1, dtype=torch.float64).scatter_reduce_(0, at, flat, "amax")[:events]
    count = certain_count(p, squares, _sums(at, (flat > 0).double(), events), flat)
    g = torch.ones(events, dtype=torch.float64)
    if dependence == "chains":
        held = torch.nonzero(count >= FEWEST * (1 - 1e-9)).flatten()  # others have no error whatever it is
        for part in held.split(max(1, AT_ONCE // w.numel())):
            g[part] = inefficiencies(w * ((index == part[:, None, None]).double() - p[part, None, None]))
    count = count / g
    unseen = g * unseen_weight(largest, count, flat.max())
    variance = g * (squares * (1 - p) ** 2 + ((flat**2).sum() - squares) * p**2) + unseen**2
    known = (count >= FEWEST * (1 - 1e-9)) & resolves_averages(flat)
    return Events(p, torch.where(known, variance.clamp_min(0).sqrt(), math.inf), count)


def _sums(at: Tensor, values: Tensor, events: int) -> Tensor:
    return torch.zeros(events + 1, dtype=torch.float64).index_add_(0, at, values)[:events]


def _between_populations(index: Tensor, w: Tensor, events: int, ancestor: Tensor | None) -> Events:
    populations = len(w)
    own = torch.zeros(populations, events + 1, dtype=torch.float64).scatter_add_(1, index, w)  # what each has in each event
    share = own.sum(1, keepdim=True)
    p = own[:, :events].sum(0)
    count = p**2 / (own[:, :events] ** 2).sum(0).clamp_min(torch.finfo(torch.float64).tiny)
    if populations < 2:
        return Events(p, torch.full_like(p, math.inf), count)
    count = torch.minimum(count, 1 / (share**2).sum())
    error, dof = jackknife((p - own[:, :events]) / (1 - share).clamp_min(1e-300)), count - 1
    if ancestor is not None:
        of_families, more = _between_families(index, w, events, p, ancestor)
        error, dof = torch.maximum(error, of_families), dof + more
    return Events(p, torch.where(count >= FEWEST * (1 - 1e-9), error * widening(dof), math.inf), count)


def _between_families(index: Tensor, w: Tensor, events: int, p: Tensor, ancestor: Tensor) -> tuple[Tensor, Tensor]:
    """Return `spread_of_families` of every event, each (K,), by the pairs of a family and an event that occur."""
    family = (ancestor.cpu() + w.shape[1] * torch.arange(len(w))[:, None]).flatten()
    total = torch.zeros(w.numel(), dtype=torch.float64).index_add_(0, family, w.flatten())
    held, which = torch.unique(family * (events + 1) + index.flatten(), return_inverse=True)
    inside = torch.zeros(len(held), dtype=torch.float64).index_add_(0, which, w.flatten())
    event, without = held % (events + 1), torch.cat([p, p.new_zeros(1)])[held % (events + 1)] * total[held // (events + 1)]
    moments = [
        _sums(event, (inside - without) ** k - without**k, events) + p**k * (total**k).sum()  # those outside: -p W
        for k in (2, 4)
    ]
    variance = moments[0].clamp_min(0)
    return variance.sqrt(), 2 * variance**2 / moments[1].clamp_min(torch.finfo(torch.float64).tiny)


def jackknife(left: Tensor) -> Tensor:
    r"""Return the standard error of what was estimated again without each of P parts, (P, K) -> (K,).

    $\sqrt{\frac{P - 1}{P} \sum_j (\hat\theta_{-j} - \bar\theta)^2}$.

    References:
        Efron, Stein, Ann. Stat. 9, 586 (1981), doi:10.1214/aos/1176345462.
    """
    return (left.var(0, correction=0) * (len(left) - 1)).sqrt()
