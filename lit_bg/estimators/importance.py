r"""Numbers with error bars from weighted samples.

All functions take unnormalised log weights $\ell_i = -u(x_i) - \log q(x_i)$, `(B,)`, and reduce in
float64. A weight of -inf is a weight of zero and still counts as a sample.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def checked(log_w: Tensor) -> Tensor:
    """Log weights as a float64 vector without NaN or +inf.

    Raises:
        ValueError: an empty vector, another shape, or a weight that is not a number.
    """
    log_w = torch.as_tensor(log_w).detach().to(torch.float64)
    if log_w.ndim != 1 or len(log_w) == 0:
        raise ValueError(f"log weights must be a non-empty vector, got shape {tuple(log_w.shape)}.")
    if torch.isnan(log_w).any() or torch.isposinf(log_w).any():
        raise ValueError(
            f"{int((~(log_w < torch.inf)).sum())} of {len(log_w)} log weights are NaN or +inf: a sample without a "
            "finite energy has weight zero (-inf), as `Samples.log_w` gives it."
        )
    return log_w


def ess(log_w: Tensor) -> float:
    r"""Kish effective sample size as a fraction of the sample count, $(\sum w)^2 / (N \sum w^2)$.

    This is the reverse ESS (samples of q). It cannot see modes that q misses: never show it alone.

    >>> ess(torch.zeros(10))
    1.0
    >>> ess(torch.tensor([0.0, -torch.inf]))
    0.5
    """
    log_w = checked(log_w)
    if torch.isneginf(log_w).all():
        return 0.0
    kish = math.exp(2 * torch.logsumexp(log_w, 0).item() - torch.logsumexp(2 * log_w, 0).item()) / len(log_w)
    return min(kish, 1.0)  # rounding may lift equal weights above it


def forward_ess(log_w: Tensor) -> float:
    r"""Forward ESS as a fraction, $1 / (\langle w \rangle_\pi \langle 1/w \rangle_\pi)$, from samples of the target.

    Args:
        log_w: $-u - \log q$ of configurations drawn from exp(-u) / Z (reference data). The estimate is
            that of E_q[w]^2 / E_q[w^2] taken over the target, so it does see modes that q misses,
            as far as the reference data hold them.
    """
    log_w = checked(log_w)
    if torch.isneginf(log_w).any():
        return 0.0
    n = math.log(len(log_w))
    return math.exp(2 * n - torch.logsumexp(log_w, 0).item() - torch.logsumexp(-log_w, 0).item())


def log_z(log_w: Tensor) -> tuple[float, float]:
    r"""Log partition function $\log \frac1N \sum w$ and its standard error (delta method).

    >>> log_z(torch.full((5,), 2.0))
    (2.0, 0.0)
    """
    log_w = checked(log_w)
    n = len(log_w)
    if torch.isneginf(log_w).all():
        return -math.inf, math.inf
    value = torch.logsumexp(log_w, 0).item() - math.log(n)
    return value, math.sqrt(max(1 / ess(log_w) - 1, 0.0) / n)


def expectation(a: Tensor, log_w: Tensor) -> tuple[float, float]:
    r"""Self-normalised average $\hat A = \sum w a / \sum w$, standard error $\sqrt{\sum \bar w^2 (a - \hat A)^2}$.

    Of an event (every value 0 or 1) the error is $\sqrt{\sum \bar w^2 (a - \hat A)^2 + \bar w_{unseen}^2}$: one more sample
    could move the probability by its weight (see `unseen_weight`; the smaller of the event's and of its complement's).
    The first term alone is zero for an event never seen and too small for a rare one, whose probability sits in weights
    that few samples have shown.

    Args:
        a: observable of each sample, (B,); entries of weight zero may be anything, NaN included.
        log_w: log weights, (B,).

    >>> expectation(torch.tensor([1.0, 3.0]), torch.zeros(2))[0]
    2.0
    >>> expectation(torch.zeros(4), torch.zeros(4))
    (0.0, 0.25)
    """
    log_w = checked(log_w)
    a = torch.as_tensor(a).detach().to(torch.float64)
    if a.shape != log_w.shape:
        raise ValueError(f"one observable per weight, got {tuple(a.shape)} observables and {tuple(log_w.shape)} weights.")
    if torch.isneginf(log_w).all():
        return math.nan, math.inf
    w = torch.softmax(log_w, 0)
    a = torch.where(w > 0, a, 0.0)
    mean = (w * a).sum()
    variance = (w**2 * (a - mean) ** 2).sum()
    if ((a == 0) | (a == 1)).all():
        sides = []
        for part in (torch.where(a == 1, w, 0.0), torch.where(a == 0, w, 0.0)):
            count = part.sum() ** 2 / (part**2).sum().clamp_min(torch.finfo(part.dtype).tiny)
            sides.append(unseen_weight(part.max(), count, w.max()))
        variance = variance + torch.minimum(*sides) ** 2
    return mean.item(), variance.sqrt().item()


def unseen_weight(seen: Tensor, count: Tensor, largest: Tensor) -> Tensor:
    r"""The weight that one more sample of an event may have, $\bar w_{event} + (\bar w_{all} - \bar w_{event}) / n_{event}^2$.

    It is the largest seen in the event; but while few have been seen there, the largest seen anywhere.

    Args:
        seen: largest normalised weight in each event, zero where there is none.
        count: effective number of samples n in each event, zero where there is none.
        largest: largest normalised weight of all.
    """
    return seen + (largest - seen) / count.clamp_min(1) ** 2
