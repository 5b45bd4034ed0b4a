"""The common style of all figures: the same colour means the same thing everywhere."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_bg.files import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

PROPOSALS = "#d9772b"  # what the generator draws
REWEIGHTED = "#1f5fa8"  # the same draws with their weights
TARGET = "#3a3a3a"  # reference data, exact samples, exact densities
FAINT = "#9a9a9a"
DPI = 160
SIGMAS = 2  # of bands


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, **layout: Any) -> tuple[Figure, Any]:
    """Make a figure and its array of axes, (rows, columns), without touching the global state of pyplot."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **layout)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=8.5, color=FAINT)
    return figure, axes


def caption(figure: Figure, title: str, detail: str) -> None:
    """Write what is shown, and how much the numbers are worth, below a figure."""
    figure.suptitle(title, fontsize=11.5, fontweight="bold")
    figure.text(0.5, -0.005, detail, ha="center", va="top", fontsize=8.5, color="#555555")


def labels(ax: Axes, x: str, y: str) -> None:
    ax.set_xlabel(x, fontsize=9.5)
    ax.set_ylabel(y, fontsize=9.5)


def legend(ax: Axes, **where: Any) -> None:
    ax.legend(frameon=False, fontsize=8.5, **where)


def band(ax: Axes, x: ArrayLike, y: Any, err: Any, color: str, label: str | None, dashed: bool = False) -> None:
    """Draw a curve with its standard errors."""
    ax.fill_between(x, y - SIGMAS * err, y + SIGMAS * err, color=color, alpha=0.22, linewidth=0)
    ax.plot(x, y, color=color, linewidth=1.5, linestyle="--" if dashed else "-", label=label)


def with_unit(name: str, unit: str) -> str:
    """Return the axis label of a quantity, with its unit.

    >>> with_unit("phi", "rad"), with_unit("x1", "")
    ('phi [rad]', 'x1')
    """
    return f"{name} [{unit}]" if unit else name


def png(figure: Figure) -> bytes:
    """Return the figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.12, facecolor="white")
    return buffer.getvalue()


def save(figure: Figure, path: Path) -> None:
    """Write the figure as a PNG file, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_bytes(png(figure))
