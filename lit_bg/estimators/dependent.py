"""Averages, norms and effective samples of weighted samples that may depend on each other."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from lit_bg.estimators.events import jackknife, normalised, probabilities
from lit_bg.estimators.importance import FEWEST, effective_in, ess, expectation, log_z
from lit_bg.estimators.log_weights import check_log_weights_of
from lit_bg.estimators.populations import effective_ancestors, family_sums, spread_of_families
from lit_bg.estimators.student import widening
from lit_bg.estimators.time_series import inefficiencies, mean_of_walkers, spread_of_walkers
from lit_bg.samples import Dependence


def average(
    a: Shaped[Tensor, "*rows"],
    log_w: Float[Tensor, "*rows"],
    dependence: Dependence,
    ancestor: Int[Tensor, "P N"] | None = None,
) -> tuple[float, float]:
    r"""Return the self-normalised average $\sum w a / \sum w$ with the standard error that fits what the samples are.

    * Of independent draws as `expectation` has it.
    * Of chains that error times the root of g, the statistical inefficiency of the series $\bar w (a - \hat A)$, widened by
      Student's factor for as many independent frames, and at least that of the spread between eight walkers; of equal weights
      that of `mean_of_walkers`. Of an event with fewer than five frames that are independent, infinite.
    * Of populations by a jackknife over whole populations, $\hat A = \sum_p Z_p f_p / \sum_p Z_p$ without each of them in turn,
      widened by Student's factor for one degree of freedom less than their effective number; infinite with fewer than five
      of these (of an event, and of its complement, of the populations that hold it). The spread of a few populations is small
      by chance too often: where ancestors are known it is at least that of families (see `spread_of_families`), and Student's
      factor is that of the degrees of freedom of both. Whether the weights have a tail that no population has shown is for
      `tail` to say.

    How often the errors cover the truth is measured in docs/verdict.md and docs/profiles.md.

    Args:
        a: observable, of the shape of the weights; what has weight zero may be anything.
        log_w: log weights, (B,) of draws, (T, W) of chains, (P, N) of populations.
        dependence: what samples know of each other.
        ancestor: (P, N) long, of populations; None where it is not known.

    Returns:
        the average and its error; NaN and infinite where all weights are zero.

    Raises:
        ValueError: another shape, or weights that are NaN.

    >>> value, error = average(torch.arange(40.0).reshape(8, 5) % 3, torch.zeros(8, 5), "populations")
    >>> round(value, 3), round(error, 3)
    (0.975, 0.072)
    """
    log_w, a = check_log_weights_of(log_w, dependence), torch.as_tensor(a).detach().cpu().double()
    if a.shape != log_w.shape:
        raise ValueError(f"one observable per weight, got {tuple(a.shape)} observables and {tuple(log_w.shape)} weights.")
    if dependence == "draws" or torch.isneginf(log_w).all():
        return expectation(a.flatten(), log_w.flatten())
    w = normalised(log_w, dependence)
    a = torch.where(w > 0, a, 0.0)
    is_event = bool(((a == 0) | (a == 1)).all())
    if dependence == "populations":
        if is_event:
            found = probabilities(torch.where(a == 1, 0, 1), w, 2, dependence, ancestor)
            return found.p[0].item(), found.error.max().item()  # the complement must be held, too
        share, own = w.sum(1), (w * a).sum(1)
        value = own.sum().item()
        if not math.isfinite(value):
            return value, math.inf
        families = None if ancestor is None else family_sums(w * (a - value), ancestor.cpu())
        return value, _between(share, (value - own) / (1 - share), families)
    value, error = expectation(a.flatten(), log_w.flatten())
    if not math.isfinite(error):
        return value, error
    residual = w * (a - value)
    g = inefficiencies(residual[None]).item()
    if is_event and min(effective_in((a == e).flatten(), log_w.flatten()) for e in (0, 1)) < g * FEWEST:
        return value, math.inf
    if w.min() == w.max():
        return value, mean_of_walkers(a)[1]
    wide = error * math.sqrt(g) * widening(w.numel() / g - 1).item()
    return value, max(wide, spread_of_walkers(residual) * w.numel())


def log_norm(
    log_w: Float[Tensor, "*rows"], dependence: Dependence, ancestor: Int[Tensor, "P N"] | None = None
) -> tuple[float, float]:
    r"""Return $\log \langle w \rangle$, with the error that fits what the samples are; infinite where all weights are zero.

    Of draws and populations it is log Z; of chains, whose weights are those from one distribution to another, the difference of
    their log Z. Of populations it is $\log \frac1P \sum_p Z_p$: the $Z_p$ are unbiased and their logarithms are not, so these
    are not averaged.

    Args:
        log_w, dependence, ancestor: as for `average`.

    >>> value, error = log_norm(torch.arange(8.0)[:, None].expand(8, 5) / 10, "populations")
    >>> round(value, 3), round(error, 3)
    (0.376, 0.106)
    """
    log_w = check_log_weights_of(log_w, dependence)
    if dependence == "draws" or torch.isneginf(log_w).all():
        return log_z(log_w.flatten())
    w = normalised(log_w, dependence)
    if dependence == "populations":
        share, value = w.sum(1), torch.logsumexp(log_w.flatten(), 0).item() - math.log(log_w.numel())
        left = torch.log((1 - share) * len(share) / (len(share) - 1))
        # an ancestor without descendants has a weight, too: none
        families = None if ancestor is None else family_sums(w, ancestor.cpu()) - 1 / w.numel()
        return value, _between(share, left, families)
    value, error = log_z(log_w.flatten())
    if not math.isfinite(error):
        return value, error
    residual = w - 1 / w.numel()
    g = inefficiencies(residual[None]).item()
    wide = error * math.sqrt(g) * widening(w.numel() / g - 1).item()
    return value, max(wide, spread_of_walkers(residual) * w.numel())


def effective_samples(
    log_w: Float[Tensor, "*rows"],
    dependence: Dependence,
    series: Shaped[Tensor, "K *rows"],
    ancestor: Int[Tensor, "P N"] | None = None,
) -> float:
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
        return effective_ancestors(log_w, torch.zeros_like(w, dtype=torch.long) if ancestor is None else ancestor)
    a = torch.where(w > 0, series.detach().cpu().double(), 0.0)
    residual = w * (a - (w * a).sum((1, 2), keepdim=True))
    return kish / inefficiencies(torch.cat([residual, (w - 1 / w.numel())[None]])).max().item()


def _between(share: Tensor, left: Tensor, families: Tensor | None) -> float:
    """Return the error of what was estimated again without each population, (P,), by the shares of these in the weight.

    Args:
        share, left: (P,).
        families: see `spread_of_families`; None where ancestors are not known.
    """
    effective = 1 / (share**2).sum()
    if len(share) < 2 or effective < FEWEST * (1 - 1e-9):
        return math.inf
    error, dof = jackknife(left[:, None]), effective - 1
    if families is not None:
        own, more = spread_of_families(families)
        error, dof = torch.maximum(error, own), dof + more
    return (error * widening(dof)).item()
