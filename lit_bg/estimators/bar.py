r"""Free-energy differences of two states from work in both directions.

$w_F = u_B(x) - u_A(x)$ of samples of A and $w_R = u_A(x) - u_B(x)$ of samples of B, all in kT; with a map between the states
(or a path, with its work) the change of volume is part of them. A work of +inf is a sample that the other state never visits:
it counts as a sample. Between a generator, $u_A = -\log q$ and $F_A = 0$, and its target they are $w_F = -\log w$ of
proposals and $w_R = \log w$ of frames, and the difference is $-\log Z$.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from lit_bg.estimators.time_series import mean_with_error

STEP = 1.0  # by which a bracket of the root begins to widen [kT]
EXPANSIONS = 200


def bar(forward: Float[Tensor, "n"], reverse: Float[Tensor, "m"]) -> tuple[float, float]:
    r"""Return the free-energy difference F_B - F_A and its error by Bennett's acceptance ratio, in kT.

    $\Delta$ solves $\sum_F f(M + w_F - \Delta) = \sum_R f(-M + w_R + \Delta)$ with $f(x) = 1 / (1 + e^x)$ and
    $M = \ln(n_F / n_R)$. The logarithm of the ratio of both sides rises with the difference, so there is one root, however poor
    the overlap. The error is Bennett's, $\sigma^2 = \sum_{F, R} \frac1n (\langle f^2 \rangle / \langle f \rangle^2 - 1)$: it
    takes the works as independent, and where states hardly overlap it is too small. One work alone in a direction
    has no error bar (infinite).

    Args:
        forward: w_F of independent samples of A, (n_F,) [kT].
        reverse: w_R of independent samples of B, (n_R,) [kT].

    Raises:
        ValueError: no works in a direction, works that are NaN or -inf, or a direction in which none is finite.

    References:
        Bennett, J. Comput. Phys. 22, 245 (1976), doi:10.1016/0021-9991(76)90078-4, Eqs. 10a and 12.
        Shirts, Bair, Hooker, Pande, Phys. Rev. Lett. 91, 140601 (2003), doi:10.1103/PhysRevLett.91.140601.

    >>> bar(torch.tensor([1.0, 1.0, 1.0]), torch.tensor([-1.0, -1.0, -1.0]))
    (1.0, 0.0)
    """
    w_F, w_R = _checked(forward, "forward"), _checked(reverse, "reverse")
    value = _solve(w_F, w_R)
    log_f = _log_fermi(w_F, w_R, value)
    return value, math.sqrt(sum(_relative_variance(side) for side in log_f))


def bar_terms(
    forward: Float[Tensor, "n"], reverse: Float[Tensor, "m"], value: float
) -> tuple[Float[Tensor, "n"], Float[Tensor, "m"]]:
    """Return the terms of both sums of `bar` at a difference, each over its largest; they correlate in time as it does.

    Args:
        forward, reverse: as for `bar`.
        value: the difference [kT].
    """
    sides = _log_fermi(_checked(forward, "forward"), _checked(reverse, "reverse"), value)
    return (sides[0] - sides[0].max()).exp(), (sides[1] - sides[1].max()).exp()


def bar_overlap(forward: Float[Tensor, "n"], reverse: Float[Tensor, "m"], value: float) -> float:
    r"""Return how much two states overlap, $\int p_A p_B / (p_A + p_B)$: 1/2 where they are one, 0 where they never meet.

    It is the entry beside the diagonal of the overlap matrix (see `overlap_matrix`) for as many samples of either state,
    the mean of what the two directions say of it, $\langle f(w_F - \Delta) \rangle$ and $\langle f(w_R + \Delta) \rangle$.

    Args:
        forward, reverse: as for `bar`.
        value: the difference [kT].

    >>> bar_overlap(torch.ones(3), -torch.ones(2), 1.0)
    0.5
    """
    w_F, w_R = _checked(forward, "forward"), _checked(reverse, "reverse")
    return 0.5 * (torch.sigmoid(value - w_F).mean() + torch.sigmoid(-value - w_R).mean()).item()


class Bounds(NamedTuple):
    """Holds bounds of a free-energy difference, by the mean work in both directions [kT]."""

    lower: float
    lower_error: float
    upper: float
    upper_error: float

    @property
    def gap(self) -> float:
        """Return by how much the bounds differ: what the works dissipate in both directions together [kT]."""
        return self.upper - self.lower


def work_bounds(forward: Float[Tensor, "n"], reverse: Float[Tensor, "T *W"]) -> Bounds:
    r"""Return $-\langle w_R \rangle \le \Delta F \le \langle w_F \rangle$ with their errors (Jensen's inequality).

    The upper bound less the difference is the divergence KL(A||B), the difference less the lower bound KL(B||A). A work of +inf
    makes its bound infinite, without an error.

    Args:
        forward: w_F of independent samples of A, (n_F,) [kT].
        reverse: w_R of samples of B: independent (n_R,), or (T, W) frames in order of time.

    >>> work_bounds(torch.tensor([1.0, 3.0]), torch.tensor([-1.0, -1.0])).gap
    1.0
    """
    upper = _mean(_checked(forward, "forward")[None])
    lower = _mean(_checked(reverse, "reverse")[None] if reverse.ndim == 1 else _checked(reverse, "reverse", 2))
    return Bounds(-lower[0], lower[1], *upper)


def _mean(works: Tensor) -> tuple[float, float]:
    if torch.isposinf(works).any():
        return math.inf, math.inf
    if works.min() == works.max():  # of 0 or 1 alone it would be taken for an event
        return works.max().item(), 0.0 if works.numel() > 1 else math.inf
    return mean_with_error(works)


def _solve(w_F: Tensor, w_R: Tensor) -> float:
    from scipy.optimize import brentq

    def ratio(value: float) -> float:
        log_f = _log_fermi(w_F, w_R, value)
        return (torch.logsumexp(log_f[0], 0) - torch.logsumexp(log_f[1], 0)).item()

    start = 0.5 * (torch.logsumexp(-w_R, 0) - torch.logsumexp(-w_F, 0) + math.log(len(w_F) / len(w_R))).item()
    sign, step = math.copysign(1.0, -ratio(start)), STEP
    for _ in range(EXPANSIONS):
        if ratio(start + sign * step) * sign >= 0:
            break
        step *= 2
    # brentq needs ends of opposite signs, and rounding may leave none where the works are all alike
    low, high = sorted((start, start + sign * step))
    low, high = low - 1e-9 * max(1.0, abs(low)), high + 1e-9 * max(1.0, abs(high))
    return float(brentq(ratio, low, high, xtol=1e-13, rtol=8.9e-16, maxiter=500))


def _log_fermi(w_F: Tensor, w_R: Tensor, value: float) -> tuple[Tensor, Tensor]:
    M = math.log(len(w_F) / len(w_R))
    return logsigmoid(value - M - w_F), logsigmoid(M - value - w_R)


def _relative_variance(log_f: Tensor) -> float:
    """Return the variance of the mean of f over the square of that mean, of independent terms."""
    n = len(log_f)
    if n == 1:
        return math.inf
    ratio = math.exp(torch.logsumexp(2 * log_f, 0).item() + math.log(n) - 2 * torch.logsumexp(log_f, 0).item())
    return max(ratio - 1, 0.0) / n


def _checked(works: Tensor, direction: str, ndim: int = 1) -> Tensor:
    works = torch.as_tensor(works).detach().double().cpu()
    if works.ndim != ndim or works.numel() == 0:
        raise ValueError(f"{direction} works must be a non-empty vector, got shape {tuple(works.shape)}.")
    if not (works > -torch.inf).all():
        raise ValueError(
            f"{int((~(works > -torch.inf)).sum())} of {works.numel()} {direction} works are NaN or -inf: a sample that the "
            "other state never visits has work +inf, and nothing else is infinite."
        )
    if torch.isposinf(works).all():
        raise ValueError(
            f"none of {works.numel()} {direction} works is finite: the states do not overlap, so there is no "
            "difference to estimate."
        )
    return works
