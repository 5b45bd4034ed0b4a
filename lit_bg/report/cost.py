"""The cost of reference data, with which that of a sampler is compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ReferenceCost:
    """Holds what a simulation paid for its effective frames."""

    simulator: str
    energies: float
    effective: float


def price_of_data(card: Mapping[str, Any]) -> ReferenceCost | None:
    """Return what reference data cost by their card; None where it does not say.

    >>> price_of_data({"simulator": {"class": "Simulation"}, "info": {"energies": 500}, "effective_samples": 20.0})
    ReferenceCost(simulator='Simulation', energies=500, effective=20.0)
    """
    energies, effective = (card.get("info") or {}).get("energies"), card.get("effective_samples")
    if not energies or not effective:
        return None
    return ReferenceCost((card.get("simulator") or {}).get("class", "simulation"), energies, effective)
