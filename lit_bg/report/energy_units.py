"""Units of free energies."""

from __future__ import annotations

CALORIE = 4.184  # [J]
UNITS = ("kT", "kJ/mol", "kcal/mol")


def size_of_kT(unit: str, kT: float | None) -> float:
    """Return how much one kT is in a unit.

    Args:
        unit: kT, kJ/mol or kcal/mol.
        kT: in kJ/mol; None where there is no such number: a model system, or states at several temperatures.

    Raises:
        ValueError: another unit, or one that needs a temperature.

    >>> size_of_kT("kT", None), round(size_of_kT("kcal/mol", 2.4943), 4)
    (1.0, 0.5962)
    """
    if unit not in UNITS:
        raise ValueError(f"--units must be one of {', '.join(UNITS)}, got {unit}.")
    if unit == "kT":
        return 1.0
    if kT is None:
        raise ValueError(
            f"there is no free energy in {unit} without one temperature in kelvin (a model system has none, and between "
            "temperatures only F / kT compares): use --units kT."
        )
    return kT if unit == "kJ/mol" else kT / CALORIE
