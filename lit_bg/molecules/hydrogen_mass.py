"""Hydrogen mass repartitioning: slower bonds, the same averages."""

from __future__ import annotations

from lit_bg.molecules.structure import Structure


def check_hydrogen_mass(hydrogen_mass: float | None) -> None:
    """Refuse a mass that no hydrogen can have.

    Raises:
        ValueError: a mass below that of a hydrogen, or more than its neighbours can spare.
    """
    if hydrogen_mass is not None and not 1 <= hydrogen_mass <= 4:
        raise ValueError(f"hydrogen_mass = {hydrogen_mass} amu must be between 1 and 4, to leave their neighbours a mass.")


def repartitioned_masses(structure: Structure, hydrogen_mass: float | None) -> list[float]:
    """Return masses [amu] with every hydrogen as heavy as asked for, taken from the atom it is bonded to; None: as they are.

    Configurational averages do not depend on masses, and slower hydrogens allow a longer time step.

    Raises:
        ValueError: an atom would be left with too small a mass.

    References:
        Hopkins, Le Grand, Walker, Roitberg, J. Chem. Theory Comput. 11, 1864 (2015), doi:10.1021/ct5010406.
    """
    masses, elements = list(structure.masses), structure.elements
    if hydrogen_mass is None:
        return masses
    for bond in structure.bonds:
        for h, other in (bond, bond[::-1]):
            if elements[h] == "H" and elements[other] != "H":
                masses[other] -= hydrogen_mass - masses[h]
                masses[h] = hydrogen_mass
    if min(masses) <= 0.5:
        raise ValueError(f"hydrogen_mass = {hydrogen_mass} amu leaves an atom {min(masses):.2f} amu: make it smaller.")
    return masses
