"""Pictures of the free energy in the plane of two coordinates, beside its error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lit_bg.figures.style import FAINT, TARGET, caption, labels, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

DEPTH = 15  # [kT] shown above the minimum
WORST = 1.0  # [kT] of the scale of errors


def draw_surface(names: tuple[str, str], edges: tuple[Array, Array], f: Array, error: Array, title: str, detail: str) -> Figure:
    """Draw F above its minimum with contours 1 kT apart, and its standard error; bins without an error are hatched.

    Args:
        names: of the observables, with their units, the horizontal one first.
        edges: of the bins, (K+1,) and (L+1,).
        f, error: (K, L) [kT], NaN where a bin is empty, an infinite error where too few effective samples lie in it.
        title, detail: of the figure.
    """
    import matplotlib

    known = np.isfinite(f) & np.isfinite(error)
    height = np.where(known, f - (f[known].min() if known.any() else 0.0), np.nan)
    figure, axes = new_figure(9.2, 4.0, 1, 2, sharex=True, sharey=True)
    highest = float(np.clip(np.ceil(np.nanmax(height, initial=1.0)), 1, DEPTH))
    for ax, values, palette, top, what in (
        (axes[0, 0], height, "viridis", highest, "free energy [kT]"),
        (axes[0, 1], np.where(known, error, np.nan), "magma_r", WORST, "standard error [kT]"),
    ):
        ax.set_facecolor("white")
        left, right, bottom, upper = edges[0][0], edges[0][-1], edges[1][0], edges[1][-1]
        ax.fill_between([left, right], bottom, upper, facecolor="none", edgecolor=FAINT, hatch="////", linewidth=0, zorder=0)
        colors = ax.pcolormesh(
            edges[0], edges[1], np.ma.masked_invalid(values).T, cmap=matplotlib.colormaps[palette], vmin=0, vmax=top, zorder=1
        )
        bar = figure.colorbar(colors, ax=ax, pad=0.015, extend="max" if np.nanmax(values, initial=0.0) > top else "neither")
        bar.set_label(what, fontsize=9.5)
        bar.ax.tick_params(labelsize=8.5)
        labels(ax, names[0], names[1] if ax is axes[0, 0] else "")
        ax.set_xlim(left, right)
        ax.set_ylim(bottom, upper)
    if known.any() and min(f.shape) > 1:
        centres = [(e[1:] + e[:-1]) / 2 for e in edges]
        axes[0, 0].contour(
            *centres,
            np.ma.masked_invalid(height).T,
            levels=np.arange(1, highest + 0.5),
            colors=TARGET,
            linewidths=0.6,
            alpha=0.7,
        )
    hatched = "; hatched: fewer than five effective samples" if not known.all() else ""
    caption(figure, title, f"{detail}; contours 1 kT apart{hatched}")
    return figure
