"""Equally weighted copies of weighted samples."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lit_bg.estimators.log_weights import check_log_weights

Method = Literal["systematic", "stratified", "multinomial"]

BELOW_ONE = 1 - 2.0**-53  # the largest float64 below one


def resample(log_w: Float[Tensor, "*P N"], n: int, rng: torch.Generator, method: Method = "systematic") -> Int[Tensor, "*P n"]:
    r"""Return the indices of n samples drawn by their weights, on average $n \bar w_i$ of sample i.

    Points on (0, 1) pick the samples in whose part of the cumulated weights $\sum_{j \le i} \bar w_j$ they lie:

    - "systematic": $(k + v) / n$ with one uniform v; of sample i come $n \bar w_i$ rounded down, or up.
    - "stratified": $(k + v_k) / n$; of sample i come fewer than two more or less than $n \bar w_i$, and no average has a larger
      variance than with independent draws, which systematic points do not promise.
    - "multinomial": n independent uniform points.

    Indices of the first two ascend. Copies of one sample are equal: what is drawn has no more information than the weights
    had, and the error bar of an average is that of the weighted samples.

    Args:
        log_w: log weights, (N,), or (P, N) of P populations, each resampled on its own.
        n: how many to draw, of each population.
        rng: of the points.
        method: how the points lie.

    Returns:
        (n,) or (P, n) long.

    Raises:
        ValueError: n below one, weights that are NaN or +inf, or a population without any weight.

    References:
        Kitagawa, J. Comput. Graph. Stat. 5, 1 (1996), doi:10.1080/10618600.1996.10474692.
        Douc, Cappe, Moulines, ISPA 2005, 64, arXiv:cs/0507025.

    >>> g = torch.Generator().manual_seed(0)
    >>> resample(torch.tensor([0.5, 0.0, 0.25, 0.25]).log(), 4, g)
    tensor([0, 0, 2, 3])
    """
    if n < 1:
        raise ValueError(f"at least one sample must be drawn, got n={n}.")
    log_w = torch.as_tensor(log_w)
    rows = check_log_weights(log_w.flatten()).reshape(-1, log_w.shape[-1])
    best = rows.amax(1, keepdim=True)
    if torch.isneginf(best).any():
        which = f"population {int(torch.isneginf(best).flatten().long().argmax())}" if log_w.ndim > 1 else "the samples"
        raise ValueError(f"no weight of {which} is above zero, so there is nothing to resample: mend energy or proposals.")
    cumulated = (rows - best).exp().cumsum(1)
    cumulated = cumulated / cumulated[:, -1:]
    width = 1 if method == "systematic" else n
    v = torch.rand(len(rows), width, generator=rng, device=rng.device, dtype=torch.float64).to(rows.device)
    points = v if method == "multinomial" else (torch.arange(n, device=rows.device) + v) / n
    # A sample of weight zero has no part of (0, 1): the first whose cumulated weight is above a point has some.
    index = torch.searchsorted(cumulated, points.clamp_max(BELOW_ONE), right=True)
    return index.reshape(*log_w.shape[:-1], n)


def systematic(log_w: Float[Tensor, "*P N"], rng: torch.Generator) -> Int[Tensor, "*P N"]:
    """Return as many indices as there are weights, (N,) or (P, N), by systematic resampling (see `resample`)."""
    return resample(log_w, torch.as_tensor(log_w).shape[-1], rng)


def multinomial(log_w: Float[Tensor, "*P N"], rng: torch.Generator) -> Int[Tensor, "*P N"]:
    """Return as many indices as there are weights, (N,) or (P, N), drawn independently (see `resample`)."""
    return resample(log_w, torch.as_tensor(log_w).shape[-1], rng, "multinomial")


def choose_distinct(log_w: Float[Tensor, "N"], n: int, rng: torch.Generator) -> Int[Tensor, "n"]:
    r"""Return the indices of n different samples, drawn one after the other by their weights without putting any back.

    The n largest of $\log w_i + g_i$ with independent Gumbel variables g. Unlike `resample` it does not keep averages: it
    serves where copies would be of no use, as for walkers that start. Where fewer than n samples have a weight, all of them are
    taken and the rest are copies.

    Args:
        log_w: log weights, (N,).
        n: how many to draw.
        rng: of the Gumbel variables.

    Returns:
        (n,) long, in the order of the draw.

    Raises:
        ValueError: n below one, weights that are NaN or +inf, or none at all.

    References:
        Efraimidis, Spirakis, Inf. Process. Lett. 97, 181 (2006), doi:10.1016/j.ipl.2005.11.003.

    >>> g = torch.Generator().manual_seed(0)
    >>> choose_distinct(torch.tensor([0.9, 0.0, 0.1]).log(), 2, g)
    tensor([0, 2])
    """
    copies = resample(log_w, n, rng, "multinomial")
    log_w = check_log_weights(log_w)
    v = torch.rand(len(log_w), generator=rng, device=rng.device, dtype=torch.float64).to(log_w.device)
    key = torch.where(torch.isneginf(log_w), -torch.inf, log_w - (-v.clamp(2.0**-1000, BELOW_ONE).log()).log())
    chosen = key.argsort(descending=True)[: min(n, int((key > -torch.inf).sum()))]
    return torch.cat([chosen, copies[: n - len(chosen)]])
