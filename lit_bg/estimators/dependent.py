"""Averages, norms and effective samples of weighted samples that may depend on each other."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lit_bg.estimators.events import jackknife, normalised, probabilities, widening
from lit_bg.estimators.importance import FEWEST, effective_in, ess, expectation, log_z
from lit_bg.estimators.time_series import inefficiencies
from lit_bg.samples import Dependence


def average(a: Tensor, log_w: Tensor, dependence: Dependence) -> tuple[float, float]:
    r"""Return the self-normalised average $\sum w a / \sum w$ with the standard error that fits what the samples are.

    * Of independent draws as `expectation` has it.
    * Of chains that error times the root of g, the statistical inefficiency of the series $\bar w (a - \hat A)$, and widened by
      Student's factor for as many independent frames; of an event with fewer than five frames that are independent, infinite.
    * Of populations by a jackknife over whole populations, widened likewise, and at least that of as many draws of such
      weights, which knows of tails that no population has shown; infinite with fewer than five, or of their effective number.

    Args:
        a: observable, of the shape of the weights; what has weight zero may be anything.
        log_w: log weights, (B,) of draws, (T, W) of chains, (P, N) of populations.
        dependence: what samples know of each other.

    Raises:
        ValueError: another shape, or weights that are all zero or NaN.
    """
    w = normalised(log_w, dependence)
    a = torch.as_tensor(a).detach().cpu().double()
    if a.shape != w.shape:
        raise ValueError(f"one observable per weight, got {tuple(a.shape)} observables and {tuple(w.shape)} weights.")
    a = torch.where(w > 0, a, 0.0)
    is_event = bool(((a == 0) | (a == 1)).all())
    if dependence == "populations":
        if is_event:
            found = probabilities(torch.where(a == 1, 0, 1), w, 2, dependence)
            return found.p[0].item(), found.error.max().item()  # the complement must be held, too
        value, error = _between(w, a)
        return value, max(error, expectation(a.flatten(), log_w.flatten().cpu())[1])  # which knows of tails
    value, error = expectation(a.flatten(), log_w.flatten().cpu())
    if dependence == "draws" or not math.isfinite(error):
        return value, error
    g = inefficiencies((w * (a - value))[None]).item()
    if is_event and min(effective_in((a == e).flatten(), log_w.flatten().cpu()) for e in (0, 1)) < g * FEWEST:
        return value, math.inf
    return value, error * math.sqrt(g) * _student(w.numel() / g)


def log_norm(log_w: Tensor, dependence: Dependence) -> tuple[float, float]:
    r"""Return $\log \langle w \rangle$, with the error that fits what the samples are.

    Of draws and populations it is log Z; of chains, whose weights are those from one distribution to another, the difference of
    their log Z.

    Args:
        log_w, dependence: as for `average`.
    """
    w = normalised(log_w, dependence)
    if dependence == "populations":
        flat = log_w.flatten().double().cpu()
        value = torch.logsumexp(flat, 0).item() - math.log(len(flat))
        share = w.sum(1)
        dof = 1 / (share**2).sum() - 1
        if len(share) < 2 or dof + 1 < FEWEST * (1 - 1e-9):
            return value, math.inf
        left = torch.log((1 - share) * len(share) / (len(share) - 1))
        return value, max((jackknife(left[:, None]) * widening(dof)).item(), log_z(flat)[1])
    value, error = log_z(log_w.flatten().cpu())
    if dependence == "draws" or not math.isfinite(error):
        return value, error
    g = inefficiencies((w - 1 / w.numel())[None]).item()
    return value, error * math.sqrt(g) * _student(w.numel() / g)


def effective_samples(log_w: Tensor, dependence: Dependence, series: Tensor, ancestor: Tensor | None = None) -> float:
    r"""Return how many independent samples of the target the weighted ones are worth.

    Of draws it is n ESS. Of chains it is divided by the largest statistical inefficiency of the series $\bar w (a - \hat A)$ of
    what is given, the slowest that is known. Of populations those of one ancestor count as one sample, with their joint weight,
    or those of one population where ancestors are not known.

    Args:
        log_w, dependence: as for `average`.
        series: values (K, *shape of the weights) whose correlation counts: the energy, say, and what tells modes apart.
        ancestor: (P, N) long, of populations.
    """
    w = normalised(log_w, dependence)
    kish = ess(log_w.flatten()) * w.numel()
    if dependence == "draws":
        return kish
    if dependence == "populations":
        own = w.sum(1) if ancestor is None else torch.zeros_like(w).scatter_add_(1, ancestor.cpu(), w).flatten()
        return (own.sum() ** 2 / (own**2).sum()).item()
    a = torch.where(w > 0, series.detach().cpu().double(), 0.0)
    residual = w * (a - (w * a).sum((1, 2), keepdim=True))
    return kish / inefficiencies(torch.cat([residual, (w - 1 / w.numel())[None]])).max().item()


def _between(w: Tensor, a: Tensor) -> tuple[float, float]:
    share, own = w.sum(1), (w * a).sum(1)
    value, dof = own.sum(), 1 / (share**2).sum() - 1
    if len(w) < 2 or dof + 1 < FEWEST * (1 - 1e-9):
        return value.item(), math.inf
    left = (value - own) / (1 - share)
    return value.item(), (jackknife(left[:, None]) * widening(dof)).item()


def _student(independent: float) -> float:
    return widening(torch.tensor(independent - 1, dtype=torch.float64)).item()
