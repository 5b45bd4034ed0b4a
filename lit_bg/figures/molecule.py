"""A molecule as a still picture: sticks, seen from where it is widest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lit_bg.figures.style import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

COLORS = {"H": "#c9c9c9", "C": "#5a5a5a", "N": "#3050c8", "O": "#d03020", "S": "#d8a818", "P": "#e07818"}
OTHER = "#2f8f5b"


def draw_molecule(x: Array, elements: Sequence[str], bonds: Sequence[tuple[int, int]]) -> Figure:
    """Draw atoms and bonds, far ones first, in the plane of the two longest axes of inertia.

    Args:
        x: positions, (N, 3), in any unit.
        elements: symbols, N of them.
        bonds: pairs of atoms.
    """
    centred = x - x.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    seen = centred @ axes.T  # (N, 3): right, up, towards the eye
    if seen.shape[1] < 3:
        seen = np.pad(seen, ((0, 0), (0, 3 - seen.shape[1])))
    figure, grid = new_figure(4.2, 3.2)
    ax = grid[0, 0]
    ax.set_axis_off()
    ax.set_aspect("equal")
    depth = seen[:, 2]
    for i, j in sorted(bonds, key=lambda bond: depth[list(bond)].sum()):
        middle = (seen[i] + seen[j]) / 2
        for end in (i, j):  # each half in the colour of its atom
            color = COLORS.get(elements[end], OTHER)
            order = float(depth[i] + depth[j])
            ax.plot(
                [seen[end, 0], middle[0]],
                [seen[end, 1], middle[1]],
                color=color,
                linewidth=2.4 if elements[end] == "H" else 4,
                solid_capstyle="round",
                zorder=order,
            )
    for i in np.argsort(depth):
        size = 12 if elements[i] == "H" else 60
        ax.scatter(*seen[i, :2], s=size, color=COLORS.get(elements[i], OTHER), zorder=2 * depth[i] + 1e-3, linewidths=0)
    return figure
