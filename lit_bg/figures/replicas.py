"""Pictures of the way of every replica through the states."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lit_bg.figures.style import REWEIGHTED, caption, labels, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

MOST = 16  # replicas drawn, evenly chosen
POINTS = 3000  # records drawn of each


def draw_replicas(iteration: NDArray[np.int64], state: NDArray[np.int64], title: str, detail: str) -> Figure:
    """Draw one panel per replica: its state against the iteration.

    Args:
        iteration: (T,).
        state: (T, K).
        title, detail: of the figure.
    """
    records, replicas = state.shape
    shown = np.unique(np.linspace(0, replicas - 1, min(replicas, MOST)).round().astype(int))
    columns = min(len(shown), 4)
    rows = -(-len(shown) // columns)
    figure, axes = new_figure(2.4 * columns + 0.6, 1.35 * rows + 0.9, rows, columns, sharex=True, sharey=True)
    every = max(1, records // POINTS)
    for ax in axes.flat[len(shown) :]:
        ax.set_visible(False)
    for ax, replica in zip(axes.flat, shown, strict=False):
        ax.plot(iteration[::every], state[::every, replica], ".", markersize=2.5, color=REWEIGHTED)
        ax.set_title(f"replica {replica}", fontsize=8.5)
        ax.set_ylim(-0.5, replicas - 0.5)
        ax.yaxis.get_major_locator().set_params(integer=True)
    for ax in axes[-1]:
        labels(ax, "iteration", "")
    for ax in axes[:, 0]:
        labels(ax, ax.get_xlabel(), "state")
    caption(figure, title, detail)
    return figure
