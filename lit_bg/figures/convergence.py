"""Pictures of estimates from growing parts of the data, from their beginning and from their end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lit_bg.figures.style import FAINT, PROPOSALS, REWEIGHTED, SIGMAS, caption, labels, legend, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lit_bg.estimators import Convergence


def draw_convergence(curves: Sequence[tuple[str, Convergence]], quantity: str, title: str, detail: str) -> Figure:
    """Draw one panel per estimate: forward and backward in time with two-sigma bars, and the band of the value from all data.

    Args:
        curves: names and estimates.
        quantity: label of the vertical axis, with its unit.
        title, detail: of the figure.
    """
    columns = min(len(curves), 3)
    rows = -(-len(curves) // columns)
    figure, axes = new_figure(max(5.2, 3.6 * columns), 3.4 * rows, rows, columns)
    for ax in axes.flat[len(curves) :]:
        ax.set_visible(False)
    for ax, (name, c) in zip(axes.flat, curves, strict=False):
        fraction = c.fraction.numpy()
        value, error = c.forward[-1].tolist()
        if math.isfinite(error):
            ax.axhspan(value - SIGMAS * error, value + SIGMAS * error, color=FAINT, alpha=0.3, linewidth=0)
        ax.axhline(value, color=FAINT, linewidth=0.8)
        for points, color, label, marker in (
            (c.forward.numpy(), REWEIGHTED, "from the beginning", "o"),
            (c.backward.numpy(), PROPOSALS, "from the end", "s"),
        ):
            bars = np.where(np.isfinite(points[:, 1]), SIGMAS * points[:, 1], 0)
            ax.errorbar(fraction, points[:, 0], bars, color=color, marker=marker, markersize=4, capsize=2, label=label)
        ax.set_xlim(0, 1.04)
        ax.set_title(name, fontsize=9.5)
        labels(ax, "fraction of the data", quantity)
    legend(axes[0, 0])
    caption(figure, title, detail)
    return figure
