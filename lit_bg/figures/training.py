"""How a number went while a generator learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lit_bg.figures.style import FAINT, SIGMAS, WARNING, band, caption, labels, legend, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

COLORS = ("#1f5fa8", "#d9772b", "#2f8f5b", "#8a4fa3", "#b03030", "#4a6b7a")
DASHES = ("-", "--", ":", "-.")  # of the first six curves, the next six, ...
FEW = 40  # points of a curve, up to which each is marked
DECADE = 10.0  # between the smallest and the largest value, from which an axis is logarithmic
MOST_BAND = 2.0  # times the range of a curve that its band may add on either side
BEYOND = 3.0  # times the range of nineteen points in twenty, from which one further away is left out


class TrainingCurve(NamedTuple):
    """One number of one run."""

    name: str  # empty where there is nothing to tell apart
    x: Array  # (n,) steps, or energies
    y: Array  # (n,)
    error: Array | None = None  # (n,) standard errors


def draw_training(
    curves: Sequence[TrainingCurve],
    x: str,
    y: str,
    known: tuple[float, str] | None = None,
    limit: tuple[float, str] | None = None,
    logarithmic: bool = False,
) -> Figure:
    """Draw one number of one run or more, with two-sigma bands.

    Points far away from nearly all others, such as the first losses, are left out, and how many is said.

    Args:
        curves: at least one.
        x, y: labels of the axes.
        known: a value that it should reach, and what it is.
        limit: a value that it should stay below, and what it is.
        logarithmic: the vertical axis, where values span a decade.
    """
    from matplotlib.ticker import EngFormatter

    figure, axes = new_figure(4.4, 2.7)
    ax = axes[0, 0]
    for i, (name, steps, values, error) in enumerate(curves):
        color, dash = COLORS[i % len(COLORS)], DASHES[i // len(COLORS) % len(DASHES)]
        marker = "o" if len(steps) <= FEW else ""
        ax.plot(steps, values, dash, color=color, marker=marker, markersize=3, linewidth=1.3, label=name or None)
        if error is not None:
            band(ax, steps, values, np.where(np.isfinite(error), error, np.nan), color, None)
    values = np.concatenate([c.y for c in curves])
    logarithmic = logarithmic and bool(values.min() > 0) and bool(values.max() > DECADE * values.min())
    values = values[np.isfinite(values)]
    note = ""
    if len(values):
        lower, upper = span(values, logarithmic)
        for c in curves:  # the bands in sight, too, where they leave room for the curves
            bars = SIGMAS * c.error[np.isfinite(c.error)] if c.error is not None else np.zeros(0)
            room = min(
                float(bars.max(initial=0.0)), MOST_BAND * max(upper - lower, float(np.median(bars)) if len(bars) else 0.0)
            )
            lower, upper = lower - room, upper + room
        outside = int(((values < lower) | (values > upper)).sum())
        if outside:
            note = f"{outside} of {len(values)} points lie outside"
    for line, color, dash in ((known, FAINT, "--"), (limit, WARNING, ":")):
        if line is not None:
            ax.axhline(line[0], color=color, linestyle=dash, linewidth=1.1, label=line[1])
            if len(values):
                lower, upper = min(lower, line[0]), max(upper, line[0])
    if logarithmic:
        ax.set_yscale("log")
    elif len(values):
        room = 0.06 * (upper - lower) or 0.05 * abs(upper) or 1.0
        ax.set_ylim(lower - room, upper + room)
        ax.ticklabel_format(axis="y", useOffset=False)
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.xaxis.get_major_locator().set_params(nbins=6)
    labels(ax, x, y)
    if any(c.name for c in curves) or known is not None or limit is not None:
        legend(ax)
    caption(figure, "", note)
    return figure


def span(values: Array, logarithmic: bool = False) -> tuple[float, float]:
    """Return the range that is worth showing: of all points, or of nearly all where a few are far away.

    >>> span(np.array([1e6, *np.linspace(0, 1, 99)]))[1] < 2
    True
    """
    low, high = float(values.min()), float(values.max())
    if logarithmic or len(values) < 20:
        return low, high
    inner, outer = (float(v) for v in np.quantile(values, [0.025, 0.975]))
    room = BEYOND * (outer - inner)
    return (low if low >= inner - room else inner - room / BEYOND), (high if high <= outer + room else outer + room / BEYOND)
