"""A matrix between states, as a picture with its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lit_bg.figures.style import WARNING, caption, labels, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

MOST_NUMBERS = 20  # states: of more the numbers would not be legible


def draw_matrix(
    matrix: NDArray[np.float64], names: list[str], title: str, detail: str, axes: tuple[str, str], least: float | None = None
) -> Figure:
    """Draw entries between 0 and 1 by shade, with their values; entries next to the diagonal below `least` are framed.

    Args:
        matrix: (K, K).
        names: of the states.
        title, detail: of the figure.
        axes: labels of columns and rows.
        least: what neighbours need at least; None: no limit.
    """
    states = len(matrix)
    size = min(max(2.6 + 0.48 * states, 3.6), 11.0)
    figure, grid = new_figure(size, size - 0.3)
    ax = grid[0, 0]
    ax.imshow(np.sqrt(np.clip(matrix, 0, 1)), cmap="Blues", vmin=0, vmax=1)  # the root shows small entries, too
    if states <= MOST_NUMBERS:
        for i, j in np.ndindex(states, states):
            text = "" if matrix[i, j] < 0.0005 else f"{matrix[i, j]:.2f}" if matrix[i, j] >= 0.01 else f"{matrix[i, j]:.3f}"
            colour = "white" if matrix[i, j] > 0.35 else "black"
            ax.text(j, i, text.removeprefix("0"), ha="center", va="center", fontsize=8, color=colour)
    if least is not None:
        from matplotlib.patches import Rectangle

        for i in range(states - 1):
            for row, column in ((i, i + 1), (i + 1, i)):
                if matrix[row, column] < least:
                    corner = (column - 0.46, row - 0.46)
                    ax.add_patch(Rectangle(corner, 0.92, 0.92, fill=False, edgecolor=WARNING, linewidth=1.6))
    every = max(1, states // MOST_NUMBERS)
    ticks = list(range(0, states, every))
    ax.set_xticks(ticks, [names[k] for k in ticks], rotation=90 if max(map(len, names)) > 3 else 0)
    ax.set_yticks(ticks, [names[k] for k in ticks])
    ax.spines[:].set_visible(False)
    labels(ax, *axes)
    caption(figure, title, detail)
    return figure
