"""Pictures of the tail of the importance weights, which decides what reweighting is worth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lit_bg.figures.style import FAINT, REWEIGHTED, TARGET, WARNING, caption, labels, legend, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from lit_bg.estimators import Tail

LOWEST = 1e-6  # of the axis, in mean weights
LIMIT = 0.7  # of k: heavier tails have no averages at any number of samples that can be had
CUT = 1e-3  # of the sum, which the smallest weights hold
ROOM = 2.0  # times the largest weight or limit, up to which the axis goes
POINTS = 2000  # drawn of the sorted weights, evenly on the logarithmic axis


def draw_weights(log_w: NDArray[np.float64], fit: Tail, title: str, detail: str) -> Figure:
    """Draw sorted weights over their mean against rank, log-log, with the tail that k-hat describes.

    The largest min(n/5, 3 sqrt(n)) weights are the tail, to which k-hat is fitted. The line is a generalised Pareto tail of
    shape k-hat that agrees with the smallest and the median weight of it. Shaded is all that is heavier than such a tail of
    shape 0.7, the heaviest that importance sampling stands. The smallest weights, a thousandth of the sum, are cut off.

    Args:
        log_w: log weights, (B,); -inf for a weight of zero, which the picture cannot show.
        fit: k-hat with what the tail holds.
        title, detail: of the figure.
    """
    figure, axes = new_figure(5.6, 3.7)
    ax = axes[0, 0]
    n = len(log_w)
    ordered = np.sort(log_w[np.isfinite(log_w)])[::-1]
    if len(ordered):
        w = np.exp(ordered - ordered[0])
        w /= w.sum() / n
        drawn = np.unique(np.geomspace(1, len(w), POINTS).round().astype(int))
        drawn = drawn[w[drawn - 1] > 0]  # far below the mean they are zero in floating point
        ax.loglog(drawn / n, w[drawn - 1], ".", markersize=3, color=REWEIGHTED, label="weights")
        ax.axhline(1, color=FAINT, linewidth=0.7)
        top = w[0]
        tail = int(min(0.2 * n, 3 * math.sqrt(n)))
        if 4 <= tail < len(w):
            rank = np.geomspace(1, tail, 60)
            foot, median = w[tail - 1], w[tail // 2 - 1]
            limit = _pareto_tail(rank / tail, LIMIT, foot, median)
            top = max(top, limit[0])
            ax.fill_between(
                rank / n, limit, ROOM * top, color=WARNING, alpha=0.13, linewidth=0, label=f"too heavy: k > {LIMIT}"
            )
            if math.isfinite(fit.k):
                y = _pareto_tail(rank / tail, fit.k, foot, median)
                ax.loglog(rank / n, y, "-", color=TARGET, linewidth=1.3, label=f"k-hat = {fit.k:.2f}")
        if len(ordered) < n:
            ax.plot([], [], " ", label=f"{n - len(ordered)} weights are zero")
        least = w[min(int(np.searchsorted(np.cumsum(w), (1 - CUT) * n)), len(w) - 1)]
        ax.set_ylim(min(max(least, LOWEST) / 2, 0.5), ROOM * top)
        ax.set_xlim(0.8 / n, 1.3)
        legend(ax)
    else:
        ax.text(0.5, 0.5, "all weights are zero", ha="center", transform=ax.transAxes)
    labels(ax, "rank / n", "weight / mean weight")
    caption(figure, title, f"{detail}\n{_explain(fit)}")
    return figure


def _explain(fit: Tail) -> str:
    """Say in a sentence what the tail means.

    >>> from lit_bg.estimators import Tail
    >>> _explain(Tail(0.9, 0.1, 0.25))
    'The tail is heavier than importance sampling stands: the 25 % of the sum in it have no honest error bar.'
    """
    if math.isnan(fit.k):
        return "These are too few weights to judge their tail."
    if fit.k > LIMIT:
        held = f"{100 * fit.share:.2g} %"
        return f"The tail is heavier than importance sampling stands: the {held} of the sum in it have no honest error bar."
    return "The tail is lighter than the limit: averages over these weights converge."


def _pareto_tail(fraction: NDArray[np.float64], k: float, foot: float, median: float) -> NDArray[np.float64]:
    """Return weights of a generalised Pareto tail by the fraction of it above them."""
    if abs(k) < 1e-6:
        return foot - (median - foot) * np.log(fraction) / math.log(2)
    return foot + (median - foot) * (fraction**-k - 1) / (2**k - 1)
