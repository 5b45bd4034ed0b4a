"""Witnesses: what could have contradicted a number."""

from __future__ import annotations

import math
from collections.abc import Iterator

from lit_bg.diagnostics.findings import Findings
from lit_bg.diagnostics.knowledge import Knowledge, Value
from lit_bg.diagnostics.modes import EXPECTED, SIGMAS

BLINDNESS = 0.2  # a loss of this share of the weight must show in log Z, or log Z shows nothing


class Witnesses:
    """Holds what could have shown that a mode is lost, for every mode.

    A witness sees a mode when losing it would have moved the number that is known by more than four standard errors. Log Z and
    populations say that nothing is lost; they do not say that proposals are drawn from the log q that they come with. So a
    number that is not known itself rests on them only where the generator is known to be proper (`Findings.proper`).
    """

    def __init__(self, found: Findings, known: Knowledge) -> None:
        self.found, self.known = found, known
        self.by_mode = {name: list(self._witnesses(name)) for name in found.modes or {}}

    def _witnesses(self, name: str) -> Iterator[str]:
        assert self.found.modes is not None
        share, z, own = self.found.modes[name], self.known.log_Z, self.found.log_Z
        p = min(max(share.value, 0.0), 1.0)
        shift = -math.log1p(-min(p, 1 - 1e-12))
        if z is not None and own is not None and self.found.proper and shift > SIGMAS * joint_error(own.error, z):
            yield "log Z"
        if self.found.agreement is not None:
            yield self.found.agreement
        population = self.known.populations.get(name)
        if population is not None and self._powerful(population.value):
            yield f"P({name})"
        if self.known.data_pass and name in self.known.reference_populations:
            yield "the reference data"
        for a, row in self.found.averages.items():
            value = best_value(a, self.known)
            moved = find_distance(self.found.without[a].get(name, math.nan), row.value, row.period)
            if value is not None and moved > SIGMAS * joint_error(row.error, value):
                yield f"<{a}>"

    def _powerful(self, p: float) -> bool:
        return min(p, 1 - p) * self.found.effective >= EXPECTED

    def negligible(self, name: str) -> bool:
        """Say whether a mode is too rare for this many proposals to tell of it at all."""
        population = self.known.populations.get(name)
        p = self.found.modes[name].value if population is None else population.value  # type: ignore[index]
        return not p * self.found.effective >= EXPECTED

    @property
    def everywhere(self) -> str | None:
        """Return what would have shown the loss of any mode that matters, None if nothing."""
        z, own = self.known.log_Z, self.found.log_Z
        if self.found.agreement is not None:
            return self.found.agreement
        if z is not None and own is not None and 1 - math.exp(-SIGMAS * joint_error(own.error, z)) < BLINDNESS:
            return "log Z agrees with its known value, so next to nothing is lost"
        if self.known.data_pass and self.found.reaches_data:
            return "the reference data passed their card, and the proposals reach their frames"
        seen = [name for name in self.by_mode if not self.negligible(name)]
        if len(seen) > 1 and all(self.by_mode[name] for name in seen):
            names = sorted({w for name in seen for w in self.by_mode[name]})
            return f"{', '.join(names)} would have shown a lost mode"
        return None


def best_value(name: str, known: Knowledge) -> Value | None:
    """Return what an average is compared with: its exact value, else that of data that passed their card."""
    value = known.exact.get(name)
    if value is None and known.data_pass:
        value = known.reference.get(name)
    return value if value is not None and math.isfinite(value.error) else None


def joint_error(error: float, value: Value) -> float:
    """Return the standard error of a difference from a known value."""
    return math.hypot(error, value.error)


def find_distance(a: float, b: float, period: float | None) -> float:
    """Return how far two numbers are apart, on the circle where there is a period."""
    apart = abs(a - b)
    if period is not None and math.isfinite(apart):
        apart = apart % period
        apart = min(apart, period - apart)
    return apart
