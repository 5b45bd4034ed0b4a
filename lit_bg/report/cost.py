"""What samples cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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


def price_of_data(card: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what reference data cost, beside which a sampler stands: simulator, energies, effective frames; None if unknown.

    >>> price_of_data({"simulator": {"class": "Simulation"}, "info": {"energies": 500}, "effective_samples": 20.0})
    {'simulator': 'Simulation', 'energies': 500, 'effective': 20.0}
    """
    energies, effective = (card.get("info") or {}).get("energies"), card.get("effective_samples")
    if not energies or not effective:
        return None
    return {"simulator": (card.get("simulator") or {}).get("class", "simulation"), "energies": energies, "effective": effective}
