"""What samples cost."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """What was paid for samples.

    >>> Cost(2000, 0, 0, 1.0).per_effective(100.0)
    Cost(energies=20.0, gradients=0.0, densities=0.0, seconds=0.01)

    Attributes:
        energies, gradients: evaluations, as the `Meter` of the energy counts them; an energy that comes with a gradient is one
            of each.
        densities: evaluations of log q, or passes through the generator.
        seconds: wall time.
    """

    energies: float = 0
    gradients: float = 0
    densities: float = 0
    seconds: float = 0.0

    def per_effective(self, effective: float) -> Cost:
        """Return what one effective sample costs; infinite where there is none."""

        def share(paid: float) -> float:
            return paid / effective if effective > 0 else math.inf

        return Cost(share(self.energies), share(self.gradients), share(self.densities), share(self.seconds))
