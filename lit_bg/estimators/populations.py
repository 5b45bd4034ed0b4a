r"""Families and disagreement of independent populations of weighted particles; for their averages see `average`.

Particles of one population share ancestors, so that what is known of its error is made of what families of one ancestor say.
Log weights (P, N) are absolute: the mean weight of a population is an unbiased estimate $Z_p$ of Z.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from lit_bg.estimators.log_weights import check_log_weights_of

SURE = 6.3e-5  # probability of four standard errors


def family_sums(values: Tensor, ancestor: Tensor) -> Tensor:
    """Return the sums of values over the particles of each ancestor, (P, N); zero for an ancestor without descendants.

    Args:
        values: of the particles, (P, N).
        ancestor: (P, N) long.
    """
    return torch.zeros_like(values).scatter_add_(1, ancestor, values)


def spread_of_families(families: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return the standard error of a sum over particles by their ancestors, $s^2 = \sum_a R_a^2$, and its degrees of freedom.

    Those are $2 s^4 / \sum_a R_a^4$. Ancestors are drawn independently, and what resampling and moves make of their families
    is independent given these, so that it is consistent for many ancestors, whatever the moves forget. There are many more
    families than populations, so it varies less than what a few populations say.

    Args:
        families: $R_a$, what the descendants of an ancestor add to the deviation of the sum, (P, N); of an average the sums of
            $\bar w (a - \hat A)$.

    References:
        Chan, Lai, Ann. Stat. 41, 2877 (2013), doi:10.1214/13-AOS1172; Lee, Whiteley, Biometrika 105, 609 (2018),
        doi:10.1093/biomet/asy028.

    >>> residual = torch.tensor([[0.1, 0.1, -0.1, -0.1]])
    >>> round(spread_of_families(residual)[0].item(), 3)
    0.2
    >>> two = family_sums(residual, torch.tensor([[0, 0, 2, 2]]))  # members of a family say the same
    >>> round(spread_of_families(two)[0].item(), 3)
    0.283
    """
    squares = families.square().flatten()
    variance = squares.sum()
    return variance.sqrt(), 2 * variance**2 / squares.square().sum().clamp_min(torch.finfo(squares.dtype).tiny)


def effective_ancestors(
    log_w: Float[Tensor, "P N"], ancestor: Int[Tensor, "P N"], inside: Shaped[Tensor, "P N"] | None = None
) -> float:
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
    log_w = check_log_weights_of(log_w, "populations")
    if torch.isneginf(log_w).all():
        return 0.0
    w = (log_w - log_w.max()).exp()
    w = w if inside is None else w * inside.to(w)
    family = family_sums(w, ancestor.cpu())
    squares = family.square().sum().item()
    return family.sum().item() ** 2 / squares if squares > 0 else 0.0


def count_ancestors(log_w: Float[Tensor, "P N"], ancestor: Int[Tensor, "P N"]) -> int:
    """Count the ancestors that have a descendant with weight, over all populations.

    >>> count_ancestors(torch.tensor([[0.0, 0.0, -torch.inf]]), torch.tensor([[1, 1, 2]]))
    1
    """
    return int((family_sums((log_w > -torch.inf).double().cpu(), ancestor.cpu()) > 0).sum())


def populations_disagree(
    log_w: Float[Tensor, "P N"], ancestor: Int[Tensor, "P N"], a: Shaped[Tensor, "P N"] | None = None
) -> bool:
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

    log_w = check_log_weights_of(log_w, "populations")
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
