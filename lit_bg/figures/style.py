"""The common style of all figures: the same colour means the same thing everywhere."""

from __future__ import annotations

import io
import math
import textwrap
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
WARNING = "#b03030"  # what must not be
DPI = 160
SIGMAS = 2  # of bands
LETTERS = 14  # of a legend or a caption, that an inch holds
DEGREE = "°"
EXACT = "exact"  # in a legend


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
    """Write what is shown, and how much the numbers are worth, around a figure."""
    if title:
        figure.suptitle(title, fontsize=11.5, fontweight="bold")
    width = int(figure.get_figwidth() * LETTERS)
    lines = [line for part in detail.splitlines() for line in textwrap.wrap(part, width)]
    figure.text(0.5, -0.005, "\n".join(lines), ha="center", va="top", fontsize=8.5, color="#555555")


def labels(ax: Axes, x: str, y: str) -> None:
    """Name the axes; angles get ticks that people know."""
    from matplotlib.ticker import MaxNLocator

    ax.set_xlabel(x, fontsize=9.5)
    ax.set_ylabel(y, fontsize=9.5)
    for axis, name in ((ax.xaxis, x), (ax.yaxis, y)):
        if name.endswith(f"[{DEGREE}]"):
            axis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 3, 6, 9]))


def legend(ax: Axes) -> None:
    """Name the curves above the axes, where no data are; in as many columns as their names leave room for."""
    names = ax.get_legend_handles_labels()[1]
    figure, spec = ax.get_figure(root=True), ax.get_subplotspec()
    assert figure is not None  # axes are made by `new_figure`
    assert spec is not None
    width = figure.get_figwidth() * LETTERS / spec.get_gridspec().ncols
    lengths = [len(name) + 6 for name in names] or [1]  # with the line in front of it
    columns = len(lengths) if sum(lengths) <= width else max(1, int(width / max(lengths)))
    ax.legend(frameon=False, fontsize=8.5, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, columnspacing=1.4)


def band(ax: Axes, x: ArrayLike, y: Any, err: Any, color: str, label: str | None, dashed: bool = False) -> None:
    """Draw a curve with its standard errors."""
    ax.fill_between(x, y - SIGMAS * err, y + SIGMAS * err, color=color, alpha=0.22, linewidth=0)
    ax.plot(x, y, color=color, linewidth=1.5, linestyle="--" if dashed else "-", label=label)


def with_unit(name: str, unit: str) -> str:
    """Return the label of an axis: angles are drawn in degrees (see `as_drawn`).

    >>> with_unit("phi", "rad"), with_unit("x1", "")
    ('phi [°]', 'x1')
    """
    unit = DEGREE if unit == "rad" else unit
    return f"{name} [{unit}]" if unit else name


def as_drawn(values: Any, unit: str) -> Any:
    """Return values in the unit in which they are drawn: angles in degrees, all else as it is.

    >>> as_drawn(3.141592653589793, "rad"), as_drawn(2.0, "nm")
    (180.0, 2.0)
    """
    return values * (180 / math.pi) if unit == "rad" else values


def png(figure: Figure) -> bytes:
    """Return the figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.12, facecolor="white")
    return buffer.getvalue()


def save(figure: Figure, path: Path) -> None:
    """Write the figure as a PNG file, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_bytes(png(figure))
