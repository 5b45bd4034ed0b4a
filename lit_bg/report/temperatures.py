"""How far samples at one temperature can be trusted at others."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from lit_bg.diagnostics.temperatures import Reach, States, Weighted, find_reach
from lit_bg.report.faults import EFFECTIVE
from lit_bg.report.tails import PARETO_K, TAIL_SHARE

GOOD = "as good as the samples"  # which may be wrong for reasons that their weights do not know
POPULATIONS = 8  # that must agree
FURTHEST = 16.0  # kT is looked at from a 16th of that of the samples to 16 times it
FIRST = 0.02  # step of ln kT, doubled until the samples no longer reach
BISECTIONS = 6


class Interval(NamedTuple):
    """The temperatures around that of the samples that they reach, every one on the way included."""

    lowest: float
    highest: float

    def __contains__(self, kT: object) -> bool:
        return isinstance(kT, float) and self.lowest * (1 - 1e-9) <= kT <= self.highest * (1 + 1e-9)


def accuse_reach(reach: Reach, samples: Weighted) -> str | None:
    """Say why samples do not reach a temperature; None where they do: 100 effective samples, k-hat of 0.7 at most."""
    if samples.dependence == "populations" and len(samples.u) < POPULATIONS:
        return f"only {len(samples.u)} populations (at least {POPULATIONS} are needed)"
    if reach.lost:
        return f"no samples, or far too few, lie in {' and '.join(reach.lost)}"
    if not reach.effective >= EFFECTIVE:
        return f"only {reach.effective:.3g} effective samples (at least {EFFECTIVE} are needed)"
    for tail, what in ((reach.tail, "the weights"), (reach.energy_tail, "the mean energy")):
        if tail.k > PARETO_K and tail.share > TAIL_SHARE:
            return f"k-hat of {what} is {tail.k:.2f} (at most {PARETO_K} is allowed)"
    if not reach.resolved:
        return f"{reach.effective:.3g} effective samples of weights so unequal do not tell their own error"
    return None


def find_interval(samples: Weighted, kT: float, states: States | None = None) -> Interval | None:
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
        step *= 2
    bad = step
    for _ in range(BISECTIONS):
        middle = (good + bad) / 2
        good, bad = (middle, bad) if reaches(middle) else (good, middle)
    return good


def judge_temperature(kT: float, reach: Reach, samples: Weighted, interval: Interval | None) -> str:
    """Return the verdict on one temperature: "as good as the samples", or "do not trust: " and why."""
    problem = accuse_reach(reach, samples)
    if problem is None and (interval is None or kT not in interval):
        problem = "on the way from the temperature of the samples they are not enough"
    return GOOD if problem is None else f"do not trust: {problem}"


def describe_interval(interval: Interval | None, show: Callable[[float], str]) -> str:
    """Say in words how far samples reach.

    Args:
        interval: of `find_interval`.
        show: writes kT as users give it.

    >>> describe_interval(Interval(0.81, 1.5), lambda kT: f"kT = {kT:g}")
    'reweighting is trusted from kT = 0.81 to kT = 1.5, as far as the samples are right, and not beyond'
    """
    if interval is None:
        return "reweighting is trusted at no temperature, not even that of the samples"
    reach = f"from {show(interval.lowest)} to {show(interval.highest)}"
    return f"reweighting is trusted {reach}, as far as the samples are right, and not beyond"
