"""metrics.csv of a run, read."""

from __future__ import annotations

import csv
from pathlib import Path


def read_metrics(path: Path) -> dict[int, dict[str, float]]:
    """Return metrics by step and name; what was not logged at a step is left out.

    Raises:
        OSError: there is no such file.
        ValueError: a line is damaged.
    """
    rows: dict[int, dict[str, float]] = {}
    with open(path, newline="") as f:
        for line, row in enumerate(csv.DictReader(f), 2):
            try:
                values = {k: float(v) for k, v in row.items() if v and k != "step"}
                rows[int(row["step"])] = values
            except (TypeError, ValueError, KeyError):  # a cell too few or too many, a word, no steps
                raise ValueError(f"'{path}' is damaged in line {line}: mend it, or move it away to go on without.") from None
    return rows
