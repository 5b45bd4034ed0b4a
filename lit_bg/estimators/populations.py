r"""Numbers with error bars from independent populations of weighted particles.

Particles of one population share ancestors, so that an error bar is made of what populations say, or of what families of one
ancestor say. Log weights (P, N) are absolute: the mean weight of a population is an unbiased estimate $Z_p$ of Z.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

SURE = 6.3e-5  # probability of four standard errors


def population_log_z(log_w: Tensor) -> tuple[float, float]:
    r"""Return $\log \frac1P \sum_p Z_p$ and its standard error, by the jackknife over populations.

    The estimates $Z_p$ are unbiased and their logarithms are not, so these are not averaged.

    Args:
        log_w: (P, N) log weights, -inf for a weight of zero.

    Returns:
        log Z and its error, infinite for one population and where one of them holds all the weight.

    >>> value, error = population_log_z(torch.tensor([[0.0, 0.0], [0.0, -torch.inf], [0.0, 0.0]]))
    >>> round(value, 4), round(error, 2)
    (-0.1823, 0.43)
    """
    log_Z = _log_z_of_each(log_w)
    if torch.isneginf(log_Z).all():
        return -math.inf, math.inf
    z = (log_Z - log_Z.max()).exp()
    value = (z.mean().log() + log_Z.max()).item()
    if len(z) < 2:
        return value, math.inf
    without = (z.sum() - z) / (len(z) - 1)
    return value, _jackknife(without.log())


def population_mean(a: Tensor, log_w: Tensor) -> tuple[float, float]:
    r"""Return $\sum_p Z_p f_p / \sum_p Z_p$, $f_p$ the weighted average in population p, and its standard error.

    The error is that of the jackknife over populations, with Student's factor for P - 1 degrees of freedom: the larger of
    those at one and, halved, at two standard errors. It is infinite for one population, and for an event that nobody has seen,
    or left.

    Args:
        a: values, (P, N); entries of weight zero may be anything, NaN included.
        log_w: log weights, (P, N).

    >>> population_mean(torch.tensor([[1.0, 3.0], [2.0, 2.0]]), torch.zeros(2, 2))
    (2.0, 0.0)
    """
    log_w = _checked(log_w)
    if torch.isneginf(log_w).all():
        return math.nan, math.inf
    w = (log_w - log_w.max()).exp()
    a = torch.where(w > 0, torch.as_tensor(a).detach().cpu().double(), 0.0)
    top, z = (w * a).sum(1), w.sum(1)
    value = (top.sum() / z.sum()).item()
    seen = a[w > 0]
    constant = bool((seen == seen[0]).all())
    if len(z) < 2 or not math.isfinite(value) or (constant and seen[0] in (0, 1)):
        return value, math.inf
    if constant:
        return value, 0.0
    return value, _jackknife((top.sum() - top) / (z.sum() - z))


def _jackknife(without: Tensor) -> float:
    """Standard error from what is left when each population is left out, (P,)."""
    from scipy.special import stdtrit

    if not torch.isfinite(without).all():
        return math.inf
    n = len(without)
    residual = without - without.mean()
    widening = max(stdtrit(n - 1, 0.8413447), stdtrit(n - 1, 0.9772499) / 2)
    return float(widening) * math.sqrt((n - 1) / n * residual.square().sum().item())


def family_sums(values: Tensor, ancestor: Tensor) -> Tensor:
    """Return the sums of values over the particles of each ancestor, (P, N); zero for an ancestor without descendants.

    Args:
        values: of the particles, (P, N).
        ancestor: (P, N) long.
    """
    return torch.zeros_like(values).scatter_add_(1, ancestor, values)


def effective_ancestors(log_w: Tensor, ancestor: Tensor, inside: Tensor | None = None) -> float:
    r"""Return $(\sum_a W_a)^2 / \sum_a W_a^2$ with $W_a$ the weight of all descendants of an ancestor, of all populations.

    Without resampling it is the effective sample size of Kish. It is a lower limit where kernels carry the members of a family
    apart.

    Args:
        log_w: log weights, (P, N).
        ancestor: (P, N) long.
        inside: particles that count, (P, N) bool; None: all.

    >>> effective_ancestors(torch.zeros(1, 4), torch.tensor([[0, 0, 2, 2]]))
    2.0
    """
    log_w = _checked(log_w)
    if torch.isneginf(log_w).all():
        return 0.0
    w = (log_w - log_w.max()).exp()
    w = w if inside is None else w * inside.to(w)
    family = family_sums(w, ancestor.cpu())
    squares = family.square().sum().item()
    return family.sum().item() ** 2 / squares if squares > 0 else 0.0


def count_ancestors(log_w: Tensor, ancestor: Tensor) -> int:
    """Count the ancestors that have a descendant with weight, over all populations.

    >>> count_ancestors(torch.tensor([[0.0, 0.0, -torch.inf]]), torch.tensor([[1, 1, 2]]))
    1
    """
    return int((family_sums((log_w > -torch.inf).double().cpu(), ancestor.cpu()) > 0).sum())


def populations_disagree(log_w: Tensor, ancestor: Tensor, a: Tensor | None = None) -> bool:
    r"""Say whether populations scatter by more than their families explain, beyond four standard errors.

    Deviations of populations, $d_p = Z_p / \bar Z - 1$ or with an observable $d_p = Z_p (f_p - \bar f) / \bar Z$, are sums over
    ancestors; were these independent, the variance of $d_p$ would be that of the sums. $\sum_p d_p^2 / (P - 1)$ over the mean
    of those variances follows Fisher's F of P - 1 and as many degrees of freedom as there are effective ancestors.

    Args:
        log_w: log weights, (P, N).
        ancestor: (P, N) long.
        a: an observable, (P, N); None: it is Z that is asked.

    References:
        Chan, Lai, Ann. Stat. 41, 2877 (2013), doi:10.1214/13-AOS1172; Lee, Whiteley, Biometrika 105, 609 (2018),
        doi:10.1093/biomet/asy028, for the variance by ancestors.
    """
    from scipy.stats import f

    log_w = _checked(log_w)
    n_populations, n = log_w.shape
    if n_populations < 2 or torch.isneginf(log_w).all():
        return False
    w = (log_w - log_w.max()).exp()
    w = w / w.sum(1).mean()  # of mean one over the populations
    if a is None:
        families = family_sums(w, ancestor.cpu()) - 1 / n
    else:
        a = torch.where(w > 0, a.detach().cpu().double(), 0.0)
        families = family_sums(w * (a - (w * a).sum() / w.sum()), ancestor.cpu())
    expected = families.square().sum(1).mean().item()
    deviations = families.sum(1)
    if expected <= ((w * (0 if a is None else a)).abs().sum(1).mean().item() * 1e-6) ** 2 / n:
        return False  # a constant
    ratio = (deviations.square().sum() / (n_populations - 1)).item() / expected
    squares = families.square().flatten()
    dof = max(1.0, 2 * (squares.sum() ** 2 / squares.square().sum()).item())
    return bool(f.sf(ratio, n_populations - 1, dof) < SURE)


def _log_z_of_each(log_w: Tensor) -> Tensor:
    log_w = _checked(log_w)
    return torch.logsumexp(log_w, 1) - math.log(log_w.shape[1])


def _checked(log_w: Tensor) -> Tensor:
    """Return log weights (P, N) in float64.

    Raises:
        ValueError: another shape, or a weight that is NaN or +inf.
    """
    log_w = torch.as_tensor(log_w).detach().to("cpu", torch.float64)
    if log_w.ndim != 2 or log_w.numel() == 0:
        raise ValueError(f"log weights of populations have shape (P, N), and none is empty, got {tuple(log_w.shape)}.")
    if torch.isnan(log_w).any() or torch.isposinf(log_w).any():
        raise ValueError(
            f"{int((~(log_w < torch.inf)).sum())} of {log_w.numel()} log weights are NaN or +inf: a particle without a finite "
            "energy has weight zero (-inf)."
        )
    return log_w
