"""Pictures of the distribution of the distances between particles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lit_bg.figures.style import FAINT, PROPOSALS, REWEIGHTED, SIGMAS, TARGET, band, caption, labels, legend, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Curve = tuple[Array, Array]


def draw_distances(
    edges: Array,
    raw: Curve,
    reweighted: Curve,
    reference: Curve,
    title: str,
    detail: str,
    quantity: str = "density",
    power: int = 1,
    unit: str = "",
    source: str = "reference",
    of: str = "particles",
) -> Figure:
    """Draw densities of proposals, reweighted proposals and reference with two-sigma bands; below, their differences.

    Args:
        edges: of the bins, (K+1,).
        raw, reweighted, reference: density and standard error, (K,).
        title, detail: of the figure.
        quantity, power: what the curves are, and the power of the inverse length in their unit.
        unit: of length.
        source: what the reference is.
        of: what the distances are between.
    """
    figure, axes = new_figure(5.8, 4.9, 2, sharex=True, height_ratios=[3, 1.2])
    top, bottom = axes[:, 0]
    r = (edges[1:] + edges[:-1]) / 2
    band(top, r, *raw, PROPOSALS, "proposals")
    band(top, r, *reweighted, REWEIGHTED, "reweighted")
    band(top, r, *reference, TARGET, source, dashed=True)
    for (p, err), color in ((raw, PROPOSALS), (reweighted, REWEIGHTED)):
        band(bottom, r, p - reference[0], np.hypot(err, reference[1]), color, None)
    bottom.axhline(0, color=FAINT, linewidth=0.8)
    top.set_xlim(edges[0], edges[-1])
    highest = max(np.nanmax(p, initial=1e-12) for p, _ in (raw, reweighted, reference))
    top.set_ylim(0, 1.1 * highest)  # the bands of a few weights may be higher than all curves
    beyond = max(np.nanmax(np.abs(p - reference[0]), initial=0.02 * highest) for p, _ in (raw, reweighted))
    bottom.set_ylim(-1.2 * beyond, 1.2 * beyond)
    per = f" [1/{unit}{f'^{power}' if power > 1 else ''}]" if unit else ""
    labels(top, "", f"{quantity}{per}")
    labels(bottom, f"distance of two {of}{f' [{unit}]' if unit else ''}", f"difference{per}")
    legend(top)
    caption(figure, title, f"{detail}; bands: {SIGMAS} standard errors")
    return figure
