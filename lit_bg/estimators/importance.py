r"""Importance-sampling estimates with error bars from weighted samples.

All functions take unnormalised log weights $\ell_i = -u(x_i) - \log q(x_i)$, `(B,)`, and reduce in
float64. A weight of -inf is a weight of zero and still counts as a sample.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from lit_bg.estimators.log_weights import check_log_weights
from lit_bg.estimators.pareto import Tail, tail
from lit_bg.estimators.standard_error import pull_of_tail, standard_error, unseen_mass

ROUNDING = 1e-6  # of an average: an observable that varies less is constant in float32
FEWEST = 5  # effective samples in an event, and outside of it, from which it has an error bar
ENOUGH = 130  # effective samples from which a poor proposal's averages have error bars
KNOWN = 10  # samples times the fourth power of the ESS they say, from which they know it
BOUNDED = 0.2  # k-hat of weights whose largest have been seen
EVEN = 0.5  # ESS of a few samples that is no accident
POOR = 1 / 3  # of all samples that are effective: above it few samples are as good as they say


def ess(log_w: Float[Tensor, "n"]) -> float:
    r"""Return the Kish effective sample size as a fraction of the sample count, $(\sum w)^2 / (N \sum w^2)$.

    This is the reverse ESS (samples of q). It cannot see modes that q misses: never show it alone.

    >>> ess(torch.zeros(10))
    1.0
    >>> ess(torch.tensor([0.0, -torch.inf]))
    0.5
    """
    return effective_share(check_log_weights(log_w)).item()


def effective_share(log_w: Float[Tensor, "*rows n"]) -> Float[Tensor, "*rows"]:
    """Return the Kish effective sample size of every row as a fraction, (..., N) -> (...); 0 where none has a weight.

    >>> effective_share(torch.tensor([[0.0, 0.0], [0.0, -torch.inf], [-torch.inf, -torch.inf]]))
    tensor([1.0000, 0.5000, 0.0000])
    """
    kish = (2 * torch.logsumexp(log_w, -1) - torch.logsumexp(2 * log_w, -1)).exp() / log_w.shape[-1]
    return kish.nan_to_num(0.0).clamp_max(1.0)  # rounding may lift equal weights above it


def forward_ess(log_w: Float[Tensor, "n"]) -> float:
    r"""Return the forward ESS as a fraction, $1 / (\langle w \rangle_\pi \langle 1/w \rangle_\pi)$, from samples of the target.

    Args:
        log_w: $-u - \log q$ of configurations drawn from exp(-u) / Z (reference data). The estimate is
            that of E_q[w]^2 / E_q[w^2] taken over the target, so it does see modes that q misses,
            as far as the reference data hold them.
    """
    log_w = check_log_weights(log_w)
    if torch.isneginf(log_w).any():
        return 0.0
    n = math.log(len(log_w))
    return math.exp(2 * n - torch.logsumexp(log_w, 0).item() - torch.logsumexp(-log_w, 0).item())


def ess_with_error(log_w: Float[Tensor, "n"]) -> tuple[float, float]:
    r"""Return the Kish ESS as a fraction with its standard error (delta method).

    With $x = w / \langle w \rangle$ the fraction is $1 / \langle x^2 \rangle$, and its relative error is that of the mean of
    $x^2 - 2 x \langle x^2 \rangle$ over $\langle x^2 \rangle$. An ESS that is estimated from few samples is too large (see
    `ess_is_known`).
    """
    log_w = check_log_weights(log_w)
    value = ess(log_w)
    if value == 0:
        return 0.0, math.inf
    x = (log_w - torch.logsumexp(log_w, 0)).exp() * len(log_w)
    second = (x**2).mean()
    residual = (x**2 - second) - 2 * second * (x - 1)
    return value, (residual.square().sum().sqrt() / len(x) / second).item() * value


def ess_is_known(value: float, n: float) -> bool:
    """Say whether an ESS estimated from n samples is a value, n ESS^4 >= 10, and not just an upper limit.

    The estimate is biased up as long as the largest weights have not been seen: with lognormal weights of ESS 0.05 a thousand
    samples say 0.088 on average.

    >>> ess_is_known(0.3, 10_000), ess_is_known(0.3, 1000)
    (True, False)
    """
    return n * value**4 >= KNOWN


def resolves_averages(w: Float[Tensor, "n"]) -> bool:
    r"""Say whether so many weights determine the error of an average: $n e^{-2 D} \ge 130$, or $e^{-2 D} \ge 1/3$, or no tail.

    $D = \sum \bar w \ln (n \bar w)$ is the divergence of the target from the proposal. $e^{-2 D}$ is the ESS of lognormal
    weights, and from a sample that has not seen the largest of them it is far less too large than that of Kish; taken from
    that, the samples that lack the largest weights would be the ones with an error bar. Weights without a tail (k-hat below
    0.2) have shown how large they are.

    Args:
        w: normalised weights, (n,).

    >>> resolves_averages(torch.full((20,), 0.05)), resolves_averages(torch.softmax(torch.arange(200.0), 0))
    (True, False)
    """
    fraction = math.exp(-2 * (torch.xlogy(w, w).sum().item() + math.log(len(w))))
    if fraction >= POOR or len(w) * fraction >= ENOUGH:
        return True
    k = tail(w.log()).k
    return not math.isnan(k) and k < BOUNDED


def effective_in(inside: Shaped[Tensor, "n"], log_w: Float[Tensor, "n"]) -> float:
    r"""Return the Kish effective samples of an event, $(\sum_A w)^2 / \sum_A w^2$; 0 where it has no weight.

    >>> effective_in(torch.tensor([1.0, 1.0, 0.0]), torch.zeros(3))
    2.0
    """
    log_w = check_log_weights(log_w)
    if torch.isneginf(log_w).all():
        return 0.0
    w = (log_w - log_w.max()).exp() * torch.as_tensor(inside).to(log_w)
    squares = (w**2).sum().item()
    return w.sum().item() ** 2 / squares if squares > 0 else 0.0


def certain_count(total: Tensor, squares: Tensor, held: Tensor, w: Tensor) -> Tensor:
    r"""Return the effective samples that events certainly have: those of Kish, or m times the ESS of all where that is less.

    The weights of few samples are more unequal than they look. Where an event's m samples are enough to know their own ESS (see
    `ess_is_known`), or half of them are effective, it is theirs.

    Args:
        total, squares, held: sum of the normalised weights in each event, of their squares, and how many there are.
        w: normalised weights of all samples, (n,).
    """
    kish = total**2 / squares.clamp_min(torch.finfo(w.dtype).tiny)
    own = kish / held.clamp_min(1)
    known = (own >= EVEN) | (held * own**4 >= KNOWN)
    return torch.where(known, kish, torch.minimum(kish, held / (w**2).sum() / len(w)))


def upper_limit(inside: Shaped[Tensor, "n"], log_w: Float[Tensor, "n"]) -> float:
    r"""Return a 95 % upper limit of the probability of an event that (next to) no sample shows, $\hat p + 3 / (n\, ESS)$.

    The rule of three with the effective number of draws. It holds if the proposals reach all of the event; what they cannot
    reach no limit knows.

    >>> round(upper_limit(torch.zeros(300), torch.zeros(300)), 6)
    0.01
    """
    log_w = check_log_weights(log_w)
    effective = ess(log_w) * len(log_w)
    if effective == 0:
        return 1.0
    w = torch.softmax(log_w, 0)
    return min((w * torch.as_tensor(inside).to(w)).sum().item() + 3 / effective, 1.0)


def log_z(log_w: Float[Tensor, "n"]) -> tuple[float, float]:
    r"""Return the log partition function $\log \frac1N \sum w$ and its standard error.

    The error is that of the relative weights $(w / \langle w \rangle - 1) / N$, as `standard_error` has it, infinite where the
    weights have a tail that allows none, and of the mass that a heavy tail has not shown yet (see `unseen_mass`).

    >>> log_z(torch.full((5,), 2.0))
    (2.0, 0.0)
    """
    log_w = check_log_weights(log_w)
    n = len(log_w)
    if torch.isneginf(log_w).all():
        return -math.inf, math.inf
    value = torch.logsumexp(log_w, 0).item() - math.log(n)
    relative = (log_w - value).exp()
    error = standard_error((relative - 1) / n, tail(log_w))
    return value, math.hypot(error, unseen_mass(relative / n)) if error else 0.0


def expectation(a: Shaped[Tensor, "n"], log_w: Float[Tensor, "n"]) -> tuple[float, float]:
    r"""Return the self-normalised average $\hat A = \sum w a / \sum w$ and its standard error.

    The error is that of the residuals $\bar w_i (a_i - \hat A)$ (see `standard_error`), and of the pull of the weights that
    have not been seen: where the observable goes on growing in the tail of the weights, one more sample of the largest weight
    would move the average by $\bar w_{max}\,|a_{tail} - \hat A|$ more than scatter.

    Of an event (every value 0 or 1) it is $\sqrt{(\sum \bar w^2 (a - \hat A)^2 + \sigma^2) / 2 + \bar w_{unseen}^2}$ with
    $\sigma$ the `standard_error` of the residuals: one more sample could move the probability by its weight (see
    `unseen_weight`; the smaller of the event's and of its complement's).

    The error is infinite where no honest one exists: fewer than five effective samples in an event or in its complement
    (see `certain_count`), a tail too heavy, or so few effective samples of a poor proposal that they cannot tell (see
    `resolves_averages`). How often errors cover the truth is measured in docs/verdict.md.

    Args:
        a: observable of each sample, (B,); entries of weight zero may be anything, NaN included.
        log_w: log weights, (B,).

    >>> expectation(torch.tensor([1.0, 3.0]), torch.zeros(2))[0]
    2.0
    >>> expectation(torch.zeros(4), torch.zeros(4))  # an event that was never seen
    (0.0, inf)
    """
    log_w = check_log_weights(log_w)
    a = torch.as_tensor(a).detach().to(log_w)
    if a.shape != log_w.shape:
        raise ValueError(f"one observable per weight, got {tuple(a.shape)} observables and {tuple(log_w.shape)} weights.")
    if torch.isneginf(log_w).all():
        return math.nan, math.inf
    w = torch.softmax(log_w, 0)
    a = torch.where(w > 0, a, 0.0)
    mean = (w * a).sum()
    residual = w * (a - mean)
    value = mean.item()
    if not math.isfinite(value):
        return value, math.inf
    if ((a == 0) | (a == 1)).all():
        return value, _error_of_event(a, w, residual, tail(log_w, a)) if resolves_averages(w) else math.inf
    if residual.abs().sum() <= ROUNDING * abs(value):
        return value, residual.norm().item()  # a constant
    if not resolves_averages(w):
        return value, math.inf
    pull = pull_of_tail(w, a, value)
    return value, math.hypot(standard_error(residual, tail(log_w, a)), pull)


def _error_of_event(a: Tensor, w: Tensor, residual: Tensor, of: Tail) -> float:
    parts = (torch.where(a == 1, w, 0.0), torch.where(a == 0, w, 0.0))
    counts = [certain_count(part.sum(), (part**2).sum(), (part > 0).sum(), w) for part in parts]
    if min(counts) < FEWEST * (1 - 1e-9):
        return math.inf
    unseen = torch.minimum(*(unseen_weight(part.max(), c, w.max()) for part, c in zip(parts, counts, strict=True))).item()
    seen, all_of_it = residual.square().sum().item(), standard_error(residual, of)
    return math.sqrt(0.5 * (seen + all_of_it**2) + unseen**2) if math.isfinite(all_of_it) else math.inf


def unseen_weight(seen: Tensor, count: Tensor, largest: Tensor) -> Tensor:
    r"""Return the weight one more sample may have, $\bar w_{event} + (\bar w_{all} - \bar w_{event}) / n_{event}^2$.

    It is the largest seen in the event; but while few have been seen there, the largest seen anywhere.

    Args:
        seen: largest normalised weight in each event, zero where there is none.
        count: effective number of samples n in each event, zero where there is none.
        largest: largest normalised weight of all.
    """
    return seen + (largest - seen) / count.clamp_min(1) ** 2
