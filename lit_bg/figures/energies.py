"""Histograms of the reduced energy: the quickest look at how good proposals are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lit_bg.figures.style import PROPOSALS, REWEIGHTED, TARGET, caption, labels, legend, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

BINS = 80


def draw_energies(u: Array, w: Array | None, target: Array | None, title: str, detail: str, source: str = "target") -> Figure:
    """Draw densities of u for proposals, reweighted proposals and target.

    The axis spans what the target occupies and some of the proposals' tail; how much lies beyond is said.

    Args:
        u: reduced energies of the proposals, (B,) [kT]; not finite where the energy is not.
        w: normalised weights, (B,); None of frames of chains, which have none.
        target: reduced energies of reference or exact samples, (n,), or None.
        title, detail: of the figure.
        source: what the target's samples are.
    """
    figure, axes = new_figure(5.6, 3.6)
    ax = axes[0, 0]
    finite = np.isfinite(u)
    if finite.any():
        equal = np.full(len(u), 1 / len(u))
        lower, upper = _span(u[finite], (equal if w is None else w)[finite], target)
        edges = np.linspace(lower, upper, BINS + 1)
        beyond = np.mean(~finite | (u > upper) | (u < lower))
        note = f" ({100 * beyond:.2g} % outside)" if beyond > 0 else ""
        if w is None:
            _steps(ax, u[finite], equal[finite], edges, REWEIGHTED, "frames" + note)
        else:
            _steps(ax, u[finite], equal[finite], edges, PROPOSALS, "proposals" + note, fill=True)
            _steps(ax, u[finite], w[finite], edges, REWEIGHTED, "reweighted")
        if target is not None:
            _steps(ax, target, np.full(len(target), 1 / len(target)), edges, TARGET, source, dashed=True)
        ax.set_xlim(lower, upper)
        legend(ax)
    else:
        ax.text(0.5, 0.5, "no proposal has a finite energy", ha="center", transform=ax.transAxes)
    ax.set_ylim(bottom=0)
    labels(ax, "reduced energy u [kT]", "density [1/kT]")
    caption(figure, title, detail)
    return figure


def _steps(
    ax: Axes,
    values: Array,
    w: Array,
    edges: Array,
    color: str,
    label: str,
    fill: bool = False,
    dashed: bool = False,
) -> None:
    density = np.histogram(values, edges, weights=w)[0] / np.diff(edges)
    if fill:
        ax.stairs(density, edges, fill=True, color=color, alpha=0.25)
    ax.stairs(density, edges, color=color, linewidth=1.5, linestyle="--" if dashed else "-", label=label)


def _span(u: Array, w: Array, target: Array | None) -> tuple[float, float]:
    order = np.argsort(u)
    mass = np.cumsum(w[order])
    quantile = [u[order][min(np.searchsorted(mass, q * mass[-1]), len(u) - 1)] for q in (0.001, 0.999)]
    if target is not None:
        quantile += np.quantile(target, [0.001, 0.999]).tolist()
    lower, upper = min(quantile), max(quantile)
    width = max(upper - lower, 1e-6)
    lower = max(min(lower, np.quantile(u, 0.001)), lower - width)
    upper = min(max(upper, np.quantile(u, 0.98)), upper + width)
    return float(lower - 0.03 * width), float(upper + 0.03 * width)
