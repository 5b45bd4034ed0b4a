"""Units in which users give temperatures and times."""

from __future__ import annotations

from lit_bg.energies.base import Energy
from lit_bg.energies.molecule import R


def in_kelvin(energy: Energy) -> bool:
    """Return whether temperatures of this system are given in kelvin (energies in kJ/mol) or as kT."""
    return energy.unit == "kJ/mol"


def to_kT(energy: Energy, temperature: float) -> float:
    """Return kT of a temperature as users give it: [K] for energies in kJ/mol, kT itself for model energies."""
    return R * temperature if in_kelvin(energy) else temperature


def time_unit(energy: Energy) -> str:
    """Return the unit of time that follows from the units of energy, length and mass."""
    return "ps" if in_kelvin(energy) else "time units"
