"""Judgement of how far samples at one temperature can be trusted at others."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from lit_bg.diagnostics.temperatures import LabelledModes, Reach, Weighted, find_reach
from lit_bg.report.doubts import POPULATIONS
from lit_bg.report.faults import EFFECTIVE
from lit_bg.report.tails import PARETO_K, TAIL_SHARE

GOOD = "as good as the samples"  # which may be wrong for reasons that their weights do not know
FURTHEST = 16.0  # kT is looked at from a 16th of that of the samples to 16 times it
FIRST, GROWTH = 0.02, 1.3  # steps of ln kT: the first, and how much further the next one goes, until they no longer reach
BISECTIONS = 4
CERTAIN = 2  # errors that k-hat must be below its limit: samples that lack the largest weights reach furthest by their own word


class Interval(NamedTuple):
    """Holds the temperatures around that of the samples that they reach, every one on the way included."""

    lowest: float
    highest: float

    def __contains__(self, kT: object) -> bool:
        return isinstance(kT, float) and self.lowest * (1 - 1e-9) <= kT <= self.highest * (1 + 1e-9)


def accuse_reach(reach: Reach, samples: Weighted) -> str | None:
    """Say why samples do not reach a temperature; None where they do: 100 effective samples, k-hat certainly below 0.7."""
    if samples.dependence == "populations" and len(samples.u) < POPULATIONS:
        return f"only {len(samples.u)} populations (at least {POPULATIONS} are needed)"
    if reach.lost:
        return f"no samples, or far too few, lie in {' and '.join(reach.lost)}"
    if not reach.effective >= EFFECTIVE:
        return f"only {reach.effective:.3g} effective samples (at least {EFFECTIVE} are needed)"
    for tail, what in ((reach.tail, "the weights"), (reach.energy_tail, "the mean energy")):
        error = (1 + tail.k) if math.isinf(tail.error) else tail.error
        if tail.k + CERTAIN * error > PARETO_K and tail.share > TAIL_SHARE:
            return f"k-hat of {what} is {tail.k:.2f} with error {error:.2f} ({PARETO_K} must be {CERTAIN} errors away)"
    if not reach.resolved:
        return f"{reach.effective:.3g} effective samples of weights so unequal do not tell their own error"
    return None


def find_interval(samples: Weighted, kT: float, states: LabelledModes | None = None) -> Interval | None:
    """Return the interval of kT around that of the samples that they reach; None where they do not even tell their own.

    Args:
        samples, kT, states: as for `find_reach`.
    """

    def reaches(shift: float) -> bool:
        return accuse_reach(find_reach(samples, kT, kT * math.exp(shift) if shift else kT, states), samples) is None

    if not reaches(0.0):
        return None
    return Interval(kT * math.exp(-_last(lambda s: reaches(-s))), kT * math.exp(_last(reaches)))


def _last(reaches: Callable[[float], bool]) -> float:
    """Return the last step outwards that still reaches, to a few per cent of itself."""
    good, step = 0.0, FIRST
    while reaches(min(step, math.log(FURTHEST))):
        good = min(step, math.log(FURTHEST))
        if good == math.log(FURTHEST):
            return good
        step *= GROWTH
    bad = step
    for _ in range(BISECTIONS):
        middle = (good + bad) / 2
        good, bad = (middle, bad) if reaches(middle) else (good, middle)
    return good


def judge_temperature(kT: float, reach: Reach, samples: Weighted, interval: Interval | None) -> str:
    """Return the verdict on one temperature: "as good as the samples", or "do not trust: " and why."""
    problem = accuse_reach(reach, samples)
    if problem is None and (interval is None or kT not in interval):
        problem = "it lies outside the interval that is trusted"
    return GOOD if problem is None else f"do not trust: {problem}"


def describe_interval(interval: Interval | None, kT: float, show: Callable[[float], str]) -> str:
    """Say in words how far samples reach.

    Args:
        interval: of `find_interval`.
        kT: temperature of the samples.
        show: writes kT as users give it.

    >>> describe_interval(Interval(0.81, 1.5), 1.0, lambda kT: f"kT = {kT:g}")
    'reweighting is trusted from kT = 0.81 to kT = 1.5, as far as the samples are right, and not beyond'
    >>> describe_interval(Interval(0.81, 16.0), 1.0, str)
    'reweighting is trusted from 0.81 to 16.0 (no further was looked), as far as the samples are right, and not beyond'
    """
    if interval is None:
        return "reweighting is trusted at no temperature, not even that of the samples"
    ends = []
    for end in interval:
        limit = abs(math.log(end / kT)) > math.log(FURTHEST) - 1e-9
        ends.append(show(end) + " (no further was looked)" * limit)
    return f"reweighting is trusted from {ends[0]} to {ends[1]}, as far as the samples are right, and not beyond"
