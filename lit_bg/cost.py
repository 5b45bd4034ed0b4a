"""The cost of samples."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Counts what was paid for samples.

    >>> Cost(energies=2000, seconds=1.0).per_effective(100.0)
    Cost(energies=20.0, gradients=0.0, densities=0.0, field_evaluations=0.0, seconds=0.01)
    >>> Cost(energies=2, seconds=1.0) + Cost(energies=3, densities=1)
    Cost(energies=5, gradients=0, densities=1, field_evaluations=0, seconds=1.0)

    Attributes:
        energies, gradients: evaluations, as the `Meter` of the energy counts them; an energy that comes with a gradient is one
            of each.
        densities: evaluations of log q, or passes through the generator.
        field_evaluations: of the vector field, where the generator integrates one, of all passes.
        seconds: wall time.
    """

    energies: float = 0
    gradients: float = 0
    densities: float = 0
    field_evaluations: float = 0
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        """Return what both cost, one after the other."""
        return Cost(**{name: paid + getattr(other, name) for name, paid in asdict(self).items()})

    def per_effective(self, effective: float) -> Cost:
        """Return what one effective sample costs; infinite where there is none."""
        return Cost(**{name: paid / effective if effective > 0 else math.inf for name, paid in asdict(self).items()})
