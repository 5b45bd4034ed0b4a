"""Training curves of runs, from what they logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lit_bg.diagnostics.knowledge import Value
from lit_bg.figures.training import TrainingCurve, draw_training
from lit_bg.report.tails import PARETO_K

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Metrics = Mapping[int, Mapping[str, float]]


class Quantity(NamedTuple):
    """A number that is logged in training."""

    label: str
    key: str  # in metrics.csv, after its section
    section: str = "val"
    limit: float | None = None  # that it should stay below
    logarithmic: bool = False


QUANTITIES = (
    Quantity("loss", "loss", "train"),
    Quantity("ESS of proposals", "ess"),
    Quantity("ESS from reference data", "ess_forward"),
    Quantity("k-hat", "pareto_k", limit=PARETO_K),
    Quantity("log Z", "log_Z"),
    Quantity("learning rate", "lr", "train", logarithmic=True),
)


class DrawnCurve(NamedTuple):
    """A picture of curves, and what it is in words."""

    label: str
    along: str
    figure: Figure


def draw_curves(runs: Mapping[str, Metrics], known_log_Z: Value | None) -> list[DrawnCurve]:
    """Draw every quantity that was logged, against training steps and against energies, all runs in one picture.

    Args:
        runs: what was logged, by name of the run.
        known_log_Z: what log Z should reach.
    """
    found = []
    for quantity in QUANTITIES:
        for along in ("training steps", "energies"):
            curves = [
                c
                for n, metrics in runs.items()
                if (c := find_curve(n if len(runs) > 1 else "", metrics, quantity, along)) is not None
            ]
            if not curves:
                continue
            known = (known_log_Z.value, known_log_Z.source) if known_log_Z is not None and quantity.key == "log_Z" else None
            limit = None if quantity.limit is None else (quantity.limit, f"limit {quantity.limit}")
            figure = draw_training(curves, along, quantity.label, known, limit, quantity.logarithmic)
            found.append(DrawnCurve(quantity.label, along, figure))
    return found


def find_curve(name: str, metrics: Metrics, quantity: Quantity, along: str) -> TrainingCurve | None:
    """Return the curve of a quantity, or None where fewer than two points of it are known.

    Args:
        name: of the run.
        metrics: what it logged.
        quantity: it is looked up.
        along: training steps or energies.
    """
    key, paid = f"{quantity.section}/{quantity.key}", f"{quantity.section}/energy_calls"
    points = [
        (float(step + 1) if along == "training steps" else row[paid], row[key], row.get(f"{key}_err"))
        for step, row in sorted(metrics.items())
        if key in row and (along == "training steps" or paid in row)
    ]
    if len(points) < 2:
        return None
    x, y = np.array([p[0] for p in points]), np.array([p[1] for p in points])
    errors = [p[2] for p in points]
    barred = any(e is not None for e in errors)
    return TrainingCurve(name, x, y, np.array([np.nan if e is None else e for e in errors]) if barred else None)


def last_values(metrics: Metrics, keys: Sequence[str]) -> dict[str, float]:
    """Return the newest value of every key that was logged.

    >>> last_values({1: {"a": 1.0, "b": 2.0}, 3: {"a": 5.0}}, ["a", "b", "c"])
    {'a': 5.0, 'b': 2.0}
    """
    newest: dict[str, float] = {}
    for _, row in sorted(metrics.items()):
        newest |= {key: row[key] for key in keys if key in row}
    return newest
