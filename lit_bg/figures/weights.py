"""Pictures of the tail of the importance weights, which decides what reweighting is worth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lit_bg.figures.style import FAINT, REWEIGHTED, TARGET, caption, labels, legend, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

LOWEST = 1e-6  # of the axis, in mean weights
POINTS = 2000  # drawn of the sorted weights, evenly on the logarithmic axis


def draw_weights(log_w: NDArray[np.float64], k: float, title: str, detail: str) -> Figure:
    """Draw sorted weights over their mean against rank, log-log, with the tail that k-hat describes.

    The largest min(n/5, 3 sqrt(n)) weights are the tail, to which k-hat is fitted. The lines are generalised
    Pareto tails that agree with the smallest and the median weight of it: one of shape k-hat, and
    one of shape 0.7, the heaviest that importance sampling stands.

    Args:
        log_w: log weights, (B,); -inf for a weight of zero, which the picture cannot show.
        k: k-hat.
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
            for shape, line, color, label in (
                (k, "-", TARGET, f"k-hat = {k:.2f}"),
                (0.7, ":", "#b03030", "k = 0.7, the limit"),
            ):
                if math.isfinite(shape):
                    x = np.geomspace(1, tail, 60)
                    y = _pareto_tail(x / tail, shape, w[tail - 1], w[tail // 2 - 1])
                    top = max(top, y[0])
                    ax.loglog(x / n, y, line, color=color, linewidth=1.3, label=label)
        if len(ordered) < n:
            ax.plot([], [], " ", label=f"{n - len(ordered)} weights are zero")
        ax.set_ylim(max(w[drawn - 1].min(), LOWEST) / 2, 3 * top)
        legend(ax)
    else:
        ax.text(0.5, 0.5, "all weights are zero", ha="center", transform=ax.transAxes)
    labels(ax, "rank / n", "weight / mean weight")
    caption(figure, title, detail)
    return figure


def _pareto_tail(fraction: NDArray[np.float64], k: float, foot: float, median: float) -> NDArray[np.float64]:
    """Return weights of a generalised Pareto tail by the fraction of it above them."""
    if abs(k) < 1e-6:
        return foot - (median - foot) * np.log(fraction) / math.log(2)
    return foot + (median - foot) * (fraction**-k - 1) / (2**k - 1)
