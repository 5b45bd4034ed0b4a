"""Shares of every metastable state in the proposals and in the target."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from lit_bg.diagnostics.averages import Mean
from lit_bg.estimators import Tail, effective_in, ess, expectation, mbar_events, mbar_log_weights, tail, upper_limit
from lit_bg.estimators.importance import FEWEST

EXPECTED = 10  # effective samples a state of known probability should have before its absence means anything
UNKNOWN = 5000  # effective samples before the absence of a state of unknown probability means anything: 5 of one of 0.1 %
FRACTION = 0.1  # of its probability: a state with less is starved
SIGMAS = 4.0  # standard errors from which two numbers are different

NO_TAIL = Tail(math.nan, math.inf, math.nan)  # of what is no sum of independent weighted terms


@dataclass(frozen=True)
class ModeShare:
    """Says what share a mode has in the proposals and in the target.

    Attributes:
        raw: share of the proposals.
        value, error: reweighted probability; the error is infinite where too few effective samples say anything.
        upper: 95 % upper limit where (next to) no sample lies in it, else None.
        effective: effective samples inside the mode.
        unit: largest normalised weight of a sample inside it; that of an effective sample where there is none.
        inside: tail of w |1 - p|, 1 for the samples in the mode.
        lost: nothing lies in it where enough should, or far too little.
        free_energy, free_energy_error: -ln of its probability relative to the first mode [kT]; NaN for the first.
    """

    raw: float
    value: float
    error: float
    upper: float | None
    effective: float
    unit: float
    inside: Tail
    lost: bool
    free_energy: float = math.nan
    free_energy_error: float = math.inf


def share_modes(
    names: tuple[str, ...],
    label: Int[Tensor, "n"],
    log_w: Float[Tensor, "n"],
    known: dict[str, tuple[float, float]],
    inefficiency: float = 1.0,
) -> dict[str, ModeShare]:
    r"""Return one share per mode.

    A mode of known probability p is lost when the $n\,$ESS effective samples should hold at least ten of it and either none
    lies in it, or its reweighted mass is below p / 10 by more than four standard errors (of the estimate, of p, and of as many
    independent draws of p together: the estimate alone would claim certainty when it has seen one sample). A mode of
    unknown probability is lost when 5000 effective samples have shown none of it. A mode proposed rarely but reweighted right
    is not lost.

    Args:
        names: of the modes.
        label: index of the mode of each sample, (n,); -1: none.
        log_w: log weights, (n,).
        known: probability and its standard error, of the modes where they are known.
        inefficiency: draws per independent draw.
    """
    effective_draws = max(ess(log_w) * len(log_w) / inefficiency, 1e-12)
    wider = math.sqrt(inefficiency)
    w = torch.softmax(log_w, 0) if torch.isfinite(log_w).any() else torch.zeros_like(log_w)
    shares, first = {}, None
    for k, name in enumerate(names):
        inside = (label == k).double()
        value, error = expectation(inside, log_w)
        effective = effective_in(inside, log_w) / inefficiency
        raw, error = inside.mean().item(), wider * error
        if effective < FEWEST:
            error = math.inf
        lost = is_lost(raw, value, error, known.get(name), effective_draws)
        upper = min(upper_limit(inside, log_w) * inefficiency, 1.0) if effective < FEWEST else None
        unit = (w * inside).max().item() or 1 / effective_draws
        free_energy, free_error = math.nan, math.inf
        if first is None:
            first = (inside, value, error)
        elif value > 0 and first[1] > 0:
            free_energy = -math.log(value / first[1])
            joint = wider * expectation(inside / value - first[0] / first[1], log_w)[1]
            free_error = max(joint, error / value, first[2] / first[1])
        shares[name] = ModeShare(raw, value, error, upper, effective, unit, tail(log_w, inside), lost, free_energy, free_error)
    return shares


def share_pooled(
    names: tuple[str, ...],
    label: Int[Tensor, "N"],
    u: Float[Tensor, "K N"],
    target: Float[Tensor, "N"],
    counts: Shaped[Tensor, "K"],
    f: Float[Tensor, "K"],
) -> dict[str, ModeShare]:
    """Return one share per mode from samples of several states together, weighted as MBAR has it.

    The error of a free energy is that of `share_modes` or that of `mbar_events`, which has the errors of f in it, whichever is
    the larger.

    Args:
        names: of the modes.
        label: index of the mode of each sample, (N,); -1: none.
        u: reduced energies in the states that were sampled, (K, N).
        target: in the state asked for, (N,).
        counts: samples of every state, (K,).
        f: free energies of the states, (K,), from `mbar` or `bar`.
    """
    shares = share_modes(names, label, mbar_log_weights(u, target, counts, f), {})
    _, c = mbar_events(u, target, torch.stack([label == k for k in range(len(names))]), counts, f)
    errors = (c.diagonal() + c[0, 0] - 2 * c[0]).clamp_min(0).sqrt().tolist()
    return {
        name: replace(s, free_energy_error=max(s.free_energy_error, e if math.isfinite(e) else math.inf))
        for (name, s), e in zip(shares.items(), errors, strict=True)
    }


def is_lost(raw: float, value: float, error: float, known: tuple[float, float] | None, effective_draws: float) -> bool:
    """Say whether a mode is lost, by the rule of `share_modes`.

    Args:
        raw: share of the samples in it.
        value, error: its reweighted probability.
        known: its probability and the error of that, where they are known.
        effective_draws: effective samples in all.
    """
    if known is None:
        return raw == 0 and effective_draws >= UNKNOWN
    p, p_error = known
    if p * effective_draws < EXPECTED:
        return False
    if raw == 0:
        return p > SIGMAS * p_error
    own = error if math.isfinite(error) else 0.0
    sigma = math.sqrt(own**2 + p_error**2 + p * max(1 - p, 0.0) / effective_draws)
    return value < FRACTION * p and p - value > SIGMAS * sigma


def share_by_mean(
    names: tuple[str, ...],
    label: Tensor,
    mean: Mean,
    count: Callable[[Tensor], float],
    draws: float,
    known: dict[str, tuple[float, float]],
) -> dict[str, ModeShare]:
    """Return one share per mode of samples whose average is not that of independent weights: chains, populations.

    Args:
        names: of the modes.
        label: index of the mode of each sample, of any shape; -1: none.
        mean: average and standard error of values of that shape.
        count: effective samples inside, of (bool) values of that shape.
        draws: effective samples in all.
        known: probability and its standard error, of the modes where they are known.
    """
    shares: dict[str, ModeShare] = {}
    first, p_first = torch.zeros_like(label, dtype=torch.float64), math.nan
    for k, name in enumerate(names):
        inside = label == k
        a = inside.double()
        p, error = mean(a)
        effective = count(inside)
        if effective < FEWEST:
            error = math.inf
        upper = min(p + 3 / max(draws, 1e-12), 1.0) if effective < FEWEST else None
        lost = is_lost(a.mean().item(), p, error, known.get(name), draws)
        free_energy, free_error = math.nan, math.inf
        if not shares:
            first, p_first = a, p
        elif p > 0 and p_first > 0:
            free_energy = -math.log(p / p_first)
            joint = mean(a / p - first / p_first)[1]  # one series, so that it knows of their covariance
            unknown = math.isinf(error) or math.isinf(next(iter(shares.values())).error)
            free_error = math.inf if unknown else joint
        unit = p / effective if effective > 0 else 1 / max(draws, 1.0)
        shares[name] = ModeShare(a.mean().item(), p, error, upper, effective, unit, NO_TAIL, lost, free_energy, free_error)
    return shares
