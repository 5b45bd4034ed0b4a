"""Pictures of the free energy along a coordinate, with its error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lit_bg.estimators.events import FEWEST
from lit_bg.figures.style import FAINT, PROPOSALS, REWEIGHTED, SIGMAS, TARGET, band, caption, labels, legend, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Curve = tuple[Array, Array]

DEPTH = 25.0  # [kT] shown at most


def draw_profile(
    name: str,
    edges: Array,
    raw: Curve | None,
    reweighted: Curve,
    reference: Curve | None,
    title: str,
    detail: str,
    source: str = "reference",
    label: str = "reweighted",
) -> Figure:
    """Draw F of proposals, reweighted proposals and reference with two-sigma bands; below, what differs from the reference.

    Bins without an error bar, which have fewer than five effective samples, are not drawn, and curves without one neither.

    All curves are minus the log of a normalised density and share one zero, the minimum of the reference (of
    the reweighted curve without one), so their heights can be compared.

    Args:
        name: of the observable, with its unit.
        edges: of the bins, (K+1,).
        raw, reweighted, reference: F and standard error, (K,) [kT], NaN where a bin is empty; no raw curve of frames that
            need no weights.
        title, detail: of the figure.
        source: what the reference is.
        label: of the reweighted curve.
    """
    hidden = any(np.isinf(curve[1]).any() for curve in (raw, reweighted, reference) if curve is not None)
    reweighted = _barred(reweighted)
    raw, reference = (None if c is None else _barred(c) for c in (raw, reference))
    rows = 1 if reference is None else 2
    figure, axes = new_figure(5.8, 3.7 + 1.2 * (rows - 1), rows, sharex=True, height_ratios=[1] if rows == 1 else [3, 1.2])
    top, bottom = axes[0, 0], axes[-1, 0]
    known = reference[0] if reference is not None else reweighted[0]
    zero = np.nanmin(known) if np.isfinite(known).any() else 0.0
    if raw is not None:
        _band(top, edges, raw, zero, PROPOSALS, "proposals")
    _band(top, edges, reweighted, zero, REWEIGHTED, label)
    if reference is not None:
        _band(top, edges, reference, zero, TARGET, source, dashed=True)
        bottom.axhline(0, color=TARGET, linewidth=1, linestyle="--")
        for curve, color in ((raw, PROPOSALS), (reweighted, REWEIGHTED)):
            if curve is not None:
                difference = curve[0] - reference[0], np.hypot(curve[1], reference[1])
                _band(bottom, edges, difference, 0.0, color, None)
        spread = np.nanmax(np.abs(reweighted[0] - reference[0]), initial=0.2)  # kT, at least
        bottom.set_ylim(-min(1.5 * spread, 5), min(1.5 * spread, 5))
        labels(bottom, name, "difference [kT]")
    curves = np.concatenate([curve[0] - zero for curve in (raw, reweighted, reference) if curve is not None])
    if np.isfinite(curves).any():  # the bands of bins that nothing is known of would leave no room for the curves
        top.set_ylim(np.nanmin(curves) - 1, min(np.nanmax(curves) + 1, DEPTH))
    top.set_xlim(edges[0], edges[-1])
    top.axhline(0, color=FAINT, linewidth=0.5)
    labels(top, name if rows == 1 else "", "free energy [kT]")
    legend(top)
    few = f"; bins with fewer than {FEWEST:.0f} effective samples are not drawn" * hidden
    caption(figure, title, f"{detail}; bands: {SIGMAS} standard errors{few}")
    return figure


def _barred(curve: Curve) -> Curve:
    """Return a curve where it has an error bar, NaN elsewhere."""
    f, error = curve
    barred = np.isfinite(error)
    return np.where(barred, f, np.nan), np.where(barred, error, np.nan)


def _band(ax: Axes, edges: Array, curve: Curve, zero: float, color: str, label: str | None, dashed: bool = False) -> None:
    f, error = curve
    if label is not None and not np.isfinite(f).any():
        label += " (nowhere an error bar)"
    middle, lone = (edges[1:] + edges[:-1]) / 2, _alone(f)
    band(ax, middle, f - zero, error, color, label, dashed)
    ax.errorbar(middle[lone], f[lone] - zero, SIGMAS * error[lone], fmt=".", color=color, markersize=4, linewidth=0.8)


def _alone(f: Array) -> NDArray[np.bool_]:
    """Return which bins are drawn and have no neighbour that is: of them a line shows nothing."""
    known = np.isfinite(np.pad(f, 1, constant_values=np.nan))
    return known[1:-1] & ~known[:-2] & ~known[2:]
