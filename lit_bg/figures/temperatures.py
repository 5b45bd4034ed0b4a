"""Pictures of what reweighting says of other temperatures, and how far it reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lit_bg.figures.style import FAINT, REWEIGHTED, SIGMAS, caption, labels, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def draw_temperatures(
    temperatures: Array,
    rows: dict[str, tuple[Array, Array]],
    effective: Array,
    interval: tuple[float, float] | None,
    unit: str,
    title: str,
    detail: str,
) -> Figure:
    """Draw numbers against temperature with two-sigma bars, and effective samples; the trusted interval is shaded.

    Values without an error bar are open circles.

    Args:
        temperatures: (K,) as users give them.
        rows: values and standard errors, (K,) each, by the label of their axis.
        effective: effective samples, (K,).
        interval: of temperatures that are trusted; None: there is none.
        unit: label of the axis of temperatures.
        title, detail: of the figure.
    """
    figure, axes = new_figure(5.8, 1.5 * (len(rows) + 1) + 0.6, len(rows) + 1, sharex=True)
    for ax, (name, (value, error)) in zip(axes[:, 0], rows.items(), strict=False):
        barred = np.isfinite(error)
        ax.errorbar(temperatures[barred], value[barred], SIGMAS * error[barred], fmt="o", markersize=3.5, color=REWEIGHTED)
        ax.plot(temperatures[~barred], value[~barred], "o", markersize=3.5, markerfacecolor="white", color=REWEIGHTED)
        labels(ax, "", name)
    axes[-1, 0].semilogy(temperatures, np.maximum(effective, 1), "o", markersize=3.5, color=REWEIGHTED)
    axes[-1, 0].axhline(100, color=FAINT, linewidth=0.8, linestyle="--")
    labels(axes[-1, 0], unit, "effective samples")
    if interval is not None:
        for ax in axes[:, 0]:
            low, high = ax.get_xlim()
            ax.axvspan(max(interval[0], low), min(interval[1], high), color=FAINT, alpha=0.18, linewidth=0)
            ax.set_xlim(low, high)
    open_ones = any(not np.isfinite(error).all() for _, error in rows.values())
    empty = "; open: no error bar is honest" if open_ones else ""
    caption(figure, title, f"{detail}\nbars: {SIGMAS} standard errors{empty}; shaded: trusted")
    return figure
