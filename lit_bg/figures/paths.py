"""Pictures of the energy along paths between two configurations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lit_bg.figures.style import FAINT, PROPOSALS, REWEIGHTED, TARGET, caption, labels, legend, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

COLORS = (REWEIGHTED, PROPOSALS, TARGET)
ROOM = 1.6  # times the lowest barrier, up to which energies are shown,
LEAST = 10.0  # [kT] at least


def draw_paths(
    paths: dict[str, tuple[Array, Array, Array]],
    observables: dict[str, dict[str, Array]],
    ends: tuple[str, str],
    title: str,
    detail: str,
) -> Figure:
    """Draw the energy above the first end, -log q on the same scale, and observables along every path.

    Energies far above the lowest of the barriers are cut off: the straight line of a molecule has some of 1e6 kT.

    Args:
        paths: t, u and log q, (K,) each, by name; at most three.
        observables: of every path, values (K,) by name of the observable with its unit.
        ends: what the ends are called.
        title, detail: of the figure.
    """
    names = list(next(iter(observables.values()), {}))[:2]
    rows = 1 + len(names)
    figure, axes = new_figure(5.8, 3.4 + 1.3 * len(names), rows, sharex=True, height_ratios=[2.6, *[1.0] * len(names)])
    ax = axes[0, 0]
    lowest = np.inf
    for (name, (t, u, log_q)), color in zip(paths.items(), COLORS, strict=False):
        barrier = u.max() - u[0]
        lowest = min(lowest, barrier)
        ax.plot(t, u - u[0], color=color, linewidth=1.5, label=f"{name}: barrier {barrier:.3g} kT")
        ax.plot(t, log_q[0] - log_q, color=color, linewidth=0.9, linestyle=":")
        for row, key in enumerate(names):
            axes[row + 1, 0].plot(t, observables[name][key], ".", markersize=2.5, color=color)
    least = min(0.0, *(np.min(u[np.isfinite(u)] - u[0], initial=0.0) for _, u, _ in paths.values()))
    highest = max(LEAST, ROOM * lowest) if np.isfinite(lowest) else LEAST
    ax.set_ylim(1.1 * least - 0.05 * highest, highest)
    ax.axhline(0, color=FAINT, linewidth=0.5)
    ax.plot([], [], ":", color=FAINT, label="-log q, above its value at the first end")
    labels(ax, "", "u - u(0) [kT]")
    legend(ax)
    for row, key in enumerate(names):
        labels(axes[row + 1, 0], "", key)
    labels(axes[-1, 0], f"t, from {ends[0]} to {ends[1]}", axes[-1, 0].get_ylabel())
    caption(figure, title, detail)
    return figure
