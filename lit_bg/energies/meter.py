"""A counter of the evaluations of a system."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Meter:
    """Counts evaluations of a system, at whatever temperature: all its views share one.

    Energy calls are the currency of the field, so every one is counted where it is made, and nowhere else.
    """

    values: int = 0  # energies
    gradients: int = 0  # energies with forces among them
