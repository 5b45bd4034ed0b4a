"""Whether the numbers of a run can be trusted, and why not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

PARETO_K = 0.7  # above it importance sampling does not work at this sample size,
TAIL_SHARE = 0.01  # unless the tail holds less of the weight: nearly equal weights have a tail of any form and no size
EFFECTIVE = 100  # effective samples below which error bars are guesses
NONFINITE = 0.01  # fraction of proposals without a finite energy
SIGMAS = 4.0
FORWARD = 0.2  # forward ESS below this fraction of the reverse ESS: the data hold what the proposals lack
BLIND = "nothing is known of this system that would show a lost mode: give it modes, exact values or reference data."
ROUNDING = 1e-3  # [kT] of log Z: sums of float32 energies are no better


class Verdict(NamedTuple):
    """The judgement and its reasons, one sentence each.

    `trust`: nothing speaks against the run, and something could have. `do not trust`: something does.
    `unchecked`: nothing is known of the system that would show a lost mode.
    """

    word: str
    reasons: list[str]


def judge(summary: dict[str, Any]) -> Verdict:
    """Judge a run by its summary (the content of summary.json).

    An ESS near one is no proof: a generator that has lost a mode and is right elsewhere has it. So the word
    `trust` needs a witness that can contradict: exact values, reference data, or known modes.

    >>> judge({"n_samples": 10000, "n_nonfinite": 0, "ess": 0.9, "pareto_k": 0.1}).word
    'unchecked'
    >>> judge({"n_samples": 10000, "n_nonfinite": 0, "ess": 0.9, "pareto_k": 0.1, "missing_modes": ["right"]})
    Verdict(word='do not trust', reasons=['the generator has lost mode right.'])
    """
    reasons = [*_weights(summary), *_lost_modes(summary), *_disagreements(summary)]
    if reasons:
        return Verdict("do not trust", reasons)
    if not any(_witnesses(summary)):
        return Verdict("unchecked", [BLIND])
    return Verdict("trust", [])


def _weights(s: dict[str, Any]) -> Iterator[str]:
    """What the weights themselves say."""
    n, k = s["n_samples"], s["pareto_k"]
    effective = s["ess"] * n
    if effective < EFFECTIVE:
        yield f"only {effective:.3g} effective samples out of {n} (at least {EFFECTIVE} are needed)."
    if k is None or math.isnan(k):
        yield f"k-hat is unknown: {n} samples have too few weights above zero to see their tail."
    elif k >= PARETO_K and (share := s.get("tail_share", 1.0)) > TAIL_SHARE:
        yield (
            f"k-hat is {k:.2f} (below {PARETO_K} is needed) in a tail of {share:.1%} of the weight: a few weights carry the "
            "averages and their errors."
        )
    if not s.get("exact_density", True):
        variance = s.get("log_q_variance")
        known = "" if variance is None else f" of variance {variance:.2g}, which lifts log Z by about {variance / 2:.2g}"
        yield f"log q is a random estimate{known}, and weights made of it are biased: give the generator an exact divergence."
    if s["n_nonfinite"] > NONFINITE * n:
        yield f"{s['n_nonfinite']} of {n} proposals have no finite energy or density."


def _lost_modes(s: dict[str, Any]) -> Iterator[str]:
    missing, forward = s.get("missing_modes"), s.get("ess_forward")
    if missing:
        yield f"the generator has lost mode{'s' * (len(missing) > 1)} {', '.join(missing)}."
    if forward is not None and forward < FORWARD * s["ess"]:
        yield (
            f"the forward ESS {forward:.2g} is far below the reverse ESS {s['ess']:.2g}: the reference data hold "
            "configurations that the generator does not propose."
        )


def _disagreements(s: dict[str, Any]) -> Iterator[str]:
    """Reweighted numbers against exact ones and reference data."""
    exact = s.get("log_Z_exact")
    if exact is not None and not abs(s["log_Z"] - exact) <= SIGMAS * s["log_Z_err"] + ROUNDING:
        yield f"log Z is {s['log_Z']:.4f} with error {s['log_Z_err']:.4f}, exact is {exact:.4f}."
    one = 1 / max(s["ess"] * s["n_samples"], 1e-12)  # what a single effective sample weighs
    for name, row in (s.get("observables") or {}).items():
        known = "exact" if row.get("exact") is not None else "reference"
        value, known_err = row.get(known), (row.get("reference_err") or 0.0) if known == "reference" else 0.0
        if value is not None and _counts(s, known_err):
            floor = one * max(1.0, abs(value))
            yield from _disagreement(name, row, value, known_err, floor, known)
    for name, row in (s.get("modes") or {}).items():
        p, p_err = row.get("reference"), row.get("reference_err") or 0.0
        if p is not None and not row.get("missing") and _counts(s, p_err):
            floor = math.hypot(math.sqrt(p * max(1 - p, 0.0) * one), one)
            yield from _disagreement(f"P({name})", row, p, p_err, floor, "reference")


def _counts(s: dict[str, Any], known_err: float) -> bool:
    """Exact values do; reference data only where their own card finds them converged."""
    return known_err == 0 or not s.get("reference_problems")


def _disagreement(name: str, row: dict[str, Any], value: float, err: float, floor: float, known: str) -> Iterator[str]:
    """`floor` is the least error a finite sample can claim: one that has seen nothing rare claims none."""
    if row["reweighted"] is None or not math.isfinite(row["reweighted"]):
        yield f"{name} could not be reweighted."
        return
    difference = abs(row["reweighted"] - value)
    if row.get("period"):
        difference = min(difference, row["period"] - difference)
    sigma = math.sqrt(row["err"] ** 2 + err**2 + floor**2)
    if difference > SIGMAS * sigma:
        apart = f"{difference / sigma:.1f} standard errors apart"
        yield f"{name} reweighted is {row['reweighted']:.5g}, {known} {value:.5g}: {apart}."


def _witnesses(s: dict[str, Any]) -> Iterator[bool]:
    """What could have shown a lost mode."""
    yield s.get("log_Z_exact") is not None
    yield s.get("ess_forward") is not None
    yield s.get("missing_modes") is not None
    for row in (s.get("observables") or {}).values():
        yield row.get("exact") is not None or row.get("reference") is not None
