"""The meaning of a k-hat for the number that it stands beside."""

from __future__ import annotations

import math

from lit_bg.estimators import Tail

PARETO_K = 0.7  # above it importance sampling does not work at this sample size
TAIL_SHARE = 0.01  # of the sum in the tail, below which k-hat says nothing: a tail of any form and no size
SHARP = 0.1  # standard error of k-hat from which the limit gives way by two: few samples must not be accused by chance
LARGE_SHARE = 0.1  # of the sum in the tail, below which a k-hat above the limit must be so by two of its errors


def accuse_tail(t: Tail, what: str) -> str | None:
    """Say what is wrong with a tail that is certainly heavy and large enough to matter; return None for others."""
    slack = 2 * max(0.0, t.error - SHARP) if t.share >= LARGE_SHARE else 2 * t.error
    if t.k > PARETO_K + slack and t.share > TAIL_SHARE:
        return f"k-hat of {what} is {t.k:.2f} (below {PARETO_K} is needed) in a tail that holds {t.share:.1%} of the sum."
    return None


def describe_tail(t: Tail) -> str:
    """Say what a k-hat means for its average: nothing where the tail is small.

    >>> describe_tail(Tail(0.94, 0.1, 0.0005)), describe_tail(Tail(0.4, 0.1, 0.3))
    ('0.94, ignored: its tail holds 0.05 % of the sum', '0.40')
    """
    if math.isnan(t.k):
        return "-"
    text = f"{t.k:.2f}" if math.isfinite(t.k) else "no tail"
    if t.k > PARETO_K and t.share <= TAIL_SHARE:
        text += f", ignored: its tail holds {100 * t.share:.1g} % of the sum"
    return text
