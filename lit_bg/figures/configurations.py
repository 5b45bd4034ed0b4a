"""Pictures of where samples are, and where they should be, in a plane of two coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lit_bg.estimators.events import FEWEST
from lit_bg.figures.style import TARGET, caption, labels, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

DEPTH = 12.0  # [kT] shown above the minimum


class Plane(NamedTuple):
    """Holds two coordinates worth looking at."""

    names: tuple[str, str]  # with units
    extent: tuple[float, float, float, float]  # left, right, bottom, top
    u: Array | None = None  # (K, K) reduced energy on a grid, [y, x], where the plane is all there is


def draw_configurations(
    plane: Plane, points: Array, w: Array | None, target: Array | None, title: str, detail: str, source: str = "target"
) -> Figure:
    """Draw free-energy surfaces of proposals, reweighted proposals and target, one colour scale for all.

    Cells with fewer than five effective samples are left white.

    Args:
        plane: what is shown.
        points: proposals in the plane, (B, 2).
        w: their normalised weights, (B,); None of frames of chains, which have none.
        target: reference or exact samples in the plane, (n, 2), or None. The exact density of a
            two-dimensional system is drawn instead of its samples.
        title, detail: of the figure.
        source: what the target's samples are.
    """
    import matplotlib

    plain = _surface(points, np.full(len(points), 1 / max(len(points), 1)), plane)
    surfaces = [("frames", plain)] if w is None else [("proposals", plain), ("reweighted", _surface(points, w, plane))]
    if plane.u is not None:
        surfaces.append(("target, exact", _normalised(plane)))
    elif target is not None:
        surfaces.append((f"{source}, {len(target)}", _surface(target, np.full(len(target), 1 / len(target)), plane)))

    figure, axes = new_figure(3.5 * len(surfaces) + 0.5, 3.6, 1, len(surfaces), sharex=True, sharey=True)
    known = surfaces[-1][1]  # the target where it is known: its minimum is the zero of all
    lowest = np.nanmin(known) if np.isfinite(known).any() else 0.0
    colors: Any = None
    palette = matplotlib.colormaps["viridis"].with_extremes(over="white", bad="white")  # high is nearly empty
    for ax, (name, f) in zip(axes[0], surfaces, strict=True):
        colors = ax.imshow(f - lowest, origin="lower", extent=plane.extent, aspect="auto", cmap=palette, vmin=0, vmax=DEPTH)
        if plane.u is not None:
            left, right, bottom, top = plane.extent
            x, y = np.linspace(left, right, plane.u.shape[1]), np.linspace(bottom, top, plane.u.shape[0])
            height = plane.u - plane.u.min()
            ax.contour(x, y, height, levels=np.arange(1, DEPTH, 2.5), colors=TARGET, linewidths=0.5, alpha=0.55)
        if not np.isfinite(f).any():
            ax.text(0.5, 0.5, "too few\neffective samples", ha="center", va="center", transform=ax.transAxes, fontsize=9)
        ax.set_title(name, fontsize=10)
        ax.set_xlim(*plane.extent[:2])
        ax.set_ylim(*plane.extent[2:])
        labels(ax, plane.names[0], plane.names[1] if ax is axes[0, 0] else "")
    bar = figure.colorbar(colors, ax=axes[0].tolist(), shrink=0.9, pad=0.01, extend="max")
    bar.set_label("free energy [kT]", fontsize=9.5)
    bar.ax.tick_params(labelsize=8.5)
    blank = any(not np.isfinite(f).all() for _, f in surfaces)
    caption(figure, title, f"{detail}; white: fewer than {FEWEST:.0f} effective samples" if blank else detail)
    return figure


def _surface(points: Array, w: Array, plane: Plane) -> Array:
    """Return -log density on a grid, [y, x]; NaN where there are too few effective samples, by Kish."""
    bins = int(np.clip(np.sqrt(len(points)) / 3, 12, 90))
    left, right, bottom, top = plane.extent
    mass, squares = (
        np.histogram2d(points[:, 0], points[:, 1], bins=bins, range=[[left, right], [bottom, top]], weights=v)[0]
        for v in (w, w**2)
    )
    cell = (right - left) * (top - bottom) / bins**2
    with np.errstate(divide="ignore", invalid="ignore"):
        effective = np.where(squares > 0, mass**2 / squares, 0)
        return np.where(effective >= FEWEST * (1 - 1e-9), -np.log(mass / cell), np.nan).T


def _normalised(plane: Plane) -> Array:
    """Return -log of the exact density on the grid."""
    assert plane.u is not None
    left, right, bottom, top = plane.extent
    k = plane.u.shape[0]
    lowest = plane.u.min()
    integral = np.exp(lowest - plane.u).sum() * (right - left) * (top - bottom) / (k - 1) ** 2
    return plane.u - lowest + np.log(integral)
